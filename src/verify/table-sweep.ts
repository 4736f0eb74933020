import type { Pair } from '../domain/pair.ts';
import { Pace } from '../domain/pace.ts';
import type { RowKey } from '../domain/row.ts';
import type { SweepKind, SweepStatus, SweepTableProgress } from '../domain/status.ts';
import type { PauseReason } from '../domain/sweep-pause.ts';
import { KeySample } from './key-sample.ts';
import type { KeyRange, StoredSweepTable } from './ports.ts';
import type { Check } from './pending-checks.ts';
import { restlessSample } from './restless-rows.ts';
import type { Strategy } from './sweep-strategy.ts';

/** So many of the last chunks are looked at to tell whether the next is likely to differ. */
const RECENT_CHUNKS = 8;
/** Fewer tell nothing: where a hundredth of the chunks differ, so many in a row are one chance in a million. */
const RECENT_CHUNKS_MIN = 3;
/** Rows that the recheck found equal of which the digests are taken again, and the characters of their keys: enough to see that a digest is wrong. */
const EQUAL_SAMPLE_KEYS = 500;
const EQUAL_SAMPLE_CHARS = 1024 * 1024;

/** Characters of the keys of suspects that are stored with a sweep's progress: beyond it, progress waits for them. */
const AWAITED_CHARS_MAX = 1024 * 1024;

/** What a sweep counts. */
export interface Tally {
  chunksDone: number;
  chunksDiffering: number;
  oldRows: bigint;
  newRows: bigint;
  suspects: number;
  drift: number;
  /** Suspects whose digests differ, though their values do not. */
  equivalent: number;
  /** Suspects that were given up without an answer. */
  unverifiable: number;
}

/** A chunk that is compared, or whose suspects wait for their recheck. */
export interface Chunk {
  readonly range: KeyRange;
  readonly tally: Tally;
  compared: boolean;
  waiting: number;
}

/** A row that a chunk's comparison found to differ, and the check that tells why. */
export interface Suspect {
  readonly chunk: Chunk;
  readonly check: Check;
}

/** One table's part in a sweep: what has been compared, counted and found, and where it would go on after a stop. */
export class TableSweep {
  readonly pair: Pair;
  readonly tally: Tally = emptyTally();
  /** Suspects that the recheck found equal. */
  readonly foundEqual = new KeySample(EQUAL_SAMPLE_KEYS, EQUAL_SAMPLE_CHARS);
  /** Some of the suspects that never came to rest. */
  readonly restless = restlessSample();
  strategy: Strategy = { path: 'portable', reason: 'the table’s turn has not come' };
  status: SweepStatus = 'running';
  kind: SweepKind;
  kindReason: string;
  /** The epoch of touched keys that began with it; null: none. */
  touchedEpoch: number | null = null;
  estimatedRows = 0n;
  /** Those that the sweep waits for. */
  readonly suspects = new Set<Suspect>();
  startedAtMs: number;
  /** Primary's clock; 0 before it has begun. */
  startedAtUs = 0n;
  endedAtMs: number | null = null;
  resumeFrom: RowKey | null = null;
  /** Suspects from before a stop, of chunks before `resumeFrom`. */
  private awaited: readonly RowKey[] = [];
  error: string | null = null;
  /** Chunks from `resumeFrom` on, in key order. */
  private chunks: Chunk[] = [];
  /** What was counted before `resumeFrom`: a sweep that is interrupted goes on with this. */
  private kept: Tally = emptyTally();
  private walkedRows = 0n;
  /** Rows that were compared before a stop. */
  private walkedBeforeRows = 0n;
  private pause: { readonly reason: PauseReason; readonly sinceMs: number } | null = null;
  private pausedBeforeMs = 0;
  private readonly pace = new Pace();
  /** Whether each of the last chunks differed for other reasons than changes that are known to be under way. */
  private recent: readonly boolean[] = [];

  constructor(pair: Pair, nowMs: number, kind: SweepKind = 'full') {
    this.pair = pair;
    this.kind = kind;
    this.kindReason = `${kind === 'full' ? 'a full' : 'an incremental'} sweep was due or asked for`;
    this.startedAtMs = nowMs;
  }

