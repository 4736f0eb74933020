import { setMaxListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClockSkew } from '../../../src/domain/clock-skew.ts';
import type { Drift } from '../../../src/domain/drift.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import type { Row } from '../../../src/domain/row.ts';
import { Sampler } from '../../../src/domain/samples.ts';
import type { Sweep } from '../../../src/domain/status.ts';
import { Watermarks } from '../../../src/domain/watermarks.ts';
import { DriftBook } from '../../../src/verify/drift-book.ts';
import { FirstLook } from '../../../src/verify/first-look.ts';
import { Health } from '../../../src/verify/health.ts';
import { PendingChecks } from '../../../src/verify/pending-checks.ts';
import { Proofs } from '../../../src/verify/proofs.ts';
import { ReplicaEvents } from '../../../src/verify/replica-events.ts';
import { Rechecker } from '../../../src/verify/rechecker.ts';
import { SweepBrake } from '../../../src/verify/sweep-brake.ts';
import { ChunkSweeper } from '../../../src/verify/sweep-chunks.ts';
import { Sweeps } from '../../../src/verify/sweeps.ts';
import { TouchedKeys } from '../../../src/verify/touched-keys.ts';
import { VersionHistory } from '../../../src/verify/version-history.ts';
import { MemoryDatabase, bagHash } from './memory/memory-database.ts';
import { MemoryState, MemoryStore } from './memory/memory-store.ts';
import { Random } from './memory/random.ts';
import { CountingMetrics, hasher, textPair } from './memory/samples.ts';
import { VirtualClock } from './memory/virtual-clock.ts';

const SETTLE_MS = 2_000;
const PAIR: Pair = { ...textPair('public.log', ['who', 'what']), key: [] };

/** Two bags and one sweep of them, in virtual time. */
class Bench {
  readonly clock = new VirtualClock();
  readonly old = new MemoryDatabase({ side: 'old', clock: this.clock, delayMs: () => 3 });
  readonly new = new MemoryDatabase({ side: 'new', clock: this.clock, delayMs: () => 3 });
  readonly metrics = new CountingMetrics();
  readonly proofs = new Proofs([PAIR.id]);
  private ids = 0;
  readonly book = new DriftBook([PAIR], { sampler: new Sampler('full', hasher, ''), metrics: this.metrics, makeId: () => String(this.ids++) });
  readonly pending = new PendingChecks([PAIR]);

  /** @param meanwhile begun with the sweep, until the signal aborts */
  async sweep(meanwhile: (signal: AbortSignal) => Promise<void> = () => Promise.resolve()): Promise<Sweep['tables'][number]> {
    const { clock, metrics, proofs, book, pending } = this;
    const sides = { old: this.old, new: this.new };
    const skew = { old: new ClockSkew(), new: new ClockSkew() };
    const history = new VersionHistory(10);
    const health = new Health({ nowMs: () => clock.nowMs(), primary: 'old', report: () => undefined });
    const rechecker = new Rechecker({
      pending, book, proofs, metrics, clock, hasher, skew, history, health,
      replicaEvents: new ReplicaEvents({ primarySide: 'old', partitions: null, pending, history, book, skew, health, metrics, clock, hasher, pendingMax: 100 }),
      firstLook: new FirstLook(),
      watermarks: new Watermarks({ ordered: false }),
      partitions: null,
      consumes: false,
      primary: this.old,
      replica: this.new,
      lag: new Map(),
      settleMs: SETTLE_MS,
      lagBudgetMs: 1_000,
      batchKeys: 10,
      concurrency: 1,
    });
    const store = new MemoryStore(new MemoryState());
    await store.restore();
    const brake = new SweepBrake({ sides, lagMs: () => 0, limits: { lagMs: 30_000, lockWaits: true, activeSessions: 10 }, clock });
    const sweeps = new Sweeps({
      pairs: [PAIR],
      sides, book, proofs, pending, skew, metrics, store, clock,
      primarySide: 'old',
      chunks: new ChunkSweeper({ sides, primarySide: 'old', brake, pending, book, proofs, metrics, skew, clock, chunkRows: 'auto', concurrency: 2, maxRowsPerSecond: 0 }),
      touched: new TouchedKeys([PAIR], () => ''),
      makeId: () => 's',
      strategy: 'auto',
    });
    const stop = new AbortController();
    setMaxListeners(100, stop.signal);
    const running = Promise.all([rechecker.run(stop.signal), meanwhile(stop.signal)]);
    const started = sweeps.start([PAIR.id], stop.signal);
    const sweep = await clock.until((started as NonNullable<typeof started>).done);
    stop.abort();
    await clock.until(running);
    return sweep.tables[0] as Sweep['tables'][number];
  }

