import type { KeyRange, StoredTouchedKey } from './ports.ts';

/** Blocks begin with 2^6 values: keys that a sequence gave to one burst of writes fall into few of them. */
const SHIFT_MIN = 6;
/** Beyond blocks of 2^24 values there is little that a range leaves out. */
const SHIFT_MAX = 24;
/** How much smaller a set must become, so that it does not soon have to again. */
const SHRINK = 4;
/** Ranges of one sweep: each costs a round trip, and more of them than chunks of a large table cost more than the table. */
const RANGES_MAX = 1_000;

/** Touched ranges: numbers of blocks of 2^shift values, each with the epoch of its last touch. */
export interface Blocks {
  readonly shift: number;
  readonly epochs: ReadonlyMap<string, number>;
}

/**
 * Fewer and wider blocks that cover all entries; null where even the widest are too many.
 * @param shift of the entries, where they are blocks; null: they are keys
 */
export function coarsen(entries: readonly StoredTouchedKey[], shift: number | null): Blocks | null {
  for (let wider = shift === null ? SHIFT_MIN : shift + 1; wider <= SHIFT_MAX; wider++) {
    const by = BigInt(wider - (shift ?? 0));
    const epochs = new Map<string, number>();
    for (const { key, epoch } of entries) {
      const block = (BigInt(key[0] as string) >> by).toString();
      epochs.set(block, Math.max(epochs.get(block) ?? 0, epoch));
    }
    if (epochs.size * SHRINK <= entries.length) return { shift: wider, epochs };
  }
  return null;
}

/** Ranges that cover the blocks, in order, nearest blocks joined until there are few enough. */
export function rangesOf(blocks: readonly bigint[], shift: number, max: number = RANGES_MAX): KeyRange[] {
  const sorted = [...blocks].sort((left, right) => (left < right ? -1 : left > right ? 1 : 0));
  for (let gap = 1n; ; gap *= 2n) {
    const joined: { first: bigint; last: bigint }[] = [];
    for (const block of sorted) {
      const previous = joined.at(-1);
      if (previous !== undefined && block - previous.last <= gap) previous.last = block;
      else joined.push({ first: block, last: block });
    }
    if (joined.length > max) continue;
    const width = BigInt(shift);
    return joined.map(({ first, last }) => ({ from: [(first << width).toString()], to: [((last + 1n) << width).toString()] }));
  }
}
