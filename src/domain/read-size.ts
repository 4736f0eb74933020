/** Rows of the first read, when nothing is known of how wide they are. */
const FIRST_ROWS = 32;
/** What one read should bring at most, in characters: several are held at once. */
const TARGET_CHARS = 2 * 1024 * 1024;
/** Some rows may be narrow by chance: the size grows by at most this factor at a time. */
const GROWTH_MAX = 4;

/** How many rows the next read by key should ask for, so that it brings little however wide they are. */
export class ReadSize {
  private present: number;
  private readonly rowsMax: number;

  /** @param rowsMax most rows of a read, however narrow they are */
  constructor(rowsMax: number) {
    this.rowsMax = rowsMax;
    this.present = Math.min(FIRST_ROWS, rowsMax);
  }

  get rows(): number {
    return this.present;
  }

  /** A read of so many rows has brought so many characters. */
  brought(rows: number, chars: number): void {
    if (rows === 0) return;
    const wanted = Math.floor((rows * TARGET_CHARS) / Math.max(1, chars));
    this.present = Math.max(1, Math.min(this.rowsMax, this.present * GROWTH_MAX, wanted));
  }
}
