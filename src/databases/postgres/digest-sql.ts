import type { Pair, PairColumn, Side } from '../../domain/pair.ts';
import { columnOn, tableOn } from '../../domain/pair.ts';
import type { RowKey } from '../../domain/row.ts';
import type { DigestPath } from '../../domain/status.ts';
import { valuesOf } from '../../domain/values/column-values.ts';
import { binarySql, rowHashChainSql } from '../../domain/values/hash-sql.ts';
import type { BucketChoice, KeyRange } from '../../verify/ports.ts';
import type { ByteOrdered } from './key-sql.ts';
import { castOf, columnSql, keyColumns, orderSql, rangeSql, sortsAsText } from './key-sql.ts';

export interface Statement {
  readonly sql: string;
  readonly parameters: string[];
}

/** The paths whose digests are computed in SQL. */
export type SqlPath = Exclude<DigestPath, 'client'>;

/** What a row's hash is made of: columns to select in the inner query, as `c0`, `c1`, …, and the hash over them. */
export interface HashSql {
  readonly inner: string;
  readonly outer: string;
}

/**
 * 64 bits of a row. On the portable path of the md5 of its values, each with its length before it and NULL as `~`, so
 * that no two rows give the same text, in UTF-8 whatever the database's encoding is. Signed, as a number of its own: a sum of them cannot cancel as an XOR would.
 */
function hashSql(columns: readonly PairColumn[], side: Side, path: SqlPath, name: string): HashSql {
  const reference = (column: PairColumn): string => columnSql(columnOn(column, side));
  if (path === 'fast') return { inner: `${rowHashChainSql(columns, side, reference)} AS ${name}`, outer: `v.${name}` };
  const inner = columns.map((column, index) => `${valuesOf(column, side).digestSql(reference(column))} AS ${name}${index}`);
  const parts = columns.map((_column, index) => `coalesce(length(v.${name}${index})::text || ':' || v.${name}${index}, '~')`);
  return { inner: inner.join(', '), outer: `('x' || left(md5(convert_to(${parts.join(' || ')}, 'UTF8')), 16))::bit(64)::int8` };
}

/** The hash of a row's compared columns. */
export function rowHash(pair: Pair, side: Side, path: SqlPath): HashSql {
  return hashSql(pair.columns, side, path, 'c');
}

/** The bucket of a row's key: the same on both sides. */
function bucket(pair: Pair, side: Side, path: SqlPath, buckets: number): HashSql {
  const key = pair.key.map((position) => pair.columns[position] as PairColumn);
  const { inner, outer } = hashSql(key, side, path, 'b');
  return { inner, outer: `(${outer} & ${buckets - 1})` };
}

/** Keeps the portable path from computing each text twice; the chain needs no such fence, and may run in parallel. */
export function fence(path: SqlPath): string {
  return path === 'portable' ? ' OFFSET 0' : '';
}

/** Row count and sum of row hashes of a range. */
export function digestStatement(pair: Pair, side: Side, range: KeyRange, path: SqlPath, byteOrdered: ByteOrdered): Statement {
  const { from, parameters } = rangeSql(pair, side, range, byteOrdered);
  const { inner, outer } = rowHash(pair, side, path);
  return { sql: `SELECT count(*)::text, coalesce(sum(${outer}), 0)::text FROM (SELECT ${inner} ${from}${fence(path)}) v`, parameters };
}

/** All buckets' digests of a range in one text: `bucket:rows:sum`, parted by commas. @param buckets a power of 2 */
export function bucketDigestsStatement(pair: Pair, side: Side, range: KeyRange, buckets: number, path: SqlPath, byteOrdered: ByteOrdered): Statement {
  const { from, parameters } = rangeSql(pair, side, range, byteOrdered);
  const row = rowHash(pair, side, path);
  const key = bucket(pair, side, path, buckets);
  const rows = `SELECT ${row.inner}, ${key.inner} ${from}${fence(path)}`;
  const grouped = `SELECT ${key.outer} AS bucket, count(*) AS rows, sum(${row.outer}) AS sum FROM (${rows}) v GROUP BY 1`;
  return { sql: `SELECT string_agg(g.bucket || ':' || g.rows || ':' || g.sum, ',') FROM (${grouped}) g`, parameters };
}

