import { setMaxListeners } from 'node:events';
import pLimit from 'p-limit';
import type { LimitFunction } from 'p-limit';
import { ChunkSize } from '../domain/chunk-size.ts';
import { LockstepError } from '../domain/errors.ts';
import { isBag } from '../domain/bag.ts';
import type { ClockSkew } from '../domain/clock-skew.ts';
import type { Side } from '../domain/pair.ts';
import { keyId, type RowKey } from '../domain/row.ts';
import { askingAgain, type Ask } from './asking.ts';
import { compareBag } from './bag-compare.ts';
import { compareChunk, compareParts, isTimeout } from './chunk-findings.ts';
import type { DriftBook } from './drift-book.ts';
import { HotLooks, type Look } from './hot-looks.ts';
import type { CheckEnd, PendingChecks } from './pending-checks.ts';
import type { ChunkBoard, Clock, Database, KeyRange, VerifyMetrics } from './ports.ts';
import type { Proofs } from './proofs.ts';
import { SharedChunks, type SharedFindings } from './shared-chunks.ts';
import type { SweepBrake } from './sweep-brake.ts';
import { locate, persistent, timed, type ChunkFindings, type Comparison, type Digester, type Sides } from './sweep-compare.ts';
import { planChunks } from './sweep-plan.ts';
import type { Chunk, Suspect, TableSweep, Tally } from './table-sweep.ts';
import { compareKeys, touchedParts, type TouchedPart } from './touched-compare.ts';
import type { TouchedScope } from './touched-keys.ts';

/** Suspects that may wait for their recheck before the sweep pauses. */
const SUSPECTS_MAX = 4_000;
const SUSPECTS_WAIT_MS = 50;
const EVERYTHING: KeyRange = { from: null, to: null };

/** Chunks that may wait for news of changes beside those that are compared: each keeps its hot rows' digests. */
const NEWS_CHUNKS_MAX = 16;
/** Chunks that may wait for room for their suspects beside those that are compared: each keeps the keys that it read last. */
const FULL_CHUNKS_MAX = 2;
/** Each statement under way listens for the signal: more than this are a leak. */
const SIGNAL_LISTENERS_MAX = 1_000;

export interface ChunkSweeperParts {
  readonly sides: Readonly<Record<Side, Database>>;
  readonly primarySide: Side;
  readonly brake: SweepBrake;
  readonly pending: PendingChecks;
  readonly book: DriftBook;
  readonly proofs: Proofs;
  readonly metrics: VerifyMetrics;
  readonly skew: Readonly<Record<Side, ClockSkew>>;
  readonly clock: Clock;
  readonly chunkRows: number | 'auto';
  readonly concurrency: number;
  /** 0: unlimited. */
  readonly maxRowsPerSecond: number;
  /** Where chunks are offered to other processes; null: there are none. */
  readonly board?: ChunkBoard | null;
  /** Whether chunks are compared past one whose suspects wait for room: progress cannot be kept past it. */
  readonly goesAhead?: boolean;
}

/** A chunk's findings, as far as they are taken. */
interface Taking {
  readonly chunk: Chunk;
  readonly pages: AsyncIterator<ChunkFindings>;
  /** Of the last page, not handed over yet. */
  left: readonly RowKey[];
  suspects: number;
  isUnexplained: boolean;
}

/** What is left to do of a chunk. */
type Rest = { readonly kind: 'hot'; readonly look: Look } | { readonly kind: 'full'; readonly taking: Taking };

/** Which sides have a row, and of a bag's row how many copies each. */
interface CountedRows {
  readonly onPrimary: boolean;
  readonly onReplica: boolean;
  readonly copies?: readonly [bigint, bigint] | undefined;
}

/** Walks a table chunk by chunk: digests on both sides, differing chunks down to rows, and those to the recheck. */
export class ChunkSweeper {
  private readonly parts: ChunkSweeperParts;
  /** Asks again while that can help. */
  readonly ask: Ask;
  private readonly hotLooks: HotLooks;
  private shared: SharedChunks | null = null;
  private offered = 0;

