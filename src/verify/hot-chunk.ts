import { keyId, type KeyId, type RowKey } from '../domain/row.ts';
import type { HotKey } from './hot-keys.ts';
import type { ApartDigest, Digest, KeyRange } from './ports.ts';
import type { ChunkFindings, Comparison } from './sweep-compare.ts';

/**
 * A chunk whose hot rows were digested apart, on each side in the moment of the rest: what is equal without them is proven
 * equal, whichever rows they are, and they are compared one by one.
 *
 * A rest that differs may do so for rows whose changes had not been consumed when the keys were told, and were in that
 * moment on one side alone. Such rows are named later (`heard`), and read by their keys: where what one side has of them more
 * than the other is just what its rest has more, all other rows are equal. Rows that have changed again since then explain
 * nothing, and are not taken to.
 */
export class HotChunk {
  private readonly comparison: Comparison;
  readonly range: KeyRange;
  private readonly old: ApartDigest;
  private readonly new: ApartDigest;
  private readonly keys: readonly RowKey[];
  private readonly known: Set<KeyId>;
  private heard: readonly LateRow[] = [];

  private constructor(comparison: Comparison, range: KeyRange, keys: readonly RowKey[], [old, neu]: readonly [ApartDigest, ApartDigest]) {
    this.comparison = comparison;
    this.range = range;
    this.keys = keys;
    this.old = old;
    this.new = neu;
    this.known = new Set(keys.map(keyId));
  }

  /** Digests a range on both sides at once, the rows of these keys apart. */
  static async look(comparison: Comparison, range: KeyRange, hot: readonly HotKey[]): Promise<HotChunk> {
    const { sides, pair, path, signal } = comparison;
    const keys = hot.map(({ key }) => key);
    const digests = await Promise.all([sides.old.digestApart(pair, range, keys, path, signal), sides.new.digestApart(pair, range, keys, path, signal)]);
    return new HotChunk(comparison, range, keys, digests);
  }

  /** All that the two sides had in that moment. */
  get whole(): readonly [Digest, Digest] {
    return [wholeOf(this.old), wholeOf(this.new)];
  }

  /** Whether anything was heard of rows that the look did not tell apart. */
  get hasHeard(): boolean {
    return this.heard.length > 0;
  }

  /** Where the sides differ, if only in rows that are known to be hot; null: elsewhere too. */
  findings(): ChunkFindings | null {
    const { keys, heard } = this;
    const [old, neu] = [new Rest(this.old.rest), new Rest(this.new.rest)];
    for (let late = 0; ; late++) {
      if (old.equals(neu)) return this.findingsOf([...keys, ...heard.slice(0, late).map(({ key }) => key)], old.rows);
      const next = heard[late];
      if (next === undefined) return null;
      old.take(next.old);
      neu.take(next.new);
    }
  }

  /** Keys that have become hot since the look: their rows are read. @returns whether there are any that were not known */
  async hear(hot: readonly HotKey[]): Promise<boolean> {
    const { sides, pair, path, signal } = this.comparison;
    const news = hot.filter(({ key }) => !this.known.has(keyId(key)));
    if (news.length === 0) return false;
    const keys = news.map(({ key }) => key);
    const [old, neu] = await Promise.all([sides.old.keyDigests(pair, keys, path, signal, this.range), sides.new.keyDigests(pair, keys, path, signal, this.range)]);
    const late = news.map(({ key, sinceUs }) => ({ key, sinceUs, old: old.get(keyId(key)), new: neu.get(keyId(key)) }));
    for (const key of keys) this.known.add(keyId(key));
    // The moment of the look parts them: what was committed before it is in the rest, what came after is not.
    this.heard = [...this.heard, ...late].sort((left, right) => (left.sinceUs < right.sinceUs ? -1 : left.sinceUs > right.sinceUs ? 1 : 0));
    return true;
  }

  private findingsOf(keys: readonly RowKey[], restRows: bigint): ChunkFindings {
    const late = new Map(this.heard.map((row) => [keyId(row.key), row]));
    const suspects: RowKey[] = [];
    let equalRows = restRows;
    for (const key of keys) {
      const id = keyId(key);
      const row = late.get(id) ?? { old: this.old.apart.get(id), new: this.new.apart.get(id) };
      if (row.old !== row.new) suspects.push(key);
      else if (row.old !== undefined) equalRows++;
    }
    const [old, neu] = this.whole;
    return { suspects, equalRows, rows: [old.rows, neu.rows] };
  }
}

/** A row that was named after the look, as it was read then; undefined: there was none. */
interface LateRow extends HotKey {
  readonly old: string | undefined;
  readonly new: string | undefined;
}

/** What is left of a side's digest when rows are taken out. */
class Rest {
  rows: bigint;
  private sum: bigint;

  constructor({ rows, sum }: Digest) {
    this.rows = rows;
    this.sum = BigInt(sum);
  }

  take(digest: string | undefined): void {
    if (digest === undefined) return;
    this.rows--;
    this.sum -= BigInt(digest);
  }

  equals(other: Rest): boolean {
    return this.rows === other.rows && this.sum === other.sum;
  }
}

function wholeOf({ rest, apart }: ApartDigest): Digest {
  let sum = BigInt(rest.sum);
  for (const digest of apart.values()) sum += BigInt(digest);
  return { rows: rest.rows + BigInt(apart.size), sum: sum.toString() };
}
