import { expect, it } from 'vitest';
import { runHistory } from '../../simulate/history.ts';
import { FAULT_KINDS, makePlan, type Plan, type Settings } from '../../simulate/plan.ts';

/** Histories in which something wrong was said once. */

const PLAIN: Settings = {
  tables: 1,
  partitions: 1,
  rows: 1,
  sinkKnown: false,
  sinkRestMs: 10,
  sinkBatches: false,
  settleMs: 1_000,
  skewMs: { old: 0, new: 0 },
  marks: { old: false, new: false },
  timeless: 'none',
  leavesOut: false,
  sweepEveryMs: 900,
  maxPending: 1_000,
};

it.each<[string, Plan]>([
  [
    "what was held before a death is settled in time where the primary's clock is far behind",
    {
      seed: 6782,
      settings: { ...PLAIN, timeless: 'all', skewMs: { old: -47_000, new: 0 } },
      transactions: [{ atMs: 808, changes: [{ table: 0, key: 'k1', values: ['b', 'y'] }] }],
      upsets: [],
      crashes: [{ step: 208, awayMs: 220 }],
      fault: null,
    },
  ],
  [
    'a lost delete that told no commit time is extra, not a gap in the stream, where a change with a value left out waits before it',
    {
      seed: 6866,
      settings: { ...PLAIN, timeless: 'deletes', leavesOut: true, sweepEveryMs: 400 },
      transactions: [
        { atMs: 6, changes: [{ table: 0, key: 'k1', values: ['a', 'x'] }] },
        { atMs: 130, changes: [{ table: 0, key: 'k0', values: ['c', 'x'] }] },
        { atMs: 219, changes: [{ table: 0, key: 'k0', values: null }] },
      ],
      upsets: [],
      crashes: [],
      fault: { kind: 'lost', transaction: 2, victim: { table: 0, key: 'k0', values: null }, afterMs: 0 },
    },
  ],
  ['a key whose changes fill the queue does not wait for one that the queue keeps out, where values are left out', makePlan(14896, FAULT_KINDS)],
])('%s', async (_name, plan) => {
  expect((await runHistory(plan)).problem).toBeNull();
});
