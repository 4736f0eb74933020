import pLimit from 'p-limit';
import { LockstepError, rootMessage } from '../domain/errors.ts';
import type { Pair, Side } from '../domain/pair.ts';
import type { ClockSkew } from '../domain/clock-skew.ts';
import { Pace } from '../domain/pace.ts';
import type { RowKey } from '../domain/row.ts';
import type { Sweep, SweepStatus, SweepTableProgress } from '../domain/status.ts';
import type { DriftBook } from './drift-book.ts';
import type { CheckEnd, PendingChecks } from './pending-checks.ts';
import type { Clock, Database, KeyRange, StoredSweep, StoredSweepTable, VerifyMetrics, VerifyStore } from './ports.ts';
import type { Proofs } from './proofs.ts';
import { bucketsFor, digestBoth, locate, locateByBucket, persistent, type ChunkFindings, type Comparison, type Sides } from './sweep-compare.ts';
import { planChunks, walk } from './sweep-plan.ts';
import { chooseStrategy, type AskedStrategy, type Strategy } from './sweep-strategy.ts';

/** Rows of a chunk where `sweep.chunk_rows` is `auto`: some tens of milliseconds of a query, so that its own cost is small. */
export const CHUNK_ROWS = 50_000;
/** So many of the last chunks are looked at to tell whether the next is likely to differ. */
const RECENT_CHUNKS = 8;
/** A chunk that a database cannot digest in time is parted into so many, down to parts of so many rows. */
const TIMEOUT_SPLIT = 8;
const PART_ROWS_MIN = 100;
/** Suspects that may wait for their recheck before the sweep pauses. */
const SUSPECTS_MAX = 10_000;
const SUSPECTS_WAIT_MS = 50;
/** Progress is stored this often. */
const SAVE_MS = 2_000;
/** A question is asked this often before the table's sweep fails. */
const ASK_TRIES = 5;
const ASK_RETRY_MS = 1_000;
/** Sweeps shown by REST from memory. */
const KEPT_SWEEPS = 20;

export interface SweepsParts {
  readonly pairs: readonly Pair[];
  readonly sides: Readonly<Record<Side, Database>>;
  readonly primarySide: Side;
  readonly pending: PendingChecks;
  readonly book: DriftBook;
  readonly proofs: Proofs;
  readonly skew: Readonly<Record<Side, ClockSkew>>;
  readonly store: Pick<VerifyStore, 'saveSweep' | 'unfinishedSweep'>;
  readonly metrics: VerifyMetrics;
  readonly clock: Clock;
  readonly chunkRows: number;
  readonly concurrency: number;
  /** 0: unlimited. */
  readonly maxRowsPerSecond: number;
  readonly makeId: () => string;
  readonly strategy: AskedStrategy;
  /** @param compared rows that were compared so far, the larger side's */
  onProgress?(progress: SweepTableProgress, compared: bigint): void;
}

/** What a sweep counts. */
interface Tally {
  chunksDone: number;
  chunksDiffering: number;
  oldRows: bigint;
  newRows: bigint;
  suspects: number;
  drift: number;
}

/** A chunk that is compared, or whose suspects wait for their recheck. */
interface Chunk {
  readonly range: KeyRange;
  readonly tally: Tally;
  compared: boolean;
  waiting: number;
}

/** A table's sweep under way. */
interface TableSweep extends Tally {
  readonly pair: Pair;
  strategy: Strategy;
  status: SweepStatus;
  estimatedRows: bigint;
  waiting: number;
  /** Chunks from `resumeFrom` on, in key order. */
  chunks: Chunk[];
  /** What was counted before `resumeFrom`: a sweep that is interrupted goes on with this. */
  kept: Tally;
  startedAtMs: number;
  startedAtUs: bigint;
  endedAtMs: number | null;
  resumeFrom: RowKey | null;
  walked: bigint;
  /** Rows that were compared before a stop. */
  walkedBefore: bigint;
  readonly pace: Pace;
  /** Whether each of the last chunks was equal. */
  recent: readonly boolean[];
  error: string | null;
}

interface RunningSweep {
  readonly id: string;
  readonly startedAtMs: number;
  endedAtMs: number | null;
  status: SweepStatus;
  readonly asked: boolean;
  readonly tables: TableSweep[];
  readonly cancel: AbortController;
}

