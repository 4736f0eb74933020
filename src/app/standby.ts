import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { LockstepError } from '../domain/errors.ts';
import { HttpServer, type HttpOptions } from '../http/server.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { thisReplica, type Replica } from '../state/replicas.ts';
import type { PostgresStateStore } from '../state/store.ts';
import type { Clock } from '../verify/ports.ts';
import { SweepHelper } from '../verify/sweep-helper.ts';
import type { PairedDatabases } from './pairs.ts';
import { StandbyView } from './standby-view.ts';

/** Whether the writer lives still is asked this often. */
const CLAIM_MS = 1_000;
/** The writer says this often that it lives. */
const RENEW_MS = 2_000;

export interface StandbyOptions {
  readonly config: Config;
  readonly paired: PairedDatabases;
  readonly store: PostgresStateStore;
  readonly metrics: Metrics;
  readonly fingerprints: ReadonlyMap<string, string>;
  readonly http: HttpOptions;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** This process as others of its migration see it. */
export function newReplica(): Replica {
  return thisReplica(randomUUID());
}

/**
 * Waits until this process holds the writing role. While another one that lives holds it, this one compares chunks of
 * its sweeps, and serves what can be said without verifying. Rejects where it cannot begin to.
 */
export async function becomeWriter(self: Replica, options: StandbyOptions): Promise<void> {
  const { store, clock, logger, signal } = options;
  if ((await store.claim(self)).kind === 'taken') return;
  const ending = new AbortController();
  const standing = AbortSignal.any([signal, ending.signal]);
  const helper = new SweepHelper({
    pairs: options.paired.pairs,
    sides: options.paired.databases,
    desk: store.leaseDesk(self),
    fingerprints: options.fingerprints,
    concurrency: options.config.sweep.concurrency,
    clock,
    report: (error) => logger.warn({ err: error }, 'a chunk of the writer’s sweep could not be compared here'),
  });
  const http = new HttpServer(new StandbyView({ store, metrics: options.metrics, pairs: options.paired.pairs, lagWindowMs: options.config.slo.lagWindowMs }), options.http);
  const url = await http.start();
  logger.info({ migration: options.config.migration, url }, 'another process holds the writing role: standing by, and helping with its sweeps');
  let failure: unknown = null;
  const helping = helper.run(standing).catch((error: unknown) => {
    failure = error;
    ending.abort();
  });
  try {
    while (!standing.aborted) {
      await clock.sleep(CLAIM_MS, standing);
      if (standing.aborted) break;
      if (await isTaken(store, self, logger)) break;
    }
  } finally {
    ending.abort();
    await helping;
    await http.stop();
  }
  if (failure !== null) throw failure;
  if (!signal.aborted) logger.info({ chunks: helper.chunksDone }, 'this process holds the writing role now');
}

async function isTaken(store: PostgresStateStore, self: Replica, logger: Logger): Promise<boolean> {
  try {
    return (await store.claim(self)).kind === 'taken';
  } catch (error) {
    if (!(error instanceof LockstepError) || error.retry === 'final') throw error;
    logger.warn({ err: error }, 'the state store does not answer');
    return false;
  }
}

/** Says that the writer lives until the signal aborts. While the state store is away nobody can take over either. */
export async function stayWriter(store: PostgresStateStore, self: Replica, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await store.renew(self, false);
    } catch (error) {
      if (!(error instanceof LockstepError) || error.retry === 'final') throw error;
    }
    await clock.sleep(RENEW_MS, signal);
  }
}
