import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import { EphemeralStore } from './verify/ephemeral-store.ts';
import { buildCore, type Core } from './app/core.ts';
import { pairDatabases, type PairedDatabases } from './app/pairs.ts';
import { openPipeline } from './app/pipeline.ts';
import { LiveService } from './app/service-view.ts';
import { SystemClock } from './app/system-clock.ts';
import type { Config, DigestStrategy } from './config/config.ts';
import type { Undecodable } from './domain/change.ts';
import { LockstepError } from './domain/errors.ts';
import type { CheckOutcome, CheckProgress } from './domain/outcome.ts';
import type { Sweep } from './domain/status.ts';
import { HttpServer } from './http/server.ts';
import { Metrics } from './metrics/metrics.ts';
import { startEmbeddedPostgres } from './state/embedded.ts';
import { migrateState as migrateStore } from './state/migrate.ts';
import { PostgresStateStore } from './state/store.ts';
import type { ChangeSource, SourceListener } from './verify/ports.ts';

/** Waits between two attempts to read the change stream again. */
const SOURCE_RETRY_FIRST_MS = 500;
const SOURCE_RETRY_MAX_MS = 10_000;
/** Listeners that one signal may have: one a part and a few a request under way. */
const SIGNAL_LISTENERS_MAX = 1_000;

export interface ServiceOptions {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly version: string;
  onReady(address: { readonly url: string }): void;
}

/** Dead letters of a topic that are logged one by one; then one in so many. */
const DEAD_LETTERS_LOGGED = 20;
const DEAD_LETTERS_LOG_EVERY = 1_000;

/** Rows of a one-off check that make no progress for this many times `settle`, and at least so long, are given up. */
const UNSETTLED_SETTLES = 4;
const UNSETTLED_MIN_MS = 30_000;
const UNSETTLED_LOOK_MS = 250;

/** A state store that is there and migrated. */
interface OpenState {
  readonly url: string;
  readonly applied: readonly string[];
  readonly total: number;
  close(): Promise<void>;
}

