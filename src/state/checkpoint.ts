import type { PoolClient } from 'pg';
import type { RowKey } from '../domain/row.ts';
import { deadLetterId } from '../domain/dead-letter.ts';
import type { Checkpoint, DriftWrite, RetriedLetter, StoredCheck, StoredDeadLetter, StoredVersion } from '../verify/ports.ts';
import { FORGET_RECORD } from './dead-letters.ts';
import { writeTouched } from './touched.ts';
import { chunks, lastOfEach } from './statement-rows.ts';
import { encodeHeaders, keyHash, keyToStore, shownText, toJsonb } from './encoding.ts';

function versionToStore(version: StoredVersion): unknown {
  return {
    committedAtUs: version.committedAtUs.toString(),
    lsn: version.lsn?.toString() ?? null,
    hash: version.hash,
    unknownColumns: version.unknownColumns,
    position: { ...version.position, lsn: version.position.lsn?.toString() ?? null },
  };
}

/** Writes all of a checkpoint within the transaction that `client` has open. */
export async function writeCheckpoint(client: PoolClient, migration: string, checkpoint: Checkpoint): Promise<void> {
  await writePartitions(client, migration, checkpoint);
  await deleteChecks(client, migration, checkpoint.settledChecks);
  await writeChecks(client, migration, checkpoint.checks);
  await writeDrift(client, migration, checkpoint.drift);
  await writeDeadLetters(client, migration, checkpoint.deadLetters);
  for (const { table, beforeMs } of checkpoint.discharged ?? []) {
    await client.query(
      `UPDATE lockstep.dead_letters SET discharged_ms = $3, discharged_by = 'sweep', ${FORGET_RECORD}
       WHERE migration = $1 AND table_name = $2 AND at_ms < $3 AND discharged_ms IS NULL`,
      [migration, table, Math.round(beforeMs)],
    );
  }
  for (const { table, beforeUs } of checkpoint.covered ?? []) {
    await client.query(
      `UPDATE lockstep.dead_letters SET gap_us = NULL WHERE migration = $1 AND table_name = $2 AND gap_us < $3`,
      [migration, table, beforeUs.toString()],
    );
  }
  await writeRetried(client, migration, checkpoint.retried ?? []);
  await writeTables(client, migration, checkpoint);
  await writeTouched(client, migration, checkpoint.touched ?? []);
}

async function writePartitions(client: PoolClient, migration: string, checkpoint: Checkpoint): Promise<void> {
  const rows = lastOfEach(checkpoint.partitions, (row) => `${row.topic}/${row.partition}`);
  for (const chunk of chunks(rows)) {
    await client.query(
      `INSERT INTO lockstep.partitions AS p (migration, topic, partition, next_offset, watermark_us, snapshot_in_progress)
       SELECT $1, t.* FROM unnest($2::text[], $3::int[], $4::text[], $5::bigint[], $6::boolean[]) AS t
       ON CONFLICT (migration, topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset,
         watermark_us = EXCLUDED.watermark_us, snapshot_in_progress = EXCLUDED.snapshot_in_progress, updated_at = now()`,
      [
        migration,
        chunk.map((row) => row.topic),
        chunk.map((row) => row.partition),
        chunk.map((row) => row.nextOffset),
        chunk.map((row) => row.watermarkUs?.toString() ?? null),
        chunk.map((row) => row.snapshotInProgress),
      ],
    );
  }
}

async function deleteChecks(
  client: PoolClient,
  migration: string,
  settled: readonly { readonly table: string; readonly key: RowKey }[],
): Promise<void> {
  for (const chunk of chunks(settled)) {
    await client.query(
      `DELETE FROM lockstep.checks AS c USING unnest($2::text[], $3::bytea[]) AS s (table_name, key_hash)
       WHERE c.migration = $1 AND c.table_name = s.table_name AND c.key_hash = s.key_hash`,
      [migration, chunk.map((row) => row.table), chunk.map((row) => keyHash(row.key))],
    );
  }
}

