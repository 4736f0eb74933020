import { isBag } from '../domain/bag.ts';
import { LockstepError, rootMessage } from '../domain/errors.ts';
import { otherSide, type Pair, type Side } from '../domain/pair.ts';
import { keyId, type RowKey } from '../domain/row.ts';
import type { ClockSkew } from '../domain/clock-skew.ts';
import type { SchemaFinding, Sweep, SweepKind, SweepStatus, SweepTableProgress } from '../domain/status.ts';
import type { DriftBook } from './drift-book.ts';
import { restlessFindings } from './restless-rows.ts';
import { countEquivalent, equivalentFindings } from './equivalent-rows.ts';
import { SUSPECT_RESULTS, type Clock, type Database, type VerifyMetrics, type VerifyStore } from './ports.ts';
import type { Proofs } from './proofs.ts';
import type { ChunkSweeper } from './sweep-chunks.ts';
import { BAG_STRATEGY, chooseStrategy, type AskedStrategy } from './sweep-strategy.ts';
import type { PendingChecks } from './pending-checks.ts';
import { TableSweep } from './table-sweep.ts';
import type { TouchedKeys, TouchedScope } from './touched-keys.ts';

/** How often a sweep whose chunks are all compared looks whether its suspects are settled. */
const SETTLE_WAIT_MS = 20;
/** Progress is stored with the first chunk that is done so long after the last time: what a kill loses beside the chunks in hand, and those behind a suspect. */
const SAVE_MS = 250;
/** Sweeps shown by REST from memory. */
const KEPT_SWEEPS = 20;

export interface SweepsParts {
  readonly pairs: readonly Pair[];
  readonly sides: Readonly<Record<Side, Database>>;
  readonly primarySide: Side;
  readonly chunks: ChunkSweeper;
  readonly book: DriftBook;
  readonly proofs: Proofs;
  readonly pending: PendingChecks;
  readonly touched: TouchedKeys;
  readonly skew: Readonly<Record<Side, ClockSkew>>;
  readonly metrics: Pick<VerifyMetrics, 'sweepSuspects'>;
  readonly store: Pick<VerifyStore, 'saveSweep' | 'unfinishedSweep'>;
  readonly clock: Clock;
  readonly makeId: () => string;
  readonly strategy: AskedStrategy;
  /** Resolves when all drift and checks of by now are stored: a sweep must not go on behind them. Absent where nothing is kept. */
  readonly written?: () => Promise<void>;
  /** @param compared rows that were compared so far, the larger side's */
  onProgress?(progress: SweepTableProgress, compared: bigint): void;
}

interface RunningSweep {
  readonly id: string;
  readonly kind: SweepKind;
  readonly startedAtMs: number;
  endedAtMs: number | null;
  status: SweepStatus;
  readonly asked: boolean;
  readonly tables: TableSweep[];
  readonly cancel: AbortController;
}

/** Full passes over the pairs, one at a time: begun, resumed, cancelled, stored and shown. */
export class Sweeps {
  private readonly parts: SweepsParts;
  private running: RunningSweep | null = null;
  private readonly ended: RunningSweep[] = [];
  private savedAtMs = 0;
  private saving: Promise<void> | null = null;
  private failure: { readonly error: unknown } | null = null;
  /** Suspects of the sweep under way whose drift, or whose checks, were stored before the progress that passed them. */
  private writtenSuspects = 0;

  constructor(parts: SweepsParts) {
    this.parts = parts;
  }

  /** The sweep under way, or null. */
  current(): Sweep | null {
    return this.running === null ? null : { ...describe(this.running, this.parts.clock.nowMs()), processes: this.processes };
  }

  /** Processes that share the sweep under way, this one included; 0 where there is none. */
  get processes(): number {
    return this.running === null ? 0 : 1 + this.parts.chunks.helpers;
  }

  /** This table's part in the sweep under way or the last one that had it. */
  progressOf(table: string): SweepTableProgress | null {
    return this.partOf(table)?.describe(this.parts.clock.nowMs()) ?? null;
  }

