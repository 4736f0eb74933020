import { keyNotUnique, type Pair } from '../domain/pair.ts';
import { keyId, type RowKey } from '../domain/row.ts';
import type { DigestPath } from '../domain/status.ts';
import type { BucketChoice, Database, Digest, KeyRange, RowDigest } from './ports.ts';

/** A range with at most this many rows a side is compared row by row at once. */
const ROW_BY_ROW_MAX = 500;
/** Rows that a bucket should hold: enough that few buckets are told in vain, few enough that little is read for one difference. */
const ROWS_PER_BUCKET = 32;
const BUCKETS_MIN = 16;
/** Beyond this the buckets themselves cost more to tell than they save. */
const BUCKETS_MAX = 2_048;
/** Rows of one side that are read at once; a larger range is split. */
const ROWS_READ_MAX = 12_000;
/** Parts that a range is split into where it is too large to be read. */
const SPLIT_PARTS = 16;

/** Where two sides of a chunk differ, found without reading more rows than needed. */
export interface ChunkFindings {
  /** Keys whose row digests differ or that only one side has. */
  readonly suspects: readonly RowKey[];
  /** Rows that are equal on both sides. */
  readonly equalRows: bigint;
  /** Rows that were compared, on old and on new. */
  readonly rows: readonly [bigint, bigint];
}

/** What comparing asks of a database. */
export type Digester = Pick<Database, 'digest' | 'bucketDigests' | 'keyAfter' | 'keyDigests' | 'rowDigests' | 'splitKeys'>;

/** The two sides of a comparison. */
export interface Sides {
  readonly old: Digester;
  readonly new: Digester;
}

/** What is compared, and how. */
export interface Comparison {
  readonly sides: Sides;
  readonly pair: Pair;
  readonly path: DigestPath;
  readonly signal: AbortSignal;
}

/** A digester whose questions are asked again as `ask` sees fit: findings that were handed over already stay counted once. */
export function persistent(database: Digester, ask: <Answer>(question: () => Promise<Answer>, signal: AbortSignal) => Promise<Answer>): Digester {
  return {
    splitKeys: (pair, after, signal) => ask(() => database.splitKeys(pair, after, signal), signal),
    digest: (pair, range, path, signal) => ask(() => database.digest(pair, range, path, signal), signal),
    bucketDigests: (pair, range, buckets, path, signal) => ask(() => database.bucketDigests(pair, range, buckets, path, signal), signal),
    keyAfter: (pair, range, rows, signal) => ask(() => database.keyAfter(pair, range, rows, signal), signal),
    keyDigests: (pair, keys, path, signal) => ask(() => database.keyDigests(pair, keys, path, signal), signal),
    rowDigests: (pair, range, limit, path, signal, only) => ask(() => database.rowDigests(pair, range, limit, path, signal, only), signal),
  };
}

/** A digester whose whole digests are timed: that is what a chunk's size goes by. */
export function timed(database: Digester, nowMs: () => number, took: (rows: number, ms: number) => void): Digester {
  return {
    ...persistent(database, (question) => question()),
    digest: async (pair, range, path, signal) => {
      const askedAtMs = nowMs();
      const digest = await database.digest(pair, range, path, signal);
      took(Number(digest.rows), nowMs() - askedAtMs);
      return digest;
    },
  };
}

/** Digests of one range on both sides at once. */
export async function digestBoth({ sides, pair, path, signal }: Comparison, range: KeyRange): Promise<readonly [Digest, Digest]> {
  return Promise.all([sides.old.digest(pair, range, path, signal), sides.new.digest(pair, range, path, signal)]);
}

export function sameDigest(left: Digest, right: Digest): boolean {
  return left.rows === right.rows && left.sum === right.sum;
}

/** How many buckets a range of so many rows is parted into: a power of 2. */
export function bucketsFor(rows: bigint): number {
  const wanted = Math.min(BUCKETS_MAX, Math.max(BUCKETS_MIN, Number(rows) / ROWS_PER_BUCKET));
  return 2 ** Math.ceil(Math.log2(wanted));
}

const EMPTY: Digest = { rows: 0n, sum: '0' };

/**
 * Finds the differing rows of a range whose digests differ, and hands them over as they come, so that memory holds
 * one part at a time. A small range is read row by row; a larger one is parted into buckets by the hash of the keys,
 * wherever in it the differences lie, and only the rows of differing buckets are read; what is still too much to be
 * read at once is split by key first.
 */
