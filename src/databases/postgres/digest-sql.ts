import type { Pair, Side } from '../../domain/pair.ts';
import { columnOn } from '../../domain/pair.ts';
import { valuesOf } from '../../domain/values/column-values.ts';
import type { KeyRange } from '../../verify/ports.ts';
import type { ByteOrdered } from './key-sql.ts';
import { columnSql, keyColumns, rangeSql } from './key-sql.ts';

export interface Statement {
  readonly sql: string;
  readonly parameters: string[];
}

/** The digest text of each compared column, as `c0`, `c1`, … */
function valuesSql(pair: Pair, side: Side): string {
  return pair.columns
    .map((column, index) => `${valuesOf(column, side).digestSql(columnSql(columnOn(column, side)))} AS c${index}`)
    .join(', ');
}

/**
 * 64 bits of the md5 of a row: each value with its length before it and NULL as `~`, so that no two rows
 * give the same text. Signed, as a number of its own: a sum of them cannot cancel as an XOR would.
 */
function rowHashSql(pair: Pair): string {
  const parts = pair.columns.map((_column, index) => `coalesce(length(v.c${index})::text || ':' || v.c${index}, '~')`);
  return `('x' || left(md5(${parts.join(' || ')}), 16))::bit(64)::int8`;
}

/** Row count and sum of row hashes of a range. OFFSET 0 keeps each value from being computed twice. */
export function digestStatement(pair: Pair, side: Side, range: KeyRange, byteOrdered: ByteOrdered): Statement {
  const { from, parameters } = rangeSql(pair, side, range, byteOrdered);
  const sql = `SELECT count(*)::text, coalesce(sum(${rowHashSql(pair)}::numeric), 0)::text FROM (SELECT ${valuesSql(pair, side)} ${from} OFFSET 0) v`;
  return { sql, parameters };
}

/** Key texts (`k0`, …) and hash of each row of a range, in key order. */
export function rowDigestsStatement(pair: Pair, side: Side, range: KeyRange, limit: number, byteOrdered: ByteOrdered): Statement {
  const { from, orderBy, parameters } = rangeSql(pair, side, range, byteOrdered);
  const keys = keyColumns(pair, side);
  const keyTexts = keys.map(({ column }, index) => `${columnSql(column)}::text AS k${index}`);
  const selected = keys.map((_key, index) => `v.k${index}`);
  parameters.push(String(limit));
  const inner = `SELECT ${keyTexts.join(', ')}, ${valuesSql(pair, side)} ${from} ${orderBy} LIMIT $${parameters.length}::int8`;
  return { sql: `SELECT ${selected.join(', ')}, (${rowHashSql(pair)})::text FROM (${inner}) v`, parameters };
}

/** Key texts of the row that has `rows` rows before it in the range. */
export function keyAfterStatement(pair: Pair, side: Side, range: KeyRange, rows: number, byteOrdered: ByteOrdered): Statement {
  const { from, orderBy, parameters } = rangeSql(pair, side, range, byteOrdered);
  const keyTexts = keyColumns(pair, side).map(({ column }) => `${columnSql(column)}::text`);
  parameters.push(String(rows));
  return { sql: `SELECT ${keyTexts.join(', ')} ${from} ${orderBy} OFFSET $${parameters.length}::int8 LIMIT 1`, parameters };
}
