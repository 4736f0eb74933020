import type { Position, RawRecord, RecordHeaders, SourceBatch, SourceRecord, StreamPartition } from '../domain/change.ts';
import type { DeadLetter, DeadLetterPlace } from '../domain/dead-letter.ts';
import type { Drift, DriftEvent, DriftKind, FoundBy } from '../domain/drift.ts';
import type { Pair, Side } from '../domain/pair.ts';
import type { KeyId, Row, RowKey } from '../domain/row.ts';
import type { SlotWalStatus } from '../domain/source-situation.ts';
import type { Pressure } from '../domain/sweep-pause.ts';
import type { DigestPath, SweepKind, SweepTableProgress, SweepStatus } from '../domain/status.ts';

/** A row as one read found it. */
export interface RowRead {
  readonly row: Row;
  /** 64 bits that are the same in two reads of one database only where the row is; absent where they were not asked for. */
  readonly mark?: string | null;
  /** Commit time of the row's present version on its database's clock, µs; null where that is not recorded. */
  readonly committedAtUs: bigint | null;
}

/** What a batched read by key found; a key that is absent from `rows` has no row. */
export interface RowsRead {
  readonly rows: ReadonlyMap<KeyId, RowRead>;
  /** The database's clock just before the read took its snapshot, µs since 1970. */
  readonly readAtUs: bigint;
  /** Characters of the values that were read. */
  readonly chars: number;
}

/**
 * A half-open range of keys, `from` ≤ key < `to`; null is open. A bound with fewer values than the key has stands
 * before all keys that begin so.
 */
export interface KeyRange {
  readonly from: RowKey | null;
  readonly to: RowKey | null;
}

/** What a chunk's rows come to on one side. */
export interface Digest {
  readonly rows: bigint;
  /** Sum of the rows' 64-bit digests, as exact decimal text. */
  readonly sum: string;
}

/** Some of the buckets that `bucketDigests` parts a range into. */
export interface BucketChoice {
  readonly buckets: number;
  readonly chosen: readonly number[];
}

/** Row hash, as 16 hexadecimal digits → how many rows of a bag have it; a hash that is absent has none. */
export type RowHashCounts = ReadonlyMap<string, bigint>;

export interface RowDigest {
  readonly key: RowKey;
  readonly digest: string;
}

/** What the rows of a small range come to on one side. */
export interface PartDigest {
  readonly rows: number;
  /** Sum of the rows' 64-bit digests, as exact decimal text. */
  readonly sum: string;
}

/** A range's digest with some rows apart. */
export interface ApartDigest {
  /** Of the range's other rows. */
  readonly rest: Digest;
  /** Row digests of those that are apart, by `keyId`; a key that is absent has no row in the range. */
  readonly apart: ReadonlyMap<KeyId, string>;
}

export interface ClockSample {
  /** The database's clock, µs since 1970. */
  readonly databaseUs: bigint;
  /** Our clock just before asking and just after the answer, µs since 1970. */
  readonly sentUs: bigint;
  readonly receivedUs: bigint;
}

export interface ReplicationSlot {
  readonly name: string;
  readonly plugin: string;
  readonly active: boolean;
  readonly confirmedFlushLsn: bigint | null;
  /** What the slot's reader says it has received (`pg_stat_replication.write_lsn`); null where nobody reads or we may not see it. */
  readonly receivedLsn: bigint | null;
  /** The walsender's pid (`active_pid`): another one means that the reader began anew. */
  readonly readerPid: number | null;
  /** How much of the log that it needs the server still has; null: the server does not say. */
  readonly walStatus: SlotWalStatus;
  /** The oldest position that the server keeps log for; null: it keeps none. */
  readonly restartLsn: bigint | null;
  /** Bytes that may be written before the slot is in danger of being lost (`safe_wal_size`); null: there is no limit. */
  readonly safeWalBytes: bigint | null;
}

