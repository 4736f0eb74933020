import { randomBytes } from 'node:crypto';
import createXxhash from 'xxhash-wasm';
import type { Config } from '../config/config.ts';
import { partitionId, type StreamPartition, type Undecodable } from '../domain/change.ts';
import { PlaceholderForms } from '../domain/causes/placeholder.ts';
import type { Drift } from '../domain/drift.ts';
import { isBag, isKeyOf } from '../domain/bag.ts';
import { ClockSkew } from '../domain/clock-skew.ts';
import { KeySample } from '../domain/key-sample.ts';
import { LagWindow } from '../domain/lag-window.ts';
import { otherSide, qualifiedName, type Pair } from '../domain/pair.ts';
import type { Hasher } from '../domain/recheck.ts';
import { Sampler } from '../domain/samples.ts';
import { Watermarks } from '../domain/watermarks.ts';
import { DEFAULT_PLACEHOLDER } from '../events/debezium/placeholder.ts';
import { Checkpointer } from '../verify/checkpointer.ts';
import { DeadLetterRetries } from '../verify/dead-letter-retries.ts';
import { DeadLetterQueue } from '../verify/dead-letter-queue.ts';
import { DriftBook } from '../verify/drift-book.ts';
import { FirstLook } from '../verify/first-look.ts';
import { Health } from '../verify/health.ts';
import { LateChanges } from '../verify/late-changes.ts';
import { PendingChecks, type GapEnd } from '../verify/pending-checks.ts';
import type { ChangeSource, ChunkBoard, Clock, RestoredState, DeadLetterShelf, VerifyMetrics, VerifyStore } from '../verify/ports.ts';
import { pipelineLagMs } from '../verify/pipeline-lag.ts';
import { Progress } from '../verify/progress.ts';
import { Proofs } from '../verify/proofs.ts';
import { ReplicaEvents } from '../verify/replica-events.ts';
import { Rechecker } from '../verify/rechecker.ts';
import { SourceWatch } from '../verify/source-watch.ts';
import { Stream } from '../verify/stream.ts';
import { SweepBrake } from '../verify/sweep-brake.ts';
import { ChunkSweeper } from '../verify/sweep-chunks.ts';
import { Sweeps, type SweepsParts } from '../verify/sweeps.ts';
import { SweepSchedule } from '../verify/sweep-schedule.ts';
import { TouchedKeys } from '../verify/touched-keys.ts';
import { Verification } from '../verify/verification.ts';
import { VersionHistory } from '../verify/version-history.ts';
import type { PairedDatabases } from './pairs.ts';
import type { Pipeline } from './pipeline.ts';

/** Keys whose earlier versions are remembered, to name a lost update; about 100 bytes each. */
const HISTORY_KEYS = 200_000;
/** Batches of keys read at once; each holds a connection a side. */
const RECHECK_CONCURRENCY = 2;
/** Ends what the state store has of a table while new is the primary. */
const NEW_IS_PRIMARY = '@new';

export interface CoreOptions {
  readonly config: Config;
  readonly paired: PairedDatabases;
  /** null: nothing is known of a pipeline; only `settle` tells what is in flight. */
  readonly pipeline: Pipeline | null;
  readonly store: VerifyStore;
  /** Null: no dead letter is retried. */
  readonly shelf: DeadLetterShelf | null;
  readonly metrics: VerifyMetrics;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onFinding: (status: { finding: string; message: string }, ended: boolean) => void;
  readonly onDeadLetter?: (record: Undecodable) => void;
  /** Takes each drift as it is confirmed; absent: the book keeps it open and rechecks it. */
  readonly onDrift?: (drift: Drift) => void;
  /** Rechecks go on when this resolves: whoever takes the drift has room for more. */
  readonly drained?: () => Promise<void>;
  /** Where chunks are offered to other processes; absent: there are none. */
  readonly board?: ChunkBoard;
  readonly onSweepProgress?: SweepsParts['onProgress'];
  /** Absent: xxh64 is made ready first. */
  readonly hasher?: Hasher;
}

/** The parts of verification, wired. */
export interface Core {
  readonly verification: Verification;
  readonly pending: PendingChecks;
  readonly book: DriftBook;
  readonly sweeps: Sweeps;
  readonly schedule: SweepSchedule | null;
  readonly rechecker: Rechecker;
  readonly progress: Progress | null;
  readonly stream: Stream | null;
  readonly checkpointer: Checkpointer;
  readonly retries: DeadLetterRetries | null;
  readonly health: Health;
}

