import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import createXxhash from 'xxhash-wasm';
import { KeySample } from '../../../src/domain/key-sample.ts';

const xxhash = await createXxhash();
const hasher = (text: string): bigint => xxhash.h64(text);

describe('a sample of keys', () => {
  it('is a matter of the key alone, and each smaller one lies within a larger one', () => {
    const ratio = fc.double({ min: 1e-6, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.string(), ratio, ratio, (id, one, other) => {
        const [less, more] = [Math.min(one, other), Math.max(one, other)];
        expect(new KeySample(one, hasher).has(id)).toBe(new KeySample(one, hasher).has(id));
        if (new KeySample(less, hasher).has(id)) expect(new KeySample(more, hasher).has(id)).toBe(true);
        expect(new KeySample(1, hasher).has(id)).toBe(true);
      }),
    );
  });

  it('has about as many keys as it says, and always the same ones', () => {
    const tenth = new KeySample(0.1, hasher);
    const ids = Array.from({ length: 20_000 }, (_, index) => String(index)).filter((id) => tenth.has(id));
    expect(ids.length).toBeGreaterThan(1_850);
    expect(ids.length).toBeLessThan(2_150);
    expect(ids.slice(0, 3)).toMatchInlineSnapshot(`
      [
        "6",
        "7",
        "29",
      ]
    `);
  });
});