/** The primary's log position and who has read how far. */
export interface LogProgress {
  /** The database's clock before the position was taken, µs since 1970. */
  readonly clockUs: bigint;
  readonly insertLsn: bigint;
  /** Logical slots of this database. */
  readonly slots: readonly ReplicationSlot[];
  /** Most log that a slot may hold back (`max_slot_wal_keep_size`), bytes; null: no limit. */
  readonly slotWalLimitBytes: bigint | null;
}

/** What verification asks of a database. All reads are in canonical form and read-only. */
export interface Database {
  readonly side: Side;
  /**
   * Reads rows by key, at most `maxKeysPerRead` at a time.
   * @param marked whether rows carry their marks, where this database can tell them
   */
  readRows(pair: Pair, keys: readonly RowKey[], signal: AbortSignal, marked?: boolean): Promise<RowsRead>;
  /** Marks of these keys' rows, as many as can be read; null where this database cannot tell them. A key that is absent has no row. */
  readMarks(pair: Pair, keys: readonly RowKey[], signal: AbortSignal): Promise<ReadonlyMap<KeyId, string> | null>;
  readonly maxKeysPerRead: number;
  clock(signal: AbortSignal): Promise<ClockSample>;
  logProgress(signal: AbortSignal): Promise<LogProgress>;
  /** How the database is doing: cheap enough to be asked every second. */
  pressure(signal: AbortSignal): Promise<Pressure>;
  /** Slot names of this database's subscriptions (native logical replication into it). */
  subscriptionSlots(signal: AbortSignal): Promise<readonly string[]>;
  estimateRows(pair: Pair, signal: AbortSignal): Promise<bigint>;
  /** Keys, or beginnings of keys, after `after` that part the table into ranges of about as many rows, in order; none where nothing is known. */
  splitKeys(pair: Pair, after: RowKey | null, signal: AbortSignal): Promise<readonly RowKey[]>;
  /** Whether rows are known to lie in the table in another order than their keys. */
  keysAreScattered(pair: Pair, signal: AbortSignal): Promise<boolean>;
  /** What the fast path's hash functions make of fixed values; null where the server lacks one. Equal on both sides: their digests can be compared. */
  hashFingerprint(signal: AbortSignal): Promise<string | null>;
  digest(pair: Pair, range: KeyRange, path: DigestPath, signal: AbortSignal): Promise<Digest>;
  /** Digests of a range by a hash of the keys, the same on both sides: one for each of `buckets`, the empty ones absent. */
  bucketDigests(pair: Pair, range: KeyRange, buckets: number, path: DigestPath, signal: AbortSignal): Promise<ReadonlyMap<number, Digest>>;
  /** The key that stands `rows` rows after `range.from` within the range, and none if it has no more than that. */
  keyAfter(pair: Pair, range: KeyRange, rows: number, signal: AbortSignal): Promise<RowKey | null>;
  /** A range's digest with the rows of these keys apart, some thousands at most; all of one moment. */
  digestApart(pair: Pair, range: KeyRange, keys: readonly RowKey[], path: DigestPath, signal: AbortSignal): Promise<ApartDigest>;
  /** Row digests of these keys' rows by `keyId`, some thousands at most; a key that is absent has no row. @param range where only rows within it count */
  keyDigests(pair: Pair, keys: readonly RowKey[], path: DigestPath, signal: AbortSignal, range?: KeyRange): Promise<ReadonlyMap<KeyId, string>>;
  /** Digests of a bag by a hash of the rows, the same on both sides: one for each of `buckets`, the empty ones absent. @param buckets a power of 2 */
  bagDigests(pair: Pair, buckets: number, signal: AbortSignal): Promise<ReadonlyMap<number, Digest>>;
  /** Distinct rows of some of a bag's buckets, at most `limit` of them. */
  bagHashes(pair: Pair, choice: BucketChoice, limit: number, signal: AbortSignal): Promise<RowHashCounts>;
  /** What changes when the table is altered, truncated or rewritten. */
  shape(pair: Pair, signal: AbortSignal): Promise<string>;
  /** Whether an index finds the rows of many small ranges, so that reading them costs little more than their rows do. */
  findsRanges(pair: Pair, signal: AbortSignal): Promise<boolean>;
  /** Keys within a range that part it into so many rows each, in key order; cheap where `findsRanges`. */
  keysEvery(pair: Pair, range: KeyRange, rows: number, signal: AbortSignal): Promise<readonly RowKey[]>;
  /** Digests of some thousands of ranges, in their order; cheap where `findsRanges`. */
  rangeDigests(pair: Pair, ranges: readonly KeyRange[], path: DigestPath, signal: AbortSignal): Promise<readonly PartDigest[]>;
  /** Keys and row digests of ranges, at most about `limit`; cheap where `findsRanges`. */
  rangeRowDigests(pair: Pair, ranges: readonly KeyRange[], limit: number, path: DigestPath, signal: AbortSignal): Promise<readonly RowDigest[]>;
  /** Keys and row digests of a range, in key order, at most `limit`; of some of its buckets alone where they are given. */
  rowDigests(pair: Pair, range: KeyRange, limit: number, path: DigestPath, signal: AbortSignal, only?: BucketChoice): Promise<readonly RowDigest[]>;
}

