import type { Drift } from '../../../src/domain/drift.ts';

/** What matters of a difference: its kind, key and, of rows that both sides have, columns. */
export interface Outline {
  readonly kind: string;
  readonly key: string;
  readonly columns: readonly string[];
}

/** A row's columns as the database prints them; null for NULL. */
export type PrintedRow = Readonly<Record<string, string | null>>;

/** SQL for the rows of a table as `PrintedRow`s, in column `printed`. */
export function printedRows(table: string, where = 'true'): string {
  return `SELECT (SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(to_jsonb(t))) AS printed FROM ${table} t WHERE ${where}`;
}

/** The differences between two tables of which all rows were read. */
export function differences(key: readonly string[], old: readonly PrintedRow[], neu: readonly PrintedRow[]): Outline[] {
  const idOf = (row: PrintedRow): string => keyText(key.map((name) => row[name] ?? null));
  const right = new Map(neu.map((row) => [idOf(row), row]));
  const found: Outline[] = [];
  for (const row of old) {
    const id = idOf(row);
    const other = right.get(id);
    right.delete(id);
    if (other === undefined) {
      found.push({ kind: 'missing', key: id, columns: [] });
      continue;
    }
    const columns = Object.keys(row).filter((name) => row[name] !== other[name]);
    if (columns.length > 0) found.push({ kind: 'different', key: id, columns: columns.toSorted() });
  }
  for (const id of right.keys()) found.push({ kind: 'extra', key: id, columns: [] });
  return sorted(found);
}

/** The same of what was reported. */
export function outlines(key: readonly string[], drift: readonly Drift[]): Outline[] {
  return sorted(
    drift.map((item) => ({
      kind: item.kind,
      key: keyText(key.map((name) => item.key[name] ?? null)),
      columns: item.kind === 'different' ? item.columns.toSorted() : [],
    })),
  );
}

/** A key in one spelling: times are printed with and without a T. */
function keyText(values: readonly (string | number | boolean | null)[]): string {
  return JSON.stringify(values.map((value) => String(value).replace(/^(\d{4}-\d\d-\d\d)T/, '$1 ')));
}

function sorted(found: readonly Outline[]): Outline[] {
  return found.toSorted((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0));
}
