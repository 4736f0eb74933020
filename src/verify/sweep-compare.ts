import { LockstepError } from '../domain/errors.ts';
import { qualifiedName, tableOn, type Pair, type Side } from '../domain/pair.ts';
import { keyId, type RowKey } from '../domain/row.ts';
import type { Database, Digest, KeyRange } from './ports.ts';

/** A range with at most this many rows a side is compared row by row. */
const ROW_BY_ROW_MAX = 2_000;
/** A larger differing range is split into about this many parts. */
const SPLIT_PARTS = 16;

/** Where two sides of a chunk differ, found without reading more rows than needed. */
export interface ChunkFindings {
  /** Keys whose row digests differ or that only one side has. */
  readonly suspects: readonly RowKey[];
  /** Rows that are equal on both sides. */
  readonly equalRows: bigint;
}

/** What comparing asks of a database. */
export type Digester = Pick<Database, 'digest' | 'keyAfter' | 'rowDigests'>;

/** The two sides of a comparison. */
export interface Sides {
  readonly old: Digester;
  readonly new: Digester;
}

/** A digester whose questions are asked again as `ask` sees fit: findings that were handed over already stay counted once. */
export function persistent(database: Digester, ask: <Answer>(question: () => Promise<Answer>, signal: AbortSignal) => Promise<Answer>): Digester {
  return {
    digest: (pair, range, signal) => ask(() => database.digest(pair, range, signal), signal),
    keyAfter: (pair, range, rows, signal) => ask(() => database.keyAfter(pair, range, rows, signal), signal),
    rowDigests: (pair, range, limit, signal) => ask(() => database.rowDigests(pair, range, limit, signal), signal),
  };
}

/** Digests of one range on both sides at once. */
export async function digestBoth(sides: Sides, pair: Pair, range: KeyRange, signal: AbortSignal): Promise<readonly [Digest, Digest]> {
  return Promise.all([sides.old.digest(pair, range, signal), sides.new.digest(pair, range, signal)]);
}

export function sameDigest(left: Digest, right: Digest): boolean {
  return left.rows === right.rows && left.sum === right.sum;
}

/**
 * Splits a differing range until its rows can be compared one by one, and hands over
 * each part's findings as it comes, so that memory holds one part at a time.
 */
export async function* locate(
  sides: Sides,
  pair: Pair,
  range: KeyRange,
  digests: readonly [Digest, Digest],
  signal: AbortSignal,
): AsyncGenerator<ChunkFindings> {
  const [left, right] = digests;
  if (sameDigest(left, right)) {
    yield { suspects: [], equalRows: left.rows };
    return;
  }
  const most = left.rows > right.rows ? left.rows : right.rows;
  if (most <= BigInt(ROW_BY_ROW_MAX)) {
    const rows = await compareRows(sides, pair, range, signal);
    if (rows !== null) {
      yield rows;
      return;
    }
  }
  const larger = left.rows >= right.rows ? sides.old : sides.new;
  const step = Math.max(ROW_BY_ROW_MAX / 2, Math.ceil(Number(most) / SPLIT_PARTS));
  let from = range.from;
  for (;;) {
    const middle = await larger.keyAfter(pair, { from, to: range.to }, step, signal);
    const part = { from, to: middle ?? range.to };
    yield* locate(sides, pair, part, await digestBoth(sides, pair, part, signal), signal);
    if (middle === null) return;
    if (from !== null && keyId(from) === keyId(middle)) throw notUnique(larger === sides.old ? 'old' : 'new', pair);
    from = middle;
  }
}

/** Rows that share a key cannot be told apart, and one of them would stand for all. */
function notUnique(side: Side, pair: Pair): LockstepError {
  return new LockstepError('key_not_unique', `${side} has several rows with the same key in ${qualifiedName(tableOn(pair, side))}`, {
    about: { side, table: pair.id },
    hint: 'make the key unique there, or name another with `key:`',
  });
}

/** Row digests of both sides against each other; null where the range has grown past what is read at once. */
async function compareRows(sides: Sides, pair: Pair, range: KeyRange, signal: AbortSignal): Promise<ChunkFindings | null> {
  const limit = 2 * ROW_BY_ROW_MAX;
  const [oldRows, newRows] = await Promise.all([
    sides.old.rowDigests(pair, range, limit, signal),
    sides.new.rowDigests(pair, range, limit, signal),
  ]);
  if (oldRows.length >= limit || newRows.length >= limit) return null;
  const unseen = new Map(newRows.map((row) => [keyId(row.key), row]));
  if (unseen.size < newRows.length) throw notUnique('new', pair);
  if (new Set(oldRows.map((row) => keyId(row.key))).size < oldRows.length) throw notUnique('old', pair);
  const suspects: RowKey[] = [];
  let equalRows = 0n;
  for (const row of oldRows) {
    const counterpart = unseen.get(keyId(row.key));
    unseen.delete(keyId(row.key));
    if (counterpart?.digest === row.digest) equalRows++;
    else suspects.push(row.key);
  }
  for (const row of unseen.values()) suspects.push(row.key);
  return { suspects, equalRows };
}
