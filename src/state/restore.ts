import type { Pool, PoolClient } from 'pg';
import type { Position } from '../domain/change.ts';
import type { Drift } from '../domain/drift.ts';
import type { DeadLetterStates, RestoredState, StoredCheck, StoredGapEnd, StoredPartition, StoredTable, StoredVersion } from '../verify/ports.ts';
import { DRIFT_COLUMNS, driftFromRow } from './drift.ts';
import type { DriftRow } from './drift.ts';
import { readTouched } from './touched.ts';
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
    deadLetters: await readDeadLetterStates(client, migration),
    gapEnds: await readGapEnds(client, migration),
    touched: await readTouched(client, migration),
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
    holds_us: string | null;
  }>(
    `SELECT table_name, key_values, origin, first_seen_ms, versions, attempts, holds_us
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
    holdsUs: bigintOrNull(row.holds_us),
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
    last_clean_incremental_ms: string | null;
    last_incremental_ended_ms: string | null;
    old_rows: string | null;
    new_rows: string | null;
  }>(
    `SELECT table_name, proven_since_us, sweep_owed_since_us, verified_through_us, last_clean_sweep_ms,
       last_sweep_ended_ms, last_clean_incremental_ms, last_incremental_ended_ms, old_rows, new_rows
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
    lastCleanIncrementalMs: msOrNull(row.last_clean_incremental_ms),
    lastIncrementalEndedMs: msOrNull(row.last_incremental_ended_ms),
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

/** Counts and places of the dead letters that are open, or whose rows are unknown, and the bytes kept of records. */
export async function readDeadLetterStates(client: Pool | PoolClient, migration: string): Promise<DeadLetterStates> {
  const { rows } = await client.query<{ table_name: string | null; open: string; gaps: string; newest_gap_us: string | null; bytes: string }>(
    `SELECT table_name, count(*) FILTER (WHERE discharged_ms IS NULL) AS open, count(gap_us) AS gaps, max(gap_us) AS newest_gap_us,
       coalesce(sum(coalesce(octet_length(raw_key), 0) + coalesce(octet_length(raw_value), 0) + coalesce(octet_length(raw_headers), 0)), 0) AS bytes
     FROM lockstep.dead_letters WHERE migration = $1 AND (discharged_ms IS NULL OR gap_us IS NOT NULL) GROUP BY table_name`,
    [migration],
  );
  const { rows: oldest } = await client.query<{ table_name: string; topic: string; partition: number; record_offset: string }>(
    `SELECT l.* FROM unnest($2::text[]) AS t (table_name) CROSS JOIN LATERAL (
       SELECT d.table_name, topic, partition, record_offset FROM lockstep.dead_letters AS d
       WHERE migration = $1 AND discharged_ms IS NULL AND d.table_name = t.table_name
       ORDER BY at_ms, topic, partition, record_offset LIMIT 1) AS l`,
    [migration, rows.flatMap((row) => row.table_name ?? [])],
  );
  const places = new Map(oldest.map(({ table_name, topic, partition, record_offset }) => [table_name, { topic, partition, offset: record_offset }]));
  return {
    byTable: new Map(
      rows.flatMap((row) => {
        const { table_name: table, open, gaps, newest_gap_us } = row;
        if (table === null) return [];
        return [[table, { open: Number(open), oldest: places.get(table) ?? null, gaps: Number(gaps), newestGapUs: bigintOrNull(newest_gap_us) }] as const];
      }),
    ),
    keptBytes: rows.reduce((sum, { bytes }) => sum + Number(bytes), 0),
  };
}

async function readGapEnds(client: PoolClient, migration: string): Promise<readonly StoredGapEnd[]> {
  const { rows } = await client.query<{ table_name: string; topic: string; partition: number; record_offset: string; at_ms: string }>(
    `SELECT table_name, topic, partition, max(record_offset) AS record_offset, max(at_ms) AS at_ms
     FROM lockstep.dead_letters WHERE migration = $1 AND table_name IS NOT NULL GROUP BY table_name, topic, partition`,
    [migration],
  );
  return rows.map(({ table_name, topic, partition, record_offset, at_ms }) => ({
    table: table_name,
    position: { topic, partition, offset: record_offset },
    atUs: BigInt(at_ms) * 1000n,
  }));
}
