import { keyOrder } from '../domain/key-order.ts';
import type { Pair } from '../domain/pair.ts';
import { keyChars, type RowKey } from '../domain/row.ts';
import type { PendingChecks } from './pending-checks.ts';
import type { KeyRange } from './ports.ts';

/** Hot keys of one chunk: each is a look into an index on both sides, and so many cost no more than the chunk. */
const HOT_KEYS_MAX = 2_000;
/** Characters of these keys. */
const HOT_CHARS_MAX = 256 * 1024;
/** Pending keys that are looked through for each chunk: some milliseconds. */
const PENDING_MAX = 20_000;

/** A key with a change, or a suspicion, that has no verdict yet. */
export interface HotKey {
  readonly key: RowKey;
  /** Commit time of its oldest unsettled change, µs; 0 where there is none. */
  readonly sinceUs: bigint;
}

/** The hot keys of a range. */
export interface HotKeys {
  readonly keys: readonly HotKey[];
  /** Commit time of the newest change of the table that has no verdict yet, µs. */
  readonly newestUs: bigint;
}

/**
 * The keys of a range that are hot at present, about; null where no change is under way in the table, and where they are too many
 * to be asked for one by one.
 * @param sinceMs only those with a change, or a suspicion, that was first seen then or later, on the host's clock
 */
export function hotKeysWithin(pending: Pick<PendingChecks, 'checksOf' | 'tableSize'>, pair: Pair, { from, to }: KeyRange, sinceMs = Number.NEGATIVE_INFINITY): HotKeys | null {
  if (pending.tableSize(pair.id) > PENDING_MAX) return null;
  const order = keyOrder(pair);
  const keys: HotKey[] = [];
  let chars = 0;
  let newestUs: bigint | null = null;
  for (const { key, versions, firstSeenMs } of pending.checksOf(pair.id)) {
    const committedAtUs = versions.at(-1)?.committedAtUs ?? null;
    if (committedAtUs !== null && (newestUs === null || committedAtUs > newestUs)) newestUs = committedAtUs;
    if (firstSeenMs < sinceMs || (from !== null && order(key, from) < 0) || (to !== null && order(key, to) >= 0)) continue;
    keys.push({ key, sinceUs: versions[0]?.committedAtUs ?? 0n });
    chars += keyChars(key);
    if (keys.length > HOT_KEYS_MAX || chars > HOT_CHARS_MAX) return null;
  }
  return newestUs === null ? null : { keys, newestUs };
}
