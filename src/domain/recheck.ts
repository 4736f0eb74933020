import type { Position, RowChange } from './change.ts';
import type { DriftKind } from './drift.ts';
import { encodeValues, isComplete, type Row, type RowImage } from './row.ts';

/**
 * The rules of the recheck: when a mismatch is in flight, when it is hot, when it
 * is drift. Pure; reads, clocks and queues belong to the caller. All times are µs
 * on the primary's clock.
 */

/** 64-bit hash of a row in canonical form, or null where there is no row. */
export type RowHash = bigint | null;

/** xxh64 of an encoded row. */
export type Hasher = (encoded: string) => bigint;

/** One known change of a key that the replica has not shown yet. */
export interface Version {
  readonly committedAtUs: bigint;
  readonly lsn: bigint | null;
  readonly hash: RowHash;
  /** Columns that the event's image does not know; empty for most. */
  readonly unknownColumns: readonly number[];
  readonly position: Position;
}

/** A difference that no event explains yet: the primary's row, unchanged since. */
export interface Suspicion {
  /** The primary's row hash; undefined until the first confirm read. */
  readonly primaryHash: RowHash | undefined;
  /** By when the primary had that hash, and the replica was read without it. */
  readonly sinceUs: bigint;
}

/**
 * How many unsettled versions of one key are kept apart: ten changes a second through a pipeline
 * with 50 s of lag. Past that every second one of the older half is forgotten: the oldest still
 * says how far verified-through may go, and the replica is still recognised on its way.
 */
export const VERSIONS_MAX = 512;

/** Hash of a row or image; an unknown column hashes as unknown. */
export function hashImage(hasher: Hasher, image: RowImage | null): RowHash {
  return image === null ? null : hasher(encodeValues(image));
}

/** Hash of a change's image, made with its decoding or now. */
export function changeHash(hasher: Hasher, change: RowChange): RowHash {
  return change.hashes === undefined ? hashImage(hasher, change.image) : change.hashes.image;
}

/** Positions of the columns that a change's image does not know. */
export function changeUnknowns(change: RowChange): readonly number[] {
  return change.hashes?.unknownColumns ?? unknownColumnsOf(change.image);
}

/** Hash of the row before a change; undefined where that is not wholly known. */
export function hashBefore(hasher: Hasher, change: RowChange): bigint | undefined {
  if (change.hashes !== undefined) return change.hashes.isBeforeWhole ? (change.hashes.before ?? undefined) : undefined;
  const { before } = change;
  return before !== null && isComplete(before) ? (hashImage(hasher, before) ?? undefined) : undefined;
}

/** A row hash as reports and the state store have it: 16 hexadecimal digits. */
export function hashText(hash: RowHash): string | null {
  return hash === null ? null : hash.toString(16).padStart(16, '0');
}

/** Positions of the columns that `image` does not know. */
export function unknownColumnsOf(image: RowImage | null): readonly number[] {
  if (image === null) return [];
  const unknown: number[] = [];
  for (let index = 0; index < image.length; index++) if (image[index] === undefined) unknown.push(index);
  return unknown;
}

/** Whether `row` (null: no row) shows `version`, as far as its image knows. */
export function shows(hasher: Hasher, row: Row | null, rowHash: RowHash, version: Version): boolean {
  if (version.hash === null || row === null) return version.hash === null && row === null;
  if (version.unknownColumns.length === 0) return rowHash === version.hash;
  const unknown = new Set(version.unknownColumns);
  const known = row.map((value, index) => (unknown.has(index) ? undefined : value));
  return hashImage(hasher, known) === version.hash;
}

/**
 * Whether `candidate` is a newer change of the same key than `known`. Row locks order
 * a key's changes both by log position and by commit time; a log position alone would
 * take the first changes after a fail-over for repetitions.
 */