/** Builds verification and puts back what the state store holds. */
export async function buildCore(options: CoreOptions): Promise<Core> {
  const { config, paired, pipeline, store, metrics, clock, signal } = options;
  const { pairs, databases } = paired;
  const primary = databases[config.primary];
  const replica = databases[otherSide(config.primary)];
  const hasher = options.hasher ?? (await xxh64());
  const makeId = createIdMaker(clock);
  const sampler = new Sampler(config.samples.values, hasher, randomBytes(16).toString('hex'));
  const tables = pairs.map((pair) => pair.id);
  const pending = new PendingChecks(pairs);
  const book = new DriftBook(pairs, { sampler, metrics, makeId, placeholder: new PlaceholderForms(placeholdersOf(config)), ...(options.onDrift === undefined ? {} : { handOver: options.onDrift }) });
  const samples = new Map(config.tables.filter(({ sampleRatio }) => sampleRatio < 1).map(({ old, sampleRatio }) => [qualifiedName(old), new KeySample(sampleRatio, hasher)]));
  const proofs = new Proofs(tables, new Set(samples.keys()));
  // Which side the primary is belongs to it: what was proven of the other's changes says nothing of this one's.
  const comparisonOf = (pair: Pair): string => `${hasher(JSON.stringify(pair)).toString(16)}${config.primary === 'new' ? NEW_IS_PRIMARY : ''}`;
  const touched = new TouchedKeys(pairs, comparisonOf);
  const deadLetters = new DeadLetterQueue();
  const history = new VersionHistory(HISTORY_KEYS);
  const watermarks = new Watermarks({ ordered: pipeline?.ordered ?? false });
  const skew = { old: new ClockSkew(), new: new ClockSkew() };
  const lag = new Map(tables.map((table) => [table, new LagWindow(config.slo.lagBudgetMs)]));
  const health = new Health({ nowMs: () => clock.nowMs(), primary: config.primary, report: options.onFinding });
  const source: ChangeSource | null = pipeline?.source ?? null;
  const firstLook = new FirstLook();
  const replicaEvents = new ReplicaEvents({
    primarySide: config.primary,
    partitions: pipeline?.partitions ?? null,
    pending,
    history,
    book,
    skew,
    health,
    metrics,
    clock,
    hasher,
    pendingMax: config.checks.maxPending,
  });
  const rechecker = new Rechecker({
    pending,
    replicaEvents,
    firstLook,
    book,
    proofs,
    history,
    watermarks,
    partitions: pipeline?.partitions ?? null,
    consumes: source !== null,
    primary,
    replica,
    skew,
    lag,
    health,
    metrics,
    clock,
    hasher,
    settleMs: config.settleMs,
    lagBudgetMs: config.slo.lagBudgetMs,
    batchKeys: config.checks.readBatch,
    concurrency: RECHECK_CONCURRENCY,
    ...(options.drained === undefined ? {} : { drained: options.drained }),
  });
  const sweeps = new Sweeps({
    pairs,
    sides: databases,
    primarySide: config.primary,
    chunks: new ChunkSweeper({
      sides: databases,
      primarySide: config.primary,
      brake: new SweepBrake({
        sides: databases,
        lagMs: (table) => pipelineLagMs({ pending, newestAppliedUs: (of) => rechecker.newestAppliedUs(of), skew: skew[config.primary], clock }, table),
        limits: config.sweep.pause,
        clock,
      }),
      pending,
      book,
      proofs,
      metrics,
      skew,
      clock,
      chunkRows: config.sweep.chunkRows,
      concurrency: config.sweep.concurrency,
      maxRowsPerSecond: config.sweep.maxRowsPerSecond ?? 0,
      board: options.board ?? null,
      // Where drift is handed over nothing is kept, and a stop keeps no progress.
      goesAhead: options.onDrift !== undefined,
    }),
    book,
    proofs,
    pending,
    touched,
    skew,
    metrics,
    store,
    clock,
    makeId,
    strategy: config.sweep.strategy,
    ...(source === null ? {} : { written: () => checkpointer.written() }),
    ...(options.onSweepProgress === undefined ? {} : { onProgress: options.onSweepProgress }),
  });
  const watch = new SourceWatch({
    slotName: pipeline?.slotName ?? null,
    slotWalBytes: config.slo.slotWalBytes,
    health,
    clock,
    onChangesLost: (reason, sinceUs) => {
      for (const pair of pairs) {
        proofs.oweSweep(pair.id, sinceUs);
        touched.lose(pair.id, reason);
      }
    },
  });
  const progress =
    pipeline === null
      ? null
      : new Progress({
          pairs,
          watermarks,
          source: watch,
          partitions: pipeline.partitions,
          slotName: pipeline.slotName,
          offsets: pipeline.offsets,
          primary,
          replica,
          skew,
          health,
          pending,
          proofs,
          newestAppliedUs: (table) => rechecker.newestAppliedUs(table),
          clock,
          lagBudgetMs: config.slo.lagBudgetMs,
          settleMs: config.settleMs,
          connectorOf: pipeline.connectorOf,
          topicsOf: pipeline.topicsOf,
          ordered: pipeline.ordered,
        });
  const stream =
    source === null
      ? null
      : new Stream({
          pairs,
          primarySide: config.primary,
          pending,
          proofs,
          touched,
          deadLetters,
          sharing: pipeline?.sharing ?? (() => []),
          hurry: () => checkpointer.hurry(),
          history,
          replicaEvents,
          // A key that is looked at for another reason needs its changes too: else they would look as if the stream lacked them.
          isChecked: (table, id) => {
            const sample = samples.get(table);
            return sample === undefined || sample.has(id) || pending.get(table, id) !== undefined || book.get(table, id) !== undefined;
          },
          watermarks,
          skew,
          ...(options.onDeadLetter === undefined ? {} : { onDeadLetter: options.onDeadLetter }),
          onPrimaryChange: (topic, committedAtUs) => progress?.changeConsumed(topic, committedAtUs),
          firstLook,
          metrics,
          clock,
          hasher,
          pendingMax: config.checks.maxPending,
          signal,
        });
  const schedule =
    source === null || pipeline === null
      ? null
      : new SweepSchedule({
          pairs,
          primarySide: config.primary,
          sweeps,
          proofs,
          watermarks,
          partitions: pipeline.partitions,
          clock,
          everyMs: config.sweep.everyMs,
          incrementalEveryMs: config.sweep.incrementalEveryMs,
        });
  const checkpointer: Checkpointer = new Checkpointer({ store, stream, source, pending, book, proofs, deadLetters, touched, health, clock });
  const late = new LateChanges({ primarySide: config.primary, pending, proofs, history, metrics, clock, hasher });
  const retries =
    options.shelf === null || pipeline === null
      ? null
      : new DeadLetterRetries({ shelf: options.shelf, records: pipeline.records, late, pending, proofs, checkpointer, clock, pendingMax: config.checks.maxPending, signal });
  if (retries !== null) checkpointer.accountFor(retries);
  const verification = new Verification({
    migration: config.migration,
    phase: 'shadow',
    primarySide: config.primary,
    pairs,
    findingsOf: (table) => [...(paired.findings.get(table) ?? []), ...(pipeline?.encodingFindings(table) ?? []), ...sweeps.findingsOf(table)],
    pending,
    book,
    proofs,
    watermarks,
    rechecker,
    sweeps,
    touched,
    sampler,
    lag,
    skew,
    health,
    source: () => watch.status(),
    samples,
    clock,
    gate: config.gate,
    lagWindowMs: config.slo.lagWindowMs,
    countsMessages: pipeline?.ordered === false,
  });
  const streamOf = (pair: Pair): readonly StreamPartition[] => (pipeline === null || pipeline.ordered ? [] : pipeline.partitions(pair, config.primary));
  const state = await store.restore();
  const isTurned = (state.touched ?? []).some(({ comparison }) => comparison.endsWith(NEW_IS_PRIMARY) !== (config.primary === 'new'));
  restore(isTurned ? turned(state, pipeline?.ordered ?? false) : state, { pairs: paired.pairs, pending, book, proofs, touched, deadLetters, stream, streamOf, comparisonOf, nowMs: clock.nowMs() });
  if (isTurned) {
    for (const pair of pairs) {
      proofs.turn(pair.id);
      for (const check of pending.checksOf(pair.id)) pending.suspect(pair, check.key, 'stream', clock.nowMs(), null);
      book.turn(pair.id, config.primary, clock.nowMs());
    }
    await sweeps.abandon();
  }
  return { verification, pending, book, sweeps, schedule, rechecker, progress, stream, checkpointer, retries, health };
}

