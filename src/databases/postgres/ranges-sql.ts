import type { Pair, Side } from '../../domain/pair.ts';
import type { KeyRange } from '../../verify/ports.ts';
import { copiedValues, fence, rowHash, type SqlPath } from './digest-sql.ts';
import type { ByteOrdered, KeyColumn } from './key-sql.ts';
import { ROW, boundType, canHold, columnSql, fromSql, keyColumns, literal, orderSql, rangeSql } from './key-sql.ts';

/** A statement whose parameters are arrays: of each key column, lower and upper bounds. */
export interface RangesStatement {
  readonly sql: string;
  readonly parameters: readonly (string | readonly string[])[];
}

/** An index of each partition is searched for every range: more partitions than this, and that costs more than it saves. */
const INDEXES_MAX = 8;

/** Whether a range can be one of many in a statement: both bounds whole keys, of values that this side's columns can hold. */
export function isWhole(pair: Pair, side: Side, { from, to }: KeyRange): boolean {
  const keys = keyColumns(pair, side);
  return [from, to].every((bound) => bound !== null && bound.length === keys.length && keys.every((key, index) => canHold(key, bound[index] as string)));
}

interface RangesSql {
  /** The ranges with their places (from 1), as `b.n`, in the order given. */
  readonly bounds: string;
  /** `FROM … WHERE …`: the rows of one of them. */
  readonly from: string;
  readonly parameters: readonly (readonly string[])[];
}

/** Many ranges as one join, each found by the index on its own. @param inline as for `rangeSql` */
function rangesSql(pair: Pair, side: Side, ranges: readonly KeyRange[], byteOrdered: ByteOrdered, inline = false): RangesSql {
  const keys = keyColumns(pair, side);
  const parameters: string[][] = [];
  const array = (key: KeyColumn, values: string[]): string => {
    const type = `${boundType(key, byteOrdered)}[]`;
    if (inline) return `ARRAY[${values.map(literal).join(', ')}]::${type}`;
    parameters.push(values);
    return `$${parameters.length}::${type}`;
  };
  const arrays = (['from', 'to'] as const).flatMap((end) => keys.map((key, index) => array(key, ranges.map((range) => range[end]?.[index] ?? ''))));
  const lower = keys.map((_key, index) => `l${index}`);
  const upper = keys.map((_key, index) => `u${index}`);
  const order = `ROW(${keys.map((key) => orderSql(key, byteOrdered)).join(', ')})`;
  const bound = (names: readonly string[]): string => `ROW(${names.map((name) => `b.${name}`).join(', ')})`;
  return {
    bounds: `unnest(${arrays.join(', ')}) WITH ORDINALITY AS b(${[...lower, ...upper].join(', ')}, n)`,
    from: fromSql(pair, side, keys, [`${order} >= ${bound(lower)}`, `${order} < ${bound(upper)}`]),
    parameters,
  };
}

/** All ranges' digests in one text: `place:rows:sum`, parted by commas. */
export function rangeDigestsStatement(pair: Pair, side: Side, ranges: readonly KeyRange[], path: SqlPath, byteOrdered: ByteOrdered): RangesStatement {
  const { bounds, from, parameters } = rangesSql(pair, side, ranges, byteOrdered);
  const { inner, outer } = rowHash(pair, side, path);
  const digest = `SELECT count(*) AS rows, coalesce(sum(${outer}), 0) AS sum FROM (SELECT ${inner} ${from}${fence(path)}) v`;
  return { sql: `SELECT string_agg(b.n || ':' || d.rows || ':' || d.sum, ',') FROM ${bounds} CROSS JOIN LATERAL (${digest}) d`, parameters };
}

/** Key texts (`k0`, …) and hash of each row of the ranges. */
export function rangeRowsStatement(pair: Pair, side: Side, ranges: readonly KeyRange[], limit: number, path: SqlPath, byteOrdered: ByteOrdered): RangesStatement {
  const { bounds, from, parameters } = rangesSql(pair, side, ranges, byteOrdered);
  const { inner, outer } = rowHash(pair, side, path);
  const keys = keyColumns(pair, side);
  const keyTexts = keys.map(({ column }, index) => `${columnSql(column)}::text AS k${index}`);
  const names = keys.map((_key, index) => `v.k${index}`);
  const rows = `SELECT ${names.join(', ')}, (${outer})::text FROM (SELECT ${[...keyTexts, inner].join(', ')} ${from}${fence(path)}) v`;
  return { sql: `SELECT d.* FROM ${bounds} CROSS JOIN LATERAL (${rows}) d LIMIT $${parameters.length + 1}::int8`, parameters: [...parameters, String(limit)] };
}

/** COPY of the ranges' compared values in binary form: after each row's range's place where its key is not wanted, else after its key's texts. */
export function copyRangesStatement(pair: Pair, side: Side, ranges: readonly KeyRange[], withKeys: boolean, byteOrdered: ByteOrdered): string {
  const { bounds, from } = rangesSql(pair, side, ranges, byteOrdered, true);
  const leading = withKeys ? keyColumns(pair, side).map(({ column }) => `${columnSql(column)}::text`) : ['b.n'];
  const selected = [...leading, ...copiedValues(pair, side)].map((expression, index) => `${expression} AS v${index}`);
  return `COPY (SELECT d.* FROM ${bounds} CROSS JOIN LATERAL (SELECT ${selected.join(', ')} ${from}) d) TO STDOUT (FORMAT binary)`;
}

/** Key texts of each row of a range that has a multiple of `rows` before it. */
export function keysEveryStatement(pair: Pair, side: Side, range: KeyRange, rows: number, byteOrdered: ByteOrdered): RangesStatement {
  const { from, orderBy, parameters } = rangeSql(pair, side, range, byteOrdered);
  const keys = keyColumns(pair, side);
  const columns = keys.map(({ column }, index) => `${columnSql(column)} AS k${index}`);
  const texts = keys.map((_key, index) => `v.k${index}::text`);
  parameters.push(String(rows));
  const numbered = `SELECT ${columns.join(', ')}, row_number() OVER (${orderBy}) - 1 AS n ${from}`;
  return { sql: `SELECT ${texts.join(', ')} FROM (${numbered}) v WHERE v.n > 0 AND v.n % $${parameters.length}::int8 = 0 ORDER BY v.n`, parameters };
}

/** The plan of reading rows by ranges, as JSON. */
export function explainRangesStatement(pair: Pair, side: Side, byteOrdered: ByteOrdered): RangesStatement {
  const { bounds, from, parameters } = rangesSql(pair, side, [], byteOrdered);
  return { sql: `EXPLAIN (FORMAT JSON) SELECT d.rows FROM ${bounds} CROSS JOIN LATERAL (SELECT count(*) AS rows, count(${ROW}.*) ${from}) d`, parameters };
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly Alias?: string;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** Whether a plan finds each range by both its bounds in an index. */
export function isByIndex(explained: string): boolean {
  const [{ Plan: plan }] = JSON.parse(explained) as [{ Plan: PlanNode }];
  const scans: PlanNode[] = [];
  const gather = (node: PlanNode): void => {
    const isScan = node['Node Type'].endsWith('Scan') && !['Function Scan', 'Subquery Scan', 'Bitmap Heap Scan'].includes(node['Node Type']);
    if (isScan) scans.push(node);
    for (const child of node.Plans ?? []) gather(child);
  };
  gather(plan);
  return scans.length > 0 && scans.length <= INDEXES_MAX && scans.every(({ 'Index Cond': condition = '' }) => condition.includes('b.l0') && condition.includes('b.u0'));
}
