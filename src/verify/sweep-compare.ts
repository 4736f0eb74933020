import { keyNotUnique, type Pair } from '../domain/pair.ts';
import { keyId, type RowKey } from '../domain/row.ts';
import type { DigestPath } from '../domain/status.ts';
import { boundsWithin, partsOf } from './chunk-parts.ts';
import type { BucketChoice, Database, Digest, KeyRange, PartDigest, RowDigest } from './ports.ts';

/** A range with at most this many rows a side is compared row by row at once. */
const ROW_BY_ROW_MAX = 500;
/** Rows that a part of a chunk should hold where one is known to differ, and where many chunks do: telling a part costs as much as some rows. */
const ROWS_PER_PART = 128;
const ROWS_PER_PART_OF_MANY = 32;
/** Rows that a bucket should hold: enough that few buckets are told in vain, few enough that little is read for one difference. */
const ROWS_PER_BUCKET = 32;
const BUCKETS_MIN = 16;
/** Beyond this the buckets themselves cost more to tell than they save. */
const BUCKETS_MAX = 2_048;
/** Rows of one side that are read at once; a larger range is split. */
const ROWS_READ_MAX = 12_000;
/** As many are read where rows have come in the meantime. */
const ROWS_LIMIT = 2 * ROWS_READ_MAX;
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
export type Digester = Pick<
  Database,
  'bagDigests' | 'bagHashes' | 'bucketDigests' | 'digest' | 'digestApart' | 'findsRanges' | 'keyAfter' | 'keyDigests' | 'keysEvery' | 'rangeDigests' | 'rangeRowDigests' | 'rowDigests' | 'splitKeys'
