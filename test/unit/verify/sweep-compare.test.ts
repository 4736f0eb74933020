import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Pair } from '../../../src/domain/pair.ts';
import type { RowKey } from '../../../src/domain/row.ts';
import { compareChunk } from '../../../src/verify/chunk-findings.ts';
import { boundsWithin, partsOf } from '../../../src/verify/chunk-parts.ts';
import type { KeyRange } from '../../../src/verify/ports.ts';
import { MemoryDatabase } from './memory/memory-database.ts';
import { textPair } from './memory/samples.ts';
import { VirtualClock } from './memory/virtual-clock.ts';

const FOREVER = new AbortController().signal;
const ROWS_MAX = 1_500;

const keyOf = (index: number): string => `k${String(index).padStart(5, '0')}`;

describe('the comparison of a chunk', () => {
  it('finds what differs and counts the rest, however the rows are parted, near as far and at the edges', async () => {
    const some = fc.array(fc.integer({ min: 0, max: ROWS_MAX - 1 }), { maxLength: 20 });
    const block = fc.tuple(fc.integer({ min: 0, max: ROWS_MAX }), fc.integer({ min: 0, max: ROWS_MAX }));
    const ends = fc.constantFrom<KeyRange>({ from: null, to: null }, { from: [keyOf(0)], to: [keyOf(ROWS_MAX)] }, { from: [keyOf(100)], to: null });
    await fc.assert(
      fc.asyncProperty(some, some, some, block, ends, fc.boolean(), fc.boolean(), fc.boolean(), async (missing, extra, changed, [first, length], range, likelyDiffers, byIndex, onNew) => {
        const pair = textPair('public.items', ['id', 'value']);
        const clock = new VirtualClock();
        const sides = { old: new MemoryDatabase({ side: 'old', clock }), new: new MemoryDatabase({ side: 'new', clock }) };
        const inBlock = (index: number): boolean => index >= first && index < first + length;
        const differing = new Set<string>();
        const counts = { old: 0, new: 0, equal: 0 };
        for (let index = range.from?.[0] === keyOf(100) ? 100 : 0; index < ROWS_MAX; index++) {
          const key = keyOf(index);
          const onOld = !extra.includes(index) && !(inBlock(index) && !onNew);
          const isOnNew = !missing.includes(index) && !(inBlock(index) && onNew);
          const isChanged = changed.includes(index);
          if (onOld) sides.old.put(pair, [key, 'v']);
          if (isOnNew) sides.new.put(pair, [key, isChanged ? 'w' : 'v']);
          counts.old += onOld ? 1 : 0;
          counts.new += isOnNew ? 1 : 0;
          if (onOld && isOnNew && !isChanged) counts.equal++;
          else if (onOld || isOnNew) differing.add(key);
        }
        for (const side of Object.values(sides)) side.hasIndex = byIndex;
        const found: string[] = [];
        const told = { old: 0, new: 0, equal: 0 };
        const compare = async (): Promise<void> => {
          for await (const part of compareChunk({ sides, pair, path: 'fast', signal: FOREVER }, range, ROWS_MAX, likelyDiffers, () => undefined)) {
            found.push(...part.suspects.map(([key]) => key ?? ''));
            told.equal += Number(part.equalRows);
            told.old += Number(part.rows[0]);
            told.new += Number(part.rows[1]);
          }
        };
        await clock.until(compare());
        expect(found.toSorted()).toEqual([...differing].toSorted());
        expect(told).toEqual(counts);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the bounds of parts', () => {
  const wholeNumbers = (): Pair => {
    const pair = textPair();
    return { ...pair, columns: pair.columns.map((column) => ({ ...column, valueClass: 'integer' as const })) };
  };

  it('part whole numbers evenly without reading them, at the ends of int64 too', async () => {
    const int64 = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n);
    await fc.assert(
      fc.asyncProperty(int64, int64, fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 2, max: 1_000 }), async (left, right, rows, rowsPerPart) => {
        const [from, to] = left < right ? [left, right] : [right, left];
        const range: KeyRange = { from: [String(from)], to: [String(to)] };
        let read = false;
        const side = {
          keysEvery: (): Promise<readonly RowKey[]> => {
            read = true;
            return Promise.resolve([]);
          },
        };
        const bounds = await boundsWithin(side, wholeNumbers(), range, rows, rowsPerPart, FOREVER);
        if (to - from > 4n * BigInt(rows) && rows > rowsPerPart) expect(read).toBe(true);
        const ends = [from, ...bounds.map(([bound]) => BigInt(bound ?? '')), to];
        for (let place = 1; place < ends.length; place++) expect((ends[place] as bigint) > (ends[place - 1] as bigint) || from === to).toBe(true);
        expect(partsOf(range, bounds)).toHaveLength(bounds.length + 1);
      }),
    );
  });

  it('leave out a key that many rows share', async () => {
    const side = { keysEvery: () => Promise.resolve([['a'], ['a'], ['b'], ['b'], ['c']]) };
    const range: KeyRange = { from: ['a'], to: null };
    const bounds = await boundsWithin(side, textPair(), range, 6, 1, FOREVER);
    expect(bounds).toEqual([['b'], ['c']]);
    expect(partsOf(range, bounds)).toEqual([
      { from: ['a'], to: ['b'] },
      { from: ['b'], to: ['c'] },
      { from: ['c'], to: null },
    ]);
  });
});