async function xxh64(): Promise<Hasher> {
  const xxhash = await createXxhash();
  return (encoded) => xxhash.h64(encoded);
}

function restore(
  state: RestoredState,
  into: { pairs: PairedDatabases['pairs']; pending: PendingChecks; book: DriftBook; proofs: Proofs; touched: TouchedKeys; deadLetters: DeadLetterQueue; stream: Stream | null; streamOf: (pair: Pair) => readonly StreamPartition[]; comparisonOf: (pair: Pair) => string; nowMs: number },
): void {
  const pairOf = new Map(into.pairs.map((pair) => [pair.id, pair]));
  const nextOffsets = new Map(state.partitions.map((stored) => [partitionId(stored), BigInt(stored.nextOffset)]));
  const consumed = (pair: Pair): readonly GapEnd[] =>
    into.streamOf(pair).flatMap((partition) => {
      const next = nextOffsets.get(partitionId(partition)) ?? 0n;
      return next > 0n ? [{ position: { ...partition, offset: (next - 1n).toString() }, atUs: null }] : [];
    });
  for (const check of state.checks) {
    const pair = pairOf.get(check.table);
    if (pair === undefined || !isKeyOf(pair, check.key)) continue;
    const topics = into.streamOf(pair).map(({ topic }) => topic);
    const isPrimarys = topics.length === 0 || check.versions.every(({ position }) => topics.includes(position.topic));
    if (isPrimarys) into.pending.restore(pair, check, into.nowMs, check.holdsUs === null ? [] : consumed(pair));
    // Changes of the other side order nothing: the key is looked at on both.
    else into.pending.suspect(pair, check.key, 'stream', into.nowMs, null);
  }
  for (const { drift, keyValues } of state.drift) {
    const pair = pairOf.get(drift.table);
    if (pair !== undefined && isKeyOf(pair, keyValues)) into.book.restore(pair, drift, keyValues, into.nowMs);
  }
  for (const table of state.tables) into.proofs.restore(table);
  for (const { table, comparison } of state.touched ?? []) {
    const pair = pairOf.get(table);
    if (pair !== undefined && isBag(pair) && comparison !== into.comparisonOf(pair)) forgetBag(table, into);
  }
  for (const touched of state.touched ?? []) into.touched.restore(touched);
  for (const [table, letters] of state.deadLetters.byTable) into.proofs.restoreDeadLetters(table, letters);
  for (const { table, ...end } of state.gapEnds) if (pairOf.has(table)) into.pending.gap(table, end);
  into.deadLetters.saved(state.deadLetters.keptBytes);
  into.stream?.restore(state.partitions);
}

