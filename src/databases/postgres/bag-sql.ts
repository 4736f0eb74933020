import { columnOn, tableOn, type Pair, type Side } from '../../domain/pair.ts';
import type { BucketChoice } from '../../verify/ports.ts';
import { fence, rowHash, type SqlPath, type Statement } from './digest-sql.ts';
import { ROW, columnSql, filterSql, quoteTable } from './key-sql.ts';
import { epochUsSql } from './rows-sql.ts';

/**
 * By which a bag's rows are known: its hashes outlive the servers' versions, and are the same on any two of them. What
 * the engine's own functions give is neither.
 */
const PATH: SqlPath = 'portable';

/** Characters of a row that are read along to be shown, some thousands of rows at a time, and those of one value at most and at least. */
const ROW_CHARS = 2_000;
const VALUE_CHARS_MAX = 300;
const VALUE_CHARS_MIN = 24;

/** Longest text of a value that is read along to be shown; what is longer is cut. */
export function bagValueChars(pair: Pair): number {
  return Math.min(VALUE_CHARS_MAX, Math.max(VALUE_CHARS_MIN, Math.floor(ROW_CHARS / Math.max(1, pair.columns.length))));
}

/** Hashes of all rows of a table, as `h`, with what else is selected of them. */
function hashes(pair: Pair, side: Side, columns: readonly string[] = []): string {
  const { inner, outer } = rowHash(pair, side, PATH);
  const filter = filterSql(pair, side);
  const selected = columns.map((column, index) => `${column} AS r${index}`);
  const rows = `SELECT ${[inner, ...selected].join(', ')} FROM ${quoteTable(tableOn(pair, side))} AS ${ROW}${filter === '' ? '' : ` WHERE ${filter}`}${fence(PATH)}`;
  return `SELECT ${[`${outer} AS h`, ...selected.map((_column, index) => `v.r${index}`)].join(', ')} FROM (${rows}) v OFFSET 0`;
}

/** A hash as drift shows it: 16 hexadecimal digits. */
function hexSql(hash: string): string {
  return `lpad(to_hex(${hash}), 16, '0')`;
}

/** The array of some hashes as a parameter. @param wanted of 16 hexadecimal digits each */
function hashArray(wanted: readonly string[]): string {
  return `{${wanted.map((hash) => BigInt.asIntN(64, BigInt(`0x${hash}`)).toString()).join(',')}}`;
}

/** Digests of a whole table by buckets of its rows' hashes, in one text: `bucket:rows:sum`, parted by commas. @param buckets a power of 2 */
export function bagDigestsStatement(pair: Pair, side: Side, buckets: number): Statement {
  const grouped = `SELECT b.h & ${buckets - 1} AS bucket, count(*) AS rows, sum(b.h) AS sum FROM (${hashes(pair, side)}) b GROUP BY 1`;
  return { sql: `SELECT string_agg(g.bucket || ':' || g.rows || ':' || g.sum, ',') FROM (${grouped}) g`, parameters: [] };
}

/** Row hashes of some buckets and how many rows have each, at most `limit` hashes. */
export function bagHashesStatement(pair: Pair, side: Side, { buckets, chosen }: BucketChoice, limit: number): Statement {
  const sql = `SELECT ${hexSql('b.h')}, count(*)::text FROM (${hashes(pair, side)}) b WHERE b.h & ${buckets - 1} IN (SELECT unnest($1::int8[])) GROUP BY b.h LIMIT $2::int8`;
  return { sql, parameters: [`{${chosen.join(',')}}`, String(limit)] };
}

/**
 * How many rows have each of these hashes, and the values of one of them, cut where they are long. Hashes that no row has
 * are absent; a row without a hash tells when the statement's transaction began, which is before its snapshot.
 */
export function bagRowsStatement(pair: Pair, side: Side, wanted: readonly string[]): Statement {
  const columns = pair.columns.map((column) => columnSql(columnOn(column, side)));
  // Equal hashes mean equal values, so each value may be taken from another row.
  const values = columns.map((_column, index) => `min(left(b.r${index}::text, ${bagValueChars(pair)}) COLLATE "C")`);
  const found =
    wanted.length === 0
      ? `SELECT ${[hexSql('b.h'), 'NULL::text', "''", ...columns.map((_column, index) => `b.r${index}::text`)].join(', ')} FROM (${hashes(pair, side, columns)}) b`
      : `SELECT ${[hexSql('b.h'), 'NULL::text', 'count(*)::text', ...values].join(', ')} FROM (${hashes(pair, side, columns)}) b WHERE b.h IN (SELECT unnest($1::int8[])) GROUP BY b.h`;
  const none = `SELECT NULL, ${epochUsSql('now()')}${', NULL'.repeat(columns.length + 1)}`;
  // Where nothing is asked for, only the right to read it is tried.
  if (wanted.length === 0) return { sql: `${none} UNION ALL (${found} LIMIT 0)`, parameters: [] };
  return { sql: `${found} UNION ALL ${none}`, parameters: [hashArray(wanted)] };
}
