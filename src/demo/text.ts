import type { KeyText } from './ledger.ts';

/** How much of a key's value is shown: enough to tell rows of the demo apart. */
const KEY_VALUE_MAX = 13;

/** `0.4 s`, `12 s`. */
export function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

/** `payments id=1057000-0…`. */
export function shortKey(table: string, key: KeyText): string {
  const values = Object.entries(key).map(([column, value]) => `${column}=${value.length > KEY_VALUE_MAX ? `${value.slice(0, KEY_VALUE_MAX)}…` : value}`);
  return `${table.replace(/^public\./, '')} ${values.join(' ')}`;
}

/** Lines of a table, columns two blanks apart; those in `right` are aligned to the right. */
export function columns(header: readonly string[], rows: readonly (readonly string[])[], right: readonly number[]): string[] {
  const widths = header.map((title, index) => Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => (right.includes(index) ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0)))
      .join('  ')
      .trimEnd();
  return [header, ...rows].map(line);
}
