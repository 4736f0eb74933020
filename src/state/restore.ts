import type { PoolClient } from 'pg';
import type { Position } from '../domain/change.ts';
import type { Drift } from '../domain/drift.ts';
import type { RestoredState, StoredCheck, StoredPartition, StoredTable, StoredVersion } from '../verify/ports.ts';
import { DRIFT_COLUMNS, driftFromRow } from './drift.ts';
import type { DriftRow } from './drift.ts';
import { bigintOrNull, keyFromStore, msOrNull } from './encoding.ts';

interface VersionJson {
  readonly committedAtUs: string;
  readonly lsn: string | null;
  readonly hash: string | null;
  readonly unknownColumns: readonly number[];
  readonly position: Omit<Position, 'lsn'> & { readonly lsn: string | null };
}

function versionFromStore(version: VersionJson): StoredVersion {
  return {
    committedAtUs: BigInt(version.committedAtUs),
    lsn: bigintOrNull(version.lsn),
    hash: version.hash,
    unknownColumns: version.unknownColumns,
    position: { ...version.position, lsn: bigintOrNull(version.position.lsn) },
  };
}

/** Reads everything that a start needs, within the transaction that `client` has open. */
export async function readState(client: PoolClient, migration: string): Promise<RestoredState> {
  return {
    partitions: await readPartitions(client, migration),
    checks: await readChecks(client, migration),
    tables: await readTables(client, migration),
    drift: await readUnresolvedDrift(client, migration),
    deadLetters: await readDeadLetterCounts(client, migration),
  };
}

async function readPartitions(client: PoolClient, migration: string): Promise<readonly StoredPartition[]> {
  const { rows } = await client.query<{
    topic: string;
    partition: number;
    next_offset: string;
    watermark_us: string | null;
    snapshot_in_progress: boolean;
  }>(
    `SELECT topic, partition, next_offset, watermark_us, snapshot_in_progress
     FROM lockstep.partitions WHERE migration = $1 ORDER BY topic, partition`,
    [migration],
  );
  return rows.map((row) => ({
    topic: row.topic,
    partition: row.partition,
    nextOffset: row.next_offset,
    watermarkUs: bigintOrNull(row.watermark_us),
    snapshotInProgress: row.snapshot_in_progress,
  }));
}

async function readChecks(client: PoolClient, migration: string): Promise<readonly StoredCheck[]> {
  const { rows } = await client.query<{
    table_name: string;
    key_values: string[];
    origin: StoredCheck['origin'];
    first_seen_ms: string;
    versions: VersionJson[];
    attempts: number;
  }>(
    `SELECT table_name, key_values, origin, first_seen_ms, versions, attempts
     FROM lockstep.checks WHERE migration = $1 ORDER BY first_seen_ms, table_name, key_hash`,
    [migration],
  );
  return rows.map((row) => ({
    table: row.table_name,
    key: keyFromStore(row.key_values),
    origin: row.origin,
    firstSeenMs: Number(row.first_seen_ms),
    versions: row.versions.map(versionFromStore),
    attempts: row.attempts,
  }));
}

async function readTables(client: PoolClient, migration: string): Promise<readonly StoredTable[]> {
  const { rows } = await client.query<{
    table_name: string;
    proven_since_us: string | null;
    sweep_owed_since_us: string | null;
    verified_through_us: string | null;
    last_clean_sweep_ms: string | null;
    last_sweep_ended_ms: string | null;
    old_rows: string | null;
    new_rows: string | null;
  }>(
    `SELECT table_name, proven_since_us, sweep_owed_since_us, verified_through_us, last_clean_sweep_ms,
       last_sweep_ended_ms, old_rows, new_rows
     FROM lockstep.tables WHERE migration = $1 ORDER BY table_name`,
    [migration],
  );
  return rows.map((row) => ({
    table: row.table_name,
    provenSinceUs: bigintOrNull(row.proven_since_us),
    sweepOwedSinceUs: bigintOrNull(row.sweep_owed_since_us),
    verifiedThroughUs: bigintOrNull(row.verified_through_us),
    lastCleanSweepMs: msOrNull(row.last_clean_sweep_ms),
    lastSweepEndedMs: msOrNull(row.last_sweep_ended_ms),
    oldRows: bigintOrNull(row.old_rows),
    newRows: bigintOrNull(row.new_rows),
  }));
}

async function readUnresolvedDrift(client: PoolClient, migration: string): Promise<RestoredState['drift']> {
  const { rows } = await client.query<DriftRow & { key_values: string[] }>(
    `SELECT ${DRIFT_COLUMNS}, key_values FROM lockstep.drift
     WHERE migration = $1 AND status IN ('open', 'ignored') ORDER BY confirmed_ms, id`,
    [migration],
  );
  return rows.map((row): { drift: Drift; keyValues: readonly string[] } => ({
    drift: driftFromRow(row),
    keyValues: keyFromStore(row.key_values),
  }));
}

async function readDeadLetterCounts(client: PoolClient, migration: string): Promise<ReadonlyMap<string, number>> {
  const { rows } = await client.query<{ table_name: string; letters: string }>(
    `SELECT table_name, count(*) AS letters FROM lockstep.dead_letters
     WHERE migration = $1 AND discharged_ms IS NULL AND table_name IS NOT NULL GROUP BY table_name`,
    [migration],
  );
  return new Map(rows.map((row) => [row.table_name, Number(row.letters)]));
}