  /** What the sweep under way or the last one that had this table says about the pair itself. */
  findingsOf(table: string): readonly SchemaFinding[] {
    const part = this.partOf(table);
    if (part === null) return [];
    const { pair, tally, strategy, restless } = part;
    return [...equivalentFindings(pair, { equivalent: tally.equivalent, strategy: strategy.path }), ...restlessFindings(pair, tally.unverifiable, restless.all())];
  }

  private partOf(table: string): TableSweep | null {
    for (const sweep of this.running === null ? this.ended : [this.running, ...this.ended]) {
      const part = sweep.tables.find((candidate) => candidate.pair.id === table);
      if (part !== undefined) return part;
    }
    return null;
  }

  /**
   * Begins a sweep of these tables; null when one is under way. The sweep goes on after this returns.
   * @param kind incremental: a table where that is not possible is swept in full
   * @param asked whether somebody asked for it: such a sweep discharges dead letters
   */
  start(tables: readonly string[], signal: AbortSignal, asked = false, kind: SweepKind = 'full'): { sweep: Sweep; done: Promise<Sweep> } | null {
    if (this.running !== null) return null;
    const nowMs = this.parts.clock.nowMs();
    const sweep: RunningSweep = {
      id: this.parts.makeId(),
      kind,
      startedAtMs: nowMs,
      endedAtMs: null,
      status: 'running',
      asked,
      tables: this.parts.pairs.filter((pair) => tables.includes(pair.id)).map((pair) => new TableSweep(pair, nowMs, kind)),
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
      return pair === undefined ? [] : [TableSweep.restore(pair, table)];
    });
    return this.run(
      { id: stored.id, kind: stored.kind, startedAtMs: stored.startedAtMs, endedAtMs: null, status: 'running', asked: false, tables, cancel: new AbortController() },
      signal,
    );
  }

  /** Gives up a sweep that a stop interrupted: what it has found is no beginning of another. */
  async abandon(): Promise<void> {
    const { store, clock } = this.parts;
    const stored = await store.unfinishedSweep();
    if (stored === null) return;
    const endedAtMs = clock.nowMs();
    const tables = stored.tables.map((table) => (table.endedAtMs === null ? { ...table, status: 'cancelled' as const, endedAtMs } : table));
    await store.saveSweep({ ...stored, status: 'cancelled', endedAtMs, tables });
  }

  /** Stops the sweep under way; false where it is not this one. */
  cancel(id: string): boolean {
    if (this.running?.id !== id) return false;
    this.running.cancel.abort();
    return true;
  }

  private async run(sweep: RunningSweep, stop: AbortSignal): Promise<Sweep> {
    this.running = sweep;
    this.writtenSuspects = 0;
    this.failure = null;
    const signal = AbortSignal.any([stop, sweep.cancel.signal]);
    try {
      await this.save(sweep, true);
      for (const table of sweep.tables) {
        if (!table.isUnfinished) continue;
        try {
          await this.runTable(sweep, table, signal);
        } catch (error) {
          if (stop.aborted) break;
          this.parts.touched.abandoned(table.pair.id);
          if (signal.aborted) break;
          table.status = 'failed';
          table.error = error instanceof LockstepError ? error.message : rootMessage(error);
          table.endedAtMs = this.parts.clock.nowMs();
        }
      }
      if (stop.aborted) {
        await this.save(sweep, true);
        return describe(sweep, this.parts.clock.nowMs());
      }
      const failed = sweep.tables.some((table) => table.status === 'failed');
      const status = sweep.cancel.signal.aborted ? 'cancelled' : failed ? 'failed' : 'done';
      for (const table of sweep.tables) {
        if (table.isUnfinished) table.status = 'cancelled';
        table.endedAtMs ??= this.parts.clock.nowMs();
      }
      const endedAtMs = this.parts.clock.nowMs();
      await this.save({ ...sweep, status, endedAtMs }, true);
      // Not before it is stored: whoever sees that it is over may begin the next.
      Object.assign(sweep, { status, endedAtMs });
      return describe(sweep, endedAtMs);
    } finally {
      this.running = null;
      this.ended.unshift(sweep);
      this.ended.length = Math.min(this.ended.length, KEPT_SWEEPS);
    }
  }

  private async runTable(sweep: RunningSweep, table: TableSweep, signal: AbortSignal): Promise<void> {
    const { clock, proofs, book, skew, primarySide, sides, chunks } = this.parts;
    table.estimatedRows = await sides[primarySide].estimateRows(table.pair, signal);
    table.strategy = isBag(table.pair) ? BAG_STRATEGY : await chunks.ask(() => chooseStrategy(this.parts.strategy, sides.old, sides.new, signal), signal);
    const touched = await this.begin(table, signal);
    if (table.startedAtUs === 0n || touched !== null) {
      table.startedAtMs = clock.nowMs();
      table.startedAtUs = clock.nowUs() + (skew[primarySide].best()?.offsetUs ?? 0n);
    }
    table.walked([0n, 0n], clock.nowMs());
    await chunks.compare(table, signal, async () => {
      this.report(table);
      await this.save(sweep, false);
    }, touched ?? undefined);
    table.status = 'settling';
    // Stored beside the wait: most often all suspects are left to the stream, and the end is stored at once.
    await this.save(sweep, false);
    for (chunks.leaveToStream(table); table.waiting > 0 && !signal.aborted; chunks.leaveToStream(table)) {
      chunks.refuseMoreDrift(table);
      await clock.sleep(SETTLE_WAIT_MS, signal);
      await this.save(sweep, false);
    }
    signal.throwIfAborted();
    await this.countSuspects(table, signal);
    if (isBag(table.pair) && table.tally.unverifiable > 0) throw restless(table);
    table.status = 'done';
    table.endedAtMs = clock.nowMs();
    this.parts.touched.ended(table.pair.id, table.kind, table.touchedEpoch);
    if (touched === null) proofs.sweepEnded(table.pair.id, {
      startedAtUs: table.startedAtUs,
      endedAtMs: table.endedAtMs,
      clean: book.openCount(table.pair.id) === 0,
      asked: sweep.asked,
      oldRows: table.tally.oldRows,
      newRows: table.tally.newRows,
    });
    else proofs.incrementalEnded(table.pair.id, table.endedAtMs, book.openCount(table.pair.id) === 0);
    this.report(table);
  }

  /** What the suspects came to, once all are settled. What cannot be read again any more counts as in flight. */
  private async countSuspects(table: TableSweep, signal: AbortSignal): Promise<void> {
    const { sides, chunks, metrics } = this.parts;
    const { pair, strategy } = table;
    try {
      const equivalent = await chunks.ask(() => countEquivalent({ sides, pair, path: strategy.path, signal }, table.foundEqual.all()), signal);
      table.countEquivalent(equivalent);
    } catch (error) {
      if (signal.aborted || !(error instanceof LockstepError)) throw error;
    }
    const { drift, inFlight, equivalent, unverifiable } = table.describe(this.parts.clock.nowMs());
    const counts = { drift, in_flight: inFlight, equivalent, unverifiable };
    for (const result of SUSPECT_RESULTS) metrics.sweepSuspects(pair.id, result, counts[result]);
  }

  /** Why a table's next sweep must be a full one; null: an incremental one is possible. */
  needsFull(pair: Pair): string | null {
    const { proofs, touched } = this.parts;
    if (isBag(pair)) return 'the table has no key by which to know its rows again';
    const lost = touched.needsFull(pair.id);
    if (lost !== null) return lost;
    if (proofs.owesSweep(pair.id)) return 'changes were missed';
    return proofs.lastFullWasClean(pair.id) ? null : 'the last full sweep was not clean';
  }

  /** Before a table's first read: what is touched from here on belongs to the next sweep. @returns what is compared; null: all rows */
  private async begin(table: TableSweep, signal: AbortSignal): Promise<TouchedScope | null> {
    const { touched, sides, chunks } = this.parts;
    const { pair } = table;
    const shapes = await chunks.ask(() => Promise.all([sides.old.shape(pair, signal), sides.new.shape(pair, signal)]), signal);
    const shape = shapes.join(' ');
    if (table.kind === 'full' && table.startedAtUs !== 0n) {
      table.touchedEpoch = touched.resume(pair.id, table.touchedEpoch, shape);
      return null;
    }
    const why = this.needsFull(pair) ?? (touched.isReshaped(pair.id, shape) ? 'the table was altered or rewritten since the last sweep' : null);
    if (table.kind === 'incremental' && why !== null) {
      table.kind = 'full';
      table.kindReason = `a full sweep in place of an incremental one: ${why}`;
      table.startedAtUs = 0n;
    }
    const { epoch, scope } = touched.begin(pair.id, table.kind, shape);
    table.touchedEpoch = epoch;
    if (table.kind === 'full') return null;
    const whole = { keys: this.withUnsettled(pair, scope.keys), ranges: scope.ranges };
    const ranges = scope.ranges.length === 0 ? '' : ` and ${scope.ranges.length} ranges, more keys than are kept singly having been touched`;
    table.kindReason = `${whole.keys.length} touched or unsettled keys${ranges}, since the last sweep after a clean full one${this.unseen(pair)}`;
    if (whole.ranges.length === 0) table.estimatedRows = BigInt(whole.keys.length);
    return whole;
  }

  private unseen(pair: Pair): string {
    const replica = otherSide(this.parts.primarySide);
    return pair.topic[replica] === undefined ? `; rows written on ${replica} alone make no event and are compared by full sweeps only` : '';
  }

  /** With the keys of pending checks and open drift. */
  private withUnsettled(pair: Pair, keys: readonly RowKey[]): readonly RowKey[] {
    const byId = new Map(keys.map((key) => [keyId(key), key]));
    for (const { id, key } of this.parts.pending.checksOf(pair.id)) byId.set(id, key);
    for (const { id, key } of this.parts.book.all(pair.id)) byId.set(id, key);
    return [...byId.values()];
  }

  private report(table: TableSweep): void {
    this.parts.onProgress?.(table.describe(this.parts.clock.nowMs()), table.compared);
  }

  /**
   * Stores where the sweep is.
   * @param always resolves when it is; else it is stored beside the sweep, and not where that was done a moment ago
   */
  private async save(sweep: RunningSweep, always: boolean): Promise<void> {
    if (!always && (this.saving !== null || this.parts.clock.nowMs() - this.savedAtMs < SAVE_MS)) return;
    await this.saving;
    this.savedAtMs = this.parts.clock.nowMs();
    this.saving = this.write(sweep, this.savedAtMs)
      .catch((error: unknown) => void (this.failure = { error }))
      .finally(() => (this.saving = null));
    if (always) await this.saving;
    if (this.failure !== null) throw this.failure.error;
  }

  private async write(sweep: RunningSweep, nowMs: number): Promise<void> {
    const stored = { ...describe(sweep, nowMs), tables: sweep.tables.map((table) => table.stored(nowMs)) };
    const suspects = stored.tables.reduce((sum, table) => sum + table.suspects, 0);
    try {
      if (suspects > this.writtenSuspects) await this.parts.written?.();
      this.writtenSuspects = suspects;
      await this.parts.store.saveSweep(stored);
    } catch (error) {
      // A sweep outlives its state store: the checkpoints say that it is away, and the next save catches up.
      if (!(error instanceof LockstepError) || error.retry === 'final') throw error;
    }
  }
}

/** No event tells what becomes of a bag's row: a sweep that had to give one up proves nothing. */
function restless({ pair, tally }: TableSweep): LockstepError {
  return new LockstepError('bag_never_rests', `${tally.unverifiable} distinct row(s) never came to rest: their numbers of copies keep changing`, {
    about: { table: pair.id },
    hint: 'sweep the table when it is quieter, or name unique columns with `key:`',
  });
}

function describe(sweep: RunningSweep, nowMs: number): Sweep {
  return {
    id: sweep.id,
    kind: sweep.kind,
    status: sweep.status,
    startedAtMs: sweep.startedAtMs,
    endedAtMs: sweep.endedAtMs,
    tables: sweep.tables.map((table) => table.describe(nowMs)),
  };
}