/** Who receives the change stream. */
export interface SourceListener {
  /** Where to go on in each partition; a partition that is absent starts at its beginning. */
  resumeFrom(partitions: readonly StreamPartition[]): ReadonlyMap<string, string>;
  /** Offsets of `partition` before `lowOffset` are gone, though `expectedOffset` was next. */
  onGap(partition: StreamPartition, expectedOffset: string, lowOffset: string): void;
  /** Resolves when the batch is accepted; until then no more of that partition is delivered. */
  onBatch(batch: SourceBatch): Promise<void>;
  onAssigned(partitions: readonly StreamPartition[]): void;
  onRevoked(partitions: readonly StreamPartition[]): void;
}

/** Partitions that carry the changes of a pair's side; empty while that is not known. */
export type PartitionsOf = (pair: Pair, side: Side) => readonly StreamPartition[];

/** Where changes come from. */
export interface ChangeSource {
  /** Runs until the signal aborts; rejects when it cannot go on. */
  run(listener: SourceListener, signal: AbortSignal): Promise<void>;
  /** Tells the source that everything before these offsets is accounted for in the state store. */
  acknowledge(offsets: ReadonlyMap<string, string>): Promise<void>;
  readonly partitionsOf: PartitionsOf;
  /** Slot on the primary that feeds the stream, where the source knows it. */
  readonly slotName: string | null;
}

/** How far the stream reaches and how far the pipeline has applied it, by `partitionId`. */
export interface PipelineOffsets {
  /** The offset after the newest record of each partition. */
  endOffsets(signal: AbortSignal): Promise<ReadonlyMap<string, bigint>>;
  /** The offset before which the sink has applied everything; partitions without a known sink are absent. */
  appliedOffsets(signal: AbortSignal): Promise<ReadonlyMap<string, bigint>>;
  /** Members of the sink's consumer group when it was last asked for what it applied; null: nothing is known of one. */
  readonly sinkMembers: number | null;
  /** Ends of the connectors' heartbeat topics, by topic; empty where there are none. */
  heartbeatEnds(signal: AbortSignal): Promise<ReadonlyMap<string, bigint>>;
}

/** One earlier or newest version of a pending key that the replica has not shown yet. */
export interface StoredVersion {
  readonly committedAtUs: bigint;
  readonly lsn: bigint | null;
  /** xxh64 of the image as 16 hexadecimal digits; null for a deleted row. */
  readonly hash: string | null;
  /** Positions of columns that the image does not know. */
  readonly unknownColumns: readonly number[];
  readonly position: Position;
}

/** A pending check as the state store keeps it. No row values but the key's. */
export interface StoredCheck {
  readonly table: string;
  readonly key: RowKey;
  readonly origin: 'stream' | 'sweep' | 'api';
  readonly firstSeenMs: number;
  /** Unsettled versions, oldest first; empty for a check that no event began. */
  readonly versions: readonly StoredVersion[];
  readonly attempts: number;
  /** Commit time of a change that was decoded late and that this check accounts for, µs; null: none. */
  readonly holdsUs: bigint | null;
}

