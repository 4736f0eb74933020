import type { Pool } from 'pg';
import { page } from './drift.ts';
import type { Page } from './drift.ts';
import { decodeCursor, shownText, toJsonb } from './encoding.ts';

/** Who changed what and when. */
export interface AuditEntry {
  /** ms since 1970. */
  readonly atMs: number;
  readonly actor: string;
  readonly action: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Adds one line to the audit trail. */
export async function appendAudit(pool: Pool, migration: string, entry: AuditEntry): Promise<void> {
  await pool.query('INSERT INTO lockstep.audit (migration, at_ms, actor, action, detail) VALUES ($1, $2, $3, $4, $5::jsonb)', [
    migration,
    Math.round(entry.atMs),
    shownText(entry.actor),
    shownText(entry.action),
    toJsonb(entry.detail),
  ]);
}

/** The audit trail, newest first. */
export async function listAudit(pool: Pool, migration: string, cursor: string | null, limit: number): Promise<Page<AuditEntry>> {
  const before = cursor === null ? null : decodeCursor(cursor, ['integer'])[0];
  const { rows } = await pool.query<{ id: string; at_ms: string; actor: string; action: string; detail: Record<string, unknown> }>(
    `SELECT id, at_ms, actor, action, detail FROM lockstep.audit
     WHERE migration = $1 AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $3`,
    [migration, before, limit + 1],
  );
  return page(
    rows,
    limit,
    (row) => ({ atMs: Number(row.at_ms), actor: row.actor, action: row.action, detail: row.detail }),
    (row) => [row.id],
  );
}