/** Key texts (`k0`, …) and hash of each row of a range, in key order. */
export function rowDigestsStatement(
  pair: Pair,
  side: Side,
  range: KeyRange,
  limit: number,
  path: SqlPath,
  byteOrdered: ByteOrdered,
  only?: BucketChoice,
): Statement {
  const { from, orderBy, parameters } = rangeSql(pair, side, range, byteOrdered);
  const keys = keyColumns(pair, side);
  const order = keys.map((key, index) => `${orderSql(key, byteOrdered)} AS o${index}`);
  const keyTexts = keys.map(({ column }, index) => `${columnSql(column)}::text AS k${index}`);
  const row = rowHash(pair, side, path);
  const inner = [...keyTexts, row.inner];
  const selected = `${keys.map((_key, index) => `v.k${index}`).join(', ')}, (${row.outer})::text`;
  if (only === undefined) {
    parameters.push(String(limit));
    return { sql: `SELECT ${selected} FROM (SELECT ${inner.join(', ')} ${from} ${orderBy} LIMIT $${parameters.length}::int8) v`, parameters };
  }
  const key = bucket(pair, side, path, only.buckets);
  parameters.push(`{${only.chosen.join(',')}}`, String(limit));
  // Only the chosen rows are hashed whole: their keys are what all rows cost.
  const filtered = `SELECT v.* FROM (SELECT ${[...keyTexts, ...order, row.inner, key.inner].join(', ')} ${from}${fence(path)}) v WHERE ${key.outer} = ANY ($${parameters.length - 1}::int8[])`;
  const orders = keys.map((_key, index) => `v.o${index}`);
  return { sql: `SELECT ${selected} FROM (${filtered}) v ORDER BY ${orders.join(', ')} LIMIT $${parameters.length}::int8`, parameters };
}

/** COPY of a range's compared values in binary form; where keys are wanted, their texts come first, and rows in key order. */
export function copyStatement(pair: Pair, side: Side, range: KeyRange, withKeys: boolean, byteOrdered: ByteOrdered): string {
  const { from, orderBy } = rangeSql(pair, side, range, byteOrdered, true);
  const keys = withKeys ? keyColumns(pair, side).map(({ column }) => `${columnSql(column)}::text`) : [];
  return `COPY (SELECT ${[...keys, ...copiedValues(pair, side)].join(', ')} ${from}${withKeys ? ` ${orderBy}` : ''}) TO STDOUT (FORMAT binary)`;
}

/** SQL of a row's compared values as COPY writes them for the client path. */
export function copiedValues(pair: Pair, side: Side): string[] {
  return pair.columns.map((column) => binarySql(column, side, columnSql(columnOn(column, side))));
}

/** Key texts of the row that has `rows` rows before it in the range. */
export function keyAfterStatement(pair: Pair, side: Side, range: KeyRange, rows: number, byteOrdered: ByteOrdered): Statement {
  const { from, orderBy, parameters } = rangeSql(pair, side, range, byteOrdered);
  const keyTexts = keyColumns(pair, side).map(({ column }) => `${columnSql(column)}::text`);
  parameters.push(String(rows));
  return { sql: `SELECT ${keyTexts.join(', ')} ${from} ${orderBy} OFFSET $${parameters.length}::int8 LIMIT 1`, parameters };
}

/** How far the rows' order in the table follows a column's, -1 to 1, from the planner's statistics. */
export function correlationStatement(pair: Pair, side: Side, column: string): Statement {
  const { schema, name } = tableOn(pair, side);
  const sql = 'SELECT correlation::text FROM pg_catalog.pg_stats WHERE schemaname = $1 AND tablename = $2 AND attname = $3 ORDER BY inherited DESC LIMIT 1';
  return { sql, parameters: [schema, name, column] };
}

/**
 * What the planner's statistics know of the first key column: bounds of its histogram and its commonest values, as text,
 * in the order of ranges. They are only places to split at, so however old they are, no row is left out.
 */
export function splitKeysStatement(pair: Pair, side: Side, after: RowKey | null): Statement {
  const [key] = keyColumns(pair, side);
  if (key === undefined) throw new RangeError('a pair without a key');
  const { schema, name } = tableOn(pair, side);
  const type = castOf(key.column);
  // The column's own collation, by which ranges may go, is not that of values unnested here.
  const asText = sortsAsText(key);
  const order = asText ? 'v.b::text COLLATE "C"' : 'v.b';
  const parameters = [schema, name, key.column.name];
  const conditions = ['v.b IS NOT NULL'];
  if (after?.[0] !== undefined) {
    parameters.push(after[0]);
    conditions.push(`${order} > $${parameters.length}::${asText ? 'text' : type}`);
  }
  const known = 'SELECT histogram_bounds, most_common_vals FROM pg_catalog.pg_stats WHERE schemaname = $1 AND tablename = $2 AND attname = $3 ORDER BY inherited DESC LIMIT 1';
  const bounds = `SELECT unnest(histogram_bounds::text::${type}[]) FROM s UNION SELECT unnest(most_common_vals::text::${type}[]) FROM s`;
  return { sql: `WITH s AS (${known}) SELECT v.b::text FROM (${bounds}) v(b) WHERE ${conditions.join(' AND ')} ORDER BY ${order}`, parameters };
}
