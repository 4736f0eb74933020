import { LockstepError } from '../domain/errors.ts';
import type { KeyRange } from './ports.ts';
import { digestBoth, locate, locateLikely, type ChunkFindings, type Comparison } from './sweep-compare.ts';
import { walk } from './sweep-plan.ts';

/** A chunk that a database cannot digest in time is parted into so many, down to parts of so many rows. */
const TIMEOUT_SPLIT = 8;
const PART_ROWS_MIN = 100;

/**
 * Compares a chunk. One that is likely to differ is parted at once: its whole digest would only say that
 * it differs too.
 * @param rows about how many it has
 * @param timedOut told of so many rows that took a database too long
 */
export async function* compareChunk(comparison: Comparison, range: KeyRange, rows: number, likelyDiffers: boolean, timedOut: (rows: number) => void): AsyncGenerator<ChunkFindings> {
  if (likelyDiffers) yield* locateLikely(comparison, range, rows);
  else yield* digested(comparison, range, rows, timedOut);
}

/** Digests a range, or, where that takes a database too long, parts of it. */
async function* digested(comparison: Comparison, range: KeyRange, rows: number, timedOut: (rows: number) => void): AsyncGenerator<ChunkFindings> {
  let digests: Awaited<ReturnType<typeof digestBoth>>;
  try {
    digests = await digestBoth(comparison, range);
  } catch (error) {
    if (!isTimeout(error) || Math.floor(rows / TIMEOUT_SPLIT) < PART_ROWS_MIN) throw error;
    yield* compareParts(comparison, range, rows, timedOut);
    return;
  }
  yield* locate(comparison, range, digests);
}

/** Compares a range that takes a database too long to digest part by part. */
export async function* compareParts(comparison: Comparison, range: KeyRange, rows: number, timedOut: (rows: number) => void): AsyncGenerator<ChunkFindings> {
  timedOut(rows);
  const part = Math.max(PART_ROWS_MIN, Math.floor(rows / TIMEOUT_SPLIT));
  const { sides, pair, signal } = comparison;
  for await (const smaller of walk({ side: sides.old, pair, chunkRows: () => part, signal }, range.from, range.to)) yield* digested(comparison, smaller, part, timedOut);
}

export function isTimeout(error: unknown): boolean {
  return error instanceof LockstepError && error.code === 'statement_timeout';
}
