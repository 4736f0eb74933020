import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planStart } from '../../../../src/events/kafka/start.ts';

describe('where to start in a partition', () => {
  it.each([
    ['nothing was read: at the first record', null, 5n, 9n, 5n, false],
    ['due is there', 7n, 5n, 9n, 7n, false],
    ['all is read', 9n, 5n, 9n, 9n, false],
    ['due is the first', 5n, 5n, 9n, 5n, false],
    ['due is gone', 4n, 5n, 9n, 5n, true],
    ['due is beyond the end: the topic is another', 10n, 5n, 9n, 5n, true],
    ['an empty partition that never had records', null, 0n, 0n, 0n, false],
    ['an emptied partition', 3n, 9n, 9n, 9n, true],
  ])('%s', (_what, due, low, high, offset, gap) => {
    expect(planStart(due, { low, high })).toEqual({ offset, gap });
  });

  it('never passes over a record without saying so', () => {
    const offset = fc.bigInt({ min: 0n, max: 50n });
    fc.assert(
      fc.property(fc.option(offset), offset, offset, (due, one, other) => {
        const bounds = one < other ? { low: one, high: other } : { low: other, high: one };
        const start = planStart(due, bounds);
        expect(start.offset >= bounds.low && start.offset <= bounds.high).toBe(true);
        if (due !== null && start.offset !== due) expect(start.gap).toBe(true);
      }),
    );
  });
});
