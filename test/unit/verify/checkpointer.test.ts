import { describe, expect, it } from 'vitest';
import { Checkpointer, type CheckpointerParts } from '../../../src/verify/checkpointer.ts';

const nothing = { done: () => undefined, undo: () => undefined };

/** A stream that is one record further at each checkpoint, and nothing else to write. */
function parts(source: CheckpointerParts['source'], written: string[]): CheckpointerParts {
  let next = 0;
  return {
    store: { write: ({ partitions }: { partitions: { nextOffset: string }[] }) => Promise.resolve(void written.push(...partitions.map(({ nextOffset }) => nextOffset))) },
    stream: { drainChanges: () => ({ partitions: [{ topic: 't', partition: 0, nextOffset: String(++next), watermarkUs: null, snapshotInProgress: false }], deadLetters: [], ...nothing }) },
    source,
    pending: { drainChanges: () => ({ checks: [], settled: [], ...nothing }) },
    book: { onChange: () => undefined, drainChanges: () => ({ writes: [], ...nothing }) },
    proofs: { drainChanges: () => ({ tables: [], discharged: [], covered: [], ...nothing }) },
    touched: { drainChanges: () => ({ touched: [], ...nothing }) },
    deadLetters: {},
    health: { raise: () => undefined, clear: () => undefined },
    clock: { nowMs: () => 0, nowUs: () => 0n, sleep: () => Promise.resolve() },
  } as unknown as CheckpointerParts;
}

describe('the checkpointer', () => {
  it('waits for no source that takes long to note its offsets, and then tells it the newest at once', async () => {
    const told: string[] = [];
    const written: string[] = [];
    let answer: () => void = () => undefined;
    const source = {
      acknowledge: async (offsets: ReadonlyMap<string, string>) => {
        told.push(...offsets.values());
        await new Promise<void>((resolve) => (answer = resolve));
      },
    };
    const checkpointer = new Checkpointer(parts(source, written));
    for (let round = 0; round < 3; round++) await checkpointer.write();
    expect(written).toEqual(['1', '2', '3']);
    expect(told).toEqual(['1']);
    answer();
    await expect.poll(() => told).toEqual(['1', '3']);
  });
});