export interface StoredPartition {
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: string;
  /** Commit time through which the partition is consumed, µs; null before there is one. */
  readonly watermarkUs: bigint | null;
  readonly snapshotInProgress: boolean;
}

export interface StoredTable {
  readonly table: string;
  /** Start (primary's clock, µs) of the last sweep whose findings are all settled; the base of verified-through. */
  readonly provenSinceUs: bigint | null;
  /** A sweep must begin after this (primary's clock, µs) before verified-through moves again; null when nothing is owed. */
  readonly sweepOwedSinceUs: bigint | null;
  readonly verifiedThroughUs: bigint | null;
  readonly lastCleanSweepMs: number | null;
  readonly lastSweepEndedMs: number | null;
  readonly lastCleanIncrementalMs: number | null;
  readonly lastIncrementalEndedMs: number | null;
  readonly oldRows: bigint | null;
  readonly newRows: bigint | null;
}

/** A touched key, or block of keys, and when it was last touched: sweeps begin epochs. */
export interface StoredTouchedKey {
  readonly key: RowKey;
  readonly epoch: number;
}

/** What is known of a table's touched keys; in a checkpoint, `keys` are those that are new or touched again. */
export interface StoredTouched {
  readonly table: string;
  readonly epoch: number;
  readonly needsFull: string | null;
  readonly lostEpoch: number;
  readonly tracking: boolean;
  readonly shift: number | null;
  readonly comparison: string;
  readonly shape: string | null;
  readonly keys: readonly StoredTouchedKey[];
  /** `keys` replaces all that is stored. */
  readonly rewritten?: boolean;
  /** What is stored from before this epoch is dropped; null: nothing. */
  readonly prunedBelow?: number | null;
}

export interface StoredDeadLetter {
  readonly table: string | null;
  readonly position: Position;
  readonly reason: string;
  readonly message: string;
  readonly rawKey: Buffer | null;
  readonly rawValue: Buffer | null;
  readonly rawHeaders: RecordHeaders;
  readonly timestampMs: number | null;
  /** Whether key, value and headers are all of the record: it can be decoded again without its topic. */
  readonly rawWhole: boolean;
  /** The primary's clock when it was consumed, µs: a sweep begun after it accounts for its row. */
  readonly gapUs: bigint;
  readonly atMs: number;
}

/** A dead letter with what is kept of its record. */
export interface KeptLetter {
  readonly letter: DeadLetter;
  /** Null where it is not kept whole. */
  readonly record: RawRecord | null;
  /** Null once a sweep has accounted for it, and where it was recorded before this was. */
  readonly gapUs: bigint | null;
}

/** Dead letters of a table that are settled: those from before `beforeMs`. */
export interface DischargedLetters {
  readonly table: string;
  readonly beforeMs: number;
}

/** A sweep that began at `beforeUs` (primary's clock) has compared the rows of all records consumed before. */
export interface CoveredGaps {
  readonly table: string;
  readonly beforeUs: bigint;
}

/** A dead letter whose record was decoded after all; the checkpoint's checks account for it. */
export interface RetriedLetter {
  readonly place: DeadLetterPlace;
  readonly atMs: number;
}

/** The dead letters of one table as the state store has them. */
export interface DeadLetterState {
  /** Not discharged. */
  readonly open: number;
  readonly oldest: DeadLetterPlace | null;
  /** Neither retried nor covered by a sweep. */
  readonly gaps: number;
  readonly newestGapUs: bigint | null;
}

/** All dead letters, by table, and the bytes that are kept of their records. */
export interface DeadLetterStates {
  readonly byTable: ReadonlyMap<string, DeadLetterState>;
  readonly keptBytes: number;
}

/** What came of decoding a record again. */
export type Redecoded =
  | { readonly kind: 'record'; readonly record: SourceRecord }
  /** The topic has it no more. */
  | { readonly kind: 'gone'; readonly message: string }
  /** This source cannot give a single record again. */
  | { readonly kind: 'not_retryable'; readonly message: string };