  /** As it stood when a stop interrupted it. */
  static restore(pair: Pair, stored: StoredSweepTable): TableSweep {
    const table = new TableSweep(pair, stored.startedAtMs, stored.kind);
    table.kindReason = stored.kindReason;
    table.touchedEpoch = stored.touchedEpoch;
    const counted: Tally = {
      chunksDone: stored.chunksDone,
      chunksDiffering: stored.chunksDiffering,
      oldRows: BigInt(stored.rows.old),
      newRows: BigInt(stored.rows.new),
      suspects: stored.suspects,
      drift: stored.drift,
      equivalent: stored.equivalent,
      unverifiable: stored.unverifiable,
    };
    add(table.tally, counted);
    add(table.kept, counted);
    table.walkedBeforeRows = larger(counted.oldRows, counted.newRows);
    table.strategy = { path: stored.strategy, reason: stored.strategyReason };
    table.status = stored.status === 'settling' ? 'running' : stored.status;
    table.startedAtUs = stored.startedAtUs;
    table.endedAtMs = stored.endedAtMs;
    table.resumeFrom = stored.resumeFrom;
    table.awaited = stored.awaited;
    table.error = stored.error;
    return table;
  }

  get isUnfinished(): boolean {
    return this.status === 'running' || this.status === 'settling';
  }

  /** Rows compared so far, the larger side's. */
  get compared(): bigint {
    return this.walkedRows + this.walkedBeforeRows;
  }

  /** Rows compared since this process took the sweep up. */
  get comparedHere(): bigint {
    return this.walkedRows;
  }

  /** Whether most of the last chunks differed, and not just for changes that are known to be under way. */
  get mostlyDiffers(): boolean {
    const { length } = this.recent;
    return length >= RECENT_CHUNKS_MIN && 2 * this.recent.filter((isUnexplained) => isUnexplained).length > length;
  }

  /** A chunk is about to be compared; chunks begin in key order. */
  begin(range: KeyRange): Chunk {
    const chunk: Chunk = { range, tally: emptyTally(), compared: false, waiting: 0 };
    this.chunks.push(chunk);
    return chunk;
  }

  /** Keys that an interrupted sweep waited for, in a chunk of their own that is compared already; null: none. */
  beginAwaited(): { readonly chunk: Chunk; readonly keys: readonly RowKey[] } | null {
    const keys = this.awaited;
    this.awaited = [];
    if (keys.length === 0) return null;
    const chunk = this.begin({ from: null, to: this.resumeFrom });
    chunk.compared = true;
    return { chunk, keys };
  }

  count(chunk: Chunk, more: Partial<Tally>): void {
    add(this.tally, more);
    add(chunk.tally, more);
  }

  /** So many rows of old and new were compared. */
  walked([oldRows, newRows]: readonly [bigint, bigint], nowMs: number): void {
    this.walkedRows += larger(oldRows, newRows);
    this.pace.note(this.workedMs(nowMs), this.compared);
  }

  /** It stands still for this reason; null: it goes on. Whether that is news. */
  paused(reason: PauseReason | null, nowMs: number): boolean {
    if (reason === (this.pause?.reason ?? null)) return false;
    this.pausedBeforeMs = nowMs - this.workedMs(nowMs);
    this.pause = reason === null ? null : { reason, sinceMs: nowMs };
    return true;
  }

  /** A time less what of it was spent standing still: the clock of rates. */
  workedMs(nowMs: number): number {
    return nowMs - this.pausedBeforeMs - (this.pause === null ? 0 : nowMs - this.pause.sinceMs);
  }

  /**
   * All of a chunk is compared; its suspects may wait still.
   * @param isUnexplained it differs in rows of which no change is known to be under way
   */
  end(chunk: Chunk, isEqual: boolean, isUnexplained = !isEqual): void {
    this.recent = [...this.recent, isUnexplained].slice(-RECENT_CHUNKS);
    this.count(chunk, { chunksDone: 1, chunksDiffering: isEqual ? 0 : 1 });
    chunk.compared = true;
    this.keepSettled();
  }

  suspected(suspect: Suspect): void {
    this.count(suspect.chunk, { suspects: 1 });
    this.suspects.add(suspect);
    suspect.chunk.waiting++;
  }

  settled(suspect: Suspect, found: Partial<Tally>): void {
    this.suspects.delete(suspect);
    suspect.chunk.waiting--;
    this.count(suspect.chunk, found);
    this.keepSettled();
  }

  /** Suspects that wait for their recheck. */
  get waiting(): number {
    return this.suspects.size;
  }

  /** So many of the suspects that were found equal are equivalent. */
  countEquivalent(rows: number): void {
    add(this.tally, { equivalent: rows });
  }

