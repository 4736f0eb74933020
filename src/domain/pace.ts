/** The rate is that of about so long before now. */
const WINDOW_MS = 10_000;
/** Counts closer together than this are one sample: bounds what is kept. */
const SAMPLE_MS = 100;

interface Sample {
  readonly atMs: number;
  readonly done: bigint;
}

/** How fast work is done of late, and when at that pace the rest of it will be. */
export class Pace {
  /** Oldest first. The first stands at the beginning of the window or just before it. */
  private readonly samples: Sample[] = [];

  /** So much has been done by `atMs`; neither ever falls. */
  note(atMs: number, done: bigint): void {
    const [last, before] = [this.samples.at(-1), this.samples.at(-2)];
    if (last !== undefined && before !== undefined && last.atMs - before.atMs < SAMPLE_MS) this.samples.pop();
    this.samples.push({ atMs, done });
    while ((this.samples[1]?.atMs ?? atMs) <= atMs - WINDOW_MS) this.samples.shift();
  }

  /** Units a second until `nowMs`; null before two counts are known. Falls while nothing more is done. */
  perSecond(nowMs: number): number | null {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    if (first === undefined || last === undefined || first === last) return null;
    return (Number(last.done - first.done) * 1000) / Math.max(1, nowMs - first.atMs, last.atMs - first.atMs);
  }

  /** Time from `nowMs` until `total` is done, ms; null while that cannot be told. */
  etaMs(nowMs: number, total: bigint): number | null {
    const last = this.samples.at(-1);
    const rate = this.perSecond(nowMs);
    if (last === undefined || rate === null || rate <= 0 || total <= last.done) return null;
    return Math.round((Number(total - last.done) * 1000) / rate);
  }
}
