import type { Pool, PoolClient } from 'pg';
import type { SweepKind, SweepStatus } from '../domain/status.ts';
import type { RowKey } from '../domain/row.ts';
import type { StoredSweep, StoredSweepTable } from '../verify/ports.ts';
import { page } from './drift.ts';
import type { Page } from './drift.ts';
import { decodeCursor, keyFromStore, keyToStore, msOrNull, shownText } from './encoding.ts';

interface SweepRow {
  readonly id: string;
  readonly kind: SweepKind;
  readonly status: SweepStatus;
  readonly started_ms: string;
  readonly ended_ms: string | null;
}

interface SweepTableRow {
  readonly sweep_id: string;
  readonly table_name: string;
  readonly kind: SweepKind;
  readonly kind_reason: string;
  readonly touched_epoch: string | null;
  readonly status: SweepStatus;
  readonly strategy: StoredSweepTable['strategy'];
  readonly strategy_reason: string;
  readonly progress_ratio: number;
  readonly chunks_done: string;
  readonly chunks_differing: string;
  readonly old_rows: string;
  readonly new_rows: string;
  readonly suspects: string;
  readonly drift: string;
  readonly in_flight: string;
  readonly equivalent: string;
  readonly unverifiable: string;
  readonly started_ms: string;
  readonly ended_ms: string | null;
  readonly error: string | null;
  readonly started_at_us: string;
  readonly resume_from: string[] | null;
  readonly awaited: string[];
}

/** Writes a sweep and its tables within the transaction that `client` has open. */
export async function writeSweep(client: PoolClient, migration: string, sweep: StoredSweep): Promise<void> {
  await client.query(
    `INSERT INTO lockstep.sweeps (migration, id, status, started_ms, ended_ms, kind) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (migration, id) DO UPDATE SET status = EXCLUDED.status, ended_ms = EXCLUDED.ended_ms`,
    [migration, sweep.id, sweep.status, Math.round(sweep.startedAtMs), sweep.endedAtMs === null ? null : Math.round(sweep.endedAtMs), sweep.kind],
  );
  const { tables } = sweep;
  if (tables.length === 0) return;
  await client.query(
    `INSERT INTO lockstep.sweep_tables (migration, sweep_id, table_name, ordinal, status, strategy, strategy_reason,
       progress_ratio, chunks_done, chunks_differing, old_rows, new_rows, suspects, drift, started_ms, ended_ms, error,
       started_at_us, resume_from, kind, kind_reason, touched_epoch, in_flight, equivalent, unverifiable, awaited)
     SELECT $1, $2, table_name, ordinal, status, strategy, strategy_reason, progress_ratio, chunks_done, chunks_differing,
       old_rows, new_rows, suspects, drift, started_ms, ended_ms, error, started_at_us, resume_from::text[], kind, kind_reason, touched_epoch, in_flight, equivalent, unverifiable, awaited::text[]
     FROM unnest($3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::float8[], $9::bigint[], $10::bigint[],
       $11::numeric[], $12::numeric[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[],
       $18::bigint[], $19::text[], $20::text[], $21::text[], $22::bigint[],
       $23::bigint[], $24::bigint[], $25::bigint[], $26::text[])
       AS t (table_name, ordinal, status, strategy, strategy_reason, progress_ratio, chunks_done, chunks_differing,
         old_rows, new_rows, suspects, drift, started_ms, ended_ms, error, started_at_us, resume_from, kind, kind_reason, touched_epoch, in_flight, equivalent, unverifiable, awaited)
     ON CONFLICT (migration, sweep_id, table_name) DO UPDATE SET ordinal = EXCLUDED.ordinal, status = EXCLUDED.status,
       strategy = EXCLUDED.strategy, strategy_reason = EXCLUDED.strategy_reason, progress_ratio = EXCLUDED.progress_ratio,
       chunks_done = EXCLUDED.chunks_done, chunks_differing = EXCLUDED.chunks_differing, old_rows = EXCLUDED.old_rows,
       new_rows = EXCLUDED.new_rows, suspects = EXCLUDED.suspects, drift = EXCLUDED.drift,
       started_ms = EXCLUDED.started_ms, ended_ms = EXCLUDED.ended_ms, error = EXCLUDED.error,
       started_at_us = EXCLUDED.started_at_us, resume_from = EXCLUDED.resume_from,
       kind = EXCLUDED.kind, kind_reason = EXCLUDED.kind_reason, touched_epoch = EXCLUDED.touched_epoch,
       in_flight = EXCLUDED.in_flight, equivalent = EXCLUDED.equivalent, unverifiable = EXCLUDED.unverifiable, awaited = EXCLUDED.awaited`,
    [
      migration,
      sweep.id,
      tables.map((table) => table.table),
      tables.map((_, index) => index),
      tables.map((table) => table.status),
      tables.map((table) => table.strategy),
      tables.map((table) => shownText(table.strategyReason)),
      tables.map((table) => table.progressRatio),
      tables.map((table) => table.chunksDone),
      tables.map((table) => table.chunksDiffering),
      tables.map((table) => table.rows.old),
      tables.map((table) => table.rows.new),
      tables.map((table) => table.suspects),
      tables.map((table) => table.drift),
      tables.map((table) => Math.round(table.startedAtMs)),
      tables.map((table) => (table.endedAtMs === null ? null : Math.round(table.endedAtMs))),
      tables.map((table) => (table.error === null ? null : shownText(table.error))),
      tables.map((table) => table.startedAtUs.toString()),
      tables.map((table) => (table.resumeFrom === null ? null : keyToStore(table.resumeFrom))),
      tables.map((table) => table.kind),
      tables.map((table) => shownText(table.kindReason)),
      tables.map((table) => table.touchedEpoch),
      tables.map((table) => table.inFlight),
      tables.map((table) => table.equivalent),
      tables.map((table) => table.unverifiable),
      tables.map((table) => keyToStore(table.awaited.map((key) => JSON.stringify(key)))),
    ],
  );
}