export function isNewer(candidate: Version, known: Version): boolean {
  if (candidate.lsn !== null && known.lsn !== null && candidate.lsn > known.lsn) return true;
  if (candidate.committedAtUs > known.committedAtUs) return true;
  return candidate.lsn === null && known.lsn === null && candidate.committedAtUs === known.committedAtUs;
}

/**
 * `versions` with `version` added if it is newer than all of them. A repetition further on in the
 * stream adds nothing, but the pipeline goes through it: only past it is the newest applied for good.
 */
export function addVersion(versions: readonly Version[], version: Version): readonly Version[] {
  const newest = versions.at(-1);
  if (newest !== undefined && !isNewer(version, newest)) {
    if (!isFurtherOn(version.position, newest.position)) return versions;
    return [...versions.slice(0, -1), { ...newest, position: { ...newest.position, offset: version.position.offset } }];
  }
  const added = [...versions, version];
  return added.length > VERSIONS_MAX ? added.filter((_, index) => index === 0 || index > VERSIONS_MAX / 2 || index % 2 === 1) : added;
}

function isFurtherOn(position: Position, than: Position): boolean {
  return position.topic === than.topic && position.partition === than.partition && BigInt(position.offset) > BigInt(than.offset);
}

/** What one read of the replica says about the known versions of a key. */
export type ReadVerdict =
  /** The newest change is there, whole. */
  | { readonly kind: 'match'; readonly version: Version }
  /** The newest change is there as far as its image knows; the rest needs the primary. */
  | { readonly kind: 'match_partly'; readonly version: Version }
  /** An older change is there: everything up to it is settled, the rest is on its way. */
  | { readonly kind: 'older'; readonly version: Version; readonly remaining: readonly Version[] }
  /** It looks like this change, but may as well be the same row before other changes that are still on their way. */
  | { readonly kind: 'returned'; readonly version: Version }
  | { readonly kind: 'differs' };

/**
 * Judges a read of the replica against the unsettled versions of its key (oldest first, at least one).
 * @param base what the replica had before them; undefined where that is not known
 * @param isApplied whether the replica must have been given a version before it was read
 * @param allKnown false: changes that nobody could decode may be on their way as well
 */
export function judgeRead(
  hasher: Hasher,
  versions: readonly Version[],
  base: RowHash | undefined,
  replica: Row | null,
  replicaHash: RowHash,
  isApplied: (version: Version) => boolean,
  allKnown = true,
): ReadVerdict {
  for (let index = versions.length - 1; index >= 0; index--) {
    const version = versions[index] as Version;
    if (!shows(hasher, replica, replicaHash, version)) continue;
    if (index < versions.length - 1 && version.unknownColumns.length > 0) continue;
    if ((!allKnown || mayBeEarlier(versions, index, base)) && !isApplied(version)) return { kind: 'returned', version };
    if (index < versions.length - 1) {
      return { kind: 'older', version, remaining: versions.slice(index + 1) };
    }
    return version.unknownColumns.length === 0 ? { kind: 'match', version } : { kind: 'match_partly', version };
  }
  return { kind: 'differs' };
}

/** Whether a row that shows the version at `index` may be one that other unsettled changes are still to make, and to undo. */
export function mayBeEarlier(versions: readonly Version[], index: number, base: RowHash | undefined): boolean {
  const { hash, unknownColumns } = versions[index] as Version;
  const first = versions.findIndex((version) => version.hash !== hash || version.unknownColumns.length > 0);
  if (first < 0 || first >= index) return false;
  if (base === undefined || base === hash || unknownColumns.length > 0) return true;
  return versions.slice(0, index - 1).some((version) => version.hash === hash || version.unknownColumns.length > 0);
}

/** What the confirm step read: primary, replica, primary again. */
export interface ConfirmReads {
  readonly primaryBefore: RowHash;
  readonly replica: RowHash;
  readonly primaryAfter: RowHash;
  readonly primaryRow: Row | null;
  readonly replicaRow: Row | null;
  /** When the second read of the primary began: what the first one saw was committed before. */
  readonly rereadAtUs: bigint;
}

