import fc from 'fast-check';
import { SAMPLES } from '../../integration/databases/samples.ts';
import { TYPE_ARBITRARIES } from '../../integration/databases/value-arbitraries.ts';

/** Types whose values the source connector stops on: it takes a refcursor's name for a cursor to open. */
const NOT_CAPTURED: ReadonlySet<string> = new Set(['refcursor']);

/** Longer samples would be copied into hundreds of messages. */
const EXPRESSION_SIZE_MAX = 100_000;

export interface WideColumn {
  /** Its type; of a column with random values the type and a mark. */
  readonly name: string;
  readonly type: string;
  /** SQL expressions, used in turn. */
  readonly values: readonly string[];
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A column of every type with its hard values, and one of each type with random ones. */
export function wideColumns(count: number, seed: number): WideColumn[] {
  const hard = Object.entries(SAMPLES).flatMap(([type, values]): WideColumn[] =>
    NOT_CAPTURED.has(type) ? [] : [{ name: type.replaceAll('"', ''), type, values: values.filter((value) => !(Number(/repeat\('x', (\d+)\)/.exec(value)?.[1] ?? 0) > EXPRESSION_SIZE_MAX)) }],
  );
  const random = TYPE_ARBITRARIES.map(({ type, near }, index): WideColumn => {
    const values = fc.sample(near, { numRuns: Math.ceil(count / 2), seed: seed + index }).flat();
    return { name: `${type} random ${index}`, type, values: values.map((value) => `${literal(value)}::${type}`) };
  });
  return [...hard, ...random];
}

export function createWideTable(columns: readonly WideColumn[]): string {
  return `CREATE TABLE public.wide (id int PRIMARY KEY, ${columns.map(({ name, type }) => `${quoted(name)} ${type}`).join(', ')})`;
}

/** Rows `from` to `to`, the last not included; each column takes its values in turn. */
export function insertRows(columns: readonly WideColumn[], from: number, to: number): string {
  const rows = Array.from({ length: to - from }, (_, index) => `(${[String(from + index), ...columns.map(({ values }) => values[(from + index) % values.length] ?? 'NULL')].join(', ')})`);
  return rows.map((row) => `INSERT INTO public.wide VALUES ${row};`).join('\n');
}
