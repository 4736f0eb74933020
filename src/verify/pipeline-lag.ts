import type { ClockSkew } from '../domain/clock-skew.ts';
import type { PendingChecks } from './pending-checks.ts';
import type { Clock } from './ports.ts';

export interface PipelineLagParts {
  readonly pending: PendingChecks;
  /** Commit time of the newest change of a table that was seen on the replica, µs. */
  readonly newestAppliedUs: (table: string) => bigint | null;
  /** The primary's clock. */
  readonly skew: ClockSkew;
  readonly clock: Clock;
}

/**
 * How long the changes of a table have waited that are newer than any that the replica is known to show, ms; 0 where
 * none waits. One row that never comes right, while others do, is no lag.
 */
export function pipelineLagMs({ pending, newestAppliedUs, skew, clock }: PipelineLagParts, table: string): number {
  const nowUs = clock.nowUs() + (skew.best()?.offsetUs ?? 0n);
  const appliedUs = newestAppliedUs(table);
  let waitsSinceUs = nowUs;
  for (const { versions } of pending.checksOf(table)) {
    const newest = versions.at(-1);
    if (newest !== undefined && (appliedUs === null || newest.committedAtUs > appliedUs) && newest.committedAtUs < waitsSinceUs) waitsSinceUs = newest.committedAtUs;
  }
  return Math.max(0, Number(nowUs - waitsSinceUs) / 1000);
}
