import type { Pool, PoolClient } from 'pg';
import type { DeadLetter, DeadLetterPlace } from '../domain/dead-letter.ts';
import { page, Parameters } from './drift.ts';
import type { Page } from './drift.ts';
import { bigintOrNull, decodeCursor, msOrNull, shownText } from './encoding.ts';

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
  readonly at_ms: string;
  readonly discharged_ms: string | null;
}

/** The raw bytes are left where they are: they are personal data, and large. */
const COLUMNS = 'table_name, topic, partition, record_offset, lsn, tx_id, reason, message, at_ms, discharged_ms';

function letterFromRow(row: DeadLetterRow): DeadLetter {
  return {
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
    atMs: Number(row.at_ms),
    dischargedAtMs: msOrNull(row.discharged_ms),
  };
}

/** Undischarged dead letters, newest first. */
export async function listDeadLetters(
  pool: Pool,
  migration: string,
  filter: DeadLetterFilter,
  cursor: string | null,
  limit: number,
): Promise<Page<DeadLetter>> {
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
    `SELECT ${COLUMNS} FROM lockstep.dead_letters WHERE ${conditions.join(' AND ')}
     ORDER BY at_ms DESC, topic DESC, partition DESC, record_offset DESC LIMIT ${parameters.add(limit + 1)}`,
    parameters.values,
  );
  return page(rows, limit, letterFromRow, (row) => [row.at_ms, row.topic, String(row.partition), row.record_offset]);
}

/**
 * Discharges one dead letter, within the transaction that `client` has open.
 * @returns the dead letter as it is then, and whether this call changed it; null when there is none at that place
 */
export async function dischargeDeadLetter(
  client: PoolClient,
  migration: string,
  place: DeadLetterPlace,
  atMs: number,
): Promise<{ readonly letter: DeadLetter; readonly changed: boolean } | null> {
  const where = 'migration = $1 AND topic = $2 AND partition = $3 AND record_offset = $4';
  const parameters = [migration, place.topic, place.partition, place.offset];
  const { rows: discharged } = await client.query<DeadLetterRow>(
    `UPDATE lockstep.dead_letters SET discharged_ms = $5 WHERE ${where} AND discharged_ms IS NULL RETURNING ${COLUMNS}`,
    [...parameters, Math.round(atMs)],
  );
  if (discharged[0] !== undefined) return { letter: letterFromRow(discharged[0]), changed: true };
  const { rows } = await client.query<DeadLetterRow>(`SELECT ${COLUMNS} FROM lockstep.dead_letters WHERE ${where}`, parameters);
  return rows[0] === undefined ? null : { letter: letterFromRow(rows[0]), changed: false };
}