/** Full passes over the pairs, one at a time: digests on both sides, differing chunks split down to rows. */
export class Sweeps {
  private readonly parts: SweepsParts;
  private running: RunningSweep | null = null;
  private readonly ended: RunningSweep[] = [];
  private savedAtMs = 0;

  constructor(parts: SweepsParts) {
    this.parts = parts;
  }

  /** The sweep under way, or null. */
  current(): Sweep | null {
    return this.running === null ? null : describe(this.running, this.parts.clock.nowMs());
  }

  /** This table's part in the sweep under way or the last one that had it. */
  progressOf(table: string): SweepTableProgress | null {
    for (const sweep of this.running === null ? this.ended : [this.running, ...this.ended]) {
      const part = sweep.tables.find((candidate) => candidate.pair.id === table);
      if (part !== undefined) return describeTable(part, this.parts.clock.nowMs());
    }
    return null;
  }

  /**
   * Begins a sweep of these tables; null when one is under way. The sweep goes on after this returns.
   * @param asked whether somebody asked for it: such a sweep discharges dead letters
   */
  start(tables: readonly string[], signal: AbortSignal, asked = false): { sweep: Sweep; done: Promise<Sweep> } | null {
    if (this.running !== null) return null;
    const nowMs = this.parts.clock.nowMs();
    const sweep: RunningSweep = {
      id: this.parts.makeId(),
      startedAtMs: nowMs,
      endedAtMs: null,
      status: 'running',
      asked,
      tables: this.parts.pairs.filter((pair) => tables.includes(pair.id)).map((pair) => fresh(pair, nowMs)),
      cancel: new AbortController(),
    };
    return { sweep: describe(sweep, nowMs), done: this.run(sweep, signal) };
  }

  /** Goes on with a sweep that a stop interrupted, to its end; null when there is none. */
  async resume(signal: AbortSignal): Promise<Sweep | null> {
    const stored = await this.parts.store.unfinishedSweep();
    if (stored === null || this.running !== null) return null;
    const tables = stored.tables.flatMap((table) => {
      const pair = this.parts.pairs.find((candidate) => candidate.id === table.table);
      return pair === undefined ? [] : [restore(pair, table)];
    });
    return this.run(
      { id: stored.id, startedAtMs: stored.startedAtMs, endedAtMs: null, status: 'running', asked: false, tables, cancel: new AbortController() },
      signal,
    );
  }

  /** Stops the sweep under way; false where it is not this one. */
  cancel(id: string): boolean {
    if (this.running?.id !== id) return false;
    this.running.cancel.abort();
    return true;
  }

  private async run(sweep: RunningSweep, stop: AbortSignal): Promise<Sweep> {
    this.running = sweep;
    const signal = AbortSignal.any([stop, sweep.cancel.signal]);
    try {
      await this.save(sweep, true);
      for (const table of sweep.tables) {
        if (table.status !== 'running' && table.status !== 'settling') continue;
        try {
          await this.runTable(sweep, table, signal);
        } catch (error) {
          if (signal.aborted) break;
          table.status = 'failed';
          table.error = error instanceof LockstepError ? error.message : rootMessage(error);
          table.endedAtMs = this.parts.clock.nowMs();
        }
      }
      if (stop.aborted) return describe(sweep, this.parts.clock.nowMs());
      const failed = sweep.tables.some((table) => table.status === 'failed');
      sweep.status = sweep.cancel.signal.aborted ? 'cancelled' : failed ? 'failed' : 'done';
      for (const table of sweep.tables) {
        if (table.status !== 'done' && table.status !== 'failed') table.status = 'cancelled';
        table.endedAtMs ??= this.parts.clock.nowMs();
      }
      sweep.endedAtMs = this.parts.clock.nowMs();
      await this.save(sweep, true);
      return describe(sweep, sweep.endedAtMs);
    } finally {
      this.running = null;
      this.ended.unshift(sweep);
      this.ended.length = Math.min(this.ended.length, KEPT_SWEEPS);
    }
  }