  drift(): Drift[] {
    return [...this.book.all(PAIR.id)].map(({ drift }) => drift);
  }

  outline(): string[] {
    return this.drift().map(({ kind, key, old, new: neu }) => `${kind} ${String(key['row_hash'])} ${String(old?.['row_copies'] ?? 0)}/${String(neu?.['row_copies'] ?? 0)}`).toSorted();
  }
}

function times(count: number, row: Row): Row[] {
  return Array.from({ length: count }, () => row);
}

describe('a sweep of a bag of rows', () => {
  it('tells each distinct row whose copies differ, and counts all copies', async () => {
    const bench = new Bench();
    const [a, b, c, d, e]: Row[] = [['a', null], ['a', ''], ['b', 'x'], ['c', 'x'], [null, null]];
    bench.old.bag = [...times(3, a as Row), ...times(2, b as Row), ...times(1, c as Row), ...times(2, e as Row)];
    bench.new.bag = [...times(1, a as Row), ...times(2, b as Row), ...times(4, d as Row), ...times(5, e as Row)];
    const part = await bench.sweep();
    expect(part).toMatchObject({ status: 'done', strategy: 'portable', rows: { old: '8', new: '12' }, suspects: 4, drift: 4 });
    expect(bench.outline()).toEqual([`extra ${bagHash(d as Row)} 0/4`, `extra ${bagHash(e as Row)} 2/5`, `missing ${bagHash(a as Row)} 3/1`, `missing ${bagHash(c as Row)} 1/0`].toSorted());
    expect(bench.drift().find(({ key }) => key['row_hash'] === bagHash(a as Row))).toMatchObject({ kind: 'missing', columns: ['who', 'what'], old: { who: 'a', what: null, row_copies: 3 }, new: { who: 'a', what: null, row_copies: 1 }, cause: null });
    expect(bench.proofs.get(PAIR.id).lastCleanSweepMs).toBeNull();
  });

  it('reports what differs and rests, and nothing that the replica has yet to be given', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const random = new Random(seed);
        const bench = new Bench();
        const quiet = Array.from({ length: 20 }, (_, index): Row => ['quiet', String(index)]);
        const planted = { missing: ['planted', 'missing'], extra: ['planted', 'extra'] } as const;
        const history: { atMs: number; rows: readonly Row[] }[] = [{ atMs: 0, rows: quiet }];
        const lagMs = 50 + random.between(0, SETTLE_MS / 2);
        const show = (): void => {
          bench.old.bag = [...(history.at(-1)?.rows ?? []), ...times(2, planted.missing)];
          const seen = history.findLast(({ atMs }) => atMs + lagMs <= bench.clock.nowMs()) ?? history[0];
          bench.new.bag = [...(seen?.rows ?? []), planted.missing, planted.extra];
        };
        show();
        // New rows, and one that is taken away and put back, for longer than one of them takes to settle.
        const flickering: Row = ['comes', 'and goes'];
        const part = await bench.sweep(async (signal) => {
          const untilMs = bench.clock.nowMs() + 3 * SETTLE_MS;
          for (let n = 0; !signal.aborted; n++) {
            if (bench.clock.nowMs() < untilMs) {
              const rows = (history.at(-1)?.rows ?? []).filter((row) => row !== flickering);
              if (random.chance(0.7)) rows.push(flickering);
              if (random.chance(0.3)) rows.push(['new', String(n)]);
              else if (random.chance(0.1)) rows.splice(random.between(0, rows.length - 1), 1);
              history.push({ atMs: bench.clock.nowMs(), rows });
            }
            show();
            await bench.clock.sleep(1 + random.between(0, 40), signal);
          }
        });
        expect(part.status).toBe('done');
        expect(bench.outline()).toEqual([`extra ${bagHash(planted.extra)} 0/1`, `missing ${bagHash(planted.missing)} 2/1`]);
      }),
      { numRuns: 100 },
    );
  });

  it('proves nothing where copies never rest, and ends', async () => {
    const bench = new Bench();
    const row: Row = ['never', 'rests'];
    bench.new.bag = [row];
    const part = await bench.sweep(async (signal) => {
      for (let n = 1; !signal.aborted; n++) {
        bench.old.bag = times(2 + (n % 5), row);
        await bench.clock.sleep(7, signal);
      }
    });
    expect(part).toMatchObject({ status: 'failed', drift: 0, unverifiable: 1, error: expect.stringContaining('1 distinct row(s) never came to rest') as unknown });
    expect(bench.drift()).toEqual([]);
    expect(bench.proofs.get(PAIR.id)).toMatchObject({ provenSinceUs: null, lastSweepEndedMs: null });
  });
});
