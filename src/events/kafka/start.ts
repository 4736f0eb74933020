/** Offsets that a partition still has: the first, and the one after the last. */
export interface PartitionBounds {
  readonly low: bigint;
  readonly high: bigint;
}

export interface Start {
  readonly offset: bigint;
  /** Whether records between the offset that was due and `offset` are lost. */
  readonly gap: boolean;
}

/**
 * Where to read a partition from. `due` is the offset that comes next; null where
 * nothing was ever read. A due offset before the first means that retention was
 * faster than we; one after the end, that the topic was made anew or lost its tail.
 */
export function planStart(due: bigint | null, bounds: PartitionBounds): Start {
  if (due === null) return { offset: bounds.low, gap: false };
  if (due < bounds.low || due > bounds.high) return { offset: bounds.low, gap: true };
  return { offset: due, gap: false };
}
