import type { ColumnDescription, Pair, PairColumn, Side, TableName } from '../../domain/pair.ts';
import { columnOn, tableOn } from '../../domain/pair.ts';
import type { RowKey } from '../../domain/row.ts';
import type { KeyRange } from '../../verify/ports.ts';

/** The alias of the compared table in every statement. */
export const ROW = 'r';

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteTable(table: TableName): string {
  return `${quoteName(table.schema)}.${quoteName(table.name)}`;
}

/** A column of the compared table, or the expression that is compared in its place. */
export function columnSql(column: ColumnDescription): string {
  return column.expression === undefined ? `${ROW}.${quoteName(column.name)}` : `(${column.expression}\n)`;
}

/** One key column on one side. */
export interface KeyColumn {
  readonly position: number;
  readonly pairColumn: PairColumn;
  readonly column: ColumnDescription;
}

export function keyColumns(pair: Pair, side: Side): KeyColumn[] {
  return pair.key.map((position) => {
    const pairColumn = pair.columns[position] as PairColumn;
    return { position, pairColumn, column: columnOn(pairColumn, side) };
  });
}

/** Types to which a key's text is cast, by `typname`, so that the comparison can use the column's index. */
const CASTS: Readonly<Record<string, string>> = {
  // One cast for all widths: a key that one side cannot hold is then simply not found there.
  int2: 'int8',
  int4: 'int8',
  int8: 'int8',
  text: 'text',
  varchar: 'text',
  bpchar: 'bpchar',
  // A cast to bit would cut the text down to one bit.
  bit: 'varbit',
};

function isEnum(column: ColumnDescription): boolean {
  return column.type.kind === 'enum';
}

/** The type to which a key's text is cast on this side. */
export function castOf(column: ColumnDescription): string {
  return isEnum(column) ? 'text' : (CASTS[column.type.base] ?? quoteName(column.type.base));
}

/** `column = key`, both sides ready for an index where the type allows it; labels of enums are compared as text. */
export function keyEquals({ column }: KeyColumn, keyText: string): string {
  const left = isEnum(column) ? `${columnSql(column)}::text` : columnSql(column);
  return `${left} = ${keyText}::${castOf(column)}`;
}

/**
 * The keys asked for with their places (from 1) as `asked.n`, and of each one's row what is selected; the caller gives it
 * a name. Parameter n is the array of the nth key column's texts.
 */
export function fromKeysSql(pair: Pair, side: Side, selected: string): string {
  const keys = keyColumns(pair, side);
  const arrays = keys.map((_key, index) => `$${index + 1}::text[]`);
  const names = keys.map((_key, index) => `k${index}`);
  const conditions = keys.map((key, index) => keyEquals(key, `asked.k${index}`));
  const filter = filterSql(pair, side);
  if (filter !== '') conditions.push(filter);
  return `FROM unnest(${arrays.join(', ')}) WITH ORDINALITY AS asked(${names.join(', ')}, n)
CROSS JOIN LATERAL (SELECT ${selected} FROM ${quoteTable(tableOn(pair, side))} AS ${ROW} WHERE ${conditions.join(' AND ')})`;
}

const INT8_MAX = 9_223_372_036_854_775_807n;
const INT8_MIN = -9_223_372_036_854_775_808n;
/** Any integer of so many characters is one of int8. */
const INT8_SURE_CHARS = 18;
const INTEGERS: ReadonlySet<string> = new Set(['int2', 'int4', 'int8']);
const INTEGER = /^-?[0-9]+$/;

/** Whether this side's column can hold the key value at all; what it cannot hold has no row there. */
export function canHold({ column }: KeyColumn, value: string): boolean {
  if (value.includes('\0')) return false;
  if (!INTEGERS.has(column.type.base)) return true;
  if (!INTEGER.test(value)) return false;
  if (value.length <= INT8_SURE_CHARS) return true;
  const integer = BigInt(value);
  return integer >= INT8_MIN && integer <= INT8_MAX;
}

