import type { Pool } from 'pg';
import { GROUP_SAMPLES_MAX, groupMessage, type DriftGroup } from '../domain/causes/groups.ts';
import type { DriftKind } from '../domain/drift.ts';
import { driftConditions, Parameters, type DriftFilter } from './drift.ts';
import { shownText } from './encoding.ts';

interface GroupRow {
  readonly table_name: string;
  readonly column_name: string | null;
  readonly code: string | null;
  readonly kind: DriftKind;
  readonly rows: string;
  readonly first_seen_ms: string;
  readonly details: number;
  /** Of a whole row's cause its message, of a column's its parameter. */
  readonly commonest: string | null;
  readonly sample_ids: string[];
}

/**
 * Groups drift by table, column, cause and kind, most rows first: the same as `groupDrift`, in the database. A drift
 * of a whole row has no column; any other stands in a group for each column that differs. Texts are sorted by their
 * bytes: that is twice as fast as by a language's rules.
 */
export async function groupStoredDrift(pool: Pool, migration: string, filter: DriftFilter, limit: number, nowMs: number): Promise<readonly DriftGroup[]> {
  const parameters = new Parameters();
  const conditions = driftConditions(parameters, migration, filter, nowMs);
  const ofCause = filter.cause === undefined ? '' : `WHERE code = ${parameters.add(shownText(filter.cause))}`;
  const { rows } = await pool.query<GroupRow>(
    `WITH parts AS (
       SELECT table_name COLLATE "C" AS table_name, c.name COLLATE "C" AS column_name, kind COLLATE "C" AS kind, id, first_seen_ms,
         (CASE WHEN c.name IS NULL THEN cause_code ELSE column_causes -> c.name ->> 'code' END) COLLATE "C" AS code,
         (CASE WHEN c.name IS NULL THEN cause_message ELSE column_causes -> c.name ->> 'detail' END) COLLATE "C" AS detail
       FROM lockstep.drift CROSS JOIN LATERAL unnest(
         CASE WHEN kind IN ('missing', 'extra', 'stale') OR old_hash IS NULL OR new_hash IS NULL
           THEN ARRAY[NULL]::text[] ELSE columns END) AS c (name)
       WHERE ${conditions.join(' AND ')}
     ), detailed AS (
       SELECT table_name, column_name, code, kind, detail, count(*) AS rows, min(first_seen_ms) AS first_seen_ms,
         to_jsonb((array_agg(id))[1:${GROUP_SAMPLES_MAX}]) AS sample_ids
       FROM parts ${ofCause} GROUP BY table_name, column_name, code, kind, detail
     )
     SELECT table_name, column_name, code, kind, sum(rows)::text AS rows, min(first_seen_ms)::text AS first_seen_ms,
       count(*)::int AS details, (array_agg(detail ORDER BY rows DESC, detail NULLS FIRST))[1] AS commonest,
       (array_agg(sample_ids ORDER BY rows DESC, detail NULLS FIRST))[1] AS sample_ids
     FROM detailed GROUP BY table_name, column_name, code, kind
     ORDER BY sum(rows) DESC, table_name, column_name NULLS FIRST, code NULLS FIRST, kind
     LIMIT ${parameters.add(limit)}`,
    parameters.values,
  );
  return rows.map(groupFromRow);
}

function groupFromRow(row: GroupRow): DriftGroup {
  return {
    table: row.table_name,
    column: row.column_name,
    cause: row.code === null ? null : { code: row.code, message: messageOf(row.code, row) },
    kind: row.kind,
    rows: Number(row.rows),
    firstSeenAtMs: Number(row.first_seen_ms),
    sampleIds: row.sample_ids,
  };
}

function messageOf(code: string, { column_name: column, details, commonest }: GroupRow): string {
  return column === null && commonest !== null ? commonest : groupMessage(code, details, commonest);
}
