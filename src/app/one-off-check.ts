import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import type { Config, DigestStrategy } from '../config/config.ts';
import { BAG_ROWS_PER_READ, copiesOf, isBag } from '../domain/bag.ts';
import { LockstepError } from '../domain/errors.ts';
import type { Drift } from '../domain/drift.ts';
import type { CheckOutcome, CheckProgress } from '../domain/outcome.ts';
import type { Sweep } from '../domain/status.ts';
import { EphemeralStore } from '../verify/ephemeral-store.ts';
import { BAG_STANDING_LOOKS, type Check } from '../verify/pending-checks.ts';
import { NO_METRICS } from '../verify/no-metrics.ts';
import { buildCore, type Core } from './core.ts';
import { pairDatabases, type PairedDatabases } from './pairs.ts';
import { openPipeline } from './pipeline.ts';
import { SystemClock } from './system-clock.ts';

/** Listeners that one signal may have: one a part and a few a read under way. */
const SIGNAL_LISTENERS_MAX = 1_000;
/** Rows of a one-off check that make no progress for this many times `settle`, and at least so long, are given up. */
const UNSETTLED_SETTLES = 4;
const UNSETTLED_MIN_MS = 30_000;
const UNSETTLED_LOOK_MS = 250;
/** A look at a bag's rows reads the tables some times, each of which takes about as long as comparing them did. */
const UNSETTLED_COMPARES = 10;
/** Rows that are looked at once more at a time when they are given up. */
const LOOK_KEYS = 200;

export interface CheckOptions {
  /** Old's qualified names; empty: all. */
  readonly tables: readonly string[];
  readonly strategy: DigestStrategy;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  onProgress(progress: CheckProgress): void;
  /** Called with each drift as it is confirmed; none is kept here. */
  onDrift(drift: Drift): void;
  /** Resolves when whoever takes the drift has room for more. */
  drained(): Promise<void>;
}

/** One sweep of the tables, its suspects rechecked until each is settled. Leaves nothing behind. */
export async function runCheck(config: Config, options: CheckOptions): Promise<CheckOutcome> {
  const { logger, tables } = options;
  const stopping = new AbortController();
  const signal = AbortSignal.any([options.signal, stopping.signal]);
  setMaxListeners(SIGNAL_LISTENERS_MAX, signal);
  const cleanups: (() => Promise<void>)[] = [];
  try {
    const clock = new SystemClock();
    const checked: Config = { ...config, sweep: { ...config.sweep, strategy: options.strategy } };
    const paired = await pairDatabases(checked, tables, clock, (message) => logger.warn(message));
    cleanups.push(() => paired.close());
    const pipeline = await openPipeline({ config: checked, paired, consume: false, clock, logger, onTrouble: () => undefined });
    if (pipeline !== null) cleanups.push(() => pipeline.close());
    const core = await buildCore({
      config: checked,
      paired,
      pipeline,
      store: new EphemeralStore(),
      shelf: null,
      metrics: NO_METRICS,
      clock,
      signal,
      onFinding: ({ finding, message }, ended) => logger[ended ? 'info' : 'warn']({ finding }, message),
      onDrift: (drift) => options.onDrift(drift),
      drained: () => options.drained(),
      onSweepProgress: ({ table, progressRatio: ratio, rowsPerSecond, etaMs, pausedBy }, rows) => options.onProgress({ table, ratio, rows, rowsPerSecond, etaMs, pausedBy }),
    });
    const running = [core.rechecker.run(signal), core.progress?.run(signal) ?? Promise.resolve()].map((part) => part.catch((error: unknown) => stopping.abort(error)));
    const started = core.sweeps.start(
      paired.pairs.map((pair) => pair.id),
      signal,
    );
    if (started === null) throw new RangeError('a sweep is already under way');
    const unsettled = new Map<string, number>();
    running.push(giveUpUnsettled(core, Math.max(UNSETTLED_MIN_MS, UNSETTLED_SETTLES * config.settleMs), unsettled, clock, signal));
    const sweep = await started.done;
    if (stopping.signal.aborted) throw stopping.signal.reason;
    if (options.signal.aborted) throw new LockstepError('interrupted', 'the check was interrupted');
    const outcome = outcomeOf(sweep, core, unsettled, paired);
    stopping.abort();
    await Promise.all(running);
    return outcome;
  } finally {
    stopping.abort();
    for (const cleanup of cleanups.reverse()) await cleanup().catch((error: unknown) => logger.warn({ err: error }, 'a part did not stop in order'));
  }
}