  private async runTable(sweep: RunningSweep, table: TableSweep, signal: AbortSignal): Promise<void> {
    const { clock, proofs, book, skew, primarySide, sides } = this.parts;
    const primary = sides[primarySide];
    table.estimatedRows = await primary.estimateRows(table.pair, signal);
    table.strategy = await this.ask(() => chooseStrategy(this.parts.strategy, sides.old, sides.new, signal), signal);
    if (table.startedAtUs === 0n) {
      table.startedAtMs = clock.nowMs();
      table.startedAtUs = clock.nowUs() + (skew[primarySide].best()?.offsetUs ?? 0n);
    }
    table.pace.note(clock.nowMs(), compared(table));
    await this.compareChunks(sweep, table, signal);
    table.status = 'settling';
    await this.save(sweep, true);
    while (table.waiting > 0 && !signal.aborted) {
      await clock.sleep(SUSPECTS_WAIT_MS, signal);
      await this.save(sweep, false);
    }
    signal.throwIfAborted();
    table.status = 'done';
    table.endedAtMs = clock.nowMs();
    proofs.sweepEnded(table.pair.id, {
      startedAtUs: table.startedAtUs,
      endedAtMs: table.endedAtMs,
      clean: book.openCount(table.pair.id) === 0,
      asked: sweep.asked,
      oldRows: table.oldRows,
      newRows: table.newRows,
    });
    this.report(table);
  }

  /** Walks the table chunk by chunk; some are compared at once. */
  private async compareChunks(sweep: RunningSweep, table: TableSweep, signal: AbortSignal): Promise<void> {
    const { clock, concurrency, chunkRows, sides } = this.parts;
    const { pair } = table;
    const asked: Sides = { old: persistent(sides.old, this.ask), new: persistent(sides.new, this.ask) };
    const limit = pLimit(concurrency);
    const running = new Set<Promise<void>>();
    const failure = new AbortController();
    const chunkSignal = AbortSignal.any([signal, failure.signal]);
    const comparison: Comparison = { sides: asked, pair, path: table.strategy.path, signal: chunkSignal };
    const startedMs = clock.nowMs();
    try {
      for await (const range of planChunks({ side: asked.old, pair, from: table.resumeFrom, chunkRows, estimatedRows: table.estimatedRows, signal: chunkSignal })) {
        await this.throttle(table, startedMs, chunkSignal);
        const chunk: Chunk = { range, tally: emptyTally(), compared: false, waiting: 0 };
        table.chunks.push(chunk);
        const comparing = limit(() => this.runChunk(table, chunk, comparison))
          .then(() => this.save(sweep, false))
          .finally(() => running.delete(comparing));
        comparing.catch((error: unknown) => failure.abort(error));
        running.add(comparing);
        if (running.size >= concurrency) await Promise.race(running);
      }
      await Promise.all(running);
    } catch (error) {
      const reason: unknown = failure.signal.aborted ? failure.signal.reason : error;
      failure.abort(reason);
      await Promise.allSettled(running);
      throw reason;
    }
  }

  private async runChunk(table: TableSweep, chunk: Chunk, comparison: Comparison): Promise<void> {
    const { metrics, clock } = this.parts;
    const { pair, signal } = comparison;
    let suspects = 0;
    for await (const found of this.findings(table, chunk.range, comparison)) {
      count(table, chunk, { oldRows: found.equalRows, newRows: found.equalRows });
      metrics.sweepRows(pair.id, 'old', found.rows[0]);
      metrics.sweepRows(pair.id, 'new', found.rows[1]);
      table.walked += found.rows[0] > found.rows[1] ? found.rows[0] : found.rows[1];
      table.pace.note(clock.nowMs(), compared(table));
      suspects += found.suspects.length;
      for (const key of found.suspects) await this.suspect(table, chunk, key, signal);
    }
    const isEqual = suspects === 0;
    table.recent = [...table.recent, isEqual].slice(-RECENT_CHUNKS);
    count(table, chunk, { chunksDone: 1, chunksDiffering: isEqual ? 0 : 1 });
    chunk.compared = true;
    keepSettled(table);
    metrics.sweepChunk(pair.id, isEqual ? 'equal' : 'differing');
    this.report(table);
  }

  private report(table: TableSweep): void {
    this.parts.onProgress?.(describeTable(table, this.parts.clock.nowMs()), compared(table));
  }

  /** Where most chunks differ of late, the next is parted into buckets at once: its whole digest would only say that it differs too. */
  private async *findings(table: TableSweep, range: KeyRange, comparison: Comparison): AsyncGenerator<ChunkFindings> {
    const differing = table.recent.filter((isEqual) => !isEqual).length;
    if (table.recent.length === RECENT_CHUNKS && 2 * differing > RECENT_CHUNKS) {
      yield* locateByBucket(comparison, range, bucketsFor(BigInt(this.parts.chunkRows)));
      return;
    }
    yield* this.digested(comparison, range, this.parts.chunkRows);
  }

