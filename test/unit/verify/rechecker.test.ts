import { setMaxListeners } from 'node:events';
import { expect, it } from 'vitest';
import { ClockSkew } from '../../../src/domain/clock-skew.ts';
import { Sampler } from '../../../src/domain/samples.ts';
import { Watermarks } from '../../../src/domain/watermarks.ts';
import { DriftBook } from '../../../src/verify/drift-book.ts';
import { FirstLook } from '../../../src/verify/first-look.ts';
import { Health } from '../../../src/verify/health.ts';
import { PendingChecks, type CheckEnd } from '../../../src/verify/pending-checks.ts';
import { Proofs } from '../../../src/verify/proofs.ts';
import { ReplicaEvents } from '../../../src/verify/replica-events.ts';
import { Rechecker } from '../../../src/verify/rechecker.ts';
import { VersionHistory } from '../../../src/verify/version-history.ts';
import { MemoryDatabase } from './memory/memory-database.ts';
import { CountingMetrics, hasher, textPair } from './memory/samples.ts';
import { VirtualClock } from './memory/virtual-clock.ts';

const SETTLE_MS = 2_000;

/** A recheck of a table without a stream; `old` and `new` are its sides. */
function bench(options: { oldDelayMs?: () => number; openMax?: number; batchKeys?: number } = {}) {
  const clock = new VirtualClock();
  const pair = textPair('public.items', ['id', 'value']);
  const old = new MemoryDatabase({ side: 'old', clock, delayMs: options.oldDelayMs ?? (() => 0) });
  const neu = new MemoryDatabase({ side: 'new', clock });
  const metrics = new CountingMetrics();
  const pending = new PendingChecks([pair]);
  let drifts = 0;
  const book = new DriftBook([pair], { sampler: new Sampler('full', hasher, ''), metrics, makeId: () => `d${drifts++}`, ...(options.openMax === undefined ? {} : { openMax: options.openMax }) });
  const history = new VersionHistory(10);
  const skew = { old: new ClockSkew(), new: new ClockSkew() };
  const health = new Health({ nowMs: () => clock.nowMs(), primary: 'old', report: () => undefined });
  const rechecker = new Rechecker({
    pending,
    replicaEvents: new ReplicaEvents({ primarySide: 'old', partitions: null, pending, history, book, skew, health, metrics, clock, hasher, pendingMax: 100 }),
    firstLook: new FirstLook(),
    book,
    proofs: new Proofs([pair.id]),
    history,
    watermarks: new Watermarks({ ordered: false }),
    partitions: null,
    consumes: false,
    primary: old,
    replica: neu,
    skew,
    lag: new Map(),
    health,
    metrics,
    clock,
    hasher,
    settleMs: SETTLE_MS,
    lagBudgetMs: 1_000,
    batchKeys: options.batchKeys ?? 10,
    concurrency: 1,
  });
  const stop = new AbortController();
  setMaxListeners(100, stop.signal);
  return { clock, pair, old, neu, pending, book, stop, running: rechecker.run(stop.signal) };
}

it('counts towards settle only the time until the replica was asked: a slow answer of the primary proves nothing', async () => {
  let readsOfOld = 0;
  // The last read of the second confirm step takes longer than `settle`.
  const { clock, pair, old, neu, pending, book, stop, running } = bench({ oldDelayMs: () => (readsOfOld === 4 ? SETTLE_MS : 0) });
  old.trouble = () => readsOfOld++;
  old.put(pair, ['k', 'after']);
  neu.put(pair, ['k', 'before']);
  const ended = new Promise<CheckEnd>((resolve) => {
    pending.suspect(pair, ['k'], 'sweep', clock.nowMs(), resolve);
  });
  // The pipeline brings the change well before `settle` has passed, but after the replica was read twice.
  const applied = clock.sleep(SETTLE_MS / 2).then(() => neu.put(pair, ['k', 'after']));
  expect(await clock.until(ended)).toEqual({ kind: 'match', present: true });
  expect(readsOfOld).toBeGreaterThan(4);
  expect(book.size()).toBe(0);
  stop.abort();
  await clock.until(Promise.all([running, applied]));
});

it('keeps what differs a pending check while no more drift can be booked, and books it when there is room', async () => {
  const { clock, pair, old, neu, pending, book, stop, running } = bench({ openMax: 2 });
  for (const key of ['a', 'b', 'c']) {
    old.put(pair, [key, 'right']);
    neu.put(pair, [key, 'wrong']);
    pending.suspect(pair, [key], 'sweep', clock.nowMs(), null);
  }
  await clock.pass(60_000);
  expect([book.openCount(pair.id), pending.tableSize(pair.id)]).toEqual([2, 1]);
  const [booked] = [...book.all(pair.id)];
  neu.put(pair, [booked?.key[0] ?? '', 'right']);
  await clock.pass(60_000);
  expect([book.openCount(pair.id), pending.tableSize(pair.id)]).toEqual([2, 0]);
  stop.abort();
  await clock.until(running);
});

it('reads few wide rows at once: what differs in a table of large values does not fill the memory', async () => {
  const { clock, pair, old, neu, pending, book, stop, running } = bench({ batchKeys: 500 });
  for (let row = 0; row < 300; row++) {
    old.put(pair, [`k${row}`, 'x'.repeat(100_000)]);
    neu.put(pair, [`k${row}`, 'y'.repeat(100_000)]);
    pending.suspect(pair, [`k${row}`], 'sweep', clock.nowMs(), null);
  }
  const asked: number[] = [];
  const readRows = neu.readRows.bind(neu);
  neu.readRows = (...parameters) => {
    asked.push(parameters[1].length);
    return readRows(...parameters);
  };
  await clock.pass(60_000);
  expect(book.openCount(pair.id)).toBe(300);
  expect(asked[0]).toBe(32);
  expect(Math.max(...asked.slice(1))).toBeLessThanOrEqual(20);
  stop.abort();
  await clock.until(running);
});
