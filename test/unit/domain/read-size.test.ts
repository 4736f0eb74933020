import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ReadSize } from '../../../src/domain/read-size.ts';

it('comes to reads of about two million characters, however wide the rows are, within its bounds', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000_000 }), fc.integer({ min: 1, max: 1_000 }), (width, rowsMax) => {
      const size = new ReadSize(rowsMax);
      for (let read = 0; read < 8; read++) size.brought(size.rows, size.rows * width);
      expect(size.rows).toBe(Math.max(1, Math.min(rowsMax, Math.floor((2 * 1024 * 1024) / width))));
    }),
  );
});

it('begins small, is not moved by a read that found nothing, and shrinks at once where rows are wide', () => {
  const size = new ReadSize(500);
  size.brought(0, 0);
  expect(size.rows).toBe(32);
  size.brought(32, 3_200);
  expect(size.rows).toBe(128);
  size.brought(128, 128 * 1024 * 1024);
  expect(size.rows).toBe(2);
});