  constructor(parts: ChunkSweeperParts) {
    this.parts = parts;
    this.ask = askingAgain(parts.clock);
    this.hotLooks = new HotLooks(parts);
  }

  /** Other processes that compare chunks of the table under way. */
  get helpers(): number {
    return this.shared?.helpers ?? 0;
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
    const scattered = await Promise.all([sides.old, sides.new].map((side) => this.ask(() => side.keysAreScattered(pair, signal), signal)));
    if (scattered.includes(true)) size.keysAreScattered();
    const askable = (database: Database): Digester => persistent(timed(database, () => clock.nowMs(), (rows, ms) => size.took(rows, ms)), ask);
    const asked: Sides = { old: askable(sides.old), new: askable(sides.new) };
    const limit = pLimit(concurrency);
    const running = new Set<Promise<void>>();
    const following: Record<Rest['kind'], Set<Promise<void>>> = { hot: new Set(), full: new Set() };
    const failure = new AbortController();
    const looking = new AbortController();
    const chunkSignal = AbortSignal.any([signal, failure.signal]);
    setMaxListeners(SIGNAL_LISTENERS_MAX, chunkSignal);
    const comparison: Comparison = { sides: asked, pair, path: table.strategy.path, signal: chunkSignal };
    const startedMs = table.workedMs(clock.nowMs());
    const track = (among: Set<Promise<void>>, work: Promise<void>): void => {
      const tracked = work.finally(() => among.delete(tracked));
      tracked.catch((error: unknown) => failure.abort(error));
      among.add(tracked);
    };
    const begin = (chunk: Chunk, part: TouchedPart): void => {
      const comparing = limit(() => this.compareChunk(table, chunk, part, comparison, size)).then(async (rest) => {
        if (rest === null) return compared();
        const followed = this.follow(table, chunk, rest, comparison, limit).then(compared);
        if (following[rest.kind].size >= this.followedMax(rest)) return followed;
        track(following[rest.kind], followed);
      });
      track(running, comparing);
    };
    const awaited = table.beginAwaited();
    if (awaited !== null) await this.suspectInTurn(table, awaited.chunk, awaited.keys, chunkSignal);
    // Touched keys are few, and a bag is one chunk: the writer compares them by itself.
    const shared = touched === undefined && !isBag(pair) ? this.share(table, chunkSignal, compared) : null;
    const looked = shared?.run(AbortSignal.any([chunkSignal, looking.signal])).catch((error: unknown) => failure.abort(error));
    const stopped = aborted(chunkSignal);
    const next = (): Promise<unknown> => Promise.race([...running, ...(shared === null ? [] : [shared.changed(), stopped])]);
    try {
      const parts = isBag(pair)
        ? wholeTable([EVERYTHING])
        : touched === undefined
          ? wholeTable(planChunks({ side: asked.old, pair, from: table.resumeFrom, chunkRows: () => size.rows, estimatedRows: table.estimatedRows, signal: chunkSignal }))
          : touchedParts(touched, asked.old, pair, () => size.rows, chunkSignal);
      for await (const part of parts) {
        await this.throttle(table, startedMs, chunkSignal);
        // Helpers know of no pause: they get no more chunks while there is one.
        if (shared?.wants === true) await this.released(table, chunkSignal, compared);
        // A sweep of touched keys begins anew after a stop: nothing of it is kept chunk by chunk.
        const chunk = table.begin(touched === undefined && part.kind === 'range' ? part.range : EVERYTHING);
        if (running.size < concurrency || shared?.wants !== true || !(await shared.offer(chunk, size.rows, this.likelyDiffers(table, size.rows)))) begin(chunk, part);
        while (running.size >= concurrency && shared?.wants !== true) {
          await next();
          chunkSignal.throwIfAborted();
        }
        const lost = shared?.hasLost === true && running.size < concurrency ? await shared.takeBack() : null;
        if (lost !== null) begin(lost, { kind: 'range', range: lost.range });
      }
      while (shared !== null && shared.waiting > 0) {
        chunkSignal.throwIfAborted();
        const left = running.size < concurrency ? await shared.takeBack() : null;
        if (left === null) await next();
        else begin(left, { kind: 'range', range: left.range });
      }
      await Promise.all(running);
      await Promise.all([...following.hot, ...following.full]);
    } catch (error) {
      const reason: unknown = failure.signal.aborted ? failure.signal.reason : error;
      failure.abort(reason);
      await Promise.allSettled([...running, ...following.hot, ...following.full]);
      throw reason;
    } finally {
      looking.abort();
      await looked;
      await this.unshare();
    }
    if (failure.signal.aborted) throw failure.signal.reason;
  }