export async function* locate(comparison: Comparison, range: KeyRange, digests: readonly [Digest, Digest]): AsyncGenerator<ChunkFindings> {
  const [left, right] = digests;
  if (sameDigest(left, right)) {
    yield { suspects: [], equalRows: left.rows, rows: [left.rows, left.rows] };
    return;
  }
  const most = left.rows > right.rows ? left.rows : right.rows;
  if (left.rows === 0n || right.rows === 0n || most <= BigInt(ROW_BY_ROW_MAX)) {
    const rows = most <= BigInt(ROWS_READ_MAX) ? await compareRows(comparison, range) : null;
    if (rows === null) yield* split(comparison, range, digests);
    else yield rows;
    return;
  }
  yield* locateByBucket(comparison, range, bucketsFor(most));
}

/** The same for a range of which nothing is known yet but that it is likely to differ: one look less. */
export async function* locateByBucket(comparison: Comparison, range: KeyRange, buckets: number): AsyncGenerator<ChunkFindings> {
  const { sides, pair, path, signal } = comparison;
  const [old, neu] = await Promise.all([
    sides.old.bucketDigests(pair, range, buckets, path, signal),
    sides.new.bucketDigests(pair, range, buckets, path, signal),
  ]);
  const chosen: number[] = [];
  let equalRows = 0n;
  let unequalRows: readonly [bigint, bigint] = [0n, 0n];
  for (const bucket of new Set([...old.keys(), ...neu.keys()])) {
    const [left, right] = [old.get(bucket) ?? EMPTY, neu.get(bucket) ?? EMPTY];
    if (sameDigest(left, right)) equalRows += left.rows;
    else {
      chosen.push(bucket);
      unequalRows = [unequalRows[0] + left.rows, unequalRows[1] + right.rows];
    }
  }
  if (chosen.length === 0) {
    yield { suspects: [], equalRows, rows: [equalRows, equalRows] };
    return;
  }
  const most = unequalRows[0] > unequalRows[1] ? unequalRows[0] : unequalRows[1];
  if (most > BigInt(ROWS_READ_MAX)) {
    yield* split(comparison, range, unequalRows.map((rows) => ({ rows: rows + equalRows, sum: '' })) as [Digest, Digest]);
    return;
  }
  const rows = await compareRows(comparison, range, { buckets, chosen });
  if (rows === null) yield* split(comparison, range, await digestBoth(comparison, range));
  else yield { suspects: rows.suspects, equalRows: rows.equalRows + equalRows, rows: [rows.rows[0] + equalRows, rows.rows[1] + equalRows] };
}

/** Splits a range by key, and looks at each part. */
async function* split(comparison: Comparison, range: KeyRange, digests: readonly [Digest, Digest]): AsyncGenerator<ChunkFindings> {
  const { sides, pair, signal } = comparison;
  const [left, right] = digests;
  const larger = left.rows >= right.rows ? sides.old : sides.new;
  const most = Number(left.rows > right.rows ? left.rows : right.rows);
  const step = Math.max(ROW_BY_ROW_MAX, Math.ceil(most / SPLIT_PARTS));
  let from = range.from;
  for (;;) {
    const middle = await larger.keyAfter(pair, { from, to: range.to }, step, signal);
    const part = { from, to: middle ?? range.to };
    yield* locate(comparison, part, await digestBoth(comparison, part));
    if (middle === null) return;
    if (from !== null && keyId(from) === keyId(middle)) throw keyNotUnique(pair, larger === sides.old ? 'old' : 'new');
    from = middle;
  }
}

/** Row digests of both sides against each other; null where the range has grown past what is read at once. */
async function compareRows({ sides, pair, path, signal }: Comparison, range: KeyRange, only?: BucketChoice): Promise<ChunkFindings | null> {
  const limit = 2 * ROWS_READ_MAX;
  const read = (side: Digester): Promise<readonly RowDigest[]> => side.rowDigests(pair, range, limit, path, signal, only);
  const [oldRows, newRows] = await Promise.all([read(sides.old), read(sides.new)]);
  if (oldRows.length >= limit || newRows.length >= limit) return null;
  const unseen = new Map(newRows.map((row) => [keyId(row.key), row]));
  if (unseen.size < newRows.length) throw keyNotUnique(pair, 'new');
  if (new Set(oldRows.map((row) => keyId(row.key))).size < oldRows.length) throw keyNotUnique(pair, 'old');
  const suspects: RowKey[] = [];
  let equalRows = 0n;
  for (const row of oldRows) {
    const id = keyId(row.key);
    const counterpart = unseen.get(id);
    unseen.delete(id);
    if (counterpart?.digest === row.digest) equalRows++;
    else suspects.push(row.key);
  }
  for (const row of unseen.values()) suspects.push(row.key);
  return { suspects, equalRows, rows: [BigInt(oldRows.length), BigInt(newRows.length)] };
}
