import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../verify/ports.ts';

/** The process's clock: wall time at the start, moved on by the monotonic one, so that it never jumps. */
export class SystemClock implements Clock {
  private readonly startUs = BigInt(Date.now()) * 1000n;
  private readonly startNs = process.hrtime.bigint();

  nowUs(): bigint {
    return this.startUs + (process.hrtime.bigint() - this.startNs) / 1000n;
  }

  nowMs(): number {
    return Number(this.nowUs() / 1000n);
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    try {
      await delay(ms, undefined, { signal });
    } catch {
      // Woken early: the caller looks at its signal.
    }
  }
}