  /** Begins to offer chunks of the table; null where there is nobody to offer them to. */
  private share(table: TableSweep, signal: AbortSignal, compared: () => Promise<void>): SharedChunks | null {
    const { board, clock } = this.parts;
    if (board === undefined || board === null) return null;
    this.shared = new SharedChunks({
      board,
      table,
      clock,
      signal,
      nextSeq: () => ++this.offered,
      consume: async (chunk, findings) => {
        await this.consume(table, chunk, findings, signal);
        await compared();
      },
    });
    return this.shared;
  }

  private async unshare(): Promise<void> {
    const { board } = this.parts;
    this.shared = null;
    // Where this fails, what is left is told by its number and taken off the board in the next sweep.
    await board?.clear().catch(() => undefined);
  }

  /** Counts what a helper found, and hands its suspects to the recheck. */
  private async consume(table: TableSweep, chunk: Chunk, findings: SharedFindings, signal: AbortSignal): Promise<void> {
    let suspects = 0;
    let isUnexplained = false;
    for await (const keys of findings.suspects()) {
      suspects += keys.length;
      if (await this.suspectInTurn(table, chunk, keys, signal)) isUnexplained = true;
    }
    this.countRows(table, chunk, findings.equalRows, [findings.oldRows, findings.newRows]);
    this.end(table, chunk, suspects === 0, isUnexplained);
  }

  /** So many rows of old and new were compared, and so many of them are equal. */
  private countRows(table: TableSweep, chunk: Chunk, equalRows: bigint, rows: ChunkFindings['rows']): void {
    const { metrics, clock } = this.parts;
    table.count(chunk, { oldRows: equalRows, newRows: equalRows });
    metrics.sweepRows(table.pair.id, 'old', rows[0]);
    metrics.sweepRows(table.pair.id, 'new', rows[1]);
    table.walked(rows, clock.nowMs());
  }

  /** All of a chunk is compared. */
  private end(table: TableSweep, chunk: Chunk, isEqual: boolean, isUnexplained: boolean): void {
    table.end(chunk, isEqual, isUnexplained);
    this.parts.metrics.sweepChunk(table.pair.id, isEqual ? 'equal' : 'differing');
  }

  /** Waits while the databases or the pipeline have more urgent work. */
  private async released(table: TableSweep, signal: AbortSignal, changed: () => Promise<void>): Promise<void> {
    const { brake, clock } = this.parts;
    await brake.released(table.pair.id, signal, async (reason) => {
      if (table.paused(reason, clock.nowMs())) await changed();
    });
  }

  /** Compares a chunk. @returns what is to be followed; null: nothing */
  private async compareChunk(table: TableSweep, chunk: Chunk, part: TouchedPart, comparison: Comparison, size: ChunkSize): Promise<Rest | null> {
    const timedOut = (rows: number): void => size.timedOut(rows);
    const { signal } = comparison;
    if (isBag(table.pair)) return this.begun(table, chunk, compareBag(comparison, table.estimatedRows), signal);
    if (part.kind === 'keys') return this.begun(table, chunk, compareKeys(comparison, part.keys), signal);
    const { range } = part;
    const rows = size.rows;
    let look: Look | null = null;
    try {
      if (!table.mostlyDiffers) look = await this.hotLooks.look(comparison, range);
    } catch (error) {
      if (!isTimeout(error)) throw error;
      return this.begun(table, chunk, compareParts(comparison, range, rows, timedOut), signal);
    }
    const found = look === null ? compareChunk(comparison, range, rows, this.likelyDiffers(table, rows), timedOut) : look.chunk.findings();
    if (found !== null) return this.begun(table, chunk, found, signal);
    return look === null ? null : { kind: 'hot', look };
  }

