import type { Pair } from './pair.ts';
import { isApproximate, nearEnough } from './values/approximate.ts';

/** A value in canonical form; null is SQL NULL. */
export type CanonicalValue = string | null;

/** A value of an event image; undefined where the event does not say (left-out TOAST, an encoding that lost it). */
export type ImageValue = CanonicalValue | undefined;

/** A row's compared columns in the order of `Pair.columns`. */
export type Row = readonly CanonicalValue[];

/** A row as an event tells it. */
export type RowImage = readonly ImageValue[];

/** Canonical values of the key's columns, in key order. */
export type RowKey = readonly string[];

/** A key as one string: no two different keys share one. */
export type KeyId = string;

/**
 * Encodes values so that no two different lists give the same text: each value
 * is its length in UTF-16 units, a colon and itself; NULL is `~`; unknown is `?`.
 */
export function encodeValues(values: RowImage): string {
  let encoded = '';
  for (const value of values) {
    encoded += value === undefined ? '?' : value === null ? '~' : `${value.length}:${value}`;
  }
  return encoded;
}

/** The key as one string, injective over keys of one pair. */
export function keyId(key: RowKey): KeyId {
  return key.length === 1 ? (key[0] as string) : encodeValues(key);
}

/** Characters of a key's values: what bounds of keys count beside their number. */
export function keyChars(key: RowKey): number {
  return key.reduce((sum, value) => sum + value.length, 0);
}

/** The key of `row`, or null where a key column is NULL or unknown. */
export function keyOf(pair: Pair, row: RowImage): RowKey | null {
  const key: string[] = [];
  for (const index of pair.key) {
    const value = row[index];
    if (value === null || value === undefined) return null;
    key.push(value);
  }
  return key;
}

/** Whether every column of `image` is known. */
export function isComplete(image: RowImage): image is Row {
  return !image.includes(undefined);
}

/** Positions of the columns in which two complete rows differ. */
export function differingColumns(left: Row, right: Row): number[] {
  const differing: number[] = [];
  for (let index = 0; index < left.length; index++) {
    if (left[index] !== right[index]) differing.push(index);
  }
  return differing;
}

/** Whether some columns of `pair` are equal by nearness, so that rows must be compared with each other and not by their hashes. */
export function comparesByNearness(pair: Pair): boolean {
  return pair.columns.some((column) => isApproximate(column.rules));
}

/** `row` with each value that is near enough to the one in `reference` replaced by that: what is left differs. */
export function alignedTo(pair: Pair, reference: Row, row: Row): Row {
  return row.map((value, index) => {
    const column = pair.columns[index];
    const other = reference[index];
    if (column === undefined || value === null || other === null || other === undefined || value === other) return value;
    return isApproximate(column.rules) && nearEnough(column, other, value) ? other : value;
  });
}
