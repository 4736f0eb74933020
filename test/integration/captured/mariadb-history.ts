import type { ColumnDescription, Pair, PairColumn, SqlType } from '../../../src/domain/pair.ts';
import { canonicalFromText } from '../../../src/domain/values/classes.ts';
import { chooseClass } from '../../../src/domain/values/choose.ts';
import type { Row } from '../../../src/domain/row.ts';
import type { MariaDbServer } from '../../stack/mariadb-server.ts';
import { shopSql, statementsOf } from './shop-history.ts';
import type { Version } from './shop-history.ts';

/** A MariaDB column as `information_schema` has it. */
interface MariaColumn {
  readonly name: string;
  readonly type: string;
  readonly fullType: string;
  readonly precision: number | null;
  readonly scale: number | null;
  readonly timePrecision: number | null;
  readonly length: number | null;
}

const TIME_ZERO = '+00';

function base(name: string, more: Partial<SqlType> = {}): SqlType {
  return { formatted: name, base: name, kind: 'base', array: false, precision: null, scale: null, length: null, ...more };
}

/** What a connector's settings make of MariaDB's types. */
export interface MariaModes {
  /** TinyIntOneToBooleanConverter. */
  readonly tinyIntOneIsBoolean: boolean;
  /** bigint.unsigned.handling.mode. */
  readonly unsignedBigint: 'long' | 'precise';
}

/** The PostgreSQL type whose values are written alike. TIME reaches beyond a day on both sides of zero, as an interval does. */
function sqlTypeOf(column: MariaColumn, { tinyIntOneIsBoolean, unsignedBigint }: MariaModes): SqlType {
  const unsigned = column.fullType.endsWith('unsigned');
  switch (column.type) {
    case 'tinyint':
      return tinyIntOneIsBoolean && column.fullType === 'tinyint(1)' ? base('bool') : base('int2');
    case 'smallint':
      return base(unsigned ? 'int4' : 'int2');
    case 'year':
      return base('int2');
    case 'int':
      return base(unsigned ? 'int8' : 'int4');
    case 'bigint':
      return unsigned && unsignedBigint === 'precise' ? base('numeric', { precision: 20, scale: 0 }) : base('int8');
    case 'decimal':
      return base('numeric', { precision: column.precision, scale: column.scale });
    case 'float':
      return base('float4');
    case 'double':
      return base('float8');
    case 'datetime':
      return base('timestamp', { precision: column.timePrecision });
    case 'timestamp':
      return base('timestamptz', { precision: column.timePrecision });
    case 'date':
      return base('date');
    case 'time':
      return base('interval', { precision: column.timePrecision });
    case 'bit':
      return base('bit', { length: column.precision });
    case 'blob':
    case 'binary':
    case 'varbinary':
      return base('bytea');
    case 'char':
      return base('bpchar', { length: column.length });
    case 'enum':
      return base(column.name, { kind: 'enum' });
    default:
      return base('text');
  }
}

/** SQL that prints a column as the hexadecimal bytes of the text that the PostgreSQL type has. */
function printedSql({ name, type, precision }: MariaColumn): string {
  if (type === 'bit') return `HEX(LPAD(BIN(\`${name}\`), ${precision ?? 1}, '0'))`;
  if (type === 'blob' || type === 'binary' || type === 'varbinary') return `HEX(CONCAT('\\\\x', LOWER(HEX(\`${name}\`))))`;
  if (type === 'timestamp') return `HEX(CONCAT(CAST(\`${name}\` AS CHAR CHARACTER SET utf8mb4), '${TIME_ZERO}'))`;
  return `HEX(CAST(\`${name}\` AS CHAR CHARACTER SET utf8mb4))`;
}

/** Columns of `shop.<table>`. */
export async function columnsOf(server: MariaDbServer, table: string): Promise<MariaColumn[]> {
  const rows = await server.run(
    `SELECT column_name, data_type, column_type, numeric_precision, numeric_scale, datetime_precision, character_maximum_length
FROM information_schema.columns WHERE table_schema = 'shop' AND table_name = '${table}' ORDER BY ordinal_position`,
  );
  const number = (text: string | undefined): number | null => (text === undefined || text === 'NULL' ? null : Number(text));
  return rows.map(([name = '', type = '', fullType = '', precision, scale, timePrecision, length]) => ({
    name,
    type,
    fullType,
    precision: number(precision),
    scale: number(scale),
    timePrecision: number(timePrecision),
    length: number(length),
  }));
}

/** The pair of a MariaDB table with itself. */
export function pairOfColumns(table: string, columns: readonly MariaColumn[], key: readonly string[], modes: MariaModes): Pair {
  const paired = columns.map((column): PairColumn => {
    const described: ColumnDescription = { name: column.name, type: sqlTypeOf(column, modes), nullable: true };
    const choice = chooseClass(described.type, described.type);
    if (choice.kind !== 'class') throw new Error(choice.reason);
    return { name: column.name, old: described, new: described, valueClass: choice.valueClass, sensitive: false };
  });
  const name = { schema: 'shop', name: table };
  return { id: `shop.${table}`, old: name, new: name, columns: paired, key: key.map((one) => paired.findIndex((column) => column.name === one)), where: {}, topic: {} };
}

/** Printed values of a row by column name; null is NULL. */
export type PrintedRow = ReadonlyMap<string, string | null>;

