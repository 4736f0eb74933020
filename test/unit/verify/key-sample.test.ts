import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeySample } from '../../../src/verify/key-sample.ts';

describe('a sample of keys', () => {
  it('is all of few', () => {
    const sample = new KeySample(4, 100);
    for (const key of ['a', 'b', 'c', 'd']) sample.offer([key]);
    expect(sample.all()).toEqual([['a'], ['b'], ['c'], ['d']]);
  });

  it('is evenly spread over many, and at least half as large as it may be', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 50 }), fc.integer({ min: 1, max: 2_000 }), (max, offered) => {
        const sample = new KeySample(max, Number.MAX_SAFE_INTEGER);
        for (let index = 0; index < offered; index++) sample.offer([String(index)]);
        const kept = sample.all().map(([key]) => Number(key));
        const stride = (kept[1] ?? 1) - (kept[0] ?? 0);
        expect(kept).toEqual(kept.map((_, index) => index * stride));
        expect(kept.length).toBeLessThanOrEqual(max);
        expect(kept.length).toBeGreaterThanOrEqual(Math.min(offered, Math.floor(max / 2)));
        expect((kept.at(-1) ?? 0) + stride).toBeGreaterThanOrEqual(offered);
      }),
    );
  });

  it('stays within its characters, whatever comes', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.string({ maxLength: 30 }), { minLength: 1, maxLength: 3 })), (keys) => {
        const sample = new KeySample(5, 40);
        for (const key of keys) {
          sample.offer(key);
          expect(sample.all().flat().join('').length).toBeLessThanOrEqual(40);
        }
      }),
    );
  });
});
