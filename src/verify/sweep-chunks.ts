import pLimit from 'p-limit';
import { ChunkSize } from '../domain/chunk-size.ts';
import { LockstepError } from '../domain/errors.ts';
import type { Side } from '../domain/pair.ts';
import type { RowKey } from '../domain/row.ts';
import type { DriftBook } from './drift-book.ts';
import type { CheckEnd, PendingChecks } from './pending-checks.ts';
import type { Clock, Database, KeyRange, VerifyMetrics } from './ports.ts';
import { bucketsFor, digestBoth, locate, locateByBucket, persistent, timed, type ChunkFindings, type Comparison, type Digester, type Sides } from './sweep-compare.ts';
import type { Proofs } from './proofs.ts';
import type { SweepBrake } from './sweep-brake.ts';
import { planChunks, walk } from './sweep-plan.ts';
import type { Chunk, Suspect, TableSweep, Tally } from './table-sweep.ts';
import { compareKeys, touchedParts, type TouchedPart } from './touched-compare.ts';
import type { TouchedScope } from './touched-keys.ts';

/** A chunk that a database cannot digest in time is parted into so many, down to parts of so many rows. */
const TIMEOUT_SPLIT = 8;
const PART_ROWS_MIN = 100;
/** Suspects that may wait for their recheck before the sweep pauses. */
const SUSPECTS_MAX = 4_000;
const SUSPECTS_WAIT_MS = 50;
/** A question is asked this often before the table's sweep fails. */
const ASK_TRIES = 5;
const ASK_RETRY_MS = 1_000;

export interface ChunkSweeperParts {
  readonly sides: Readonly<Record<Side, Database>>;
  readonly primarySide: Side;
  readonly brake: SweepBrake;
  readonly pending: PendingChecks;
  readonly book: DriftBook;
  readonly proofs: Proofs;
  readonly metrics: VerifyMetrics;
  readonly clock: Clock;
  readonly chunkRows: number | 'auto';
  readonly concurrency: number;
  /** 0: unlimited. */
  readonly maxRowsPerSecond: number;
}

/** Walks a table chunk by chunk: digests on both sides, differing chunks down to rows, and those to the recheck. */
export class ChunkSweeper {
  private readonly parts: ChunkSweeperParts;

  constructor(parts: ChunkSweeperParts) {
    this.parts = parts;
  }

