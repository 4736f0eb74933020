import type { Clock } from '../../../../src/verify/ports.ts';

interface Sleeper {
  readonly atMs: number;
  readonly order: number;
  readonly wake: () => void;
  awake: boolean;
}

/** 2026-01-01 */
const START_MS = 1_767_225_600_000;

/** A clock that moves only when it is told to, one sleeper at a time, always in the same order. */
export class VirtualClock implements Clock {
  private now = START_MS;
  private order = 0;
  /** A binary heap, the earliest first; who was woken otherwise is skipped. */
  private readonly sleepers: Sleeper[] = [];

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
        awake: false,
        wake: () => {
          sleeper.awake = true;
          signal?.removeEventListener('abort', sleeper.wake);
          resolve();
        },
      };
      this.push(sleeper);
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
      this.wake(next);
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
      this.wake(next);
    }
  }

  private wake(sleeper: Sleeper): void {
    this.pop();
    this.now = sleeper.atMs;
    sleeper.wake();
  }

  private earliest(): Sleeper | null {
    while (this.sleepers[0]?.awake === true) this.pop();
    return this.sleepers[0] ?? null;
  }

  private push(sleeper: Sleeper): void {
    const heap = this.sleepers;
    let index = heap.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (isBefore(heap[parent] as Sleeper, sleeper)) break;
      heap[index] = heap[parent] as Sleeper;
      index = parent;
    }
    heap[index] = sleeper;
  }

  private pop(): void {
    const heap = this.sleepers;
    const last = heap.pop() as Sleeper;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Sleeper, heap[child] as Sleeper)) child++;
      if (!isBefore(heap[child] as Sleeper, last)) break;
      heap[index] = heap[child] as Sleeper;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(one: Sleeper, other: Sleeper): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}

/** All promises that can go on have gone on: what is ticked next comes after all of them. */
function idle(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve);
  });
}
