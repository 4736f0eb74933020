import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Pair } from '../../../src/domain/pair.ts';
import { compareBag, type BagDigester } from '../../../src/verify/bag-compare.ts';
import type { Digest } from '../../../src/verify/ports.ts';
import { textPair } from './memory/samples.ts';

const PAIR: Pair = { ...textPair(), key: [] };
const FOREVER = new AbortController().signal;

/** Hash → copies, and how often it was read. */
class Bag {
  readonly copies: ReadonlyMap<bigint, bigint>;
  scans = 0;

  constructor(copies: Iterable<readonly [bigint, bigint]>) {
    this.copies = new Map(copies);
  }

  get rows(): bigint {
    return [...this.copies.values()].reduce((sum, count) => sum + count, 0n);
  }

  digester(): BagDigester {
    const bucketOf = (hash: bigint, buckets: number): number => Number(hash & BigInt(buckets - 1));
    return {
      bagDigests: (_pair, buckets) => {
        this.scans++;
        const digests = new Map<number, { rows: bigint; sum: bigint }>();
        for (const [hash, count] of this.copies) {
          const digest = digests.get(bucketOf(hash, buckets)) ?? { rows: 0n, sum: 0n };
          digests.set(bucketOf(hash, buckets), { rows: digest.rows + count, sum: digest.sum + BigInt.asIntN(64, hash) * count });
        }
        return Promise.resolve(new Map([...digests].map(([bucket, { rows, sum }]): [number, Digest] => [bucket, { rows, sum: sum.toString() }])));
      },
      bagHashes: (_pair, { buckets, chosen }, limit) => {
        this.scans++;
        const wanted = new Set(chosen);
        const found = [...this.copies].filter(([hash]) => wanted.has(bucketOf(hash, buckets)));
        return Promise.resolve(new Map(found.slice(0, limit).map(([hash, count]) => [hash.toString(16).padStart(16, '0'), count])));
      },
    };
  }
}

async function compare(old: Bag, neu: Bag, estimatedRows = old.rows): Promise<{ suspects: string[]; equalRows: bigint; rows: readonly [bigint, bigint] }> {
  const whole = { suspects: [] as string[], equalRows: 0n, rows: [0n, 0n] as readonly [bigint, bigint] };
  for await (const found of compareBag({ sides: { old: old.digester(), new: neu.digester() }, pair: PAIR, signal: FOREVER }, estimatedRows)) {
    whole.suspects.push(...found.suspects.map((key) => key[0] as string));
    whole.equalRows += found.equalRows;
    whole.rows = [whole.rows[0] + found.rows[0], whole.rows[1] + found.rows[1]];
  }
  return whole;
}

const range = (count: number, hashOf: (index: number) => bigint): (readonly [bigint, bigint])[] => Array.from({ length: count }, (_, index) => [hashOf(index), 1n] as const);

describe('two bags of rows', () => {
  // Few hashes, some of one bucket, at both ends of 64 bits: copies meet and buckets are shared.
  const hash = fc.oneof(fc.constantFrom(0n, 16n, 32n, 2n ** 63n, 2n ** 64n - 1n), fc.bigInt(0n, 40n));
  const bag = fc.array(fc.tuple(hash, fc.bigInt(1n, 5n)), { maxLength: 30 }).map((copies) => new Bag(copies));

  it('differ in the rows of which they have not the same number of copies, and no others', async () => {
    await fc.assert(
      fc.asyncProperty(bag, bag, fc.bigInt(0n, 100_000n), async (old, neu, estimated) => {
        const found = await compare(old, neu, estimated);
        const all = [...new Set([...old.copies.keys(), ...neu.copies.keys()])];
        const differing = all.filter((each) => old.copies.get(each) !== neu.copies.get(each));
        expect(found.suspects.toSorted()).toEqual(differing.map((each) => each.toString(16).padStart(16, '0')).toSorted());
        const equal = all.filter((each) => old.copies.get(each) === neu.copies.get(each)).reduce((sum, each) => sum + (old.copies.get(each) ?? 0n), 0n);
        expect(found.equalRows).toBe(equal);
        expect(found.rows).toEqual([old.rows, neu.rows]);
      }),
    );
  });

  it('cost one scan a side where they are equal, and two where little differs', async () => {
    const rows = range(1_000, (index) => BigInt(index) * 7n);
    const [old, equal] = [new Bag(rows), new Bag(rows)];
    expect((await compare(old, equal)).suspects).toEqual([]);
    expect([old.scans, equal.scans]).toEqual([1, 1]);
    const other = new Bag(rows.slice(3));
    expect((await compare(old, other)).suspects).toHaveLength(3);
    expect(other.scans).toBe(2);
  });

  it('are parted further where one bucket has more distinct rows than are held at once', async () => {
    const crowded = range(120_000, (index) => BigInt(index) * 2n ** 11n);
    const found = await compare(new Bag(crowded), new Bag(crowded.slice(5)), 1_000n);
    expect(found.suspects).toHaveLength(5);
    expect(found.rows).toEqual([120_000n, 119_995n]);
    expect(found.equalRows).toBe(119_995n);
  });

  it('are given up where too many distinct rows differ, after the first have been told', async () => {
    const [old, neu] = [new Bag(range(60_000, (index) => BigInt(2 * index))), new Bag(range(60_000, (index) => BigInt(2 * index + 1)))];
    await expect(compare(old, neu)).rejects.toMatchObject({ code: 'bag_differs_widely' });
  });
});