const TEXT_ORDER_BASES: ReadonlySet<string> = new Set(['text', 'varchar', 'bpchar', 'name', 'citext']);

/** Whether the two servers may sort the key's values differently: as text, or because one side holds them as text. */
export function sortsAsText({ pairColumn }: KeyColumn): boolean {
  return [pairColumn.old, pairColumn.new].some((column) => isEnum(column) || TEXT_ORDER_BASES.has(column.type.base));
}

/** Names of columns whose own order already is that of bytes. */
export type ByteOrdered = ReadonlySet<string>;

/** The expression by which both sides order a key column. */
export function orderSql(key: KeyColumn, byteOrdered: ByteOrdered): string {
  if (!sortsAsText(key)) return columnSql(key.column);
  if (!isEnum(key.column) && byteOrdered.has(key.column.name)) return columnSql(key.column);
  return `${columnSql(key.column)}::text COLLATE "C"`;
}

/** The type in which bounds are compared with `orderSql`, where the column can hold them. */
export function boundType(key: KeyColumn, byteOrdered: ByteOrdered): string {
  const asText = sortsAsText(key) && (isEnum(key.column) || !byteOrdered.has(key.column.name));
  return asText ? 'text' : castOf(key.column);
}

/** A bound of a range, ready to be compared with `orderSql`. */
export function boundSql(key: KeyColumn, byteOrdered: ByteOrdered, bound: string, value: string): string {
  const type = boundType(key, byteOrdered);
  // A bound may come from the other side, whose column may hold more.
  return `${bound}::${type === 'text' || canHold(key, value) ? type : 'numeric'}`;
}

/** A text as a literal: COPY takes no parameters. Sessions pin `standard_conforming_strings`. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export interface RangeSql {
  /** `FROM … WHERE …` with the pair's filter, the range and no NULL keys. */
  readonly from: string;
  readonly orderBy: string;
  readonly parameters: string[];
}

/**
 * The rows of a half-open key range on one side.
 * @param inline whether bounds stand in the SQL as literals; else they are parameters
 */
export function rangeSql(pair: Pair, side: Side, range: KeyRange, byteOrdered: ByteOrdered, inline = false): RangeSql {
  const keys = keyColumns(pair, side);
  const order = keys.map((key) => orderSql(key, byteOrdered));
  const parameters: string[] = [];
  const bound = (key: RowKey): string => {
    const values = key.map((value, index) => {
      if (!inline) parameters.push(value);
      return boundSql(keys[index] as KeyColumn, byteOrdered, inline ? literal(value) : `$${parameters.length}`, value);
    });
    return `ROW(${values.join(', ')})`;
  };
  const ordered = (key: RowKey): string => `ROW(${order.slice(0, key.length).join(', ')})`;
  const conditions: string[] = [];
  if (range.from !== null) conditions.push(`${ordered(range.from)} >= ${bound(range.from)}`);
  if (range.to !== null) conditions.push(`${ordered(range.to)} < ${bound(range.to)}`);
  return { from: fromSql(pair, side, keys, conditions), orderBy: `ORDER BY ${order.join(', ')}`, parameters };
}

/** `FROM … WHERE …` with the pair's filter, these conditions and no NULL keys. */
export function fromSql(pair: Pair, side: Side, keys: readonly KeyColumn[], conditions: readonly string[]): string {
  const notNull = keys.filter(({ column }) => column.nullable).map(({ column }) => `${columnSql(column)} IS NOT NULL`);
  const where = [filterSql(pair, side), ...notNull, ...conditions].filter((condition) => condition !== '');
  return `FROM ${quoteTable(tableOn(pair, side))} AS ${ROW}${where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`}`;
}

/** The pair's row filter on one side; empty where there is none. */
export function filterSql(pair: Pair, side: Side): string {
  const filter = pair.where[side]?.trim();
  return filter === undefined || filter === '' ? '' : `(${filter}\n)`;
}