/** Decodes records that could not be decoded, as the configuration and the schemas are now. */
export interface RecordRetry {
  /**
   * @param kept the record where it is kept whole; else it is read again at `place`
   * Rejects with a LockstepError of `retry` where the brokers or a schema registry are out of reach.
   */
  decodeAgain(place: DeadLetterPlace, kept: RawRecord | null, signal: AbortSignal): Promise<Redecoded>;
}

/** Which dead letters to try again. */
export interface DeadLetterSelection {
  readonly table?: string;
  readonly topic?: string;
  readonly reason?: string;
}

/** Where dead letters are looked up for a retry. */
export interface DeadLetterShelf {
  /** Null when there is none at that place. */
  keptLetter(place: DeadLetterPlace): Promise<KeptLetter | null>;
  /** Open ones, the least tried and oldest first. */
  lettersToRetry(selection: DeadLetterSelection, limit: number): Promise<readonly DeadLetterPlace[]>;
  /** Notes that it could not be decoded again, and why. The letter as it is then. */
  noteAttempt(place: DeadLetterPlace, reason: string, message: string, atMs: number): Promise<DeadLetter | null>;
}

/** A drift to write, with its key's encoded form (unique among the open drift of a table). */
export interface DriftWrite {
  readonly drift: Drift;
  readonly keyValues: RowKey;
  readonly events: readonly DriftEvent[];
}

/** Everything one checkpoint accounts for; written in one transaction or not at all. */
export interface Checkpoint {
  readonly partitions: readonly StoredPartition[];
  readonly checks: readonly StoredCheck[];
  readonly settledChecks: readonly { readonly table: string; readonly key: RowKey }[];
  readonly drift: readonly DriftWrite[];
  readonly deadLetters: readonly StoredDeadLetter[];
  readonly discharged?: readonly DischargedLetters[];
  readonly covered?: readonly CoveredGaps[];
  readonly retried?: readonly RetriedLetter[];
  readonly touched?: readonly StoredTouched[];
  readonly tables: readonly StoredTable[];
}

/** What a start finds. */
export interface RestoredState {
  readonly partitions: readonly StoredPartition[];
  readonly checks: readonly StoredCheck[];
  readonly tables: readonly StoredTable[];
  /** Drift that is open or ignored, with encoded keys. */
  readonly drift: readonly { readonly drift: Drift; readonly keyValues: RowKey }[];
  readonly deadLetters: DeadLetterStates;
  /** The last dead letter of each table and partition, discharged or not. */
  readonly gapEnds: readonly StoredGapEnd[];
  readonly touched?: readonly StoredTouched[];
}

export interface StoredGapEnd {
  readonly table: string;
  readonly position: DeadLetterPlace;
  /** When it was consumed, on the primary's clock, µs. */
  readonly atUs: bigint;
}

export interface StoredSweepTable extends SweepTableProgress {
  /** The primary's clock when the table's sweep began, µs. */
  readonly startedAtUs: bigint;
  /** Go on from this key; null at the beginning. */
  readonly resumeFrom: RowKey | null;
  /** Suspects before `resumeFrom` whose recheck has not ended: to be suspected again. */
  readonly awaited: readonly RowKey[];
  /** The epoch of touched keys that began with it; null: none. */
  readonly touchedEpoch: number | null;
}

export interface StoredSweep {
  readonly id: string;
  readonly kind: SweepKind;
  readonly status: SweepStatus;
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
  readonly tables: readonly StoredSweepTable[];
}

/** Where verification keeps what must survive a restart. */
export interface VerifyStore {
  /** Takes the writing role: an earlier holder is fenced off from here on. */
  restore(): Promise<RestoredState>;
  /** Rejects with code `fenced` when another process has taken over. */
  write(checkpoint: Checkpoint): Promise<void>;
  saveSweep(sweep: StoredSweep): Promise<void>;
  unfinishedSweep(): Promise<StoredSweep | null>;
  deadLetterStates(): Promise<DeadLetterStates>;
  /** Drift ids are made by the caller: time-ordered, unique. */
}

/** A chunk that the writer lets another process compare. */
export interface OfferedChunk {
  /** Unique within the writer's epoch. */
  readonly seq: number;
  readonly table: string;
  readonly path: DigestPath;
  /** About how many it has. */
  readonly rows: number;
  /** It is parted into buckets at once. */
  readonly likelyDiffers: boolean;
  readonly range: KeyRange;
}

