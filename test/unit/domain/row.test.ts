import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { differingColumns, encodeValues, isComplete, keyId, type ImageValue } from '../../../src/domain/row.ts';

const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom('1', ':', '~', '?', '\u0000', '"') }));
const value: fc.Arbitrary<ImageValue> = fc.oneof(text, fc.constant(null), fc.constant(undefined));

/** Two lists that are alike, and often the same text cut elsewhere. */
const lists = fc.oneof(
  fc.tuple(fc.array(value), fc.array(value)),
  fc.tuple(text, fc.nat(20), fc.nat(20)).map(([all, left, right]) => [
    [all.slice(0, left), all.slice(left)],
    [all.slice(0, right), all.slice(right)],
  ]),
);

describe('encodeValues', () => {
  it('gives no two lists the same text', () => {
    fc.assert(
      fc.property(lists, ([left = [], right = []]) => {
        const same = left.length === right.length && left.every((one, index) => one === right[index]);
        expect(encodeValues(left) === encodeValues(right)).toBe(same);
      }),
      { numRuns: 1_000 },
    );
  });

  it('tells NULL, an empty text and an unknown value apart', () => {
    const encoded = [[null], [''], [undefined], [], ['~'], ['?'], ['0:'], [null, null]].map(encodeValues);
    expect(new Set(encoded).size).toBe(encoded.length);
  });
});

describe('keyId', () => {
  it('gives no two keys of a pair the same text', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }).chain((length) => fc.tuple(...[0, 1].map(() => fc.array(text, { minLength: length, maxLength: length })))),
        ([left = [], right = []]) => {
          expect(keyId(left) === keyId(right)).toBe(left.every((one, index) => one === right[index]));
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

it('names the columns that differ', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.option(text), fc.option(text))), (cells) => {
      const [left, right] = [cells.map(([one]) => one), cells.map(([, other]) => other)];
      expect(differingColumns(left, right)).toEqual(cells.flatMap(([one, other], index) => (one === other ? [] : [index])));
      expect(isComplete(left)).toBe(true);
      expect(isComplete([...left, undefined])).toBe(false);
    }),
  );
});