  /** Digests a range, or, where that takes a database too long, parts of it. */
  private async *digested(comparison: Comparison, range: KeyRange, rows: number): AsyncGenerator<ChunkFindings> {
    let digests: Awaited<ReturnType<typeof digestBoth>>;
    try {
      digests = await digestBoth(comparison, range);
    } catch (error) {
      const part = Math.floor(rows / TIMEOUT_SPLIT);
      if (!isTimeout(error) || part < PART_ROWS_MIN) throw error;
      const { sides, pair, signal } = comparison;
      for await (const smaller of walk({ side: sides.old, pair, chunkRows: part, signal }, range.from, range.to)) yield* this.digested(comparison, smaller, part);
      return;
    }
    yield* locate(comparison, range, digests);
  }

  /** Asks again while that can help. */
  private readonly ask = async <Answer>(question: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await question();
      } catch (error) {
        // What took too long takes too long again: smaller parts are asked for instead.
        const final = isTimeout(error) || (error instanceof LockstepError && error.retry === 'final');
        if (signal.aborted || final || attempt >= ASK_TRIES) throw error;
        await this.parts.clock.sleep(ASK_RETRY_MS * attempt, signal);
      }
    }
  };

  /** Hands a key to the recheck; waits while too many wait for theirs. */
  private async suspect(table: TableSweep, chunk: Chunk, key: RowKey, signal: AbortSignal): Promise<void> {
    const { pending, clock } = this.parts;
    while (table.waiting >= SUSPECTS_MAX && !signal.aborted) await clock.sleep(SUSPECTS_WAIT_MS, signal);
    signal.throwIfAborted();
    count(table, chunk, { suspects: 1 });
    table.waiting++;
    chunk.waiting++;
    pending.suspect(table.pair, key, 'sweep', clock.nowMs(), (end) => this.suspectEnded(table, chunk, end));
  }

  private suspectEnded(table: TableSweep, chunk: Chunk, end: CheckEnd): void {
    table.waiting--;
    chunk.waiting--;
    const primaryIsOld = this.parts.primarySide === 'old';
    switch (end.kind) {
      case 'match':
        if (end.present) count(table, chunk, { oldRows: 1n, newRows: 1n });
        break;
      case 'drift':
        count(table, chunk, {
          drift: 1,
          oldRows: (primaryIsOld ? end.onPrimary : end.onReplica) ? 1n : 0n,
          newRows: (primaryIsOld ? end.onReplica : end.onPrimary) ? 1n : 0n,
        });
        break;
      case 'unsettled':
        break;
    }
    keepSettled(table);
  }

  private async throttle(table: TableSweep, startedMs: number, signal: AbortSignal): Promise<void> {
    const { maxRowsPerSecond, clock } = this.parts;
    if (maxRowsPerSecond <= 0) return;
    const aheadMs = (Number(table.walked) / maxRowsPerSecond) * 1000 - (clock.nowMs() - startedMs);
    if (aheadMs > 0) await clock.sleep(aheadMs, signal);
  }

  private async save(sweep: RunningSweep, always: boolean): Promise<void> {
    const nowMs = this.parts.clock.nowMs();
    if (!always && nowMs - this.savedAtMs < SAVE_MS) return;
    this.savedAtMs = nowMs;
    const described = describe(sweep, nowMs);
    const stored: StoredSweep = {
      ...described,
      tables: described.tables.map((progress, index): StoredSweepTable => {
        const table = sweep.tables[index] as TableSweep;
        const unfinished = table.status === 'running' || table.status === 'settling';
        return { ...progress, ...(unfinished ? tallyJson(table.kept) : {}), startedAtUs: table.startedAtUs, resumeFrom: table.resumeFrom };
      }),
    };
    try {
      await this.parts.store.saveSweep(stored);
    } catch (error) {
      // A sweep outlives its state store: the checkpoints say that it is away, and the next save catches up.
      if (!(error instanceof LockstepError) || error.retry === 'final') throw error;
    }
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof LockstepError && error.code === 'statement_timeout';
}

