import type { Pair, Side } from '../../domain/pair.ts';
import type { KeyRange } from '../../verify/ports.ts';
import { copiedValues, fence, rowHash, type SqlPath } from './digest-sql.ts';
import type { ByteOrdered } from './key-sql.ts';
import { ROW, keyColumns, keyEquals, literal, rangeSql } from './key-sql.ts';
import type { RangesStatement } from './ranges-sql.ts';

/**
 * The rows of a range that have these keys, of each what is selected, and the key's place (from 1) as `asked.n`. The range
 * stands within the question, so that a key counts where the range's digest counts its row and nowhere else. Nothing keeps
 * the planner from joining keys and rows as it likes: where no index finds a key, the range is read once more for all of them.
 * @param arrays of the key columns' texts, as SQL
 */
function rowsWithin(pair: Pair, side: Side, from: string, arrays: readonly string[], selected: string): string {
  const keys = keyColumns(pair, side);
  const names = keys.map((_key, index) => `k${index}`);
  const conditions = keys.map((key, index) => keyEquals(key, `asked.k${index}`));
  return `FROM unnest(${arrays.join(', ')}) WITH ORDINALITY AS asked(${names.join(', ')}, n)
CROSS JOIN LATERAL (SELECT ${selected} FROM (SELECT ${ROW}.* ${from}) AS ${ROW} WHERE ${conditions.join(' AND ')}) v`;
}

/** Place (from 1) and hash of a range's rows that have these keys; with `whole`, first a row of NULL, and the range's row count and sum of row hashes. */
export function apartStatement(pair: Pair, side: Side, range: KeyRange, keys: readonly (readonly string[])[], path: SqlPath, byteOrdered: ByteOrdered, whole: boolean): RangesStatement {
  const { from, parameters } = rangeSql(pair, side, range, byteOrdered);
  const { inner, outer } = rowHash(pair, side, path);
  const arrays = keys.map((_texts, index) => `$${parameters.length + index + 1}::text[]`);
  const apart = `SELECT asked.n::text, (${outer})::text, NULL::text ${rowsWithin(pair, side, from, arrays, inner)}`;
  const total = `SELECT NULL::text, count(*)::text, coalesce(sum(${outer}), 0)::text FROM (SELECT ${inner} ${from}${fence(path)}) v`;
  return { sql: whole ? `${total}\nUNION ALL ${apart}` : apart, parameters: [...parameters, ...keys] };
}

/** COPY of the same rows' compared values in binary form, each behind its key's place as text; with `whole`, all of the range's rows behind NULL too. */
export function copyApartStatement(pair: Pair, side: Side, range: KeyRange, keys: readonly (readonly string[])[], byteOrdered: ByteOrdered, whole: boolean): string {
  const { from } = rangeSql(pair, side, range, byteOrdered, true);
  const values = copiedValues(pair, side).map((value, index) => `${value} AS c${index}`);
  const names = values.map((_value, index) => `v.c${index}`);
  const arrays = keys.map((texts) => `ARRAY[${texts.map(literal).join(', ')}]::text[]`);
  const apart = `SELECT asked.n::text, ${names.join(', ')} ${rowsWithin(pair, side, from, arrays, values.join(', '))}`;
  return `COPY (${whole ? `SELECT NULL::text, ${values.join(', ')} ${from} UNION ALL ` : ''}${apart}) TO STDOUT (FORMAT binary)`;
}
