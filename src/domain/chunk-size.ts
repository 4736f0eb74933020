/**
 * Rows of a chunk at first and at most: some tens of milliseconds of a query where hashing is fast, so that its own cost
 * is small. More would save nothing, and make every difference dearer: a chunk that differs is read again.
 */
const ROWS_MAX = 50_000;
/**
 * At most, where rows lie in the table in another order than their keys: every chunk reads pages from all over it, and the
 * more rows it has, the fewer pages are read again for the next one.
 */
const SCATTERED_ROWS_MAX = 100_000;
/** Below this a query's own cost is most of it. */
const ROWS_MIN = 500;
/** What one query should take at most: long enough to be cheap, short enough that nothing waits long for its snapshot. */
const TARGET_MS = 500;
/** One query may be slow by chance: the size moves by at most this factor at a time. */
const STEP_MAX = 2;
/** Parts of a chunk that could not be digested in time. */
const TIMEOUT_DIVISOR = 8;
/** Of so few rows of a chunk's, its time tells little. */
const TELLING_RATIO = 0.25;

/** How many rows the next chunk should have, from how long the last ones took. */
export class ChunkSize {
  private present: number;
  private rowsMax = ROWS_MAX;
  private readonly fixed: boolean;

  /** @param rows that every chunk is to have; `auto`: as the databases' speed has it */
  constructor(rows: number | 'auto') {
    this.fixed = rows !== 'auto';
    this.present = rows === 'auto' ? ROWS_MAX : rows;
  }

  get rows(): number {
    return this.present;
  }

  /** Neighbouring keys lie far apart in the table. */
  keysAreScattered(): void {
    this.rowsMax = SCATTERED_ROWS_MAX;
  }

  /** One side has digested so many rows in one query. */
  took(rows: number, ms: number): void {
    if (this.fixed || rows < this.present * TELLING_RATIO) return;
    const wanted = (rows * TARGET_MS) / Math.max(1, ms);
    this.set(Math.min(this.present * STEP_MAX, Math.max(this.present / STEP_MAX, wanted)));
  }

  /** A query over about so many rows took a database longer than it may. */
  timedOut(rows: number): void {
    if (!this.fixed) this.set(Math.min(this.present, rows / TIMEOUT_DIVISOR));
  }

  private set(rows: number): void {
    this.present = Math.round(Math.min(this.rowsMax, Math.max(ROWS_MIN, rows)));
  }
}
