import type { PairColumn, Side, SqlType } from '../pair.ts';
import { columnOn } from '../pair.ts';
import { valuesOf } from './column-values.ts';

/**
 * A chain of PostgreSQL's own hash functions over a row, each value's hash being the seed of the next: far cheaper than
 * a text and its md5. The functions are promised neither between versions nor between architectures, so two servers use
 * the chain only after a probe has given the same results on both. What the functions leave out by themselves is closed:
 *
 * - int8 folds 64 bits to 32: its high half is hashed as well
 * - timestamps, times, money fold likewise, and floats take -0 for 0: their binary form is hashed, as hexadecimal text
 * - numeric ignores its sign and returns its seed for NaN and the infinities: what it is goes into the seed
 * - enums and other types of one's own hash their OID, jsonb takes -5 for 5, arrays forget their shape: their text is hashed
 * - text hashes by its collation: "C" is asked for
 * - NULL gives NULL: a value stands in its place, and a mark tells that it did
 */

/** 0101…: any constant will do that no hash is likely to be apart by. */
const NULL_MARK = '6148914691236517205';

type TypedHash = (reference: string, seed: string) => string;

function binary(send: string): TypedHash {
  return (reference, seed) => textHash(`pg_catalog.encode(pg_catalog.${send}(${reference}), 'hex')`, seed);
}

/** Of text that may be NULL; `''` stands for it, and the mark tells the two apart. */
function textHash(text: string, seed: string): string {
  return `pg_catalog.hashtextextended(coalesce(${text}, ''), ${seed})`;
}

function floatHash(send: string, type: string): TypedHash {
  // NaN has many forms in bits, and one as a value.
  return (reference, seed) => binary(send)(`coalesce(nullif(${reference}, 'NaN'::${type}), 'NaN'::${type})`, seed);
}

const plainText: TypedHash = (reference, seed) => textHash(`${reference} COLLATE "C"`, seed);

const TYPED: Readonly<Record<string, TypedHash>> = {
  int2: (reference, seed) => `pg_catalog.hashint4extended(coalesce(${reference}, 0)::int4, ${seed})`,
  int4: (reference, seed) => `pg_catalog.hashint4extended(coalesce(${reference}, 0), ${seed})`,
  int8: (reference, seed) => `pg_catalog.hashint4extended((coalesce(${reference}, 0) >> 32)::int4, pg_catalog.hashint8extended(coalesce(${reference}, 0), ${seed}))`,
  bool: (reference, seed) => `pg_catalog.hashint4extended(coalesce(${reference}::int4, 2), ${seed})`,
  uuid: (reference, seed) => `pg_catalog.uuid_hash_extended(coalesce(${reference}, '00000000-0000-0000-0000-000000000000'::uuid), ${seed})`,
  numeric: (reference, seed) => {
    const value = `coalesce(${reference}, 0)`;
    const positive = `CASE WHEN ${value} < 'Infinity'::numeric THEN 1 WHEN ${value} = 'NaN'::numeric THEN 2 ELSE 3 END`;
    const negative = `CASE WHEN ${value} > '-Infinity'::numeric THEN 4 ELSE 5 END`;
    return `pg_catalog.hash_numeric_extended(${value}, pg_catalog.hashint4extended(CASE WHEN ${value} > 0 THEN ${positive} WHEN ${value} < 0 THEN ${negative} ELSE 6 END, ${seed}))`;
  },
  float4: floatHash('float4send', 'float4'),
  float8: floatHash('float8send', 'float8'),
  text: plainText,
  varchar: plainText,
  date: binary('date_send'),
  time: binary('time_send'),
  timetz: binary('timetz_send'),
  timestamp: binary('timestamp_send'),
  timestamptz: binary('timestamptz_send'),
  interval: binary('interval_send'),
  money: binary('cash_send'),
  bytea: (reference, seed) => textHash(`pg_catalog.encode(${reference}, 'hex')`, seed),
};

function typedHash(column: PairColumn): TypedHash | null {
  const { old, new: neu, rules } = column;
  const same = old.type.base === neu.type.base && isPlainBase(old.type) && isPlainBase(neu.type);
  return same && rules === undefined ? (TYPED[old.type.base] ?? null) : null;
}

function isPlainBase(type: SqlType): boolean {
  return type.kind === 'base' && !type.array;
}

