import type { Pool, PoolClient } from 'pg';
import type { Position } from '../domain/change.ts';
import type { Drift, DriftEvent, DriftKind, DriftStatus, FoundBy, RowSample, SampleValue } from '../domain/drift.ts';
import { decodeCursor, encodeCursor, shownText } from './encoding.ts';

/** Which drift to list; what is absent does not narrow. */
export interface DriftFilter {
  readonly table?: string;
  readonly kind?: DriftKind;
  readonly status?: DriftStatus;
  /** Code of the drift's cause, or of one of its columns'. */
  readonly cause?: string;
  readonly foundBy?: FoundBy;
  /** First seen at least so many seconds ago. */
  readonly minAgeS?: number;
  /** Confirmed at this time or later, ms since 1970. */
  readonly since?: number;
  /** Values of key columns as they are shown. */
  readonly key?: Readonly<Record<string, SampleValue>>;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Where the next page begins; null at the end. */
  readonly nextCursor: string | null;
}

export interface DriftRow {
  readonly id: string;
  readonly table_name: string;
  readonly key: RowSample;
  readonly kind: DriftKind;
  readonly columns: string[];
  readonly old_row: RowSample | null;
  readonly new_row: RowSample | null;
  readonly old_hash: string | null;
  readonly new_hash: string | null;
  readonly status: DriftStatus;
  readonly found_by: FoundBy;
  readonly cause_code: string | null;
  readonly cause_message: string | null;
  readonly column_causes: Drift['columnCauses'];
  readonly first_seen_ms: string;
  readonly confirmed_ms: string;
  readonly last_checked_ms: string;
  readonly resolved_ms: string | null;
  readonly checks: number;
  readonly position: (Omit<Position, 'lsn'> & { readonly lsn: string | null }) | null;
}

export const DRIFT_COLUMNS = `id, table_name, key, kind, columns, old_row, new_row, old_hash, new_hash, status, found_by,
  cause_code, cause_message, column_causes, first_seen_ms, confirmed_ms, last_checked_ms, resolved_ms, checks, position`;

export function driftFromRow(row: DriftRow): Drift {
  return {
    id: row.id,
    table: row.table_name,
    key: row.key,
    kind: row.kind,
    columns: row.columns,
    old: row.old_row,
    new: row.new_row,
    oldHash: row.old_hash,
    newHash: row.new_hash,
    status: row.status,
    foundBy: row.found_by,
    cause: row.cause_code === null ? null : { code: row.cause_code, message: row.cause_message ?? '' },
    columnCauses: row.column_causes,
    firstSeenAtMs: Number(row.first_seen_ms),
    confirmedAtMs: Number(row.confirmed_ms),
    lastCheckedAtMs: Number(row.last_checked_ms),
    resolvedAtMs: row.resolved_ms === null ? null : Number(row.resolved_ms),
    checks: row.checks,
    position: row.position === null ? null : { ...row.position, lsn: row.position.lsn === null ? null : BigInt(row.position.lsn) },
  };
}

/** Parameters of one statement, collected while its text is built. */
export class Parameters {
  readonly values: unknown[] = [];

  /** Adds a value and gives its place, `$n`. */
  add(value: unknown): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }
}

/** What a filter asks of `lockstep.drift`, as SQL. @param nowMs the time that ages are counted from */
export function driftConditions(parameters: Parameters, migration: string, filter: DriftFilter, nowMs: number): string[] {
  const conditions = [`migration = ${parameters.add(migration)}`];
  const equal = (column: string, value: string | undefined): void => {
    if (value !== undefined) conditions.push(`${column} = ${parameters.add(shownText(value))}`);
  };
  equal('table_name', filter.table);
  equal('kind', filter.kind);
  equal('status', filter.status);
  equal('found_by', filter.foundBy);
  if (filter.cause !== undefined) {
    const code = parameters.add(shownText(filter.cause));
    conditions.push(
      `(cause_code = ${code} OR jsonb_path_exists(column_causes, '$.*.code ? (@ == $code)', jsonb_build_object('code', ${code}::text)))`,
    );
  }
  if (filter.minAgeS !== undefined) {
    conditions.push(`first_seen_ms <= ${parameters.add(Math.floor(nowMs - filter.minAgeS * 1000))}::bigint`);
  }
  if (filter.since !== undefined) conditions.push(`confirmed_ms >= ${parameters.add(Math.ceil(filter.since))}::bigint`);
  for (const [column, value] of Object.entries(filter.key ?? {})) {
    const name = parameters.add(shownText(column));
    conditions.push(
      value === null
        ? `key -> ${name}::text = 'null'`
        : `key ->> ${name}::text = ${parameters.add(shownText(String(value)))}`,
    );
  }
  return conditions;
}

