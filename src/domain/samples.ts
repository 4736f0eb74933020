import { ROW_HASH, isBag } from './bag.ts';
import type { SampleValue, RowSample } from './drift.ts';
import type { Pair } from './pair.ts';
import type { Hasher } from './recheck.ts';
import type { CanonicalValue, Row, RowKey } from './row.ts';
import { shownValue } from './values/classes.ts';

/** How much of row values reports may show. */
export type SampleMode = 'full' | 'masked' | 'none';

/** Longest text that a sample shows; the rest is cut and its length told. */
const SHOWN_CHARS_MAX = 256;

/** Turns rows into what reports may show of them. */
export class Sampler {
  private readonly mode: SampleMode;
  private readonly hasher: Hasher;
  private readonly salt: string;
  /** Of each list of columns, a row of nulls. Its copies share one shape: rows grown column by column take kilobytes each. */
  private readonly blanks = new WeakMap<readonly number[], RowSample>();

  /**
   * @param salt keeps masks from being looked up in a table of common values; random per state store or process
   */
  constructor(mode: SampleMode, hasher: Hasher, salt: string) {
    this.mode = mode;
    this.hasher = hasher;
    this.salt = salt;
  }

  /** The key as JSON shows it; keys are never masked, they are what one looks rows up by. */
  key(pair: Pair, key: RowKey): RowSample {
    if (isBag(pair)) return { [ROW_HASH]: key[0] ?? '' };
    const shown: Record<string, SampleValue> = {};
    pair.key.forEach((index, part) => {
      const column = pair.columns[index];
      const value = key[part];
      if (column !== undefined && value !== undefined) shown[column.name] = shownValue(column.valueClass, value);
    });
    return shown;
  }

  /** The given columns of a row; null where there is no row. The list of columns stays as it is, and is of one pair. */
  row(pair: Pair, row: Row | null, columns: readonly number[]): RowSample | null {
    if (row === null || this.mode === 'none') return null;
    const shown: Record<string, SampleValue> = { ...this.blank(pair, columns) };
    for (const index of columns) {
      const column = pair.columns[index];
      if (column === undefined) continue;
      const value = row[index] ?? null;
      const masked = column.sensitive || (this.mode === 'masked' && !pair.key.includes(index));
      shown[column.name] = masked ? this.mask(value) : cut(value, column.valueClass);
    }
    return shown;
  }

  private blank(pair: Pair, columns: readonly number[]): RowSample {
    let blank = this.blanks.get(columns);
    if (blank === undefined) {
      blank = Object.fromEntries(columns.map((index) => [pair.columns[index]?.name ?? '', null]));
      this.blanks.set(columns, blank);
    }
    return blank;
  }

  /** Equal values have equal masks, and nothing else of the value is told but its length. */
  private mask(value: CanonicalValue): SampleValue {
    if (value === null) return null;
    const print = this.hasher(`${this.salt}\u0000${value}`).toString(16).padStart(16, '0').slice(0, 8);
    return `masked:${print} (${value.length} chars)`;
  }
}

function cut(value: CanonicalValue, valueClass: Parameters<typeof shownValue>[0]): SampleValue {
  if (value === null) return null;
  if (value.length <= SHOWN_CHARS_MAX) return shownValue(valueClass, value);
  return `${value.slice(0, SHOWN_CHARS_MAX)}… (${value.length} chars)`;
}