/** What comparing a chunk came to; its suspects are kept in pages beside it. */
export interface ChunkCounts {
  readonly equalRows: bigint;
  readonly oldRows: bigint;
  readonly newRows: bigint;
}

/** What the writer's board shows. */
export interface BoardLook {
  /** Other processes that live and help. */
  readonly helpers: number;
  /** Chunks that others have compared, oldest first. */
  readonly done: readonly (ChunkCounts & { readonly seq: number })[];
  /** Chunks that nobody is going to compare but the writer: refused, or their holder is gone. */
  readonly lost: number;
}

/** The writer's side of a shared sweep. Each call rejects with `fenced` when another process has taken over. */
export interface ChunkBoard {
  look(): Promise<BoardLook>;
  offer(chunk: OfferedChunk): Promise<void>;
  /** One page of a finished chunk's suspects; null behind the last. */
  suspects(seq: number, page: number): Promise<readonly RowKey[] | null>;
  remove(seq: number): Promise<void>;
  /** Takes back the oldest chunk that nobody holds, for the writer itself; null when all are held or done. */
  takeBack(): Promise<number | null>;
  /** Takes back all of them; their holders notice. */
  clear(): Promise<void>;
}

/** A chunk that this process may compare until its lease ends. */
export interface ChunkLease extends OfferedChunk {
  readonly epoch: string;
  readonly lease: number;
}

/** What tells a lease from every other of its migration. */
export function leaseId({ epoch, seq, lease }: Pick<ChunkLease, 'epoch' | 'seq' | 'lease'>): string {
  return `${epoch}/${seq}/${lease}`;
}

/** A helper's side of a shared sweep. What a lease that is lost would write is refused with `lease_lost`. */
export interface LeaseDesk {
  /** @param tables the tables that this process compares as the writer does. Suspects that an earlier holder left are dropped. */
  lease(tables: ReadonlyMap<string, string>, limit: number): Promise<readonly ChunkLease[]>;
  /** Says that this process lives and helps, prolongs its leases, and tells which it still holds, by `leaseId`. */
  renew(): Promise<ReadonlySet<string>>;
  writeSuspects(lease: ChunkLease, page: number, keys: readonly RowKey[]): Promise<void>;
  finish(lease: ChunkLease, counts: ChunkCounts): Promise<void>;
  /** @param refused whether this process could not compare it: then it is left to the writer */
  giveBack(lease: ChunkLease, refused: boolean): Promise<void>;
}

/** The time of this process. */
export interface Clock {
  nowMs(): number;
  /** µs since 1970. */
  nowUs(): bigint;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The closed set of what one check can come to. */
export type CheckVerdict = 'match' | 'mismatch' | 'inconclusive' | 'hot' | 'unverifiable';

/** What a row whose digests differ can turn out to be. */
export const SUSPECT_RESULTS = ['in_flight', 'equivalent', 'unverifiable', 'drift'] as const;
export type SuspectResult = (typeof SUSPECT_RESULTS)[number];

/** Counters that verification moves; gauges are taken from its status instead. */
export interface VerifyMetrics {
  changeEvent(table: string, side: Side, op: string): void;
  check(table: string, verdict: CheckVerdict): void;
  driftConfirmed(table: string, kind: DriftKind): void;
  driftResolved(table: string, kind: DriftKind): void;
  driftDetected(foundBy: FoundBy, seconds: number): void;
  /** A check was settled, or brought further, by the replica's own event. */
  pairedEvent(table: string): void;
  replicationLag(table: string, seconds: number): void;
  lagBudgetBreach(table: string): void;
  sweepRows(table: string, side: Side, rows: bigint): void;
  sweepChunk(table: string, result: 'equal' | 'differing'): void;
  /** So many suspects of a table's sweep that has ended came to this. */
  sweepSuspects(table: string, result: SuspectResult, rows: number): void;
  deadLetter(topic: string, reason: string): void;
}
