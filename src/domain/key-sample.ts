import type { Hasher } from './recheck.ts';
import type { KeyId } from './row.ts';

/** Hashes have 64 bits. */
const HASHES = 2n ** 64n;
/** A ratio is taken as so many parts: exact to nine digits, as a whole number. */
const PARTS = 1_000_000_000;

/**
 * A part of a table's keys, chosen by the hash of the key alone: the same keys for every process, after every restart,
 * and all keys of a smaller sample are in each larger one.
 */
export class KeySample {
  readonly ratio: number;
  private readonly below: bigint;
  private readonly hasher: Hasher;

  /** @param ratio 0 < ratio ≤ 1 */
  constructor(ratio: number, hasher: Hasher) {
    this.ratio = ratio;
    this.below = (HASHES * BigInt(Math.round(ratio * PARTS))) / BigInt(PARTS);
    this.hasher = hasher;
  }

  has(id: KeyId): boolean {
    return this.hasher(id) < this.below;
  }
}
