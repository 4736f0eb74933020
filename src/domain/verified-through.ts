/** What keeps a table's verified-through where it is, though the stream goes on. */
export type Hold = 'snapshot' | 'not_swept' | 'sweep_owed' | 'undecoded' | 'stream_unknown';

export interface VerifiedThroughFacts {
  /** The connector's initial snapshot is in progress. */
  readonly snapshotInProgress: boolean;
  /** A sweep has ended, all it found settled. */
  readonly swept: boolean;
  /** Something was missed that only a sweep can prove harmless. */
  readonly sweepOwed: boolean;
  /** Records could not be decoded, and nothing accounts for their rows. */
  readonly hasGaps: boolean;
  /** Commit time before which the table's changes are consumed, µs; null: unknown. */
  readonly consumedThroughUs: bigint | null;
  /** Commit time of the oldest unsettled change, µs; null: none. */
  readonly oldestUnsettledUs: bigint | null;
}

export type VerifiedThrough =
  | { readonly kind: 'held'; readonly by: Hold }
  /** Proven through this commit time; `by` says what ends it there. */
  | { readonly kind: 'through'; readonly throughUs: bigint; readonly by: 'consumed' | 'unsettled' };

/** How far a table's changes are proven; the table of docs/SPEC.md. */
export function judgeVerifiedThrough(facts: VerifiedThroughFacts): VerifiedThrough {
  const { consumedThroughUs, oldestUnsettledUs } = facts;
  if (facts.snapshotInProgress) return { kind: 'held', by: 'snapshot' };
  if (!facts.swept) return { kind: 'held', by: 'not_swept' };
  if (facts.sweepOwed) return { kind: 'held', by: 'sweep_owed' };
  if (facts.hasGaps) return { kind: 'held', by: 'undecoded' };
  if (consumedThroughUs === null) return { kind: 'held', by: 'stream_unknown' };
  if (oldestUnsettledUs !== null && oldestUnsettledUs < consumedThroughUs) return { kind: 'through', throughUs: oldestUnsettledUs, by: 'unsettled' };
  return { kind: 'through', throughUs: consumedThroughUs, by: 'consumed' };
}