/**
 * What a state store holds from when the other side was the primary: its changes, their times and how far they reached
 * prove nothing of the present primary's. Offsets go on, but those of a slot, which another server has now.
 */
function turned(state: RestoredState, isOrdered: boolean): RestoredState {
  return {
    ...state,
    partitions: isOrdered ? [] : state.partitions.map((stored) => ({ ...stored, watermarkUs: null, snapshotInProgress: false })),
    checks: state.checks.map((check) => ({ ...check, versions: [], holdsUs: null })),
  };
}

/** Rows of a bag have other hashes once something else of them is compared: that none has a hash any more says nothing. */
function forgetBag(table: string, { book, proofs, nowMs }: { readonly book: DriftBook; readonly proofs: Proofs; readonly nowMs: number }): void {
  for (const { drift } of book.all(table)) book.ignore(drift.id, 'the table is compared otherwise since, and its rows have other hashes', nowMs);
  proofs.forget(table);
}

/** What connectors may have written for values that the log left out. */
function placeholdersOf({ events }: Config): readonly string[] {
  const configured = events?.kind === 'kafka' ? [events.unavailablePlaceholder] : [];
  return [...new Set([DEFAULT_PLACEHOLDER, ...configured])];
}

/** Random bytes of one id, and ids whose bytes are drawn at once: a draw for each would cost more than the drift. */
const ID_BYTES = 6;
const IDS_A_DRAW = 1_024;

/** Ids that sort by the time they were made: 12 hexadecimal digits of ms, then 12 at random. */
function createIdMaker(clock: Clock): () => string {
  let drawn = randomBytes(ID_BYTES * IDS_A_DRAW);
  let at = 0;
  return () => {
    if (at === drawn.length) {
      drawn = randomBytes(ID_BYTES * IDS_A_DRAW);
      at = 0;
    }
    at += ID_BYTES;
    return `${clock.nowMs().toString(16).padStart(12, '0')}${drawn.toString('hex', at - ID_BYTES, at)}`;
  };
}