async function openState(config: Config, logger: Logger): Promise<OpenState> {
  const embedded = config.state.url === null ? await startEmbeddedPostgres({ dataDir: config.dataDir }) : null;
  const url = embedded?.url ?? (config.state.url as string);
  const close = async (): Promise<void> => {
    await embedded?.stop();
  };
  try {
    const { applied, total } = await migrateStore(url);
    if (applied.length > 0) logger.info({ applied }, 'state store migrated');
    return { url, applied, total, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Brings the state store's schema up to date. */
export async function migrateState(
  config: Config,
  options: { readonly signal: AbortSignal; readonly logger: Logger },
): Promise<{ readonly applied: readonly string[]; readonly current: string }> {
  const state = await openState(config, options.logger);
  await state.close();
  return { applied: state.applied, current: `${state.total} migrations` };
}

/**
 * Runs the service until the signal aborts. Rejects when it cannot start, and when
 * it must not go on: another process has taken over its state store.
 */
export async function runService(config: Config, options: ServiceOptions): Promise<void> {
  const { logger } = options;
  const cleanups: (() => Promise<void>)[] = [];
  const stopping = new AbortController();
  const signal = AbortSignal.any([options.signal, stopping.signal]);
  setMaxListeners(SIGNAL_LISTENERS_MAX, signal);
  try {
    const clock = new SystemClock();
    const paired = await pairDatabases(config, [], clock, (message) => logger.warn(message));
    cleanups.push(() => paired.close());
    const state = await openState(config, logger);
    cleanups.push(() => state.close());
    const store = new PostgresStateStore({ url: state.url, migration: config.migration, nowMs: () => clock.nowMs() });
    cleanups.push(() => store.close());
    const metrics = new Metrics({
      tables: paired.pairs.map((pair) => pair.id),
      lagBudgetMs: config.slo.lagBudgetMs,
      lagObjective: config.slo.lagObjective,
      sweepMaxAgeMs: config.slo.sweepMaxAgeMs,
      version: options.version,
    });
    let core: Core | null = null;
    const pipeline = await openPipeline({
      config,
      paired,
      consume: true,
      clock,
      logger,
      onTrouble: (error) => {
        if (error === null) core?.health.clear('stream_unreachable');
        else core?.health.raise('stream_unreachable', error.message);
      },
    });
    const source = pipeline?.source ?? null;
    if (pipeline === null || source === null) throw new LockstepError('no_events', 'no `events` are configured');
    cleanups.push(() => pipeline.close());
    metrics.declareTopics(paired.pairs.flatMap((pair) => pipeline.partitions(pair, config.primary).map(({ topic }) => topic)));
    core = await buildCore({
      config,
      paired,
      pipeline,
      store,
      shelf: store,
      metrics,
      clock,
      signal,
      onDeadLetter: deadLetterLog(logger),
      onFinding: ({ finding, message }, ended) => logger[ended ? 'info' : 'warn']({ finding }, ended ? `over: ${message}` : message),
    });
    const parts = core;
    const listener = parts.stream;
    if (listener === null || parts.progress === null || parts.schedule === null) throw new RangeError('a service has a stream');
    await parts.progress.measureSkew(signal);
    const fail = (error: unknown): void => stopping.abort(error);
    const view = new LiveService({
      config,
      core: parts,
      store,
      metrics,
      pairs: paired.pairs,
      clock,
      signal,
      onSweep: (done) => void done.catch((error: unknown) => logger.error({ err: error }, 'a sweep ended early')),
    });
    const http = new HttpServer(view, {
      host: config.http.host,
      port: config.http.port,
      tokens: tokensOf(config),
      version: options.version,
      nowMs: () => clock.nowMs(),
      logger,
    });
    const url = await http.start();
    cleanups.push(() => http.stop());
    const running = [
      keepConsuming(source, listener, parts, clock, logger, signal),
      parts.rechecker.run(signal),
      parts.progress.run(signal),
      parts.schedule.run(signal),
      parts.checkpointer.run(signal),
    ].map((part) => part.catch(fail));
    options.onReady({ url });
    await Promise.all(running);
    if (stopping.signal.aborted && !options.signal.aborted) throw stopping.signal.reason;
  } finally {
    for (const cleanup of cleanups.reverse()) {
      await cleanup().catch((error: unknown) => logger.warn({ err: error }, 'a part did not stop in order'));
    }
  }
}

/** Names each dead letter of a topic, and of many the first and then every so often one. */
function deadLetterLog(logger: Logger): (record: Undecodable) => void {
  const counts = new Map<string, number>();
  return ({ pair, reason, message, position: { topic, partition, offset } }) => {
    const count = (counts.get(topic) ?? 0) + 1;
    counts.set(topic, count);
    if (count > DEAD_LETTERS_LOGGED && count % DEAD_LETTERS_LOG_EVERY !== 0) return;
    logger.warn({ table: pair.id, topic, partition, offset, reason, count }, `dead letter: ${message}`);
  };
}

function tokensOf(config: Config): { read: string[]; operate: string[] } {
  const { read, operate } = config.http.tokens;
  return { read: read === null ? [] : [read], operate: operate === null ? [] : [operate] };
}

/** Reads the stream again and again until the signal aborts; only what no retry can mend ends it. */
async function keepConsuming(
  source: ChangeSource,
  listener: SourceListener,
  core: Core,
  clock: SystemClock,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  let waitMs = SOURCE_RETRY_FIRST_MS;
  while (!signal.aborted) {
    const startedMs = clock.nowMs();
    try {
      await source.run(listener, signal);
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof LockstepError) || error.retry === 'final') throw error;
      core.health.raise('stream_unreachable', error.message);
      logger.warn({ err: error }, 'the change stream cannot be read; trying again');
      if (clock.nowMs() - startedMs > SOURCE_RETRY_MAX_MS) waitMs = SOURCE_RETRY_FIRST_MS;
      await clock.sleep(waitMs, signal);
      waitMs = Math.min(waitMs * 2, SOURCE_RETRY_MAX_MS);
    }
  }
}

export interface CheckOptions {
  /** Old's qualified names; empty: all. */
  readonly tables: readonly string[];
  readonly strategy: DigestStrategy;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  onProgress(progress: CheckProgress): void;
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
      metrics: new Metrics({ tables: paired.pairs.map((pair) => pair.id), lagBudgetMs: config.slo.lagBudgetMs, lagObjective: config.slo.lagObjective, sweepMaxAgeMs: config.slo.sweepMaxAgeMs, version: '' }),
      clock,
      signal,
      onFinding: ({ finding, message }, ended) => logger[ended ? 'info' : 'warn']({ finding }, message),
      onSweepProgress: (progress, estimatedRows) => {
        const elapsedMs = clock.nowMs() - progress.startedAtMs;
        const rows = BigInt(progress.rows.old);
        const left = estimatedRows > rows ? Number(estimatedRows - rows) : 0;
        options.onProgress({
          table: progress.table,
          ratio: progress.progressRatio,
          rows,
          etaMs: rows === 0n ? null : Math.round((elapsedMs * left) / Number(rows)),
        });
      },
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
    const outcome = outcomeOf(sweep, core, unsettled, paired.findings);
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
  while (!signal.aborted) {
    await clock.sleep(UNSETTLED_LOOK_MS, signal);
    const tables = core.sweeps.current()?.tables ?? [];
    const settling = tables.find((table) => table.status === 'settling')?.table ?? null;
    const now = `${settling} ${core.pending.size}`;
    if (now !== seen) {
      seen = now;
      sinceMs = clock.nowMs();
    }
    if (settling === null || clock.nowMs() - sinceMs < limitMs) continue;
    const left = [...core.pending.checksOf(settling)];
    if (left.length > 0) unsettled.set(settling, left.length);
    for (const check of left) core.pending.settle(check, { kind: 'unsettled' });
  }
}

function outcomeOf(sweep: Sweep, core: Core, unsettled: ReadonlyMap<string, number>, findings: PairedDatabases['findings']): CheckOutcome {
  const drift = sweep.tables.flatMap((table) => [...core.book.all(table.table)].map((booked) => booked.drift));
  const why = core.health.all().map(({ finding, message }) => `${finding}: ${message}`);
  const reasons = sweep.tables.flatMap((table) => {
    if (table.status !== 'done') return [`${table.table}: ${table.error ?? table.status}`];
    const left = unsettled.get(table.table);
    return left === undefined ? [] : [`${table.table}: ${left} differing row(s) never came to rest (${why.length === 0 ? 'they keep changing' : why.join(', ')})`];
  });
  return {
    verdict: drift.length > 0 ? 'drift' : reasons.length > 0 ? 'unknown' : 'match',
    reason: reasons.length === 0 ? null : reasons.join('; '),
    tables: sweep.tables.map((table) => ({
      table: table.table,
      rows: table.rows,
      drift: drift.filter((item) => item.table === table.table).length,
      strategy: table.strategy,
      strategyReason: table.strategyReason,
      elapsedMs: (table.endedAtMs ?? table.startedAtMs) - table.startedAtMs,
      findings: findings.get(table.table) ?? [],
    })),
    drift,
  };
}