export interface PrintedChange {
  readonly op: 'create' | 'update' | 'delete';
  readonly table: string;
  readonly row: PrintedRow;
}

export interface ShopInMariaDb {
  readonly columns: ReadonlyMap<string, readonly MariaColumn[]>;
  /** The table without a key, as it is after the changes. */
  readonly noKey: { readonly columns: readonly MariaColumn[]; readonly rows: readonly PrintedRow[] };
  readonly snapshot: ReadonlyMap<string, readonly PrintedRow[]>;
  readonly changes: readonly PrintedChange[];
}

const MARK = '#';

/** Builds the shop, runs its changes one by one and keeps every row that a statement made, changed or took. */
export async function buildShopInMariaDb(server: MariaDbServer, keys: Readonly<Record<string, readonly string[]>>): Promise<ShopInMariaDb> {
  await server.run(shopSql('mariadb-seed.sql'));
  const columns = new Map<string, readonly MariaColumn[]>();
  for (const table of Object.keys(keys)) columns.set(table, await columnsOf(server, table));
  const color: MariaColumn = { name: 'color', type: 'varchar', fullType: 'varchar(10)', precision: null, scale: null, timePrecision: null, length: 10 };
  const script = ["SET time_zone = '+00:00'; USE shop;"];
  const dumps: { statement: string; table: string; columns: readonly MariaColumn[] }[] = [];
  let withColor = false;
  for (const statement of ['SELECT 1 FROM DUAL WHERE false', ...statementsOf('mariadb-changes.sql')]) {
    script.push(`${statement};`);
    withColor ||= statement.includes('ADD COLUMN color');
    for (const [table, known] of columns) {
      const shown = table === 'items' && withColor ? [...known, color] : known;
      dumps.push({ statement, table, columns: shown });
      script.push(`SELECT '${MARK}'; SELECT ${shown.map(printedSql).join(', ')} FROM ${table};`);
    }
  }
  const printed = await server.run(script.join('\n'));
  const states: PrintedRow[][] = [];
  for (const line of printed) {
    if (line.length === 1 && line[0] === MARK) states.push([]);
    else {
      const { columns: shown } = dumps[states.length - 1] as (typeof dumps)[number];
      states.at(-1)?.push(printedRow(shown, line));
    }
  }
  const snapshot = new Map<string, readonly PrintedRow[]>();
  const changes: PrintedChange[] = [];
  let open: PrintedChange[] | null = null;
  for (const [index, { statement, table }] of dumps.entries()) {
    const before = states[index - columns.size];
    const after = states[index] ?? [];
    if (before === undefined) {
      snapshot.set(table, after);
      continue;
    }
    const first = index % columns.size === 0;
    if (first && statement === 'START TRANSACTION') open = [];
    // What a rollback took away was never there.
    if (statement === 'ROLLBACK') open = null;
    // A change of a column's type is told as such, without its rows.
    else if (!statement.startsWith('ALTER')) (open ?? changes).push(...differences(table, keys[table] ?? [], before, after));
    if (statement === 'COMMIT' && first) {
      changes.push(...(open ?? []));
      open = null;
    }
  }
  const noKey = await columnsOf(server, 'nopk');
  const left = await server.run(`SELECT ${noKey.map(printedSql).join(', ')} FROM shop.nopk`);
  return { columns, noKey: { columns: noKey, rows: left.map((line) => printedRow(noKey, line)) }, snapshot, changes };
}

function printedRow(columns: readonly MariaColumn[], line: readonly string[]): PrintedRow {
  return new Map(columns.map(({ name }, index) => [name, line[index] === 'NULL' ? null : Buffer.from(line[index] ?? '', 'hex').toString('utf8')]));
}

/** Deletes, updates, creates, each by key; a table without a key has none of them. */
function differences(table: string, key: readonly string[], before: readonly PrintedRow[], after: readonly PrintedRow[]): PrintedChange[] {
  if (key.length === 0) return [];
  const byKey = (rows: readonly PrintedRow[]): Map<string, PrintedRow> => new Map(rows.map((row) => [key.map((name) => row.get(name)).join('/'), row]));
  const [left, right] = [byKey(before), byKey(after)];
  const made: PrintedChange[] = [];
  for (const [id, row] of left) if (!right.has(id)) made.push({ op: 'delete', table, row });
  for (const [id, row] of right) {
    const earlier = left.get(id);
    if (earlier !== undefined && [...row].some(([name, value]) => earlier.has(name) && earlier.get(name) !== value)) made.push({ op: 'update', table, row });
  }
  for (const [id, row] of right) if (!left.has(id)) made.push({ op: 'create', table, row });
  return made;
}

/** A printed row in canonical form, columns as the pair has them; what the row has not is NULL. */
export function canonicalRow(pair: Pair, row: PrintedRow): Row {
  return pair.columns.map(({ name, valueClass, old }) => {
    const text = row.get(name);
    return text == null ? null : canonicalFromText(valueClass, old.type, text);
  });
}

/** Versions of a table's rows, the snapshot first. */
export function printedVersions(shop: ShopInMariaDb, pair: Pair): Version[] {
  const table = pair.old.name;
  return [
    ...(shop.snapshot.get(table) ?? []).map((row): Version => ({ op: 'snapshot', file: 0, row: canonicalRow(pair, row) })),
    ...shop.changes.filter((change) => change.table === table).map(({ op, row }): Version => ({ op, file: 1, row: canonicalRow(pair, row) })),
  ];
}
