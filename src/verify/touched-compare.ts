import type { Pair } from '../domain/pair.ts';
import { keyChars, keyId, type RowKey } from '../domain/row.ts';
import type { KeyRange } from './ports.ts';
import type { ChunkFindings, Comparison, Digester } from './sweep-compare.ts';
import { walk } from './sweep-plan.ts';
import type { TouchedScope } from './touched-keys.ts';

/** Keys whose rows are digested by one question: enough to make the round trip cheap, a quick statement even where each row is read from disk. */
const KEYS_PER_BATCH = 1_000;
/** Characters of these keys. */
const CHARS_PER_BATCH = 1024 * 1024;

/** One part of what an incremental sweep compares. */
export type TouchedPart = { readonly kind: 'keys'; readonly keys: readonly RowKey[] } | { readonly kind: 'range'; readonly range: KeyRange };

/** All of a scope in parts of a chunk's size at most. */
export async function* touchedParts(scope: TouchedScope, side: Digester, pair: Pair, chunkRows: () => number, signal: AbortSignal): AsyncGenerator<TouchedPart> {
  for (const keys of batches(scope.keys)) yield { kind: 'keys', keys };
  for (const { from, to } of scope.ranges) for await (const range of walk({ side, pair, chunkRows, signal }, from, to)) yield { kind: 'range', range };
}

/** Digests of these keys' rows on both sides against each other; a row that both lack is equal. */
export async function* compareKeys({ sides, pair, path, signal }: Comparison, keys: readonly RowKey[]): AsyncGenerator<ChunkFindings> {
  const [old, neu] = await Promise.all([sides.old.keyDigests(pair, keys, path, signal), sides.new.keyDigests(pair, keys, path, signal)]);
  const suspects: RowKey[] = [];
  let equalRows = 0n;
  for (const key of keys) {
    const id = keyId(key);
    const [left, right] = [old.get(id), neu.get(id)];
    if (left !== right) suspects.push(key);
    else if (left !== undefined) equalRows++;
  }
  yield { suspects, equalRows, rows: [BigInt(old.size), BigInt(neu.size)] };
}

function* batches(keys: readonly RowKey[]): Generator<readonly RowKey[]> {
  let batch: RowKey[] = [];
  let chars = 0;
  for (const key of keys) {
    batch.push(key);
    chars += keyChars(key);
    if (batch.length < KEYS_PER_BATCH && chars < CHARS_PER_BATCH) continue;
    yield batch;
    batch = [];
    chars = 0;
  }
  if (batch.length > 0) yield batch;
}