  /**
   * Compares all chunks from `table.resumeFrom` on, some at once. Suspects may wait for their recheck when this returns.
   * @param compared called after each chunk, and when a pause begins or ends
   * @param touched all that is compared; absent: the whole table
   */
  async compare(table: TableSweep, signal: AbortSignal, compared: () => Promise<void>, touched?: TouchedScope): Promise<void> {
    const { clock, concurrency, chunkRows, sides } = this.parts;
    const { pair } = table;
    const ask: typeof this.ask = async (question, askSignal) => {
      await this.released(table, askSignal, compared);
      return this.ask(question, askSignal);
    };
    const size = new ChunkSize(chunkRows);
    const askable = (database: Database): Digester => persistent(timed(database, () => clock.nowMs(), (rows, ms) => size.took(rows, ms)), ask);
    const asked: Sides = { old: askable(sides.old), new: askable(sides.new) };
    const limit = pLimit(concurrency);
    const running = new Set<Promise<void>>();
    const failure = new AbortController();
    const chunkSignal = AbortSignal.any([signal, failure.signal]);
    const comparison: Comparison = { sides: asked, pair, path: table.strategy.path, signal: chunkSignal };
    const startedMs = table.workedMs(clock.nowMs());
    try {
      const parts =
        touched === undefined
          ? wholeTable(planChunks({ side: asked.old, pair, from: table.resumeFrom, chunkRows: () => size.rows, estimatedRows: table.estimatedRows, signal: chunkSignal }))
          : touchedParts(touched, asked.old, pair, () => size.rows, chunkSignal);
      for await (const part of parts) {
        await this.throttle(table, startedMs, chunkSignal);
        // A sweep of touched keys begins anew after a stop: nothing of it is kept chunk by chunk.
        const chunk = table.begin(touched === undefined && part.kind === 'range' ? part.range : { from: null, to: null });
        const comparing = limit(() => this.compareChunk(table, chunk, part, comparison, size))
          .then(compared)
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

  /** Asks again while that can help. */
  readonly ask = async <Answer>(question: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> => {
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

  /** Waits while the databases or the pipeline have more urgent work. */
  private async released(table: TableSweep, signal: AbortSignal, changed: () => Promise<void>): Promise<void> {
    const { brake, clock } = this.parts;
    await brake.released(table.pair.id, signal, async (reason) => {
      if (table.paused(reason, clock.nowMs())) await changed();
    });
  }

  private async compareChunk(table: TableSweep, chunk: Chunk, part: TouchedPart, comparison: Comparison, size: ChunkSize): Promise<void> {
    const { metrics, clock } = this.parts;
    const { pair, signal } = comparison;
    let suspects = 0;
    for await (const found of this.findings(table, part, comparison, size)) {
      table.count(chunk, { oldRows: found.equalRows, newRows: found.equalRows });
      metrics.sweepRows(pair.id, 'old', found.rows[0]);
      metrics.sweepRows(pair.id, 'new', found.rows[1]);
      table.walked(found.rows, clock.nowMs());
      suspects += found.suspects.length;
      for (const key of found.suspects) await this.suspect(table, chunk, key, signal);
    }
    const isEqual = suspects === 0;
    table.end(chunk, isEqual);
    metrics.sweepChunk(pair.id, isEqual ? 'equal' : 'differing');
  }

  /** Where the next chunk is likely to differ, it is parted into buckets at once: its whole digest would only say that it does. */
  private async *findings(table: TableSweep, part: TouchedPart, comparison: Comparison, size: ChunkSize): AsyncGenerator<ChunkFindings> {
    if (part.kind === 'keys') {
      yield* compareKeys(comparison, part.keys);
      return;
    }
    const { range } = part;
    if (table.mostlyDiffers || this.isLively(table, size.rows)) yield* locateByBucket(comparison, range, bucketsFor(BigInt(size.rows)));
    else yield* this.digested(comparison, range, size.rows, size);
  }

  /** Whether each chunk can be expected to hold a row with a change under way. */
  private isLively({ pair, estimatedRows }: TableSweep, chunkRows: number): boolean {
    return this.parts.pending.tableSize(pair.id) * chunkRows > Number(estimatedRows);
  }

  /** Digests a range, or, where that takes a database too long, parts of it. */
  private async *digested(comparison: Comparison, range: KeyRange, rows: number, size: ChunkSize): AsyncGenerator<ChunkFindings> {
    let digests: Awaited<ReturnType<typeof digestBoth>>;
    try {
      digests = await digestBoth(comparison, range);
    } catch (error) {
      const part = Math.floor(rows / TIMEOUT_SPLIT);
      if (!isTimeout(error) || part < PART_ROWS_MIN) throw error;
      size.timedOut(rows);
      const { sides, pair, signal } = comparison;
      for await (const smaller of walk({ side: sides.old, pair, chunkRows: () => part, signal }, range.from, range.to)) yield* this.digested(comparison, smaller, part, size);
      return;
    }
    yield* locate(comparison, range, digests);
  }

  /** Hands a key to the recheck; waits while too many wait for theirs. */
  private async suspect(table: TableSweep, chunk: Chunk, key: RowKey, signal: AbortSignal): Promise<void> {
    const { pending, clock } = this.parts;
    while (table.waiting >= SUSPECTS_MAX && !signal.aborted) await clock.sleep(SUSPECTS_WAIT_MS, signal);
    signal.throwIfAborted();
    const ended = (end: CheckEnd): void => {
      if (end.kind === 'match' && end.present) table.foundEqual.offer(key);
      this.suspectEnded(table, suspect, end);
    };
    const suspect: Suspect = { chunk, check: pending.suspect(table.pair, key, 'sweep', clock.nowMs(), ended) };
    table.suspected(suspect);
  }

  /**
   * Waits no more for suspects with a change that the stream has brought and that is not settled: what differs may be
   * that change on its way, and the check goes on, suspicion and all, and holds verified-through until it is settled.
   * Where changes were missed, or before the first proof, the row may lack one that the stream does not know of, and
   * verified-through would not wait for that: there the sweep does.
   */
  leaveToStream(table: TableSweep): void {
    const { proofs } = this.parts;
    if (!proofs.knowsAllChanges(table.pair.id)) return;
    for (const suspect of table.suspects) {
      const newest = suspect.check.versions.at(-1);
      if (newest === undefined) continue;
      proofs.suspectLeft(table.pair.id);
      table.settled(suspect, newest.hash === null ? {} : { oldRows: 1n, newRows: 1n });
    }
  }

  private suspectEnded(table: TableSweep, suspect: Suspect, end: CheckEnd): void {
    if (!table.suspects.has(suspect)) {
      this.parts.proofs.leftSuspectSettled(table.pair.id);
      if (this.parts.book.openCount(table.pair.id) === 0) this.parts.proofs.driftGone(table.pair.id);
      return;
    }
    switch (end.kind) {
      case 'match':
        table.settled(suspect, end.present ? { oldRows: 1n, newRows: 1n } : {});
        break;
      case 'drift':
        table.settled(suspect, { drift: 1, ...this.rowsOf(end) });
        break;
      case 'unsettled':
        table.settled(suspect, { unverifiable: 1, ...this.rowsOf(end) });
        break;
    }
  }

  private rowsOf({ onPrimary, onReplica }: { readonly onPrimary: boolean; readonly onReplica: boolean }): Pick<Tally, 'oldRows' | 'newRows'> {
    const [onOld, onNew] = this.parts.primarySide === 'old' ? [onPrimary, onReplica] : [onReplica, onPrimary];
    return { oldRows: onOld ? 1n : 0n, newRows: onNew ? 1n : 0n };
  }

  private async throttle(table: TableSweep, startedMs: number, signal: AbortSignal): Promise<void> {
    const { maxRowsPerSecond, clock } = this.parts;
    if (maxRowsPerSecond <= 0) return;
    const aheadMs = (Number(table.comparedHere) / maxRowsPerSecond) * 1000 - (table.workedMs(clock.nowMs()) - startedMs);
    if (aheadMs > 0) await clock.sleep(aheadMs, signal);
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof LockstepError && error.code === 'statement_timeout';
}

async function* wholeTable(ranges: AsyncIterable<KeyRange>): AsyncGenerator<TouchedPart> {
  for await (const range of ranges) yield { kind: 'range', range };
}
