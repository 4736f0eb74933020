import type { Pool, PoolClient } from 'pg';
import type { DeadLetter, DeadLetterPlace, DischargedBy } from '../domain/dead-letter.ts';
import type { DeadLetterSelection, KeptLetter } from '../verify/ports.ts';
import { page, Parameters } from './drift.ts';
import type { Page } from './drift.ts';
import { bigintOrNull, decodeCursor, decodeHeaders, msOrNull, shownText } from './encoding.ts';

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
  readonly discharged_by: DischargedBy | null;
  readonly attempts: number;
  readonly last_attempt_ms: string | null;
}

/** Assignments that drop what is kept of a record: nobody will decode it any more, and it is personal data. */
export const FORGET_RECORD = 'raw_key = NULL, raw_value = NULL, raw_headers = NULL, raw_whole = false';

/** The raw bytes are left where they are: they are personal data, and large. */
const COLUMNS =
  'table_name, topic, partition, record_offset, lsn, tx_id, reason, message, at_ms, discharged_ms, discharged_by, attempts, last_attempt_ms';

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
    dischargedBy: row.discharged_by,
    attempts: row.attempts,
    lastAttemptAtMs: msOrNull(row.last_attempt_ms),
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
  const parameters = atPlace(migration, place);
  const { rows: discharged } = await client.query<DeadLetterRow>(
    `UPDATE lockstep.dead_letters SET discharged_ms = $5, discharged_by = 'operator', ${FORGET_RECORD} WHERE ${AT_PLACE} AND discharged_ms IS NULL RETURNING ${COLUMNS}`,
    [...parameters, Math.round(atMs)],
  );
  if (discharged[0] !== undefined) return { letter: letterFromRow(discharged[0]), changed: true };
  const { rows } = await client.query<DeadLetterRow>(`SELECT ${COLUMNS} FROM lockstep.dead_letters WHERE ${AT_PLACE}`, parameters);
  return rows[0] === undefined ? null : { letter: letterFromRow(rows[0]), changed: false };
}

const AT_PLACE = 'migration = $1 AND topic = $2 AND partition = $3 AND record_offset = $4';

function atPlace(migration: string, { topic, partition, offset }: DeadLetterPlace): [string, string, number, string] {
  return [migration, topic, partition, offset];
}

/** One dead letter with what is kept of its record; null when there is none at that place. */
export async function readKeptLetter(pool: Pool, migration: string, place: DeadLetterPlace): Promise<KeptLetter | null> {
  const { rows } = await pool.query<
    DeadLetterRow & {
      readonly raw_key: Buffer | null;
      readonly raw_value: Buffer | null;
      readonly raw_headers: Buffer | null;
      readonly timestamp_ms: string | null;
      readonly raw_whole: boolean;
      readonly gap_us: string | null;
    }
  >(`SELECT ${COLUMNS}, raw_key, raw_value, raw_headers, timestamp_ms, raw_whole, gap_us FROM lockstep.dead_letters WHERE ${AT_PLACE}`, atPlace(migration, place));
  const row = rows[0];
  if (row === undefined) return null;
  const record = { ...place, key: row.raw_key, value: row.raw_value, headers: decodeHeaders(row.raw_headers), timestampMs: msOrNull(row.timestamp_ms) };
  return { letter: letterFromRow(row), record: row.raw_whole ? record : null, gapUs: bigintOrNull(row.gap_us) };
}

/** Places of open dead letters, the least tried and oldest first. */
export async function listLettersToRetry(pool: Pool, migration: string, selection: DeadLetterSelection, limit: number): Promise<readonly DeadLetterPlace[]> {
  const parameters = new Parameters();
  const conditions = [`migration = ${parameters.add(migration)}`, 'discharged_ms IS NULL'];
  for (const [column, value] of [['table_name', selection.table], ['topic', selection.topic], ['reason', selection.reason]] as const) {
    if (value !== undefined) conditions.push(`${column} = ${parameters.add(shownText(value))}`);
  }
  const { rows } = await pool.query<{ topic: string; partition: number; record_offset: string }>(
    `SELECT topic, partition, record_offset FROM lockstep.dead_letters WHERE ${conditions.join(' AND ')}
     ORDER BY attempts, at_ms, topic, partition, record_offset LIMIT ${parameters.add(limit)}`,
    parameters.values,
  );
  return rows.map(({ topic, partition, record_offset }) => ({ topic, partition, offset: record_offset }));
}

/** Notes within the transaction that `client` has open that a record could not be decoded again; the letter as it is then. */
export async function noteAttempt(
  client: PoolClient,
  migration: string,
  place: DeadLetterPlace,
  reason: string,
  message: string,
  atMs: number,
): Promise<DeadLetter | null> {
  const { rows } = await client.query<DeadLetterRow>(
    `UPDATE lockstep.dead_letters SET reason = $5, message = $6, attempts = attempts + 1, last_attempt_ms = $7 WHERE ${AT_PLACE} RETURNING ${COLUMNS}`,
    [...atPlace(migration, place), reason, shownText(message), Math.round(atMs)],
  );
  return rows[0] === undefined ? null : letterFromRow(rows[0]);
}