  describe(nowMs: number): SweepTableProgress {
    const isRunning = this.status === 'running';
    return {
      table: this.pair.id,
      kind: this.kind,
      kindReason: this.kindReason,
      status: this.status,
      strategy: this.strategy.path,
      strategyReason: this.strategy.reason,
      progressRatio: this.progressRatio(),
      rowsPerSecond: !isRunning ? null : this.pause !== null ? 0 : this.pace.perSecond(this.workedMs(nowMs)),
      etaMs: isRunning && this.pause === null ? this.pace.etaMs(this.workedMs(nowMs), this.estimatedRows) : null,
      pausedBy: isRunning ? (this.pause?.reason ?? null) : null,
      ...tallyJson(this.tally, this.waiting),
      startedAtMs: this.startedAtMs,
      endedAtMs: this.endedAtMs,
      error: this.error,
    };
  }

  /** As the state store keeps it. */
  stored(nowMs: number): StoredSweepTable {
    const { tally, resumeFrom, awaited } = this.isUnfinished ? this.keptWithAwaited() : { tally: this.tally, resumeFrom: this.resumeFrom, awaited: [] };
    return { ...this.describe(nowMs), ...tallyJson(tally, this.isUnfinished ? 0 : this.waiting), startedAtUs: this.startedAtUs, resumeFrom, awaited, touchedEpoch: this.touchedEpoch };
  }

  private progressRatio(): number {
    if (this.status === 'done' || this.status === 'settling') return 1;
    const estimated = Number(this.estimatedRows);
    return estimated <= 0 ? 0 : Math.min(0.99, Number(this.compared) / estimated);
  }

  /** Where an interrupted sweep would resume: past all chunks that are compared. It would suspect again the rows that they wait for. */
  private keptWithAwaited(): { readonly tally: Tally; readonly resumeFrom: RowKey | null; readonly awaited: readonly RowKey[] } {
    const waiting = new Map<Chunk, RowKey[]>();
    for (const { chunk, check } of this.suspects) {
      const keys = waiting.get(chunk);
      if (keys === undefined) waiting.set(chunk, [check.key]);
      else keys.push(check.key);
    }
    const tally = { ...this.kept };
    let { resumeFrom } = this;
    const awaited: RowKey[] = [...this.awaited];
    let chars = charsOf(awaited);
    for (const chunk of this.chunks) {
      const keys = waiting.get(chunk) ?? [];
      chars += charsOf(keys);
      if (!chunk.compared || chunk.range.to === null || chars > AWAITED_CHARS_MAX) break;
      add(tally, chunk.tally);
      tally.suspects -= keys.length;
      awaited.push(...keys);
      resumeFrom = chunk.range.to;
    }
    return { tally, resumeFrom, awaited };
  }

  /** Moves on past chunks with nothing left to wait for. */
  private keepSettled(): void {
    for (let first = this.chunks[0]; first !== undefined; first = this.chunks[0]) {
      if (!first.compared || first.waiting > 0 || first.range.to === null) return;
      add(this.kept, first.tally);
      this.resumeFrom = first.range.to;
      this.chunks.shift();
    }
  }
}

function emptyTally(): Tally {
  return { chunksDone: 0, chunksDiffering: 0, oldRows: 0n, newRows: 0n, suspects: 0, drift: 0, equivalent: 0, unverifiable: 0 };
}

function add(to: Tally, more: Partial<Tally>): void {
  to.chunksDone += more.chunksDone ?? 0;
  to.chunksDiffering += more.chunksDiffering ?? 0;
  to.oldRows += more.oldRows ?? 0n;
  to.newRows += more.newRows ?? 0n;
  to.suspects += more.suspects ?? 0;
  to.drift += more.drift ?? 0;
  to.equivalent += more.equivalent ?? 0;
  to.unverifiable += more.unverifiable ?? 0;
}

function charsOf(keys: readonly RowKey[]): number {
  return keys.reduce((sum, key) => key.reduce((chars, value) => chars + value.length, sum), 0);
}

function larger(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}

type CountedProgress = Pick<SweepTableProgress, 'chunksDone' | 'chunksDiffering' | 'rows' | 'suspects' | 'drift' | 'inFlight' | 'equivalent' | 'unverifiable'>;

/** @param waiting suspects of which nothing is known yet */
function tallyJson(tally: Tally, waiting: number): CountedProgress {
  const { chunksDone, chunksDiffering, oldRows, newRows, suspects, drift, equivalent, unverifiable } = tally;
  const inFlight = suspects - waiting - drift - equivalent - unverifiable;
  return { chunksDone, chunksDiffering, rows: { old: oldRows.toString(), new: newRows.toString() }, suspects, inFlight, equivalent, unverifiable, drift };
}