async function writeChecks(client: PoolClient, migration: string, checks: readonly StoredCheck[]): Promise<void> {
  const hashed = checks.map((check) => ({ check, hash: keyHash(check.key) }));
  for (const chunk of chunks(lastOfEach(hashed, (row) => `${row.hash}${row.check.table}`))) {
    await client.query(
      `INSERT INTO lockstep.checks (migration, table_name, key_hash, key_values, origin, first_seen_ms, versions, attempts, holds_us)
       SELECT $1, table_name, key_hash, key_values::text[], origin, first_seen_ms, versions, attempts, holds_us
       FROM unnest($2::text[], $3::bytea[], $4::text[], $5::text[], $6::bigint[], $7::jsonb[], $8::int[], $9::bigint[])
         AS t (table_name, key_hash, key_values, origin, first_seen_ms, versions, attempts, holds_us)
       ON CONFLICT (migration, table_name, key_hash) DO UPDATE SET origin = EXCLUDED.origin,
         first_seen_ms = EXCLUDED.first_seen_ms, versions = EXCLUDED.versions, attempts = EXCLUDED.attempts,
         holds_us = EXCLUDED.holds_us`,
      [
        migration,
        chunk.map((row) => row.check.table),
        chunk.map((row) => row.hash),
        chunk.map((row) => keyToStore(row.check.key)),
        chunk.map((row) => row.check.origin),
        chunk.map((row) => Math.round(row.check.firstSeenMs)),
        chunk.map((row) => toJsonb(row.check.versions.map(versionToStore))),
        chunk.map((row) => row.check.attempts),
        chunk.map((row) => row.check.holdsUs?.toString() ?? null),
      ],
    );
  }
}

async function writeDrift(client: PoolClient, migration: string, writes: readonly DriftWrite[]): Promise<void> {
  const unique = lastOfEach(writes, (write) => write.drift.id);
  // Resolved ones first: another drift of the same row may be opened by this checkpoint.
  const resolved = unique.filter((write) => write.drift.status === 'resolved');
  const unresolved = unique.filter((write) => write.drift.status !== 'resolved');
  for (const group of [resolved, unresolved]) {
    const encoded = group.map(encodeDrift);
    for (const chunk of chunks(encoded, (row) => row.json.length)) await upsertDrift(client, migration, chunk);
  }
  await writeDriftEvents(client, migration, writes);
}

interface EncodedDrift {
  readonly id: string;
  readonly json: string;
  readonly reopened: boolean;
}

function encodeDrift({ drift, keyValues, events }: DriftWrite): EncodedDrift {
  const json = toJsonb({
    id: drift.id,
    table_name: drift.table,
    key_hash: keyHash(keyValues),
    key_values: keyToStore(keyValues),
    key: drift.key,
    kind: drift.kind,
    columns: drift.columns,
    old_row: drift.old,
    new_row: drift.new,
    old_hash: drift.oldHash,
    new_hash: drift.newHash,
    status: drift.status,
    found_by: drift.foundBy,
    cause_code: drift.cause?.code ?? null,
    cause_message: drift.cause?.message ?? null,
    column_causes: drift.columnCauses,
    first_seen_ms: Math.round(drift.firstSeenAtMs),
    confirmed_ms: Math.round(drift.confirmedAtMs),
    last_checked_ms: Math.round(drift.lastCheckedAtMs),
    resolved_ms: drift.resolvedAtMs === null ? null : Math.round(drift.resolvedAtMs),
    checks: drift.checks,
    position: drift.position === null ? null : { ...drift.position, lsn: drift.position.lsn?.toString() ?? null },
  });
  return { id: drift.id, json, reopened: events.some((event) => event.event === 'reopened') };
}

