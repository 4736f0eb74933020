import { describe, expect, it } from 'vitest';
import type { RawRecord, SourceBatch, Undecodable } from '../../../src/domain/change.ts';
import { DeadLetterQueue, KEPT_BYTES_MAX, UNSAVED_BYTES_MAX, UNSAVED_LETTERS_MAX } from '../../../src/verify/dead-letter-queue.ts';
import { textPair } from './memory/samples.ts';
import { World } from './memory/world.ts';

const KEPT_MAX = 1024 * 1024;

function undecodable(offset: number, value: Buffer, headers: RawRecord['headers'] = []): Undecodable {
  const place = { topic: 't', partition: 0, offset: String(offset) };
  return {
    type: 'undecodable',
    pair: textPair(),
    reason: 'not_json',
    message: 'x',
    position: { ...place, lsn: null, txId: null },
    rawKey: null,
    rawValue: value.subarray(0, KEPT_MAX),
    record: { ...place, key: null, value, headers, timestampMs: 7 },
  };
}

describe('the queue of dead letters', () => {
  it('says whether a record is kept whole, its headers among it', () => {
    const queue = new DeadLetterQueue();
    const header = Buffer.from('h');
    queue.add(undecodable(1, Buffer.from('bad'), [['a', header], ['b', null], ['a', header]]), 3n, 4);
    queue.add(undecodable(2, Buffer.alloc(KEPT_MAX + 1)), 3n, 4);
    queue.add(undecodable(3, Buffer.from('bad'), [['long', Buffer.alloc(100_000)]]), 3n, 4);
    const { record: _record, ...unknown } = undecodable(4, Buffer.from('cut?'));
    queue.add(unknown, 3n, 4);
    const [whole, cut, headers, unsaid] = queue.all();
    expect(whole).toMatchObject({ rawWhole: true, rawHeaders: [['a', header], ['b', null], ['a', header]], timestampMs: 7, gapUs: 3n, atMs: 4 });
    expect(cut).toMatchObject({ rawWhole: false });
    expect(cut?.rawValue?.length).toBe(KEPT_MAX);
    expect(headers).toMatchObject({ rawWhole: false, rawValue: null, rawHeaders: [] });
    expect(unsaid).toMatchObject({ rawWhole: false, rawValue: Buffer.from('cut?') });
  });

  it('keeps bytes up to a limit in all, then places alone, and bytes again when some are dropped', () => {
    const queue = new DeadLetterQueue();
    const value = Buffer.alloc(KEPT_MAX);
    let kept = 0;
    for (let offset = 0; offset < 200; offset++) {
      queue.add(undecodable(offset, value), 1n, 1);
      if (queue.isFull) kept += queue.drain().deadLetters.reduce((sum, letter) => sum + (letter.rawValue?.length ?? 0), 0);
    }
    kept += queue.drain().deadLetters.reduce((sum, letter) => sum + (letter.rawValue?.length ?? 0), 0);
    expect(kept).toBe(KEPT_BYTES_MAX);
    queue.saved(KEPT_BYTES_MAX - KEPT_MAX);
    queue.add(undecodable(200, value), 1n, 1);
    queue.add(undecodable(201, value), 1n, 1);
    expect(queue.all().map(({ rawValue, rawWhole }) => [rawValue?.length ?? 0, rawWhole])).toEqual([[KEPT_MAX, true], [0, false]]);
  });

  it('is full by count and by bytes until a checkpoint has taken them, and again when that failed', () => {
    const queue = new DeadLetterQueue();
    for (let offset = 0; offset < UNSAVED_LETTERS_MAX; offset++) queue.add(undecodable(offset, Buffer.alloc(0)), 1n, 1);
    expect(queue.isFull).toBe(true);
    const { deadLetters, undo } = queue.drain();
    expect(queue.isFull).toBe(false);
    queue.add(undecodable(UNSAVED_LETTERS_MAX, Buffer.alloc(0)), 1n, 1);
    undo();
    expect(queue.all().map(({ position }) => Number(position.offset))).toEqual(Array.from({ length: UNSAVED_LETTERS_MAX + 1 }, (_, offset) => offset));
    expect(deadLetters).toHaveLength(UNSAVED_LETTERS_MAX);
    const heavy = new DeadLetterQueue();
    for (let offset = 0; !heavy.isFull; offset++) heavy.add(undecodable(offset, Buffer.alloc(KEPT_MAX)), 1n, 1);
    expect(heavy.all()).toHaveLength(UNSAVED_BYTES_MAX / KEPT_MAX);
  });
});

describe('a flood of dead letters', () => {
  it('holds up its own batches until a checkpoint has them, and no others', async () => {
    const world = new World({ seed: 1 });
    try {
      const { stream } = await world.start();
      const partition = { topic: 'shop.public.items', partition: 0 };
      const batch = (from: number, count: number): SourceBatch => ({
        partition,
        records: Array.from({ length: count }, (_, index) => ({ ...undecodable(from + index, Buffer.from('x')), pair: world.pair })),
        nextOffset: String(from + count),
        endOffset: null,
        completeThroughLsn: null,
      });
      const accepted: string[] = [];
      await stream?.onBatch(batch(0, UNSAVED_LETTERS_MAX));
      const held = stream?.onBatch(batch(UNSAVED_LETTERS_MAX, 1)).then(() => accepted.push('held'));
      const free = stream?.onBatch({ ...batch(0, 0), partition: { ...partition, partition: 1 } }).then(() => accepted.push('free'));
      await free;
      expect(accepted).toEqual(['free']);
      expect(world.state.deadLetters.size).toBe(0);
      await world.clock.pass(2_000);
      await held;
      expect(accepted).toEqual(['free', 'held']);
      await world.clock.pass(2_000);
      expect(world.state.deadLetters.size).toBe(UNSAVED_LETTERS_MAX + 1);
    } finally {
      world.end();
    }
  });
});