  private followedMax({ kind }: Rest): number {
    if (kind === 'hot') return NEWS_CHUNKS_MAX;
    return this.parts.goesAhead === true ? FULL_CHUNKS_MAX : 0;
  }

  /**
   * Goes on with a chunk that differs beside its hot rows: first for changes that were not consumed when it was looked at,
   * then for anything else. Or with one for whose suspects there was no room.
   */
  private async follow(table: TableSweep, chunk: Chunk, rest: Rest, comparison: Comparison, limit: LimitFunction): Promise<void> {
    if (rest.kind === 'full') return this.takeRest(table, rest.taking, comparison.signal, limit);
    const { look } = rest;
    const { range, whole } = look.chunk;
    let found = await this.hotLooks.waitForNews(comparison, look);
    if (found === null && look.chunk.hasHeard) {
      const again = await limit(() => this.hotLooks.look(comparison, range));
      if (again !== null) found = again.chunk.findings() ?? (await this.hotLooks.waitForNews(comparison, again));
    }
    await this.takeRest(table, takingOf(chunk, found ?? locate(comparison, range, whole)), comparison.signal, limit);
  }

  /** Begins to take what is found of a chunk. @returns what is left, for want of room for its suspects; null: nothing */
  private async begun(table: TableSweep, chunk: Chunk, findings: AsyncIterable<ChunkFindings> | ChunkFindings, signal: AbortSignal): Promise<Rest | null> {
    const taking = takingOf(chunk, findings);
    return (await this.takeWhileRoom(table, taking, signal, (question) => question())) ? null : { kind: 'full', taking };
  }

  private async takeRest(table: TableSweep, taking: Taking, signal: AbortSignal, limit: LimitFunction): Promise<void> {
    while (!(await this.takeWhileRoom(table, taking, signal, limit))) await this.roomForSuspects(table, signal);
  }

  /** Counts what is found of a chunk, and hands its suspects to the recheck. @returns whether that was all */
  private async takeWhileRoom(table: TableSweep, taking: Taking, signal: AbortSignal, limit: <Answer>(question: () => Promise<Answer>) => Promise<Answer>): Promise<boolean> {
    for (;;) {
      signal.throwIfAborted();
      const room = Math.max(0, SUSPECTS_MAX - table.waiting);
      if (this.suspectAll(table, taking.chunk, taking.left.slice(0, room))) taking.isUnexplained = true;
      taking.left = taking.left.slice(room);
      if (taking.left.length > 0) return false;
      const page = await limit(() => taking.pages.next());
      if (page.done === true) break;
      this.countRows(table, taking.chunk, page.value.equalRows, page.value.rows);
      taking.suspects += page.value.suspects.length;
      taking.left = page.value.suspects;
    }
    this.end(table, taking.chunk, taking.suspects === 0, taking.isUnexplained);
    return true;
  }

  /** Hands keys to the recheck. @returns whether one of them had no check under way that explains it */
  private suspectAll(table: TableSweep, chunk: Chunk, keys: readonly RowKey[]): boolean {
    let isUnexplained = false;
    for (const key of keys) {
      isUnexplained ||= this.parts.pending.get(table.pair.id, keyId(key)) === undefined;
      this.suspect(table, chunk, key);
    }
    return isUnexplained;
  }

  /** The same, waiting where too many wait for their recheck. */
  private async suspectInTurn(table: TableSweep, chunk: Chunk, keys: readonly RowKey[], signal: AbortSignal): Promise<boolean> {
    let isUnexplained = false;
    for (let first = 0; first < keys.length; ) {
      await this.roomForSuspects(table, signal);
      const room = Math.max(0, SUSPECTS_MAX - table.waiting);
      if (this.suspectAll(table, chunk, keys.slice(first, first + room))) isUnexplained = true;
      first += room;
    }
    return isUnexplained;
  }