/** What is known of the pipeline when the confirm step is judged. */
export interface ConfirmFacts {
  /** The newest version must have been applied before the replica was read. */
  readonly newestApplied: boolean;
  /** Commit time through which the stream had been consumed before the replica was read; null: unknown. */
  readonly consumedThroughUs: bigint | null;
  /** Whether the pair's filter may leave out rows of the primary that its events are about. */
  readonly primaryIsFiltered: boolean;
  /** A change of the key that told no commit time is not settled: what the primary has may be its row, so the stream lacks nothing. */
  readonly hasTimeless: boolean;
  /** Nothing can be in flight: no pipeline is known, and rows need no time to settle. What a sweep saw differ needs one confirm step. */
  readonly settlesAtOnce: boolean;
  /** Whether a change committed at this time must have been applied before the replica was read. */
  appliedThrough(committedAtUs: bigint): boolean;
  /** Whether the replica's row equals a version that came before. */
  isEarlierVersion(hash: bigint): boolean;
}

export type ConfirmVerdict =
  | { readonly kind: 'match' }
  | { readonly kind: 'hot' }
  | { readonly kind: 'inconclusive'; readonly suspicion: Suspicion | null }
  | { readonly kind: 'drift'; readonly driftKind: DriftKind };

/**
 * Judges the confirm step of a key.
 * @param versions unsettled versions known before the first read of the primary, oldest first; may be empty
 * @param suspicion what an earlier confirm step left behind
 */
export function judgeConfirm(
  hasher: Hasher,
  versions: readonly Version[],
  suspicion: Suspicion | null,
  reads: ConfirmReads,
  facts: ConfirmFacts,
): ConfirmVerdict {
  if (reads.primaryBefore !== reads.primaryAfter) return { kind: 'hot' };
  if (reads.primaryBefore === reads.replica) return { kind: 'match' };
  const newest = versions.at(-1);
  if (newest !== undefined && shows(hasher, reads.primaryRow, reads.primaryBefore, newest)) {
    if (facts.newestApplied) return { kind: 'drift', driftKind: differenceKind(reads, facts) };
    return { kind: 'inconclusive', suspicion };
  }
  const steady =
    suspicion !== null && suspicion.primaryHash === reads.primaryBefore
      ? suspicion
      : { primaryHash: reads.primaryBefore, sinceUs: reads.rereadAtUs };
  if (newest === undefined && facts.settlesAtOnce) return { kind: 'drift', driftKind: differenceKind(reads, facts) };
  if (steady !== suspicion) return { kind: 'inconclusive', suspicion: steady };
  if (newest !== undefined) {
    const consumed = facts.consumedThroughUs !== null && facts.consumedThroughUs > steady.sinceUs;
    if (!consumed || !facts.appliedThrough(steady.sinceUs)) return { kind: 'inconclusive', suspicion: steady };
    // A row that left the pair's filter is gone from it, whatever its event says.
    const isFiltered = facts.primaryIsFiltered && reads.primaryBefore === null;
    return { kind: 'drift', driftKind: isFiltered || facts.hasTimeless ? differenceKind(reads, facts) : 'stream_gap' };
  }
  return facts.appliedThrough(steady.sinceUs)
    ? { kind: 'drift', driftKind: differenceKind(reads, facts) }
    : { kind: 'inconclusive', suspicion: steady };
}

/** The kind of a proven difference, from which side has a row and what the replica's is. */
export function differenceKind(
  reads: Pick<ConfirmReads, 'primaryBefore' | 'replica'>,
  facts: Pick<ConfirmFacts, 'isEarlierVersion'>,
): DriftKind {
  if (reads.replica === null) return 'missing';
  if (reads.primaryBefore === null) return 'extra';
  return facts.isEarlierVersion(reads.replica) ? 'stale' : 'different';
}