>;

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
    digestApart: (pair, range, keys, path, signal) => ask(() => database.digestApart(pair, range, keys, path, signal), signal),
    bucketDigests: (pair, range, buckets, path, signal) => ask(() => database.bucketDigests(pair, range, buckets, path, signal), signal),
    keyAfter: (pair, range, rows, signal) => ask(() => database.keyAfter(pair, range, rows, signal), signal),
    keyDigests: (pair, keys, path, signal, range) => ask(() => database.keyDigests(pair, keys, path, signal, range), signal),
    findsRanges: (pair, signal) => ask(() => database.findsRanges(pair, signal), signal),
    keysEvery: (pair, range, rows, signal) => ask(() => database.keysEvery(pair, range, rows, signal), signal),
    rangeDigests: (pair, ranges, path, signal) => ask(() => database.rangeDigests(pair, ranges, path, signal), signal),
    rangeRowDigests: (pair, ranges, limit, path, signal) => ask(() => database.rangeRowDigests(pair, ranges, limit, path, signal), signal),
    rowDigests: (pair, range, limit, path, signal, only) => ask(() => database.rowDigests(pair, range, limit, path, signal, only), signal),
    bagDigests: (pair, buckets, signal) => ask(() => database.bagDigests(pair, buckets, signal), signal),
    bagHashes: (pair, choice, limit, signal) => ask(() => database.bagHashes(pair, choice, limit, signal), signal),
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
    digestApart: async (pair, range, keys, path, signal) => {
      const askedAtMs = nowMs();
      const digest = await database.digestApart(pair, range, keys, path, signal);
      took(Number(digest.rest.rows) + digest.apart.size, nowMs() - askedAtMs);
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
function bucketsFor(rows: bigint): number {
  const wanted = Math.min(BUCKETS_MAX, Math.max(BUCKETS_MIN, Number(rows) / ROWS_PER_BUCKET));
  return 2 ** Math.ceil(Math.log2(wanted));
}

const EMPTY: Digest = { rows: 0n, sum: '0' };
const NO_ROWS: PartDigest = { rows: 0, sum: '0' };

/**
 * Finds the differing rows of a range whose digests differ, and hands them over as they come, so that memory holds
 * one part at a time. A small range is read row by row; a larger one is parted, and only the rows of differing parts are
 * read.
 */
export async function* locate(comparison: Comparison, range: KeyRange, digests: readonly [Digest, Digest]): AsyncGenerator<ChunkFindings> {
  const [left, right] = digests;
  if (sameDigest(left, right)) {
    yield { suspects: [], equalRows: left.rows, rows: [left.rows, left.rows] };
    return;
  }
  const most = left.rows > right.rows ? left.rows : right.rows;
  const isOneSided = left.rows === 0n || right.rows === 0n;
  if (most <= BigInt(ROW_BY_ROW_MAX) || (isOneSided && most <= BigInt(ROWS_READ_MAX))) {
    const rows = await compareRows(comparison, range);
    if (rows === null) yield* split(comparison, range, digests);
    else yield rows;
    return;
  }
  const { sides, pair, signal } = comparison;
  const larger = left.rows >= right.rows ? 'old' : 'new';
  if (!(await findsRanges(comparison))) {
    if (isOneSided) yield* split(comparison, range, digests);
    else yield* locateByBucket(comparison, range, bucketsFor(most));
    return;
  }
  const bounds = await boundsWithin(sides[larger], pair, range, Number(most), isOneSided ? ROWS_READ_MAX : ROWS_PER_PART, signal);
  if (bounds.length === 0) throw keyNotUnique(pair, larger);
  yield* locateByPart(comparison, partsOf(range, bounds), isOneSided);
}

/** The same for a range of which nothing is known yet but that it is likely to differ: one look less. @param rows about how many it has */
export async function* locateLikely(comparison: Comparison, range: KeyRange, rows: number): AsyncGenerator<ChunkFindings> {
  const { sides, pair, signal } = comparison;
  if (!(await findsRanges(comparison))) {
    yield* locateByBucket(comparison, range, bucketsFor(BigInt(rows)));
    return;
  }
  const bounds = await boundsWithin(sides.old, pair, range, rows, ROWS_PER_PART_OF_MANY, signal);
  yield* locateByPart(comparison, partsOf(range, bounds), false);
}

async function findsRanges({ sides, pair, signal }: Comparison): Promise<boolean> {
  return (await Promise.all([sides.old.findsRanges(pair, signal), sides.new.findsRanges(pair, signal)])).every(Boolean);
}

/**
 * Compares neighbouring ranges by their digests, and reads the rows of those that differ.
 * @param allDiffer known to differ, every one
 */
async function* locateByPart(comparison: Comparison, parts: readonly KeyRange[], allDiffer: boolean): AsyncGenerator<ChunkFindings> {
  const { sides, pair, path, signal } = comparison;
  if (allDiffer) {
    for (const part of parts) yield* readOrLocate(comparison, [part]);
    return;
  }
  const [old, neu] = await Promise.all([sides.old.rangeDigests(pair, parts, path, signal), sides.new.rangeDigests(pair, parts, path, signal)]);
  let equalRows = 0;
  let differing: KeyRange[] = [];
  let rowsToRead = 0;
  for (const [place, part] of parts.entries()) {
    const [left, right] = [old[place] ?? NO_ROWS, neu[place] ?? NO_ROWS];
    if (left.rows === right.rows && left.sum === right.sum) {
      equalRows += left.rows;
      continue;
    }
    const most = Math.max(left.rows, right.rows);
    if (rowsToRead + most > ROWS_READ_MAX && differing.length > 0) {
      yield* readOrLocate(comparison, differing);
      differing = [];
      rowsToRead = 0;
    }
    if (most > ROWS_READ_MAX) yield* locate(comparison, part, [exact(left), exact(right)]);
    else {
      differing.push(part);
      rowsToRead += most;
    }
  }
  yield { suspects: [], equalRows: BigInt(equalRows), rows: [BigInt(equalRows), BigInt(equalRows)] };
  if (differing.length > 0) yield* readOrLocate(comparison, differing);
}

/** Reads the rows of ranges that differ; of those that have grown past what is read at once, each is looked at alone. */
async function* readOrLocate(comparison: Comparison, ranges: readonly KeyRange[]): AsyncGenerator<ChunkFindings> {
  const { pair, path, signal } = comparison;
  const merged = joined(ranges);
  const rows = await compareRead(comparison, (side) => side.rangeRowDigests(pair, merged, ROWS_LIMIT, path, signal));
  if (rows !== null) yield rows;
  else for (const range of merged) yield* locate(comparison, range, await digestBoth(comparison, range));
}

/** Ranges in key order, neighbours made one. */
function joined(ranges: readonly KeyRange[]): KeyRange[] {
  const whole: KeyRange[] = [];
  for (const range of ranges) {
    const last = whole.at(-1);
    if (last !== undefined && last.to === range.from) whole[whole.length - 1] = { from: last.from, to: range.to };
    else whole.push(range);
  }
  return whole;
}

function exact({ rows, sum }: PartDigest): Digest {
  return { rows: BigInt(rows), sum };
}

/**
 * Parts a range into buckets by the hash of the keys, which reads it whole and once however its keys are found, and reads
 * it again for the rows of differing buckets.
 */
async function* locateByBucket(comparison: Comparison, range: KeyRange, buckets: number): AsyncGenerator<ChunkFindings> {
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
function compareRows(comparison: Comparison, range: KeyRange, only?: BucketChoice): Promise<ChunkFindings | null> {
  const { pair, path, signal } = comparison;
  return compareRead(comparison, (side) => side.rowDigests(pair, range, ROWS_LIMIT, path, signal, only));
}

async function compareRead({ sides, pair }: Comparison, read: (side: Digester) => Promise<readonly RowDigest[]>): Promise<ChunkFindings | null> {
  const [oldRows, newRows] = await Promise.all([read(sides.old), read(sides.new)]);
  if (oldRows.length >= ROWS_LIMIT || newRows.length >= ROWS_LIMIT) return null;
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