function emptyTally(): Tally {
  return { chunksDone: 0, chunksDiffering: 0, oldRows: 0n, newRows: 0n, suspects: 0, drift: 0 };
}

function add(to: Tally, more: Partial<Tally>): void {
  to.chunksDone += more.chunksDone ?? 0;
  to.chunksDiffering += more.chunksDiffering ?? 0;
  to.oldRows += more.oldRows ?? 0n;
  to.newRows += more.newRows ?? 0n;
  to.suspects += more.suspects ?? 0;
  to.drift += more.drift ?? 0;
}

function count(table: TableSweep, chunk: Chunk, more: Partial<Tally>): void {
  add(table, more);
  add(chunk.tally, more);
}

/**
 * Moves on where an interrupted sweep would resume: past chunks with nothing left to wait for.
 * Those after it are compared again, so no suspect is lost that no checkpoint holds yet.
 */
function keepSettled(table: TableSweep): void {
  for (let first = table.chunks[0]; first !== undefined; first = table.chunks[0]) {
    if (!first.compared || first.waiting > 0 || first.range.to === null) return;
    add(table.kept, first.tally);
    table.resumeFrom = first.range.to;
    table.chunks.shift();
  }
}

function fresh(pair: Pair, nowMs: number): TableSweep {
  return {
    ...emptyTally(),
    pair,
    strategy: { path: 'portable', reason: 'the table’s turn has not come' },
    status: 'running',
    estimatedRows: 0n,
    waiting: 0,
    chunks: [],
    kept: emptyTally(),
    startedAtMs: nowMs,
    startedAtUs: 0n,
    endedAtMs: null,
    resumeFrom: null,
    walked: 0n,
    walkedBefore: 0n,
    pace: new Pace(),
    recent: [],
    error: null,
  };
}

function restore(pair: Pair, stored: StoredSweepTable): TableSweep {
  const kept: Tally = {
    chunksDone: stored.chunksDone,
    chunksDiffering: stored.chunksDiffering,
    oldRows: BigInt(stored.rows.old),
    newRows: BigInt(stored.rows.new),
    suspects: stored.suspects,
    drift: stored.drift,
  };
  return {
    ...fresh(pair, stored.startedAtMs),
    ...kept,
    kept,
    walkedBefore: kept.oldRows > kept.newRows ? kept.oldRows : kept.newRows,
    strategy: { path: stored.strategy, reason: stored.strategyReason },
    status: stored.status === 'settling' ? 'running' : stored.status,
    startedAtUs: stored.startedAtUs,
    endedAtMs: stored.endedAtMs,
    resumeFrom: stored.resumeFrom,
    error: stored.error,
  };
}

/** Rows compared so far, the larger side's. */
function compared({ walked, walkedBefore }: TableSweep): bigint {
  return walked + walkedBefore;
}

function describe(sweep: RunningSweep, nowMs: number): Sweep {
  return {
    id: sweep.id,
    status: sweep.status,
    startedAtMs: sweep.startedAtMs,
    endedAtMs: sweep.endedAtMs,
    tables: sweep.tables.map((table) => describeTable(table, nowMs)),
  };
}

function tallyJson(tally: Tally): Pick<SweepTableProgress, 'chunksDone' | 'chunksDiffering' | 'rows' | 'suspects' | 'drift'> {
  const { chunksDone, chunksDiffering, oldRows, newRows, suspects, drift } = tally;
  return { chunksDone, chunksDiffering, rows: { old: oldRows.toString(), new: newRows.toString() }, suspects, drift };
}

function describeTable(table: TableSweep, nowMs: number): SweepTableProgress {
  const { path, reason } = table.strategy;
  const over = table.status === 'done' || table.status === 'settling';
  const estimated = Number(table.estimatedRows);
  const ratio = over ? 1 : estimated <= 0 ? 0 : Math.min(0.99, Number(compared(table)) / estimated);
  const isRunning = table.status === 'running';
  return {
    table: table.pair.id,
    status: table.status,
    strategy: path,
    strategyReason: reason,
    progressRatio: ratio,
    rowsPerSecond: isRunning ? table.pace.perSecond(nowMs) : null,
    etaMs: isRunning ? table.pace.etaMs(nowMs, table.estimatedRows) : null,
    ...tallyJson(table),
    startedAtMs: table.startedAtMs,
    endedAtMs: table.endedAtMs,
    error: table.error,
  };
}
