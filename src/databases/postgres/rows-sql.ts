import type { Pair, Side } from '../../domain/pair.ts';
import { columnOn } from '../../domain/pair.ts';
import { rowHashChainSql } from '../../domain/values/hash-sql.ts';
import { ROW, columnSql, fromKeysSql } from './key-sql.ts';

/** µs since 1970 of a timestamptz expression, as decimal text. */
export function epochUsSql(timestamp: string): string {
  return `(extract(epoch FROM ${timestamp}) * 1000000)::int8::text`;
}

/** SQL of a row's mark: 64 bits that are another for another row, as far as this database's own hash functions tell. */
function markSql(pair: Pair, side: Side): string {
  return `(${rowHashChainSql(pair.columns, side, (column) => columnSql(columnOn(column, side)))})::text`;
}

/** Where the compared columns begin in an answer of `rowsSql`. */
export const ROW_VALUES_AT = 4;

/**
 * Rows by key: parameter n is the array of the nth key column's texts. Answers, per row found, the key's
 * place in the arrays (from 1), the row's commit time, its mark where that is wanted, and the compared columns; and always
 * one row first with the time at which the statement's transaction began, which is before its snapshot.
 */
export function rowsSql(pair: Pair, side: Side, commitTimes: boolean, marked: boolean): string {
  const columns = pair.columns.map((column) => `${columnSql(columnOn(column, side))}::text`);
  const committed = commitTimes ? epochUsSql(`pg_xact_commit_timestamp(${ROW}.xmin)`) : 'NULL::text';
  const selected = [committed, marked ? markSql(pair, side) : 'NULL::text', ...columns].map((expression, index) => `${expression} AS v${index}`);
  const values = selected.map((_expression, index) => `found.v${index}`);
  return `SELECT asked.n::text, ${epochUsSql('now()')}, ${values.join(', ')}
${fromKeysSql(pair, side, selected.join(', '))} found
UNION ALL SELECT NULL, ${epochUsSql('now()')}${', NULL'.repeat(values.length)}`;
}

/** Places (from 1) and marks of the rows of keys that are found. */
export function rowMarksSql(pair: Pair, side: Side): string {
  return `SELECT asked.n::text, found.mark ${fromKeysSql(pair, side, `${markSql(pair, side)} AS mark`)} found`;
}
