import fc from 'fast-check';
import { expect, it } from 'vitest';
import { keyOrder } from '../../../src/domain/key-order.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import { textPair } from '../verify/memory/samples.ts';

/** A pair whose key columns have these types. */
function keyed(...bases: readonly string[]): Pair {
  const pair = textPair('public.items', bases.map((_base, index) => `k${index}`));
  const columns = pair.columns.map((column, index) => {
    const description = { ...column.old, type: { ...column.old.type, base: bases[index] as string } };
    return { ...column, old: description, new: description };
  });
  return { ...pair, columns, key: bases.map((_base, index) => index) };
}

const int8 = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: -200n, max: 200n }));

it('goes by value where both sides have numbers', () => {
  const order = keyOrder(keyed('int8'));
  fc.assert(
    fc.property(int8, int8, (left, right) => {
      expect(Math.sign(order([String(left)], [String(right)]))).toBe(left < right ? -1 : left > right ? 1 : 0);
    }),
  );
  const decimals = ['-12.5', '-12', '-1.25', '-1.2', '-0.5', '0', '0.05', '0.5', '9', '10', '10.01'];
  const byValue = keyOrder(keyed('numeric'));
  expect(decimals.toSorted((left, right) => byValue([right], [left])).toReversed()).toEqual(decimals);
});

it('goes by characters where a side has texts, and by the first value that differs', () => {
  expect(['b', '10', 'a', '9'].toSorted((left, right) => keyOrder(keyed('text'))([left], [right]))).toEqual(['10', '9', 'a', 'b']);
  const order = keyOrder(keyed('int4', 'uuid'));
  expect(order(['2', 'f'], ['10', 'a'])).toBeLessThan(0);
  expect(order(['2', 'a'], ['2', 'b'])).toBeLessThan(0);
  // The beginning of a key stands before all keys that begin so.
  expect(order(['2'], ['2', 'a'])).toBeLessThan(0);
  expect(order(['2', 'z'], ['3'])).toBeLessThan(0);
});
