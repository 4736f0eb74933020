import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkSize } from '../../../src/domain/chunk-size.ts';

describe('the size of a chunk', () => {
  it('is what it is said to be, whatever the databases do', () => {
    const size = new ChunkSize(5_000);
    size.took(5_000, 60_000);
    size.timedOut(5_000);
    expect(size.rows).toBe(5_000);
  });

  it('does not grow where hashing is fast: a chunk that differs is read again', () => {
    const size = new ChunkSize('auto');
    size.took(50_000, 20);
    expect(size.rows).toBe(50_000);
  });

  it('grows further where keys lie scattered over the table, and as the databases have it', () => {
    const size = new ChunkSize('auto');
    size.keysAreScattered();
    expect(size.rows).toBe(50_000);
    for (let chunk = 0; chunk < 5; chunk++) size.took(size.rows, 20);
    expect(size.rows).toBe(100_000);
    size.took(100_000, 1_000);
    expect(size.rows).toBe(50_000);
  });

  it('comes to what a database does in half a second, and back', () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: 200, noNaN: true }), (rowsPerMs) => {
        const size = new ChunkSize('auto');
        const run = (speed: number): void => {
          for (let chunk = 0; chunk < 10; chunk++) size.took(size.rows, size.rows / speed);
        };
        run(rowsPerMs);
        expect(size.rows).toBeCloseTo(Math.min(50_000, Math.max(500, rowsPerMs * 500)), -1);
        run(1_000);
        expect(size.rows).toBe(50_000);
      }),
    );
  });

  it('is not moved by a chunk of few rows, nor far by one that was slow by chance', () => {
    const size = new ChunkSize('auto');
    size.took(10, 5_000);
    expect(size.rows).toBe(50_000);
    size.took(50_000, 50_000);
    expect(size.rows).toBe(25_000);
    size.timedOut(25_000);
    expect(size.rows).toBe(3_125);
  });
});
