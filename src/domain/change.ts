import type { Pair, Side } from './pair.ts';
import type { RowImage, RowKey } from './row.ts';

/** One ordered piece of the change stream: a Kafka topic partition, or a replication slot. */
export interface StreamPartition {
  /** The Kafka topic; `postgres:<slot>` for logical replication. */
  readonly topic: string;
  readonly partition: number;
}

/** Where a record stands in the stream. */
export interface Position {
  readonly topic: string;
  readonly partition: number;
  /** The Kafka offset; for logical replication the WAL position, both as decimal text. */
  readonly offset: string;
  /** WAL position of the change on its database. */
  readonly lsn: bigint | null;
  readonly txId: string | null;
}

/** How a row change relates to a connector's snapshot. */
export type SnapshotMark = 'none' | 'initial' | 'initial_last' | 'incremental';

/** Hashes of a change's rows, as `hashImage` makes them. */
export interface RowHashes {
  readonly image: bigint | null;
  /** Positions of the columns that the image does not know. */
  readonly unknownColumns: readonly number[];
  /** Null where there is no row before that can be trusted. */
  readonly before: bigint | null;
  /** Whether it knows all columns. */
  readonly isBeforeWhole: boolean;
}

/** One decoded change of one row. */
export interface RowChange {
  readonly type: 'row';
  readonly pair: Pair;
  readonly side: Side;
  readonly op: 'create' | 'update' | 'delete' | 'snapshot';
  readonly key: RowKey;
  /** The row after the change; null when deleted. */
  readonly image: RowImage | null;
  /** The row before the change, only where the event can be trusted about it. */
  readonly before: RowImage | null;
  /** Commit time on the clock of the database that made it, µs since 1970. */
  readonly committedAtUs: bigint;
  /** `upper_bound`: the event does not tell, and the change was made some time before; exact where absent. */
  readonly commitTime?: 'upper_bound';
  readonly snapshot: SnapshotMark;
  readonly position: Position;
  /** Where the source has made them already; its rows are then made only when they are asked for, which costs more. */
  readonly hashes?: RowHashes;
}

/** All rows of a table removed at once. */
export interface TableTruncated {
  readonly type: 'truncate';
  readonly pair: Pair;
  readonly side: Side;
  readonly committedAtUs: bigint;
  readonly position: Position;
}

/** A record that says nothing about rows. */
export interface NoChange {
  readonly type: 'none';
  readonly reason: 'tombstone' | 'heartbeat' | 'transaction' | 'schema_change' | 'message' | 'unmapped';
  readonly position: Position;
}

/** A record that could not be understood: it goes to the dead letters. */
export interface Undecodable {
  readonly type: 'undecodable';
  /** The pair it would have belonged to. */
  readonly pair: Pair;
  /** Stable, e.g. `not_json`, `no_key`, `bad_value`, `unknown_shape`, `registry_unreachable`. */
  readonly reason: string;
  /** What is wrong and where, without row values. */
  readonly message: string;
  readonly position: Position;
  /** Raw bytes for a later retry, cut at the dead-letter limit. */
  readonly rawKey: Buffer | null;
  readonly rawValue: Buffer | null;
  /** The record as it was consumed, uncut, where its source can say; for the moment of delivery only. */
  readonly record?: RawRecord;
}

/** A record as it stands in its topic. */
export interface RawRecord extends StreamPartition {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: RecordHeaders;
  /** The record's own time, ms since 1970; null where it has none. */
  readonly timestampMs: number | null;
}

/** Names and values of a record's headers, in order; a name may come twice. */
export type RecordHeaders = readonly (readonly [name: string, value: Buffer | null])[];

export type SourceRecord = RowChange | TableTruncated | NoChange | Undecodable;

/** Consecutive records of one partition. */
export interface SourceBatch {
  readonly partition: StreamPartition;
  readonly records: readonly SourceRecord[];
  /** Where to go on after this batch. */
  readonly nextOffset: string;
  /** The offset after the newest record known to be in the partition; null where the source has no such notion. */
  readonly endOffset: string | null;
  /**
   * Only sources with one totally ordered stream say this: every change with a
   * WAL position up to here has been delivered.
   */
  readonly completeThroughLsn: bigint | null;
}

/** `topic/partition` as one string. */
export function partitionId(partition: StreamPartition): string {
  return `${partition.topic}/${partition.partition}`;
}
