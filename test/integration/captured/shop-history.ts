import { readFileSync } from 'node:fs';
import pg from 'pg';
import type { PostgresDatabase } from '../../../src/databases/postgres/database.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import type { Row } from '../../../src/domain/row.ts';

const FOLDER = new URL('../../fixtures/shop/', import.meta.url);
const FOREVER = new AbortController().signal;

/** Key columns of the shop's tables; `audit_log` has no key of its own. */
export const SHOP_KEYS: Readonly<Record<string, readonly string[]>> = {
  customers: ['id'],
  orders: ['tenant_id', 'order_id'],
  payments: ['id'],
  edge: ['id'],
  outbox: ['id'],
  audit_log: ['msg'],
};

export const CHANGE_FILES = ['changes-1.sql', 'changes-2.sql', 'changes-3.sql', 'changes-4.sql'] as const;

/** One row that a table held, or the moment at which it was emptied. */
export interface Version {
  readonly op: 'snapshot' | 'create' | 'update' | 'delete' | 'truncate';
  /** Which of `CHANGE_FILES` made it, counted from 1; 0 for the seed. */
  readonly file: number;
  /** After the change, of a delete before it; null for a truncate. */
  readonly row: Row | null;
}

/** SQL of the shop; statements of `changes-*.sql` and `mariadb-*.sql` each end their line. */
export function shopSql(file: string): string {
  return readFileSync(new URL(file, FOLDER), 'utf8');
}

/** The statements of a file of changes, one by one: in one text they would share a transaction. */
export function statementsOf(file: string): string[] {
  return shopSql(file)
    .split(/;\n/)
    .filter((statement) => statement.trim() !== '');
}

/** Triggers that write every row a table ever held into `history.<table>`, key changes as Debezium tells them. */
const HISTORY_SQL = `
CREATE SCHEMA history;
CREATE SEQUENCE history.versions;
CREATE TABLE history.file (number int);
INSERT INTO history.file VALUES (0);
CREATE FUNCTION history.keep(kept text, op text, version record) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO history.%I SELECT nextval(''history.versions''), %L, number, ($1).* FROM history.file', kept, op) USING version;
END $$;
CREATE FUNCTION history.follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE moved boolean := false;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    EXECUTE format('INSERT INTO history.%I (seq, op, file) SELECT nextval(''history.versions''), ''truncate'', number FROM history.file', TG_TABLE_NAME);
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    SELECT bool_or(to_jsonb(OLD) -> name IS DISTINCT FROM to_jsonb(NEW) -> name) INTO moved FROM unnest(TG_ARGV) name;
  END IF;
  IF TG_OP = 'DELETE' OR moved THEN PERFORM history.keep(TG_TABLE_NAME, 'delete', OLD); END IF;
  IF TG_OP = 'INSERT' OR moved THEN PERFORM history.keep(TG_TABLE_NAME, 'create', NEW);
  ELSIF TG_OP = 'UPDATE' THEN PERFORM history.keep(TG_TABLE_NAME, 'update', NEW); END IF;
  RETURN NULL;
END $$;`;

function followSql(table: string, key: readonly string[]): string {
  const names = key.map((name) => `'${name}'`).join(', ');
  return `
CREATE TABLE history.${table} AS SELECT nextval('history.versions') AS seq, 'snapshot'::text AS op, 0 AS file, t.* FROM public.${table} t;
ALTER TABLE history.${table} ADD PRIMARY KEY (seq);
CREATE TRIGGER follow AFTER INSERT OR UPDATE OR DELETE ON public.${table} FOR EACH ROW EXECUTE FUNCTION history.follow(${names});
CREATE TRIGGER empty AFTER TRUNCATE ON public.${table} FOR EACH STATEMENT EXECUTE FUNCTION history.follow(${names});`;
}

/** Builds the shop in the database at `url`, runs all its changes and keeps every version of every row. */
export async function buildShop(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(shopSql('schema.sql'));
    await client.query(shopSql('seed.sql'));
    await client.query(HISTORY_SQL);
    for (const [table, key] of Object.entries(SHOP_KEYS)) await client.query(followSql(table, key));
    // A column that the changes add; a row is written to its history by position.
    await client.query('ALTER TABLE history.customers ADD loyalty int');
    for (const [index, file] of CHANGE_FILES.entries()) {
      await client.query(`UPDATE history.file SET number = ${index + 1}`);
      for (const statement of statementsOf(file)) await client.query(statement);
    }
  } finally {
    await client.end();
  }
}

/** Every version of a pair's rows in the order they came, read as `database` reads rows, columns as the pair has them. */
export async function versionsOf(database: PostgresDatabase, url: string, pair: Pair): Promise<Version[]> {
  const kept = { schema: 'history', name: pair.old.name };
  const described = await database.describeTable(kept);
  const seq = described?.columns.find(({ name }) => name === 'seq');
  if (seq === undefined) throw new Error(`no history of ${pair.id}`);
  const numbered: Pair = {
    ...pair,
    old: kept,
    columns: [...pair.columns, { ...(pair.columns[0] as Pair['columns'][number]), name: 'seq', old: seq, new: seq, valueClass: 'integer' }],
    key: [pair.columns.length],
  };
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ seq: string; op: Version['op']; file: number }>(`SELECT seq, op, file FROM history.${kept.name} ORDER BY seq`);
  await client.end();
  const read = await database.readRows(numbered, rows.map((row) => [row.seq]), FOREVER);
  return rows.map(({ seq: number, op, file }) => {
    const row = read.rows.get(number)?.row;
    if (row === undefined) throw new Error(`no version ${number}`);
    return { op, file, row: op === 'truncate' ? null : row.slice(0, -1) };
  });
}
