import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RowKey } from '../../../src/domain/row.ts';
import type { KeyRange } from '../../../src/verify/ports.ts';
import type { Digester } from '../../../src/verify/sweep-compare.ts';
import { planChunks } from '../../../src/verify/sweep-plan.ts';
import { textPair } from './memory/samples.ts';

const FOREVER = new AbortController().signal;

/** Keys in order; only what plans ask for. */
function sideOf(keys: readonly string[], splits: readonly string[]): Digester {
  const none = (): never => {
    throw new Error('a plan reads no rows');
  };
  return {
    splitKeys: (_pair, after) => Promise.resolve(splits.filter((key) => after === null || key > (after[0] as string)).map((key) => [key])),
    keyAfter: (_pair, range, rows) => {
      const key = keys.filter((candidate) => within([candidate], range))[rows];
      return Promise.resolve(key === undefined ? null : [key]);
    },
    digest: none,
    bucketDigests: none,
    findsRanges: none,
    digestApart: none,
    keyDigests: none,
    keysEvery: none,
    rangeDigests: none,
    rangeRowDigests: none,
    rowDigests: none,
    bagDigests: none,
    bagHashes: none,
  };
}

function within(key: RowKey, { from, to }: KeyRange): boolean {
  const [text] = key as [string];
  return (from === null || text >= (from[0] as string)) && (to === null || text < (to[0] as string));
}

const someKeys = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 60 }).map((keys) => keys.toSorted());

describe('planChunks', () => {
  it('gives ranges in order that cover every key from the beginning on once, whatever the statistics say', async () => {
    await fc.assert(
      fc.asyncProperty(someKeys, someKeys, fc.option(fc.string({ minLength: 1, maxLength: 2 })), fc.bigInt(0n, 500n), fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 }), async (keys, splits, begin, estimatedRows, sizes) => {
        const from = begin === null ? null : [begin];
        let turn = 0;
        const ranges: KeyRange[] = [];
        for await (const range of planChunks({ side: sideOf(keys, splits), pair: textPair(), from, chunkRows: () => sizes[turn++ % sizes.length] as number, estimatedRows, signal: FOREVER })) ranges.push(range);
        expect(ranges.map((range) => range.from)).toEqual([from, ...ranges.slice(0, -1).map((range) => range.to)]);
        expect(ranges.at(-1)?.to).toBeNull();
        const bounds = ranges.slice(0, -1).map(({ to }) => to?.[0] ?? '');
        expect(bounds).toEqual([...new Set(bounds)].toSorted());
        expect(ranges.flatMap((range) => keys.filter((key) => within([key], range)))).toEqual(keys.filter((key) => begin === null || key >= begin));
      }),
    );
  });
});
