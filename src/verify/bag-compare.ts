import { LockstepError } from '../domain/errors.ts';
import { qualifiedName, type Pair, type Side } from '../domain/pair.ts';
import type { RowKey } from '../domain/row.ts';
import type { Database, Digest, RowHashCounts } from './ports.ts';
import { sameDigest, type ChunkFindings } from './sweep-compare.ts';

/** Rows that a bucket should hold: few enough that little is read for one difference. Beyond so many, buckets cost more to tell than they save. */
const ROWS_PER_BUCKET = 32;
const FIRST_BUCKETS_MIN = 16;
const FIRST_BUCKETS_MAX = 4_096;
/** Distinct rows of one side that are read at once. */
const READ_MAX = 50_000;
/** A bucket with more distinct rows is parted into so many, but not beyond so many buckets of the whole. */
const PARTS = 16;
const BUCKETS_MAX = 2 ** 30;
/** Suspects that are handed over at a time. */
const PAGE_ROWS = 1_000;
/** More distinct rows that differ are not told one by one: the rechecks of each few thousand read both tables anew. */
const DIFFERING_MAX = 100_000;

const EMPTY: Digest = { rows: 0n, sum: '0' };

/** What comparing bags asks of a database. */
export type BagDigester = Pick<Database, 'bagDigests' | 'bagHashes'>;

/** What is compared. */
export interface BagComparison {
  readonly sides: Readonly<Record<Side, BagDigester>>;
  readonly pair: Pair;
  readonly signal: AbortSignal;
}

/** Buckets of which the distinct rows are read at once. */
interface Group {
  readonly buckets: number;
  readonly chosen: readonly number[];
}

/**
 * Compares a table without a key as a bag of rows, and hands over what differs as it comes: a suspect is the hash of a
 * row of which the sides have not the same number of copies. Whole digests by bucket come first, then the distinct rows
 * of the buckets that differ, as many at a time as memory may hold. Each question reads the whole table in one snapshot:
 * in parts, a row that an update moves might be seen twice or never.
 * Rejects with `bag_differs_widely` where more distinct rows differ than are told.
 */
export async function* compareBag(comparison: BagComparison, estimatedRows: bigint): AsyncGenerator<ChunkFindings> {
  const { sides, pair, signal } = comparison;
  const buckets = bucketsFor(estimatedRows);
  const [left, right] = await Promise.all([sides.old.bagDigests(pair, buckets, signal), sides.new.bagDigests(pair, buckets, signal)]);
  const differing = new Map<number, bigint>();
  let equalRows = 0n;
  for (const bucket of new Set([...left.keys(), ...right.keys()])) {
    const [one, other] = [left.get(bucket) ?? EMPTY, right.get(bucket) ?? EMPTY];
    if (sameDigest(one, other)) equalRows += one.rows;
    else differing.set(bucket, one.rows > other.rows ? one.rows : other.rows);
  }
  yield { suspects: [], equalRows, rows: [equalRows, equalRows] };
  let told = 0;
  const groups = grouped(buckets, differing);
  for (let group = groups.pop(); group !== undefined; group = groups.pop()) {
    const read = await readBoth(comparison, group);
    if (read === null) {
      groups.push(...parted(group));
      continue;
    }
    for (const found of pages(...read)) {
      told += found.suspects.length;
      if (told > DIFFERING_MAX) throw differsWidely(comparison);
      yield found;
    }
  }
}

/** How many buckets a table of so many rows is parted into: a power of 2. */
function bucketsFor(rows: bigint): number {
  const wanted = Math.min(FIRST_BUCKETS_MAX, Math.max(FIRST_BUCKETS_MIN, Number(rows) / ROWS_PER_BUCKET));
  return 2 ** Math.ceil(Math.log2(wanted));
}

/** Distinct rows of a group on both sides; null where they are too many to be read at once. */
async function readBoth({ sides, pair, signal }: BagComparison, group: Group): Promise<readonly [RowHashCounts, RowHashCounts] | null> {
  const read = (side: BagDigester): Promise<RowHashCounts> => side.bagHashes(pair, group, READ_MAX + 1, signal);
  const [old, neu] = await Promise.all([read(sides.old), read(sides.new)]);
  const isTooLarge = old.size > READ_MAX || neu.size > READ_MAX;
  return isTooLarge && group.buckets * PARTS <= BUCKETS_MAX ? null : [old, neu];
}

/** Puts buckets together of which no side has more rows than are read at once. @param rows of each bucket, the larger side's */
function grouped(buckets: number, rows: ReadonlyMap<number, bigint>): Group[] {
  const groups: Group[] = [];
  let chosen: number[] = [];
  let sum = 0n;
  for (const [bucket, count] of rows) {
    if (chosen.length > 0 && sum + count > BigInt(READ_MAX)) {
      groups.push({ buckets, chosen });
      chosen = [];
      sum = 0n;
    }
    chosen.push(bucket);
    sum += count;
  }
  return chosen.length === 0 ? groups : [...groups, { buckets, chosen }];
}

/** The same rows in smaller groups: its buckets singly, or, of one alone, the buckets that it falls into with more of the hash's bits. */
function parted({ buckets, chosen }: Group): Group[] {
  const [only] = chosen;
  if (chosen.length > 1 || only === undefined) return chosen.map((bucket) => ({ buckets, chosen: [bucket] }));
  return Array.from({ length: PARTS }, (_, part) => ({ buckets: buckets * PARTS, chosen: [only + part * buckets] }));
}

/** Numbers of copies against each other. */
function* pages(old: RowHashCounts, neu: RowHashCounts): Generator<ChunkFindings> {
  let suspects: RowKey[] = [];
  let equalRows = 0n;
  let rows: readonly [bigint, bigint] = [0n, 0n];
  for (const hash of new Set([...old.keys(), ...neu.keys()])) {
    const [left, right] = [old.get(hash) ?? 0n, neu.get(hash) ?? 0n];
    rows = [rows[0] + left, rows[1] + right];
    if (left === right) equalRows += left;
    else suspects.push([hash]);
    if (suspects.length < PAGE_ROWS) continue;
    yield { suspects, equalRows, rows };
    suspects = [];
    equalRows = 0n;
    rows = [0n, 0n];
  }
  yield { suspects, equalRows, rows };
}

function differsWidely({ pair }: BagComparison): LockstepError {
  return new LockstepError('bag_differs_widely', `${qualifiedName(pair.old)} has no key and differs in more than ${DIFFERING_MAX} distinct rows, of which no more are named`, {
    about: { table: pair.id },
    hint: 'name unique columns with `key:`, or copy the table again',
  });
}
