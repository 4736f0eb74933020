import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import { buildCore, type Core } from './app/core.ts';
import { fingerprints } from './app/fingerprints.ts';
import { pairDatabases } from './app/pairs.ts';
import { openPipeline } from './app/pipeline.ts';
import { publish } from './app/published.ts';
import { LiveService } from './app/service-view.ts';
import { becomeWriter, newReplica, stayWriter } from './app/standby.ts';
import { SystemClock } from './app/system-clock.ts';
import type { Config } from './config/config.ts';
import type { Undecodable } from './domain/change.ts';
import { LockstepError } from './domain/errors.ts';
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
    const http = { host: config.http.host, port: config.http.port, tokens: tokensOf(config), version: options.version, nowMs: () => clock.nowMs(), logger };
    // An embedded state store is this process's alone.
    const self = config.state.url === null ? null : newReplica();
    const compared = self === null ? null : await fingerprints(config, paired, options.version);
    if (self !== null && compared !== null) {
      cleanups.push(() => store.leave(self));
      await becomeWriter(self, { config, paired, store, metrics, fingerprints: compared, http, clock, logger, signal });
      if (signal.aborted) return;
    }
    const holding = new AbortController();
    cleanups.push(() => Promise.resolve(holding.abort()));
    const staying = self === null ? null : stayWriter(store, self, clock, holding.signal).catch((error: unknown) => stopping.abort(error));
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
      ...(self === null || compared === null ? {} : { board: store.chunkBoard(self, compared) }),
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
    const server = new HttpServer(view, http);
    const url = await server.start();
    cleanups.push(() => server.stop());
    const running = [
      keepConsuming(source, listener, parts, clock, logger, signal),
      parts.rechecker.run(signal),
      parts.progress.run(signal),
      parts.schedule.run(signal),
      parts.checkpointer.run(signal),
      ...(self === null ? [] : [publish(() => view.published(), (body) => store.publish(body), clock, signal)]),
    ].map((part) => part.catch(fail));
    options.onReady({ url });
    await Promise.all(running);
    holding.abort();
    await staying;
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
