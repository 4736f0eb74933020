import type { RowSample } from './drift.ts';
import type { Pair } from './pair.ts';
import { hashImage, type Hasher, type RowHash } from './recheck.ts';
import type { CanonicalValue, Row, RowKey } from './row.ts';

/**
 * A table without a key is a bag of rows: each distinct row, known by its hash, and how many copies of it there are.
 * What stands for a key is that hash, and what is compared under it is the number of copies.
 */

/** How drift and the API call the hash of a bag's row, and the number of its copies on a side. */
export const ROW_HASH = 'row_hash';
export const ROW_COPIES = 'row_copies';

/** Distinct rows of a bag that are read at once: each read is a scan of the table, whatever it asks for. */
export const BAG_ROWS_PER_READ = 4_000;

const ROW_HASH_SHAPE = /^[0-9a-f]{16}$/;

/** Whether the rows of a pair are not told apart by a key. */
export function isBag(pair: Pick<Pair, 'key'>): boolean {
  return pair.key.length === 0;
}

/** Whether `key` can be one of the pair's: a row hash of 16 hexadecimal digits, or as many values as the key has columns. */
export function isKeyOf(pair: Pair, key: RowKey): boolean {
  if (isBag(pair)) return key.length === 1 && ROW_HASH_SHAPE.test(key[0] as string);
  return key.length === pair.key.length;
}

/** A distinct row of a bag as reads give it: the values of the pair's columns, then how many copies there are. */
export function bagRow(values: readonly CanonicalValue[], copies: string): Row {
  return [...values, copies];
}

/** How many copies there are of a bag's row; null: no such row. */
export function copiesOf(row: Row | null): bigint {
  return row === null ? 0n : BigInt(row.at(-1) ?? '0');
}

/** Hash of what is compared of a row; of a bag's row, under its own hash, of the number of copies alone. */
export function hashRow(hasher: Hasher, pair: Pair, row: Row | null): RowHash {
  return hashImage(hasher, isBag(pair) && row !== null ? row.slice(-1) : row);
}

/** Copies on either side that differ: more are `missing` on the replica, or more are `extra` there. */
export function bagDifferenceKind(primary: Row | null, replica: Row | null): 'missing' | 'extra' {
  return copiesOf(primary) > copiesOf(replica) ? 'missing' : 'extra';
}

/** What is shown of a bag's row on one side; null where there is none. @param sample its values as they may be shown */
export function bagSample(row: Row | null, sample: RowSample | null): RowSample | null {
  return row === null ? null : { ...sample, [ROW_COPIES]: Number(copiesOf(row)) };
}
