import type { Pair } from '../domain/pair.ts';
import { keyId, type RowKey } from '../domain/row.ts';
import type { Database, KeyRange } from './ports.ts';

/** Parts that are told in one question. */
const PARTS_MAX = 4_096;
/** Whole numbers are parted evenly, which reads nothing, where at least one in so many is the key of a row. */
const EVEN_GAPS_MAX = 4n;

/**
 * Keys that part a range into parts of about so many rows, in order; none where it has no more than that.
 * @param side whose keys are read where they cannot be reckoned
 * @param rows about how many the range has
 */
export async function boundsWithin(side: Pick<Database, 'keysEvery'>, pair: Pair, range: KeyRange, rows: number, rowsPerPart: number, signal: AbortSignal): Promise<readonly RowKey[]> {
  const parts = Math.min(PARTS_MAX, Math.ceil(rows / rowsPerPart));
  if (parts < 2) return [];
  const even = evenBounds(pair, range, rows, parts);
  if (even !== null) return even;
  const keys = await side.keysEvery(pair, range, Math.ceil(rows / parts), signal);
  const bounds: RowKey[] = [];
  // Many rows with one key: there is no range within them.
  let last = range.from === null ? null : keyId(range.from);
  for (const key of keys) {
    const id = keyId(key);
    if (id !== last) bounds.push(key);
    last = id;
  }
  return bounds;
}

/** The ranges between these bounds. */
export function partsOf({ from, to }: KeyRange, bounds: readonly RowKey[]): readonly KeyRange[] {
  const ends = [from, ...bounds, to];
  return [...bounds, to].map((end, place) => ({ from: ends[place] ?? null, to: end }));
}

/** Bounds of a range of whole numbers most of which are keys; null where it is none. */
function evenBounds(pair: Pair, { from, to }: KeyRange, rows: number, parts: number): readonly RowKey[] | null {
  const [position, ...others] = pair.key;
  const [first, end] = [from?.[0], to?.[0]];
  if (position === undefined || others.length > 0 || pair.columns[position]?.valueClass !== 'integer' || first === undefined || end === undefined) return null;
  const start = BigInt(first);
  const width = BigInt(end) - start;
  if (width < BigInt(parts) || width > BigInt(Math.ceil(rows)) * EVEN_GAPS_MAX) return null;
  return Array.from({ length: parts - 1 }, (_, place) => [String(start + (width * BigInt(place + 1)) / BigInt(parts))]);
}