/** Lists drift, newest first by confirmation. @param nowMs the time that ages are counted from */
export async function listDrift(
  pool: Pool,
  migration: string,
  filter: DriftFilter,
  cursor: string | null,
  limit: number,
  nowMs: number,
): Promise<Page<Drift>> {
  const parameters = new Parameters();
  const conditions = driftConditions(parameters, migration, filter, nowMs);
  if (cursor !== null) {
    const [confirmedMs, id] = decodeCursor(cursor, ['integer', 'text']);
    conditions.push(`(confirmed_ms, id) < (${parameters.add(confirmedMs)}::bigint, ${parameters.add(id)}::text)`);
  }
  const { rows } = await pool.query<DriftRow>(
    `SELECT ${DRIFT_COLUMNS} FROM lockstep.drift WHERE ${conditions.join(' AND ')}
     ORDER BY confirmed_ms DESC, id DESC LIMIT ${parameters.add(limit + 1)}`,
    parameters.values,
  );
  return page(rows, limit, driftFromRow, (row) => [row.confirmed_ms, row.id]);
}

/** Makes a page of `rows`, of which one more than `limit` was asked for. */
export function page<R, T>(rows: readonly R[], limit: number, item: (row: R) => T, place: (row: R) => readonly string[]): Page<T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map(item),
    nextCursor: rows.length > limit && last !== undefined ? encodeCursor(place(last)) : null,
  };
}

/** One drift with its history, oldest first; null when there is none of that id. */
export async function readDrift(
  client: Pool | PoolClient,
  migration: string,
  id: string,
): Promise<{ readonly drift: Drift; readonly events: readonly DriftEvent[] } | null> {
  if (id.includes('\u0000')) return null;
  const { rows } = await client.query<DriftRow>(`SELECT ${DRIFT_COLUMNS} FROM lockstep.drift WHERE migration = $1 AND id = $2`, [
    migration,
    id,
  ]);
  const row = rows[0];
  if (row === undefined) return null;
  const events = await client.query<{ at_ms: string; event: DriftEvent['event']; detail: string }>(
    'SELECT at_ms, event, detail FROM lockstep.drift_events WHERE migration = $1 AND drift_id = $2 ORDER BY at_ms, seq',
    [migration, id],
  );
  return {
    drift: driftFromRow(row),
    events: events.rows.map((event) => ({ atMs: Number(event.at_ms), event: event.event, detail: event.detail })),
  };
}

/** Sets an open drift aside; the drift as it is then, or null when there is none of that id. A resolved one stays so. */
export async function ignoreDrift(
  client: PoolClient,
  migration: string,
  id: string,
  reason: string,
  atMs: number,
): Promise<Drift | null> {
  if (id.includes('\u0000')) return null;
  const { rows } = await client.query<DriftRow>(
    `UPDATE lockstep.drift SET status = 'ignored' WHERE migration = $1 AND id = $2 AND status = 'open' RETURNING ${DRIFT_COLUMNS}`,
    [migration, id],
  );
  const row = rows[0];
  if (row === undefined) return (await readDrift(client, migration, id))?.drift ?? null;
  await client.query(
    `INSERT INTO lockstep.drift_events (migration, drift_id, at_ms, event, detail) VALUES ($1, $2, $3, 'ignored', $4)
     ON CONFLICT (migration, drift_id, at_ms, event, md5(detail)) DO NOTHING`,
    [migration, id, Math.round(atMs), shownText(reason)],
  );
  return driftFromRow(row);
}
