import type { PairColumn, Side, SqlType } from '../pair.ts';
import { columnOn } from '../pair.ts';
import { valuesOf } from './column-values.ts';

/**
 * A chain of PostgreSQL's own hash functions over a row, each value's hash being the seed of the next: far cheaper than
 * a text and its md5. The functions are promised neither between versions nor between architectures, so two servers use
 * the chain only after a probe has given the same results on both. What the functions leave out by themselves is closed:
 *
 * - int8 folds 64 bits to 32: its high half is hashed as well
 * - timestamps, times, money fold likewise: their binary form is hashed, as hexadecimal text
 * - floats take -0 for 0 and return their seed for both: marks tell the zeros
 * - numeric ignores its sign and returns its seed for NaN and the infinities: what it is goes into the seed
 * - enums and other types of one's own hash their OID, jsonb takes -5 for 5, arrays forget their shape: their text is hashed
 * - text hashes by its collation: "C" is asked for
 * - NULL gives NULL: a value stands in its place, and a mark tells that it did
 */

/** 0101…: any constant will do that no hash is likely to be apart by; so with the two after it. */
const NULL_MARK = '6148914691236517205';
const ZERO_MARK = '3689348814741910323';
const NEGATIVE_ZERO_MARK = '1085102592571150095';

/** A column's value in SQL. */
interface Value {
  readonly reference: string;
  readonly nullable: boolean;
  /** A numeric whose precision is declared holds no infinity. */
  readonly finite: boolean;
}

type TypedHash = (value: Value, seed: string) => string;

/** The value, or what stands for NULL, told apart from it by the mark alone. */
function present({ reference, nullable }: Value, standIn: string): string {
  return nullable ? `coalesce(${reference}, ${standIn})` : reference;
}

/** A hash with the mark of NULL. */
function marked(hash: string, { reference, nullable }: Value): string {
  return nullable ? `(${hash} # (CASE WHEN ${reference} IS NULL THEN ${NULL_MARK} ELSE 0 END))` : hash;
}

/** Of text made of the value, NULL where the value is. */
function textHash(text: string, value: Value, seed: string): string {
  return marked(`pg_catalog.hashtextextended(${present({ ...value, reference: text }, "''")}, ${seed})`, value);
}

function binary(send: string): TypedHash {
  return (value, seed) => textHash(`pg_catalog.encode(pg_catalog.${send}(${value.reference}), 'hex')`, value, seed);
}

/** Both zeros hash to their seed, which would let values move between columns: another number and a mark stand for them. */
function floatHash(type: 'float4' | 'float8'): TypedHash {
  return ({ reference, nullable }, seed) => {
    const positiveZero = `pg_catalog.${type}send(${reference}) = pg_catalog.${type}send('0'::${type})`;
    const nullMark = nullable ? ` WHEN ${reference} IS NULL THEN ${NULL_MARK}` : '';
    const mark = `CASE WHEN ${reference} <> '0'::${type} THEN 0${nullMark} WHEN ${positiveZero} THEN ${ZERO_MARK} ELSE ${NEGATIVE_ZERO_MARK} END`;
    return `(pg_catalog.hash${type}extended(coalesce(nullif(${reference}, '0'::${type}), '1'::${type}), ${seed}) # (${mark}))`;
  };
}

/** Of a value whose hash function leaves nothing out. */
function exact(hash: string, standIn: string): TypedHash {
  return (value, seed) => marked(`pg_catalog.${hash}(${present(value, standIn)}, ${seed})`, value);
}

const plainText: TypedHash = (value, seed) => textHash(`${value.reference} COLLATE "C"`, value, seed);

const TYPED: Readonly<Record<string, TypedHash>> = {
  int2: (value, seed) => marked(`pg_catalog.hashint4extended(${present(value, '0')}::int4, ${seed})`, value),
  int4: exact('hashint4extended', '0'),
  int8: (value, seed) => {
    const number = present(value, '0');
    return marked(`pg_catalog.hashint4extended((${number} >> 32)::int4, pg_catalog.hashint8extended(${number}, ${seed}))`, value);
  },
  bool: ({ reference }, seed) => `pg_catalog.hashint4extended(coalesce(${reference}::int4, 2), ${seed})`,
  uuid: exact('uuid_hash_extended', `'00000000-0000-0000-0000-000000000000'::uuid`),
  numeric: (value, seed) => {
    const number = present(value, '0');
    const infinite = value.finite ? '' : ` WHEN ${number} = 'Infinity'::numeric THEN 2`;
    const sign = `CASE WHEN ${number} < 0 THEN 1${infinite} ELSE 0 END`;
    return marked(`pg_catalog.hash_numeric_extended(${number}, pg_catalog.hashint4extended(${sign}, ${seed}))`, value);
  },
  float4: floatHash('float4'),
  float8: floatHash('float8'),
  text: plainText,
  varchar: plainText,
  date: binary('date_send'),
  time: binary('time_send'),
  timetz: binary('timetz_send'),
  timestamp: binary('timestamp_send'),
  timestamptz: binary('timestamptz_send'),
  interval: binary('interval_send'),
  money: binary('cash_send'),
  bytea: (value, seed) => textHash(`pg_catalog.encode(${value.reference}, 'hex')`, value, seed),
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
  const { nullable, type } = columnOn(column, side);
  const value: Value = { reference, nullable, finite: type.precision !== null };
  const typed = typedHash(column);
  if (typed !== null) return typed(value, seed);
  // A rule may make NULL of any value.
  const text = `(${valuesOf(column, side).digestSql(reference)})`;
  return marked(`pg_catalog.hashtextextended(coalesce(${text} COLLATE "C", ''), ${seed})`, value);
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
  const literals = [...values.map((value) => `'${value}'::${type}`), `NULL::${type}`];
  return literals.map((reference) => hash({ reference, nullable: true, finite: false }, FIRST_SEED));
}
