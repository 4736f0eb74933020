import { setTimeout as sleep } from 'node:timers/promises';
import { LockstepError } from '../../domain/errors.ts';

const LOOK_MS = 1_000;
/** A clock that is kept right is moved by less at a time. */
const JUMP_MS = 2_000;

/**
 * Rejects with `clock_jumped` when this machine's wall clock has jumped, and resolves when the signal aborts. kafkajs counts
 * by that clock: set back, it would send no heartbeats and miss that its partitions have gone to others until the clock has
 * come again to where it was.
 */
export async function untilClockJumps(signal: AbortSignal): Promise<void> {
  const aheadMs = (): number => Date.now() - performance.now();
  let before = aheadMs();
  while (!signal.aborted) {
    try {
      await sleep(LOOK_MS, undefined, { signal });
    } catch {
      return;
    }
    const now = aheadMs();
    const jumpMs = Math.round(now - before);
    before = now;
    if (Math.abs(jumpMs) < JUMP_MS) continue;
    throw new LockstepError('clock_jumped', `this machine's clock has jumped by ${jumpMs} ms: the consumer group is joined anew`, { retry: 'retry' });
  }
}