async function upsertDrift(client: PoolClient, migration: string, chunk: readonly EncodedDrift[]): Promise<void> {
  const reopened = chunk.filter((row) => row.reopened).map((row) => row.id);
  // An operator may have ignored it since verification last looked: only an explicit reopening undoes that.
  await client.query(
    `INSERT INTO lockstep.drift AS d (migration, id, table_name, key_hash, key_values, key, kind, columns, old_row, new_row,
       old_hash, new_hash, status, found_by, cause_code, cause_message, column_causes, first_seen_ms, confirmed_ms, last_checked_ms,
       resolved_ms, checks, position)
     SELECT $1, t.id, t.table_name, t.key_hash, t.key_values::text[], t.key, t.kind,
       ARRAY(SELECT jsonb_array_elements_text(t.columns)), nullif(t.old_row, 'null'), nullif(t.new_row, 'null'),
       t.old_hash, t.new_hash, t.status, t.found_by, t.cause_code, t.cause_message, t.column_causes, t.first_seen_ms, t.confirmed_ms, t.last_checked_ms,
       t.resolved_ms, t.checks, nullif(t.position, 'null')
     FROM jsonb_to_recordset($2::jsonb) AS t (id text, table_name text, key_hash bytea, key_values text, key jsonb,
       kind text, columns jsonb, old_row jsonb, new_row jsonb, old_hash text, new_hash text, status text, found_by text,
       cause_code text, cause_message text, column_causes jsonb, first_seen_ms bigint, confirmed_ms bigint, last_checked_ms bigint,
       resolved_ms bigint, checks int, "position" jsonb)
     ON CONFLICT (migration, id) DO UPDATE SET table_name = EXCLUDED.table_name, key_hash = EXCLUDED.key_hash,
       key_values = EXCLUDED.key_values, key = EXCLUDED.key, kind = EXCLUDED.kind, columns = EXCLUDED.columns,
       old_row = EXCLUDED.old_row, new_row = EXCLUDED.new_row, old_hash = EXCLUDED.old_hash,
       new_hash = EXCLUDED.new_hash,
       status = CASE WHEN d.status = 'ignored' AND EXCLUDED.status = 'open' AND EXCLUDED.id <> ALL ($3::text[])
         THEN 'ignored' ELSE EXCLUDED.status END, found_by = EXCLUDED.found_by,
       cause_code = EXCLUDED.cause_code, cause_message = EXCLUDED.cause_message,
       column_causes = EXCLUDED.column_causes,
       first_seen_ms = EXCLUDED.first_seen_ms, confirmed_ms = EXCLUDED.confirmed_ms,
       last_checked_ms = EXCLUDED.last_checked_ms, resolved_ms = EXCLUDED.resolved_ms, checks = EXCLUDED.checks,
       position = EXCLUDED.position`,
    [migration, `[${chunk.map((row) => row.json).join(',')}]`, reopened],
  );
}

async function writeDriftEvents(client: PoolClient, migration: string, writes: readonly DriftWrite[]): Promise<void> {
  const events = writes.flatMap((write) => write.events.map((event) => ({ id: write.drift.id, ...event })));
  for (const chunk of chunks(events)) {
    await client.query(
      `INSERT INTO lockstep.drift_events (migration, drift_id, at_ms, event, detail)
       SELECT $1, t.* FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) AS t
       ON CONFLICT (migration, drift_id, at_ms, event, md5(detail)) DO NOTHING`,
      [
        migration,
        chunk.map((event) => event.id),
        chunk.map((event) => Math.round(event.atMs)),
        chunk.map((event) => event.event),
        chunk.map((event) => shownText(event.detail)),
      ],
    );
  }
}

async function writeDeadLetters(client: PoolClient, migration: string, letters: readonly StoredDeadLetter[]): Promise<void> {
  const rows = letters.map((letter) => ({ letter, headers: encodeHeaders(letter.rawHeaders) }));
  const weigh = ({ letter, headers }: (typeof rows)[number]): number =>
    2 * ((letter.rawKey?.length ?? 0) + (letter.rawValue?.length ?? 0) + (headers?.length ?? 0));
  for (const chunk of chunks(lastOfEach(rows, ({ letter }) => deadLetterId(letter.position)), weigh)) {
    await client.query(
      `INSERT INTO lockstep.dead_letters AS d
         (migration, topic, partition, record_offset, table_name, lsn, tx_id, reason, message, raw_key, raw_value, at_ms,
          raw_headers, timestamp_ms, raw_whole, gap_us)
       SELECT $1, t.* FROM unnest($2::text[], $3::int[], $4::numeric[], $5::text[], $6::numeric[], $7::text[], $8::text[],
         $9::text[], $10::bytea[], $11::bytea[], $12::bigint[], $13::bytea[], $14::bigint[], $15::boolean[], $16::bigint[]) AS t
       ON CONFLICT (migration, topic, partition, record_offset) DO UPDATE SET table_name = EXCLUDED.table_name,
         lsn = EXCLUDED.lsn, tx_id = EXCLUDED.tx_id, reason = EXCLUDED.reason, message = EXCLUDED.message,
         raw_key = EXCLUDED.raw_key, raw_value = EXCLUDED.raw_value, at_ms = EXCLUDED.at_ms,
         raw_headers = EXCLUDED.raw_headers, timestamp_ms = EXCLUDED.timestamp_ms, raw_whole = EXCLUDED.raw_whole,
         gap_us = EXCLUDED.gap_us, attempts = 0, last_attempt_ms = NULL, discharged_ms = NULL, discharged_by = NULL
       WHERE d.at_ms < EXCLUDED.at_ms`,
      [
        migration,
        chunk.map(({ letter }) => letter.position.topic),
        chunk.map(({ letter }) => letter.position.partition),
        chunk.map(({ letter }) => letter.position.offset),
        chunk.map(({ letter }) => letter.table),
        chunk.map(({ letter }) => letter.position.lsn?.toString() ?? null),
        chunk.map(({ letter }) => letter.position.txId),
        chunk.map(({ letter }) => letter.reason),
        chunk.map(({ letter }) => shownText(letter.message)),
        chunk.map(({ letter }) => hexInput(letter.rawKey)),
        chunk.map(({ letter }) => hexInput(letter.rawValue)),
        chunk.map(({ letter }) => Math.round(letter.atMs)),
        chunk.map(({ headers }) => hexInput(headers)),
        chunk.map(({ letter }) => wholeMs(letter.timestampMs)),
        chunk.map(({ letter }) => letter.rawWhole),
        chunk.map(({ letter }) => letter.gapUs.toString()),
      ],
    );
  }
}

