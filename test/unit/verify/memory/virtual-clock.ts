import type { Clock } from '../../../../src/verify/ports.ts';

interface Sleeper {
  readonly atMs: number;
  readonly order: number;
  readonly wake: () => void;
}

/** 2026-01-01 */
const START_MS = 1_767_225_600_000;

/** A clock that moves only when it is told to, one sleeper at a time, always in the same order. */
export class VirtualClock implements Clock {
  private now = START_MS;
  private order = 0;
  private readonly sleepers = new Set<Sleeper>();

  nowMs(): number {
    return this.now;
  }

  nowUs(): bigint {
    return BigInt(this.now) * 1000n;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const sleeper: Sleeper = {
        atMs: this.now + Math.max(0, Math.ceil(ms)),
        order: this.order++,
        wake: () => {
          this.sleepers.delete(sleeper);
          signal?.removeEventListener('abort', sleeper.wake);
          resolve();
        },
      };
      this.sleepers.add(sleeper);
      signal?.addEventListener('abort', sleeper.wake, { once: true });
    });
  }

  /** Lets `ms` pass; `look` is called whenever everybody has done what there was to do. */
  async pass(ms: number, look: () => void = () => undefined): Promise<void> {
    const untilMs = this.now + ms;
    for (;;) {
      await idle();
      look();
      const next = this.earliest();
      if (next === null || next.atMs > untilMs) break;
      this.now = next.atMs;
      next.wake();
    }
    this.now = untilMs;
  }

  /** Lets time pass until the work is done. */
  async until<Result>(work: Promise<Result>, limitMs = 3_600_000): Promise<Result> {
    let done = false;
    const ended = work.finally(() => {
      done = true;
    });
    ended.catch(() => undefined);
    const limit = this.now + limitMs;
    for (;;) {
      await idle();
      if (done) return ended;
      const next = this.earliest();
      if (next === null || next.atMs > limit) throw new Error('the work does not end');
      this.now = next.atMs;
      next.wake();
    }
  }

  private earliest(): Sleeper | null {
    let earliest: Sleeper | null = null;
    for (const sleeper of this.sleepers) {
      if (earliest === null || sleeper.atMs < earliest.atMs || (sleeper.atMs === earliest.atMs && sleeper.order < earliest.order)) earliest = sleeper;
    }
    return earliest;
  }
}

/** All promises that can go on have gone on. */
function idle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
