import { createHash } from 'node:crypto';

/** Rows of the `uuid` and `composite` tables, as a share of the `mixed` one's. */
const SMALLER = 5;
/** Every so many-th id is never used, as a sequence leaves them behind. */
const ID_GAP = 1000;
const TENANTS = 200;

export type ShapeName = 'mixed' | 'uuid' | 'composite';

/** One of the benchmark's tables. Row i (from 1) has the same values wherever it is written. */
export interface Shape {
  readonly name: ShapeName;
  readonly keyColumns: readonly string[];
  /** Key columns with their types, as DDL. */
  readonly keyDdl: string;
  /** Key of row `i`, one expression a key column. */
  readonly keySql: readonly string[];
  /** Rows for `--rows`. */
  rowsOf(mixedRows: number): number;
  /** The key of row `i` as the database prints it. */
  keyOf(row: number): readonly string[];
  /** Key of the `index`-th of `count` rows that only new has; `rows`: those that old has. */
  extraKeyOf(index: number, count: number, rows: number): readonly string[];
}

/** The columns after the key. */
export const VALUE_COLUMNS = ['account', 'amount', 'note', 'name', 'created_at', 'updated_at', 'active', 'score', 'details'] as const;

const VALUE_DDL = `account int, amount numeric(20,4) NOT NULL, note text, name varchar(60) NOT NULL, created_at timestamptz NOT NULL,
  updated_at timestamp, active boolean, score double precision, details jsonb`;

/** Values of row `i`: `a` and `b` are hashes of it without their signs. */
const VALUE_SQL = `
  CASE WHEN a % 20 = 0 THEN NULL ELSE (a % 1000000)::int END,
  ((b % 2000000000000) - 1000000000000)::numeric / 10000,
  CASE a % 7 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'order ' || i || ', left at the door of number ' || a % 5000 END,
  'Customer ' || b % 100000 || CASE b % 3 WHEN 0 THEN ' Größe' ELSE ' Smith' END,
  timestamptz '2022-01-01 00:00:00+00' + i * interval '13 seconds' + (b % 1000000) * interval '1 microsecond',
  CASE WHEN a % 3 = 0 THEN NULL ELSE timestamp '2022-01-01 00:00:00' + i * interval '14 seconds' + (a % 1000000) * interval '1 microsecond' END,
  CASE a % 10 WHEN 0 THEN NULL ELSE a % 10 > 4 END,
  CASE WHEN b % 11 = 0 THEN NULL ELSE (b % 1000003)::double precision / 1000 END,
  CASE WHEN b % 5 = 0 THEN NULL ELSE jsonb_build_object('channel', CASE a % 2 WHEN 0 THEN 'web' ELSE 'shop' END, 'items', a % 9, 'express', b % 2 = 0) END`;

const HASHES = `LATERAL (SELECT hashint8extended(i, 1) & 9223372036854775807 AS a, hashint8extended(i, 2) & 9223372036854775807 AS b) h`;

function uuidOf(row: number): string {
  const hex = createHash('md5').update(`row ${row}`).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

const compositeKey = (row: number): readonly string[] => [String(1 + (row % TENANTS)), String(Math.floor(row / TENANTS) + 1)];

const smaller = (mixedRows: number): number => Math.ceil(mixedRows / SMALLER);

export const SHAPES: Readonly<Record<ShapeName, Shape>> = {
  mixed: {
    name: 'mixed',
    keyColumns: ['id'],
    keyDdl: 'id bigint',
    keySql: [`i + (i - 1) / ${ID_GAP - 1}`],
    rowsOf: (mixedRows) => mixedRows,
    keyOf: (row) => [String(row + Math.floor((row - 1) / (ID_GAP - 1)))],
    extraKeyOf: (index, count, rows) => {
      const gaps = Math.floor(rows / (ID_GAP - 1));
      // Small tables have too few gaps: the rest goes past the end.
      if (gaps < count) return [String((gaps + 2 + index) * ID_GAP)];
      return [String((Math.floor((index * gaps) / count) + 1) * ID_GAP)];
    },
  },
  uuid: {
    name: 'uuid',
    keyColumns: ['id'],
    keyDdl: 'id uuid',
    keySql: [`md5('row ' || i)::uuid`],
    rowsOf: smaller,
    keyOf: (row) => [uuidOf(row)],
    extraKeyOf: (index, _count, rows) => [uuidOf(rows + 1 + index)],
  },
  composite: {
    name: 'composite',
    keyColumns: ['tenant', 'serial'],
    keyDdl: 'tenant int, serial bigint',
    keySql: [`1 + i % ${TENANTS}`, `i / ${TENANTS} + 1`],
    rowsOf: smaller,
    keyOf: compositeKey,
    extraKeyOf: (index, _count, rows) => compositeKey(rows + 1 + index),
  },
};

/** Statements that make the table with rows 1 to `rows`; the key's index comes after them. */
export function fillSql(shape: Shape, table: string, rows: number): readonly string[] {
  return [
    `DROP TABLE IF EXISTS ${table}`,
    `CREATE TABLE ${table} (${shape.keyDdl}, ${VALUE_DDL})`,
    `INSERT INTO ${table} SELECT ${shape.keySql.join(', ')}, ${VALUE_SQL} FROM generate_series(1, ${rows}::bigint) i, ${HASHES}`,
    primaryKeySql(shape, table),
  ];
}

/** Statements that make `table` a copy of `from`. */
export function copySql(shape: Shape, table: string, from: string): readonly string[] {
  return [
    `DROP TABLE IF EXISTS ${table}`,
    `CREATE TABLE ${table} (LIKE ${from} INCLUDING DEFAULTS)`,
    `INSERT INTO ${table} SELECT * FROM ${from}`,
    primaryKeySql(shape, table),
  ];
}

/** Inserts rows with keys of their own and the values of the rows after `rows`. */
export function insertSql(shape: Shape, table: string, keys: readonly (readonly string[])[], rows: number): string {
  const columns = shape.keyDdl.split(', ').map((column) => column.split(' ') as [string, string]);
  const listed = keys.map((key, index) => `(${rows + 1 + index}::bigint, ${key.map((value, at) => `'${value}'::${columns[at]?.[1]}`).join(', ')})`);
  const names = columns.map(([name]) => name);
  return `INSERT INTO ${table} SELECT ${names.map((name) => `k.${name}`).join(', ')}, ${VALUE_SQL}
    FROM (VALUES ${listed.join(', ')}) AS k(i, ${names.join(', ')}), ${HASHES}`;
}

function primaryKeySql(shape: Shape, table: string): string {
  return `ALTER TABLE ${table} ADD PRIMARY KEY (${shape.keyColumns.join(', ')})`;
}
