import pg from 'pg';
import type { DemoTable } from './schema.ts';
import type { Difference, KeyText } from './ledger.ts';
import { keyId } from './ledger.ts';

/** Rows a fetch; the tables of the demo are small, and memory stays so. */
const FETCH_ROWS = 5_000;
const SESSION = `SET datestyle = 'ISO'; SET timezone = 'UTC'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex'`;

type RowText = readonly (string | null)[];

interface Columns {
  readonly names: readonly string[];
  /** Expression that gives each column's value as text: the same text for the same value. */
  readonly texts: readonly string[];
}

/**
 * Compares whole tables of both databases, value by value. It shares nothing with Lockstep's own comparison, so that
 * what Lockstep reports can be judged by it. Both sides must be at rest.
 */
export async function compareDatabases(oldUrl: string, newUrl: string, tables: readonly DemoTable[]): Promise<Difference[]> {
  const clients = [oldUrl, newUrl].map((connectionString) => new pg.Client({ connectionString }));
  const [old, replica] = clients as [pg.Client, pg.Client];
  try {
    for (const client of clients) {
      client.on('error', () => undefined);
      await client.connect();
      await client.query(SESSION);
    }
    const differences: Difference[] = [];
    for (const table of tables) differences.push(...(await compareTable(old, replica, table)));
    return differences;
  } finally {
    await Promise.allSettled(clients.map((client) => client.end()));
  }
}

async function compareTable(old: pg.Client, replica: pg.Client, table: DemoTable): Promise<Difference[]> {
  const columns = await columnsOf(old, table.name);
  const [oldRows, newRows] = await Promise.all([readAll(old, table, columns), readAll(replica, table, columns)]);
  const differences: Difference[] = [];
  const keyOf = (row: RowText): KeyText => Object.fromEntries(table.key.map((name) => [name, row[columns.names.indexOf(name)] ?? '']));
  for (const [id, row] of oldRows) {
    const other = newRows.get(id);
    if (other === undefined) {
      differences.push({ table: table.name, key: keyOf(row), kind: 'missing', columns: [] });
      continue;
    }
    const differing = columns.names.filter((_, index) => row[index] !== other[index]);
    if (differing.length > 0) differences.push({ table: table.name, key: keyOf(row), kind: 'different', columns: differing });
  }
  for (const [id, row] of newRows) {
    if (!oldRows.has(id)) differences.push({ table: table.name, key: keyOf(row), kind: 'extra', columns: [] });
  }
  return differences;
}

async function columnsOf(client: pg.Client, table: string): Promise<Columns> {
  const { rows } = await client.query<{ name: string; type: string }>(
    `SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table],
  );
  return { names: rows.map((row) => row.name), texts: rows.map((row) => textOf(pg.escapeIdentifier(row.name), row.type)) };
}

/** Where two texts can stand for one value, a form that cannot. */
function textOf(column: string, type: string): string {
  if (type === 'numeric') return `trim_scale(${column})::text`;
  // Numbers inside a document keep their scale as text.
  if (type === 'jsonb') return `regexp_replace(${column}::text, '(\\.\\d*?)0+(?=[,\\]} ]|$)', '\\1', 'g')`;
  return `${column}::text`;
}

async function readAll(client: pg.Client, table: DemoTable, columns: Columns): Promise<Map<string, RowText>> {
  const rows = new Map<string, RowText>();
  await client.query('BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ');
  try {
    await client.query(`DECLARE all_rows CURSOR FOR SELECT ${columns.texts.join(', ')} FROM ${table.name}`);
    for (;;) {
      const batch = await client.query<(string | null)[]>({ text: `FETCH ${FETCH_ROWS} FROM all_rows`, rowMode: 'array' });
      for (const row of batch.rows) {
        const key = Object.fromEntries(table.key.map((name) => [name, row[columns.names.indexOf(name)] ?? '']));
        rows.set(keyId(table.name, key), row);
      }
      if (batch.rows.length < FETCH_ROWS) return rows;
    }
  } finally {
    await client.query('ROLLBACK');
  }
}