  /** Where the next chunk is likely to differ, it is parted into buckets at once: its whole digest would only say that it does. */
  private likelyDiffers(table: TableSweep, chunkRows: number): boolean {
    return table.mostlyDiffers || this.isLively(table, chunkRows);
  }

  /** Whether each chunk can be expected to hold a row with a change under way; suspects are neighbours rather than everywhere. */
  private isLively({ pair, estimatedRows, waiting }: TableSweep, chunkRows: number): boolean {
    return (this.parts.pending.tableSize(pair.id) - waiting) * chunkRows > Number(estimatedRows);
  }

  /** Waits while too many suspects wait for their recheck. */
  private async roomForSuspects(table: TableSweep, signal: AbortSignal): Promise<void> {
    while (table.waiting >= SUSPECTS_MAX && !signal.aborted) {
      this.refuseMoreDrift(table);
      await this.parts.clock.sleep(SUSPECTS_WAIT_MS, signal);
    }
    signal.throwIfAborted();
  }

  private suspect(table: TableSweep, chunk: Chunk, key: RowKey): void {
    const { pending, clock } = this.parts;
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

  /** Whoever waits for suspects while no drift can be booked would wait until that which is booked is mended. */
  refuseMoreDrift(table: TableSweep): void {
    const { book } = this.parts;
    if (!book.isFull) return;
    throw new LockstepError('too_much_drift', `${book.size()} rows of all tables differ, and no more are taken note of: mend what makes them differ and sweep again; \`lockstep check\` lists them all`, {
      about: { table: table.pair.id },
    });
  }

  private suspectEnded(table: TableSweep, suspect: Suspect, end: CheckEnd): void {
    if (!table.suspects.has(suspect)) {
      this.parts.proofs.leftSuspectSettled(table.pair.id);
      if (this.parts.book.openCount(table.pair.id) === 0) this.parts.proofs.driftGone(table.pair.id);
      return;
    }
    switch (end.kind) {
      case 'match':
        table.settled(suspect, this.rowsOf({ onPrimary: end.present, onReplica: end.present, copies: end.copies }));
        break;
      case 'drift':
        table.settled(suspect, { drift: 1, ...this.rowsOf(end) });
        break;
      case 'unsettled':
        table.restless.offer(suspect.check.key);
        table.settled(suspect, { unverifiable: 1, ...this.rowsOf(end) });
        break;
    }
  }

  private rowsOf({ onPrimary, onReplica, copies = [onPrimary ? 1n : 0n, onReplica ? 1n : 0n] }: CountedRows): Pick<Tally, 'oldRows' | 'newRows'> {
    const [primary, replica] = copies;
    return this.parts.primarySide === 'old' ? { oldRows: primary, newRows: replica } : { oldRows: replica, newRows: primary };
  }

  private async throttle(table: TableSweep, startedMs: number, signal: AbortSignal): Promise<void> {
    const { maxRowsPerSecond, clock } = this.parts;
    if (maxRowsPerSecond <= 0) return;
    const aheadMs = (Number(table.comparedHere) / maxRowsPerSecond) * 1000 - (table.workedMs(clock.nowMs()) - startedMs);
    if (aheadMs > 0) await clock.sleep(aheadMs, signal);
  }
}

function takingOf(chunk: Chunk, findings: AsyncIterable<ChunkFindings> | ChunkFindings): Taking {
  const pages = Symbol.asyncIterator in findings ? findings[Symbol.asyncIterator]() : onePage(findings);
  return { chunk, pages, left: [], suspects: 0, isUnexplained: false };
}

async function* onePage(findings: ChunkFindings): AsyncGenerator<ChunkFindings> {
  yield findings;
}

/** Resolves when the signal aborts. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function* wholeTable(ranges: AsyncIterable<KeyRange> | Iterable<KeyRange>): AsyncGenerator<TouchedPart> {
  for await (const range of ranges) yield { kind: 'range', range };
}
