import type { LagFigures } from './status.ts';

/** Lag is kept in logarithmic buckets this far apart: figures are within 1 % of the sample. */
const BUCKET_GROWTH = 1.02;
const LOG_GROWTH = Math.log(BUCKET_GROWTH);
/** The window is kept in slots of this length. */
const SLOT_MS = 10_000;
/** The longest window that can be asked for: a day. */
const SLOTS_MAX = 24 * 360;

interface Slot {
  readonly startMs: number;
  readonly buckets: Map<number, number>;
  samples: number;
  exact: number;
  breaches: number;
}

/** Lag samples of one table over a sliding window, in bounded memory. */
export class LagWindow {
  private readonly slots: Slot[] = [];
  private readonly budgetMs: number;
  private latestMs: number | null = null;

  constructor(budgetMs: number) {
    this.budgetMs = budgetMs;
  }

  /** Adds a sample taken at `atMs`; a negative lag (clock noise) counts as 0. */
  add(atMs: number, lagMs: number, exact: boolean): void {
    const lag = Math.max(0, lagMs);
    let slot = this.slots.at(-1);
    if (slot === undefined || atMs - slot.startMs >= SLOT_MS) {
      slot = { startMs: atMs, buckets: new Map(), samples: 0, exact: 0, breaches: 0 };
      this.slots.push(slot);
      if (this.slots.length > SLOTS_MAX) this.slots.shift();
    }
    const bucket = Math.round(Math.log(lag + 1) / LOG_GROWTH);
    slot.buckets.set(bucket, (slot.buckets.get(bucket) ?? 0) + 1);
    slot.samples++;
    if (exact) slot.exact++;
    if (lag > this.budgetMs) slot.breaches++;
    this.latestMs = lag;
  }

  /** Figures over the last `windowMs` before `nowMs`. */
  figures(nowMs: number, windowMs: number): LagFigures {
    const merged = new Map<number, number>();
    let samples = 0;
    let exact = 0;
    let breaches = 0;
    for (let index = this.slots.length - 1; index >= 0; index--) {
      const slot = this.slots[index] as Slot;
      if (slot.startMs + SLOT_MS < nowMs - windowMs) break;
      for (const [bucket, count] of slot.buckets) merged.set(bucket, (merged.get(bucket) ?? 0) + count);
      samples += slot.samples;
      exact += slot.exact;
      breaches += slot.breaches;
    }
    const ordered = [...merged].sort((left, right) => left[0] - right[0]);
    const quantile = (share: number): number | null => {
      if (samples === 0) return null;
      let rank = Math.ceil(samples * share);
      for (const [bucket, count] of ordered) {
        rank -= count;
        if (rank <= 0) return Math.max(0, Math.round((Math.exp(bucket * LOG_GROWTH) - 1) * 10) / 10);
      }
      return null;
    };
    return {
      currentMs: this.latestMs,
      p50Ms: quantile(0.5),
      p95Ms: quantile(0.95),
      p99Ms: quantile(0.99),
      samples,
      exactRatio: samples === 0 ? null : exact / samples,
      windowMs,
      breaches,
    };
  }
}