/** A check has to end: rows that never rest, or that a pipeline or database keeps from being judged, are counted and given up. */
async function giveUpUnsettled(core: Core, limitMs: number, unsettled: Map<string, number>, clock: SystemClock, signal: AbortSignal): Promise<void> {
  let seen = '';
  let sinceMs = clock.nowMs();
  let settlingSinceMs: number | null = null;
  while (!signal.aborted) {
    await clock.sleep(UNSETTLED_LOOK_MS, signal);
    const tables = core.sweeps.current()?.tables ?? [];
    const part = tables.find((table) => table.status === 'settling') ?? null;
    const settling = part?.table ?? null;
    settlingSinceMs = part === null ? null : (settlingSinceMs ?? clock.nowMs());
    const now = `${settling} ${core.pending.size} ${settling === null ? 0 : bagLooks(core.pending.checksOf(settling))}`;
    if (now !== seen) {
      seen = now;
      sinceMs = clock.nowMs();
    }
    if (part === null || settling === null || clock.nowMs() - sinceMs < limitMs) continue;
    const left = [...core.pending.checksOf(settling)];
    const comparedMs = (settlingSinceMs ?? 0) - part.startedAtMs;
    if (left.some(({ pair }) => isBag(pair)) && clock.nowMs() - sinceMs < UNSETTLED_COMPARES * comparedMs) continue;
    if (left.length > 0) unsettled.set(settling, left.length);
    const step = left.some(({ pair }) => isBag(pair)) ? BAG_ROWS_PER_READ : LOOK_KEYS;
    for (let first = 0; first < left.length; first += step) await giveUp(core, left.slice(first, first + step), signal);
  }
}

/** How far the looks at a bag's rows have come: they end by themselves, but each takes as long as reading the tables does. */
function bagLooks(checks: Iterable<Check>): number {
  let looks = 0;
  for (const { pair, standing, hotRounds } of checks) if (isBag(pair)) looks += hotRounds + Math.min(standing?.looks ?? 0, BAG_STANDING_LOOKS);
  return looks;
}

/** Ends checks without an answer. Their rows are counted as they are now, where they can be read. */
async function giveUp(core: Core, checks: readonly Check[], signal: AbortSignal): Promise<void> {
  const pair = checks[0]?.pair;
  if (pair === undefined) return;
  const keys = checks.map(({ key }) => key);
  const reads = await core.rechecker.look(pair, keys, signal).catch(() => null);
  for (const check of checks) {
    const read = reads?.(check.id);
    const [primaryRow, replicaRow] = [read?.primaryRow ?? null, read?.replicaRow ?? null];
    const copies = isBag(pair) ? { copies: [copiesOf(primaryRow), copiesOf(replicaRow)] as const } : {};
    core.pending.settle(check, { kind: 'unsettled', onPrimary: primaryRow !== null, onReplica: replicaRow !== null, ...copies });
  }
}

function outcomeOf(sweep: Sweep, core: Core, unsettled: ReadonlyMap<string, number>, { pairs, findings }: PairedDatabases): CheckOutcome {
  const drift = sweep.tables.reduce((sum, { table }) => sum + core.book.openCount(table), 0);
  const why = core.health.all().map(({ finding, message }) => `${finding}: ${message}`);
  const bags = new Set(pairs.filter(isBag).map(({ id }) => id));
  const reasons = sweep.tables.flatMap((table) => {
    if (table.status !== 'done') return [`${table.table}: ${table.error ?? table.status}`];
    const left = unsettled.get(table.table);
    return left === undefined ? [] : [`${table.table}: ${left} differing row(s) never came to rest (${why.length === 0 ? 'they keep changing' : why.join(', ')})`];
  });
  return {
    verdict: drift > 0 ? 'drift' : reasons.length > 0 ? 'unknown' : 'match',
    reason: reasons.length === 0 ? null : reasons.join('; '),
    tables: sweep.tables.map((table) => ({
      table: table.table,
      comparedAs: bags.has(table.table) ? 'bag' : 'rows',
      rows: table.rows,
      suspects: table.suspects,
      inFlight: table.inFlight,
      equivalent: table.equivalent,
      unverifiable: table.unverifiable,
      drift: core.book.openCount(table.table),
      strategy: table.strategy,
      strategyReason: table.strategyReason,
      elapsedMs: (table.endedAtMs ?? table.startedAtMs) - table.startedAtMs,
      findings: [...(findings.get(table.table) ?? []), ...core.sweeps.findingsOf(table.table)],
    })),
    drift,
  };
}
