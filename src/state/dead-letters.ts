import type { Pool } from 'pg';
import type { StoredDeadLetter } from '../verify/ports.ts';
import { page, Parameters } from './drift.ts';
import type { Page } from './drift.ts';
import { bigintOrNull, decodeCursor, shownText } from './encoding.ts';

/** Which dead letters to list; what is absent does not narrow. */
export interface DeadLetterFilter {
  readonly table?: string;
  readonly topic?: string;
  readonly reason?: string;
}

interface DeadLetterRow {
  readonly table_name: string | null;
  readonly topic: string;
  readonly partition: number;
  readonly record_offset: string;
  readonly lsn: string | null;
  readonly tx_id: string | null;
  readonly reason: string;
  readonly message: string;
  readonly raw_key: Buffer | null;
  readonly raw_value: Buffer | null;
  readonly at_ms: string;
}

/** Undischarged dead letters, newest first. Raw bytes are personal data: callers must not show them. */
export async function listDeadLetters(
  pool: Pool,
  migration: string,
  filter: DeadLetterFilter,
  cursor: string | null,
  limit: number,
): Promise<Page<StoredDeadLetter>> {
  const parameters = new Parameters();
  const conditions = [`migration = ${parameters.add(migration)}`, 'discharged_ms IS NULL'];
  const equal = (column: string, value: string | undefined): void => {
    if (value !== undefined) conditions.push(`${column} = ${parameters.add(shownText(value))}`);
  };
  equal('table_name', filter.table);
  equal('topic', filter.topic);
  equal('reason', filter.reason);
  if (cursor !== null) {
    const [atMs, topic, partition, offset] = decodeCursor(cursor, ['integer', 'text', 'integer', 'integer']);
    conditions.push(
      `(at_ms, topic, partition, record_offset) < (${parameters.add(atMs)}::bigint, ${parameters.add(topic)}::text,
        ${parameters.add(partition)}::int, ${parameters.add(offset)}::numeric)`,
    );
  }
  const { rows } = await pool.query<DeadLetterRow>(
    `SELECT table_name, topic, partition, record_offset, lsn, tx_id, reason, message, raw_key, raw_value, at_ms
     FROM lockstep.dead_letters WHERE ${conditions.join(' AND ')}
     ORDER BY at_ms DESC, topic DESC, partition DESC, record_offset DESC LIMIT ${parameters.add(limit + 1)}`,
    parameters.values,
  );
  return page(
    rows,
    limit,
    (row) => ({
      table: row.table_name,
      position: {
        topic: row.topic,
        partition: row.partition,
        offset: row.record_offset,
        lsn: bigintOrNull(row.lsn),
        txId: row.tx_id,
      },
      reason: row.reason,
      message: row.message,
      rawKey: row.raw_key,
      rawValue: row.raw_value,
      atMs: Number(row.at_ms),
    }),
    (row) => [row.at_ms, row.topic, String(row.partition), row.record_offset],
  );
}