/** One link: the hash of a column's value with `seed`, the hash of those before it. Equal on both sides only for equal values, as far as 64 bits tell. */
function link(column: PairColumn, side: Side, reference: string, seed: string): string {
  const typed = typedHash(column);
  const hash = typed === null ? textHash(`(${valuesOf(column, side).digestSql(reference)}) COLLATE "C"`, seed) : typed(reference, seed);
  return columnOn(column, side).nullable ? `(${hash} # (CASE WHEN ${reference} IS NULL THEN ${NULL_MARK} ELSE 0 END))` : hash;
}

/** Types whose binary form is one for each value, on every version and architecture. */
const BINARY: ReadonlySet<string> = new Set([
  'int2', 'int4', 'int8', 'oid', 'bool', 'uuid', 'text', 'varchar', 'bytea', 'date', 'time', 'timetz', 'timestamp', 'timestamptz', 'interval', 'money', 'jsonb',
]);

/**
 * SQL of a value whose binary form, as COPY writes it, is the same on both sides only for equal values: the column as it
 * is where that is enough, else its digest's text.
 */
export function binarySql(column: PairColumn, side: Side, reference: string): string {
  const { old, new: neu, rules } = column;
  if (rules === undefined && old.type.base === neu.type.base && isPlainBase(old.type) && isPlainBase(neu.type)) {
    const { base } = old.type;
    if (BINARY.has(base)) return reference;
    // The scale is part of the form: equal where both sides declare it.
    if (base === 'numeric') return old.type.scale !== null && old.type.scale === neu.type.scale ? reference : `pg_catalog.trim_scale(${reference})`;
    if (base === 'float4' || base === 'float8') return `(CASE WHEN ${reference} = 'NaN'::${base} THEN 'NaN'::${base} ELSE ${reference} END)`;
  }
  return valuesOf(column, side).digestSql(reference);
}

/** Where a chain begins; a seed of 0 leaves the first hash unseeded. */
const FIRST_SEED = '7046029254386353131';

/**
 * SQL of a row's hash, an int8: the chain over all columns, closed by one more hash whose seed it is, so that no sum of
 * them can be made to cancel.
 * @param reference SQL of a column of the row
 */
export function rowHashChainSql(columns: readonly PairColumn[], side: Side, reference: (column: PairColumn) => string): string {
  const chain = columns.reduce((seed, column) => link(column, side, reference(column), seed), FIRST_SEED);
  return `pg_catalog.hashint4extended(0, ${chain})`;
}

/**
 * SQL texts whose results two servers must share before the chain is trusted: every hash function that a chain can use,
 * over values that would show another version or byte order.
 */
export const CHAIN_PROBE_SQL: readonly string[] = [
  ...probe('int2', ['0', '-32768', '32767']),
  ...probe('int4', ['0', '-1', '2147483647']),
  ...probe('int8', ['1', '4294967296', '-9223372036854775808', '9007199254740993']),
  ...probe('bool', ['true', 'false']),
  ...probe('uuid', ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']),
  ...probe('numeric', ['0', '1.50', '-1.5', 'NaN', 'Infinity', '-Infinity', '12345678901234567890.123456789', '1e-20']),
  ...probe('float4', ['0', '-0', 'NaN', '0.1']),
  ...probe('float8', ['0', '-0', 'NaN', '0.1', 'Infinity']),
  ...probe('text', ['', 'a', 'é🙂', 'a text that is longer than one round of the hash function']),
  ...probe('date', ['infinity', '2024-02-29', '0044-03-15 BC']),
  ...probe('time', ['24:00', '00:00:00.000001']),
  ...probe('timetz', ['12:00+02']),
  ...probe('timestamp', ['infinity', '2024-02-29 12:00:00.000001']),
  ...probe('timestamptz', ['-infinity', '2024-02-29 12:00:00.000001+02']),
  ...probe('interval', ['1 mon', '30 days', '720:00']),
  ...probe('money', ['1', '-42949672.96']),
  ...probe('bytea', ['\\x00ff', '']),
];

function probe(type: string, values: readonly string[]): string[] {
  const hash = TYPED[type];
  if (hash === undefined) throw new RangeError(`no hash of ${type}`);
  return [...values.map((value) => hash(`'${value}'::${type}`, FIRST_SEED)), hash(`NULL::${type}`, FIRST_SEED)];
}
