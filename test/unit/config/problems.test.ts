import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nearest, pathText, problemLine } from '../../../src/config/problems.ts';
import { editDistance } from '../../../src/domain/edit-distance.ts';

describe('the nearest name', () => {
  const known = ['budget', 'objective', 'window', 'old', 'new'];

  test.each([
    ['budgt', 'budget'],
    ['Budget', 'budget'],
    ['windows', 'window'],
    ['objectiv', 'objective'],
    ['odl', 'old'],
    ['nwe', 'new'],
    ['frobnicate', null],
    ['x', null],
  ])('%s → %s', (name, expected) => expect(nearest(name, known)).toBe(expected));

  test('edit distance: a metric, at most the longer length', () => {
    const name = fc.string({ maxLength: 8 });
    fc.assert(
      fc.property(name, name, name, (a, b, c) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
        expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
      }),
    );
  });
});

test('paths and lines', () => {
  expect(pathText(['tables', 0, 'columns', 'note'])).toBe('tables[0].columns.note');
  expect(problemLine({ where: 'f:1', path: 'a.b', message: 'm' })).toBe('f:1: a.b: m');
  expect(problemLine({ where: null, path: '', message: 'm' })).toBe('m');
});
