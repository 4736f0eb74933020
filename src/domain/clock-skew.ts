/** One comparison of a database's clock with ours, µs. */
export interface SkewSample {
  readonly databaseUs: bigint;
  readonly sentUs: bigint;
  readonly receivedUs: bigint;
}

export interface Skew {
  /** The database's clock minus ours, µs. */
  readonly offsetUs: bigint;
  /** The true offset is within ± this, µs. */
  readonly boundUs: bigint;
}

/** Samples that are compared for the tightest bound; older ones would hide a drifting clock. */
const SAMPLES_MAX = 12;

/**
 * The offset between two clocks, by Cristian's method: of the latest samples the one
 * with the shortest round trip bounds the offset best (F. Cristian, Probabilistic
 * clock synchronization, 1989).
 */
export class ClockSkew {
  private readonly samples: Skew[] = [];

  add(sample: SkewSample): void {
    const roundTrip = sample.receivedUs - sample.sentUs;
    this.samples.push({
      offsetUs: sample.databaseUs - (sample.sentUs + roundTrip / 2n),
      boundUs: roundTrip / 2n + 1n,
    });
    if (this.samples.length > SAMPLES_MAX) this.samples.shift();
  }

  /** The best estimate; null before the first sample. */
  best(): Skew | null {
    let best: Skew | null = null;
    for (const sample of this.samples) if (best === null || sample.boundUs < best.boundUs) best = sample;
    return best;
  }
}