/** What these records said is in the checks of the same checkpoint. */
async function writeRetried(client: PoolClient, migration: string, retried: readonly RetriedLetter[]): Promise<void> {
  for (const chunk of chunks(retried)) {
    await client.query(
      `UPDATE lockstep.dead_letters AS d SET discharged_ms = coalesce(d.discharged_ms, t.at_ms), discharged_by = 'retry', gap_us = NULL,
         ${FORGET_RECORD}
       FROM unnest($2::text[], $3::int[], $4::numeric[], $5::bigint[]) AS t (topic, partition, record_offset, at_ms)
       WHERE d.migration = $1 AND d.topic = t.topic AND d.partition = t.partition AND d.record_offset = t.record_offset`,
      [
        migration,
        chunk.map(({ place }) => place.topic),
        chunk.map(({ place }) => place.partition),
        chunk.map(({ place }) => place.offset),
        chunk.map(({ atMs }) => Math.round(atMs)),
      ],
    );
  }
}

function hexInput(bytes: Buffer | null): string | null {
  return bytes === null ? null : `\\x${bytes.toString('hex')}`;
}

async function writeTables(client: PoolClient, migration: string, checkpoint: Checkpoint): Promise<void> {
  for (const chunk of chunks(lastOfEach(checkpoint.tables, (row) => row.table))) {
    await client.query(
      `INSERT INTO lockstep.tables (migration, table_name, proven_since_us, sweep_owed_since_us, verified_through_us,
         last_clean_sweep_ms, last_sweep_ended_ms, old_rows, new_rows, last_clean_incremental_ms, last_incremental_ended_ms)
       SELECT $1, t.* FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
         $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]) AS t
       ON CONFLICT (migration, table_name) DO UPDATE SET proven_since_us = EXCLUDED.proven_since_us,
         sweep_owed_since_us = EXCLUDED.sweep_owed_since_us, verified_through_us = EXCLUDED.verified_through_us,
         last_clean_sweep_ms = EXCLUDED.last_clean_sweep_ms, last_sweep_ended_ms = EXCLUDED.last_sweep_ended_ms,
         old_rows = EXCLUDED.old_rows, new_rows = EXCLUDED.new_rows,
         last_clean_incremental_ms = EXCLUDED.last_clean_incremental_ms, last_incremental_ended_ms = EXCLUDED.last_incremental_ended_ms`,
      [
        migration,
        chunk.map((row) => row.table),
        chunk.map((row) => row.provenSinceUs?.toString() ?? null),
        chunk.map((row) => row.sweepOwedSinceUs?.toString() ?? null),
        chunk.map((row) => row.verifiedThroughUs?.toString() ?? null),
        chunk.map((row) => wholeMs(row.lastCleanSweepMs)),
        chunk.map((row) => wholeMs(row.lastSweepEndedMs)),
        chunk.map((row) => row.oldRows?.toString() ?? null),
        chunk.map((row) => row.newRows?.toString() ?? null),
        chunk.map((row) => wholeMs(row.lastCleanIncrementalMs)),
        chunk.map((row) => wholeMs(row.lastIncrementalEndedMs)),
      ],
    );
  }
}

function wholeMs(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}