function sweepTableFromRow(row: SweepTableRow): StoredSweepTable {
  return {
    table: row.table_name,
    kind: row.kind,
    kindReason: row.kind_reason,
    status: row.status,
    strategy: row.strategy,
    strategyReason: row.strategy_reason,
    progressRatio: row.progress_ratio,
    rowsPerSecond: null,
    etaMs: null,
    pausedBy: null,
    chunksDone: Number(row.chunks_done),
    chunksDiffering: Number(row.chunks_differing),
    rows: { old: row.old_rows, new: row.new_rows },
    suspects: Number(row.suspects),
    inFlight: Number(row.in_flight),
    equivalent: Number(row.equivalent),
    unverifiable: Number(row.unverifiable),
    drift: Number(row.drift),
    startedAtMs: Number(row.started_ms),
    endedAtMs: msOrNull(row.ended_ms),
    error: row.error,
    startedAtUs: BigInt(row.started_at_us),
    resumeFrom: row.resume_from === null ? null : keyFromStore(row.resume_from),
    awaited: keyFromStore(row.awaited).map((key) => JSON.parse(key) as RowKey),
    touchedEpoch: row.touched_epoch === null ? null : Number(row.touched_epoch),
  };
}

async function withTables(pool: Pool, migration: string, sweeps: readonly SweepRow[]): Promise<readonly StoredSweep[]> {
  if (sweeps.length === 0) return [];
  const { rows } = await pool.query<SweepTableRow>(
    `SELECT sweep_id, table_name, status, strategy, strategy_reason, progress_ratio, chunks_done, chunks_differing, old_rows,
       new_rows, suspects, drift, started_ms, ended_ms, error, started_at_us, resume_from, kind, kind_reason, touched_epoch, in_flight, equivalent, unverifiable, awaited
     FROM lockstep.sweep_tables WHERE migration = $1 AND sweep_id = ANY ($2::text[]) ORDER BY sweep_id, ordinal`,
    [migration, sweeps.map((sweep) => sweep.id)],
  );
  const bySweep = new Map<string, StoredSweepTable[]>(sweeps.map((sweep) => [sweep.id, []]));
  for (const row of rows) bySweep.get(row.sweep_id)?.push(sweepTableFromRow(row));
  return sweeps.map((sweep) => ({
    id: sweep.id,
    kind: sweep.kind,
    status: sweep.status,
    startedAtMs: Number(sweep.started_ms),
    endedAtMs: msOrNull(sweep.ended_ms),
    tables: bySweep.get(sweep.id) ?? [],
  }));
}

/** The newest sweep that is running or settling; null when there is none. */
export async function readUnfinishedSweep(pool: Pool, migration: string): Promise<StoredSweep | null> {
  const { rows } = await pool.query<SweepRow>(
    `SELECT id, kind, status, started_ms, ended_ms FROM lockstep.sweeps
     WHERE migration = $1 AND status IN ('running', 'settling') ORDER BY started_ms DESC, id DESC LIMIT 1`,
    [migration],
  );
  return (await withTables(pool, migration, rows))[0] ?? null;
}

/** Sweeps, newest first. */
export async function listSweeps(pool: Pool, migration: string, cursor: string | null, limit: number): Promise<Page<StoredSweep>> {
  const [startedMs, id] = cursor === null ? [null, null] : decodeCursor(cursor, ['integer', 'text']);
  const { rows } = await pool.query<SweepRow>(
    `SELECT id, kind, status, started_ms, ended_ms FROM lockstep.sweeps
     WHERE migration = $1 AND ($2::bigint IS NULL OR (started_ms, id) < ($2, $3::text))
     ORDER BY started_ms DESC, id DESC LIMIT $4`,
    [migration, startedMs, id, limit + 1],
  );
  const found = page(rows, limit, (row) => row, (row) => [row.started_ms, row.id]);
  return { items: await withTables(pool, migration, found.items), nextCursor: found.nextCursor };
}
