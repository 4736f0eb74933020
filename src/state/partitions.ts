import type { PoolClient } from 'pg';
import { partitionId, type StreamPartition } from '../domain/change.ts';

interface OwnerRow {
  readonly topic: string;
  readonly partition: number;
  readonly epoch: string;
}

/** Epoch by `partitionId`. */
export type PartitionEpochs = ReadonlyMap<string, string>;

/**
 * Takes partitions for a process within the transaction that `client` has open: from its commit on whoever had them
 * writes nothing of them. Waits for checkpoints that are being written.
 */
export async function takePartitions(client: PoolClient, migration: string, owner: string, partitions: readonly StreamPartition[]): Promise<PartitionEpochs> {
  if (partitions.length === 0) return new Map();
  // Locked in one order everywhere, so that two processes cannot wait for each other.
  const { rows } = await client.query<OwnerRow>(
    `INSERT INTO lockstep.partition_owners AS o (migration, topic, partition, epoch, owner)
     SELECT DISTINCT $1, t.topic, t.partition, 1, $4 FROM unnest($2::text[], $3::int[]) AS t (topic, partition) ORDER BY 2, 3
     ON CONFLICT (migration, topic, partition) DO UPDATE SET epoch = o.epoch + 1, owner = EXCLUDED.owner, taken_at = now()
     RETURNING topic, partition, epoch`,
    [migration, partitions.map(({ topic }) => topic), partitions.map(({ partition }) => partition), owner],
  );
  return new Map(rows.map((row) => [partitionId(row), row.epoch]));
}

/** Keeps partitions for this process until the transaction ends. @returns those that another process has taken since */
export async function holdPartitions(client: PoolClient, migration: string, held: PartitionEpochs, partitions: readonly StreamPartition[]): Promise<readonly string[]> {
  if (partitions.length === 0) return [];
  const { rows } = await client.query<OwnerRow>(
    `SELECT o.topic, o.partition, o.epoch FROM lockstep.partition_owners AS o
     JOIN unnest($2::text[], $3::int[]) AS t (topic, partition) ON o.topic = t.topic AND o.partition = t.partition
     WHERE o.migration = $1 ORDER BY o.topic, o.partition FOR SHARE OF o`,
    [migration, partitions.map(({ topic }) => topic), partitions.map(({ partition }) => partition)],
  );
  const epochs = new Map(rows.map((row) => [partitionId(row), row.epoch]));
  return partitions.map(partitionId).filter((id) => epochs.get(id) !== held.get(id));
}
