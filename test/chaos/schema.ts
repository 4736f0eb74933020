/** Rows that load writes to, and rows beyond them that it leaves to planted drift, by table. */
export const LOADED_ROWS = { customers: 6_000, orders: 3_000, payments: 3_000 } as const;
export const RESERVED_ROWS = 600;
/** Reserved rows have the numbers from here on. */
export const RESERVED_FROM = 900_001;
/** Numbers of rows that plants insert. */
export const PLANTED_FROM = 950_001;

export type TableName = keyof typeof LOADED_ROWS;
export const TABLE_NAMES = Object.keys(LOADED_ROWS) as readonly TableName[];

/** Partitions of each table's topic. */
export const PARTITIONS: Readonly<Record<TableName, number>> = { customers: 1, orders: 2, payments: 3 };

export const SCHEMA_SQL = `
CREATE TABLE customers (
  id bigint PRIMARY KEY, email text NOT NULL, vip boolean, created_at timestamptz, updated_at timestamp, birth date,
  prefs jsonb, balance numeric(20,4), score real, rating double precision, notes text);
CREATE TABLE orders (
  tenant_id int, order_id bigint, status text, total numeric(12,2), placed_at timestamptz(3), lines jsonb, PRIMARY KEY (tenant_id, order_id));
CREATE TABLE payments (
  id uuid PRIMARY KEY, amount numeric(20,4), fee numeric, paid_at timestamptz, long_text text, n int);
`;

/** On old: what each transaction wrote, told by the transaction itself, so that it is there exactly when the rest is. */
export const LEDGER_SQL = `
CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, table_name text NOT NULL, creates int NOT NULL, updates int NOT NULL, deletes int NOT NULL);
`;

/** On new: writes of rows that are named in \`swallowed\` do not happen, whoever makes them. */
export const SWALLOW_SQL = `
CREATE TABLE swallowed (relation text, key text, PRIMARY KEY (relation, key));
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE kept jsonb := CASE TG_OP WHEN 'INSERT' THEN to_jsonb(NEW) ELSE to_jsonb(OLD) END;
BEGIN
  IF EXISTS (SELECT FROM public.swallowed s WHERE s.relation = TG_TABLE_NAME AND s.key = coalesce(kept->>'order_id', kept->>'id')) THEN RETURN NULL; END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
${['customers', 'orders', 'payments'].map((table) => `CREATE TRIGGER swallow BEFORE INSERT OR UPDATE OR DELETE ON ${table} FOR EACH ROW EXECUTE FUNCTION swallow();`).join('\n')}
`;

/** SQL of a row's values, for the numbers that \`i\` takes. */
const ROW_SQL: Readonly<Record<TableName, string>> = {
  customers: `i, 'u' || i || '@example.com', i % 2 = 0, timestamptz '2024-01-01 00:00:00.123456+00' + i * interval '1 minute',
    timestamp '2024-06-01 12:34:56.654321', date '1980-01-01' + (i % 9000)::int, '{"n": 1.50, "a": [1, null]}'::jsonb, i * 1.2345, i / 7.0, i / 3.0, NULL`,
  orders: `1, 9007199254740990 + i, 'new', i * 0.99, timestamptz '2025-03-30 00:59:59.999+00', '[]'::jsonb`,
  payments: `('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, i * 100.0001, i / 3.0, timestamptz '2025-01-01 00:00:00+00', 'short', 1`,
};

/** SQL that inserts the rows of these numbers. */
export function insertSql(table: TableName, from: number, to: number): string {
  return `INSERT INTO ${table} SELECT ${ROW_SQL[table]} FROM generate_series(${from}::bigint, ${to}) i`;
}

export const SEED_SQL = TABLE_NAMES.map((table) => `${insertSql(table, 1, LOADED_ROWS[table])};\n${insertSql(table, RESERVED_FROM, RESERVED_FROM + RESERVED_ROWS - 1)};`).join('\n');

/** A row's key as its own condition, as reports show it, and as \`swallowed\` names it. */
export function keyOf(table: TableName, n: number): { readonly where: string; readonly shown: Readonly<Record<string, string>>; readonly text: string } {
  switch (table) {
    case 'customers':
      return { where: `id = ${n}`, shown: { id: String(n) }, text: String(n) };
    case 'orders': {
      const order = (9007199254740990n + BigInt(n)).toString();
      return { where: `tenant_id = 1 AND order_id = ${order}`, shown: { tenant_id: '1', order_id: order }, text: order };
    }
    case 'payments': {
      const id = `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
      return { where: `id = '${id}'`, shown: { id }, text: id };
    }
  }
}
