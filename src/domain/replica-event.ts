import type { Position } from './change.ts';
import { mayBeEarlier, type RowHash, type Version } from './recheck.ts';

/**
 * What a change event of the replica proves about the changes of the primary. It is a look at the row in the past: from
 * its commit on the replica the row was so, until the replica's next event of that key. Pure.
 */
export interface ReplicaEvent {
  readonly hash: RowHash;
  /** Whether its image knows all columns. */
  readonly isWhole: boolean;
  /** On the replica's clock, µs; null: it does not tell. */
  readonly committedAtUs: bigint | null;
  readonly lsn: bigint | null;
  readonly position: Position;
}

export type ReplicaEventVerdict =
  /** It is the newest change, applied. */
  | { readonly kind: 'match'; readonly version: Version }
  /** It is an older change, applied: everything up to it is settled, the rest is on its way. */
  | { readonly kind: 'older'; readonly version: Version; readonly remaining: readonly Version[] }
  /** It is from before these changes, or another write, or cannot be told from one. */
  | { readonly kind: 'unproven' };

/**
 * Judges the replica's newest event of a key against the unsettled versions of the key (oldest first).
 * @param base what the replica had before them; undefined where that is not known
 * @param notBeforeUs the earliest moment of the event's commit on the primary's clock: what the primary committed later it cannot show
 */
export function judgeReplicaEvent(versions: readonly Version[], base: RowHash | undefined, event: ReplicaEvent, notBeforeUs: bigint): ReplicaEventVerdict {
  const { committedAtUs, isWhole } = event;
  if (!isWhole || committedAtUs === null) return UNPROVEN;
  const isShown = ({ hash, unknownColumns }: Version): boolean => unknownColumns.length === 0 && hash === event.hash;
  // Native logical replication hands the primary's commit time on: it names the change.
  const named = versions.findLastIndex((version) => version.committedAtUs === committedAtUs && isShown(version));
  if (named >= 0) return shown(versions, named);
  const later = versions.findIndex((version) => version.committedAtUs > notBeforeUs);
  const possible = later < 0 ? versions : versions.slice(0, later);
  const index = possible.findLastIndex(isShown);
  if (index < 0 || mayBeEarlier(possible, index, base)) return UNPROVEN;
  return shown(versions, index);
}

const UNPROVEN: ReplicaEventVerdict = { kind: 'unproven' };

function shown(versions: readonly Version[], index: number): ReplicaEventVerdict {
  const version = versions[index] as Version;
  return index === versions.length - 1 ? { kind: 'match', version } : { kind: 'older', version, remaining: versions.slice(index + 1) };
}

/** Whether `candidate` was made after `known`, an event of the same key: a connector that begins again repeats some. */
export function isLaterEvent(candidate: ReplicaEvent, known: ReplicaEvent): boolean {
  if (candidate.lsn !== null && known.lsn !== null && candidate.lsn > known.lsn) return true;
  if (candidate.committedAtUs === null || known.committedAtUs === null) return true;
  if (candidate.committedAtUs > known.committedAtUs) return true;
  return candidate.lsn === null && known.lsn === null && candidate.committedAtUs === known.committedAtUs;
}
