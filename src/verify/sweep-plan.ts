import type { Pair } from '../domain/pair.ts';
import { keyId, type RowKey } from '../domain/row.ts';
import type { KeyRange } from './ports.ts';
import type { Digester } from './sweep-compare.ts';

/** A part of the table that the statistics expect to hold more than this many chunks is walked chunk by chunk. */
const CHUNKS_PER_PART_MAX = 2;

export interface PlanOptions {
  /** The side whose keys part the table. */
  readonly side: Digester;
  readonly pair: Pair;
  /** Where an interrupted sweep goes on; null at the beginning. */
  readonly from: RowKey | null;
  /** Rows that the next chunk should have. */
  readonly chunkRows: () => number;
  readonly estimatedRows: bigint;
  readonly signal: AbortSignal;
}

/**
 * Ranges of about `chunkRows` rows, as many as it says at each one's turn, that cover all keys from `from` on, in order. They follow the planner's statistics
 * where there are any: that costs no reading. What lies beyond the last known key came after the statistics were taken,
 * and is walked, as is everything where there are none, or where they part the table too coarsely.
 */
export async function* planChunks({ side, pair, from, chunkRows, estimatedRows, signal }: PlanOptions): AsyncGenerator<KeyRange> {
  const keys = await side.splitKeys(pair, from, signal);
  const rowsPerPart = Number(estimatedRows) / (keys.length + 1);
  let start = from;
  for (let parts = 0; ; ) {
    const rows = chunkRows();
    parts += Math.max(1, Math.floor(rows / Math.max(1, rowsPerPart)));
    const end = keys[parts - 1];
    if (end === undefined) break;
    if (rowsPerPart > CHUNKS_PER_PART_MAX * rows) yield* walk({ side, pair, chunkRows, signal }, start, end);
    else yield { from: start, to: end };
    start = end;
  }
  yield* walk({ side, pair, chunkRows, signal }, start, null);
}

/** Ranges of as many rows as `chunkRows` says at each one's turn, from `from` to `to`, found by reading the keys. */
export async function* walk({ side, pair, chunkRows, signal }: Pick<PlanOptions, 'side' | 'pair' | 'chunkRows' | 'signal'>, from: RowKey | null, to: RowKey | null): AsyncGenerator<KeyRange> {
  let start = from;
  for (;;) {
    const next = await side.keyAfter(pair, { from: start, to }, chunkRows(), signal);
    // Many rows with one key: there is no range within them.
    const end = next === null || (start !== null && keyId(start) === keyId(next)) ? to : next;
    yield { from: start, to: end };
    if (end === to) return;
    start = end;
  }
}
