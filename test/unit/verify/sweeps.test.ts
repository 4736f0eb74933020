import { describe, expect, it, vi } from 'vitest';
import { ClockSkew } from '../../../src/domain/clock-skew.ts';
import { LockstepError } from '../../../src/domain/errors.ts';
import { keyId } from '../../../src/domain/row.ts';
import { Sampler } from '../../../src/domain/samples.ts';
import type { SweepTableProgress } from '../../../src/domain/status.ts';
import { DriftBook } from '../../../src/verify/drift-book.ts';
import { equivalentFindings } from '../../../src/verify/equivalent-rows.ts';
import { PendingChecks, type Check, type CheckEnd } from '../../../src/verify/pending-checks.ts';
import { Proofs } from '../../../src/verify/proofs.ts';
import type { StoredSweepTable } from '../../../src/verify/ports.ts';
import { SweepBrake } from '../../../src/verify/sweep-brake.ts';
import { ChunkSweeper } from '../../../src/verify/sweep-chunks.ts';
import { TouchedKeys } from '../../../src/verify/touched-keys.ts';
import { Sweeps } from '../../../src/verify/sweeps.ts';
import { MemoryDatabase } from './memory/memory-database.ts';
import { MemoryState, MemoryStore } from './memory/memory-store.ts';
import { CountingMetrics, hasher, textPair } from './memory/samples.ts';
import { VirtualClock } from './memory/virtual-clock.ts';

const CHUNK_ROWS = 4;
const LIMITS = { lagMs: 30_000, lockWaits: true, activeSessions: 10 };

class Bench {
  readonly clock = new VirtualClock();
  readonly pair = textPair('public.items', ['id', 'value']);
  readonly old = new MemoryDatabase({ side: 'old', clock: this.clock });
  readonly new = new MemoryDatabase({ side: 'new', clock: this.clock });
  readonly pending = new PendingChecks([this.pair]);
  readonly metrics = new CountingMetrics();
  readonly proofs = new Proofs([this.pair.id]);
  readonly book: DriftBook;
  readonly touched = new TouchedKeys([this.pair], () => '');
  readonly state = new MemoryState();
  readonly stop = new AbortController();
  readonly suspected: string[] = [];
  recheckMs = 10;
  lagMs = 0;
  chunkRows = CHUNK_ROWS;
  goesAhead = false;
  written = (): Promise<void> => Promise.resolve();

  constructor(old: Record<string, string>, neu: Record<string, string>, openMax = 1_000) {
    this.book = new DriftBook([this.pair], { sampler: new Sampler('full', hasher, ''), metrics: this.metrics, makeId: () => 'd', openMax });
    for (const row of Object.entries(old)) this.old.put(this.pair, row);
    for (const row of Object.entries(neu)) this.new.put(this.pair, row);
  }

  async sweeps(concurrency = 1): Promise<Sweeps> {
    const store = new MemoryStore(this.state);
    await store.restore();
    return new Sweeps({
      pairs: [this.pair],
      sides: { old: this.old, new: this.new },
      primarySide: 'old',
      chunks: new ChunkSweeper({
        sides: { old: this.old, new: this.new },
        primarySide: 'old',
        brake: new SweepBrake({ sides: { old: this.old, new: this.new }, lagMs: () => this.lagMs, limits: LIMITS, clock: this.clock }),
        pending: this.pending,
        book: this.book,
        proofs: this.proofs,
        metrics: this.metrics,
        skew: { old: new ClockSkew(), new: new ClockSkew() },
        clock: this.clock,
        chunkRows: this.chunkRows,
        concurrency,
        maxRowsPerSecond: 0,
        goesAhead: this.goesAhead,
      }),
      book: this.book,
      proofs: this.proofs,
      pending: this.pending,
      touched: this.touched,
      skew: { old: new ClockSkew(), new: new ClockSkew() },
      metrics: this.metrics,
      store,
      clock: this.clock,
      makeId: () => 's1',
      strategy: 'auto',
      written: () => this.written(),
    });
  }

  /** Settles checks as the recheck would, until the signal aborts. */
  async recheck(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.clock.sleep(this.recheckMs, signal);
      for (const check of this.pending.take(this.pair.id, this.clock.nowMs(), 100)) {
        const [left, right] = [this.old, this.new].map((side) => side.rows.get(check.id)?.row);
        this.suspected.push(check.id);
        const end: CheckEnd =
          left?.join() === right?.join() ? { kind: 'match', present: left !== undefined } : { kind: 'drift', onPrimary: left !== undefined, onReplica: right !== undefined };
        this.pending.settle(check, end);
      }
    }
  }

  async run(concurrency = 1): Promise<ReturnType<Sweeps['progressOf']>> {
    const sweeps = await this.sweeps(concurrency);
    const started = sweeps.start([this.pair.id], this.stop.signal);
    const recheck = this.recheck(this.stop.signal);
    await this.clock.until((started as NonNullable<typeof started>).done);
    this.stop.abort();
    await recheck;
    return sweeps.progressOf(this.pair.id);
  }
}

/** New's digests of these keys are wrong. */
function misdigest({ new: side }: Bench, keys: readonly string[]): void {
  const wrong = new Set(keys.map((key) => keyId([key])));
  const [bucketDigests, rowDigests, keyDigests] = [side.bucketDigests.bind(side), side.rowDigests.bind(side), side.keyDigests.bind(side)];
  const digest = side.digest.bind(side);
  side.digest = async (...asked) => ({ ...(await digest(...asked)), sum: 'wrong' });
  side.bucketDigests = async (...asked) => new Map([...(await bucketDigests(...asked))].map(([bucket, right]) => [bucket, { ...right, sum: 'wrong' }]));
  side.rowDigests = async (...asked) => (await rowDigests(...asked)).map((row) => (wrong.has(keyId(row.key)) ? { ...row, digest: 'wrong' } : row));
  side.keyDigests = async (...asked) => new Map([...(await keyDigests(...asked))].map(([id, right]) => [id, wrong.has(id) ? 'wrong' : right]));
}

function rows(count: number, change: Record<string, string | null> = {}): Record<string, string> {
  const all: Record<string, string> = {};
  for (let index = 0; index < count; index++) all[`k${String(index).padStart(5, '0')}`] = 'v';
  for (const [key, value] of Object.entries(change)) {
    if (value === null) delete all[key];
    else all[key] = value;
  }
  return all;
}

describe('a sweep', () => {
  it.each([
    ['equal sides', rows(10), rows(10), []],
    ['a missing row at a chunk edge', rows(10), rows(10, { k00004: null }), ['k00004']],
    ['an extra row before the first and after the last', rows(10), rows(10, { a: 'x', z: 'x' }), ['a', 'z']],
    ['an extra row just before an edge', rows(10), rows(10, { k000035: 'x' }), ['k000035']],
    ['different rows on both sides of an edge', rows(10), rows(10, { k00003: 'w', k00004: 'w' }), ['k00003', 'k00004']],
    ['nothing on either side', {}, {}, []],
    ['nothing on old', {}, rows(5), Object.keys(rows(5))],
    ['nothing on new', rows(5), {}, Object.keys(rows(5))],
    ['two rows with their values swapped', rows(4, { k00000: 'a', k00001: 'b' }), rows(4, { k00000: 'b', k00001: 'a' }), ['k00000', 'k00001']],
  ])('finds %s and counts exactly', async (_name, old, neu, expected) => {
    const bench = new Bench(old, neu);
    const progress = await bench.run();
    expect(bench.suspected.sort()).toEqual(expected);
    expect(progress).toMatchObject({
      status: 'done',
      drift: expected.length,
      suspects: expected.length,
      rows: { old: String(Object.keys(old).length), new: String(Object.keys(neu).length) },
    });
    expect(bench.proofs.get(bench.pair.id)).toMatchObject({ oldRows: BigInt(Object.keys(old).length), newRows: BigInt(Object.keys(neu).length) });
  });

  it('stores no progress past a suspect before the checkpoint with what became of it', async () => {
    const bench = new Bench(rows(40), rows(40, { k00009: 'w' }));
    for (const side of [bench.old, bench.new]) {
      const digest = side.digest.bind(side);
      side.digest = async (...asked) => {
        await bench.clock.sleep(1_000, asked[3]);
        return digest(...asked);
      };
    }
    const stored = (): StoredSweepTable | undefined => [...bench.state.sweeps.values()].at(-1)?.tables[0];
    const kept = (): string => stored()?.resumeFrom?.[0] ?? '';
    const awaited = (): string[] => stored()?.awaited.flat() ?? [];
    let checkpoint = (): void => undefined;
    let asked = 0;
    bench.written = () => {
      asked++;
      return new Promise((resolve) => (checkpoint = resolve));
    };
    const sweeps = await bench.sweeps();
    const started = sweeps.start([bench.pair.id], bench.stop.signal);
    void bench.recheck(bench.stop.signal);
    await bench.clock.pass(9_000, () => expect(kept() < 'k00009' || awaited().includes('k00009')).toBe(true));
    expect(asked).toBe(1);
    expect(kept() > 'k00009').toBe(true);
    checkpoint();
    await bench.clock.pass(1_500);
    expect(awaited()).toEqual([]);
    expect(kept() > 'k00009').toBe(true);
    bench.written = () => Promise.resolve();
    await bench.clock.until((started as NonNullable<typeof started>).done);
    bench.stop.abort();
  });

  it('takes up after a kill where it was, suspects that waited and all, and reads no chunk twice but those in hand', async () => {
    const [old, neu] = [rows(400), rows(400, { k00009: 'w', k00150: 'w' })];
    const first = new Bench(old, neu);
    const sweeps = await first.sweeps();
    const stop = new AbortController();
    const started = sweeps.start([first.pair.id], stop.signal);
    // Nobody rechecks: all suspects wait.
    await first.clock.pass(5_000);
    stop.abort();
    await first.clock.until((started as NonNullable<typeof started>).done);
    const stored = first.state.sweeps.get('s1');
    expect(stored?.tables[0]?.awaited.flat()).toEqual(['k00009', 'k00150']);
    const second = new Bench(old, neu);
    second.state.sweeps.set('s1', stored as NonNullable<typeof stored>);
    const digested: string[] = [];
    const digest = second.old.digest.bind(second.old);
    second.old.digest = (...asked) => {
      digested.push(asked[1].from?.[0] ?? '');
      return digest(...asked);
    };
    const resumed = await second.sweeps();
    const recheck = second.recheck(second.stop.signal);
    await second.clock.until(resumed.resume(second.stop.signal));
    second.stop.abort();
    await recheck;
    expect(digested.length).toBeLessThanOrEqual(3);
    expect(second.suspected).toEqual(['k00009', 'k00150']);
    expect(resumed.progressOf(second.pair.id)).toMatchObject({ status: 'done', suspects: 2, drift: 2, rows: { old: '400', new: '400' } });
  });

  it('fails, and says why, where no more drift can be booked: it would wait until that which is open is mended', async () => {
    const bench = new Bench(rows(40, { k00030: 'w' }), rows(40), 0);
    const sweeps = await bench.sweeps();
    const started = sweeps.start([bench.pair.id], bench.stop.signal);
    const sweep = await bench.clock.until((started as NonNullable<typeof started>).done);
    expect(sweep.status).toBe('failed');
    expect(sweep.tables[0]?.error).toContain('no more are taken note of');
    expect(bench.proofs.get(bench.pair.id).lastSweepEndedMs).toBeNull();
  });

  it.each([true, false])('compares what comes after a block of differing rows while they wait for their recheck only where it may go ahead (%s)', async (goesAhead) => {
    const many = Object.fromEntries(Array.from({ length: 24_000 }, (_, index) => [`k${String(index).padStart(5, '0')}`, 'x']));
    const bench = new Bench(many, Object.fromEntries(Object.entries(many).slice(6_000)));
    bench.chunkRows = 6_000;
    bench.goesAhead = goesAhead;
    let recheckedBeforeLast = 0;
    const digest = bench.new.digest.bind(bench.new);
    bench.new.digest = (pair, range, ...rest) => {
      if (range.to === null) recheckedBeforeLast = bench.suspected.length;
      return digest(pair, range, ...rest);
    };
    const progress = await bench.run();
    expect(progress).toMatchObject({ status: 'done', suspects: 6_000, drift: 6_000, chunksDone: 4, rows: { old: '24000', new: '18000' } });
    expect(new Set(bench.suspected).size).toBe(6_000);
    expect(bench.suspected.length).toBe(6_000);
    expect(recheckedBeforeLast < 2_000).toBe(goesAhead);
  });

  it('names some of the rows that never came to rest', async () => {
    const bench = new Bench(rows(40, Object.fromEntries(Array.from({ length: 20 }, (_, row) => [`k000${String(row).padStart(2, '0')}`, 'w']))), rows(40));
    const sweeps = await bench.sweeps();
    const { done } = sweeps.start([bench.pair.id], bench.stop.signal) as NonNullable<ReturnType<Sweeps['start']>>;
    await bench.clock.pass(1_000);
    for (const check of bench.pending.take(bench.pair.id, bench.clock.nowMs(), 100)) bench.pending.settle(check, { kind: 'unsettled', onPrimary: true, onReplica: true });
    await bench.clock.until(done);
    const [finding, ...others] = sweeps.findingsOf(bench.pair.id);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ severity: 'warning' });
    expect(finding?.message).toContain('public.items: 20 rows were never at rest and could not be verified: (id=k00000) ');
    expect(finding?.message).toMatch(/\) and 15 more$/u);
    bench.stop.abort();
  });

  it('tells how far it is, how fast, and how long it will take, while it runs', async () => {
    const bench = new Bench(rows(40), rows(40));
    for (const side of [bench.old, bench.new]) {
      const digest = side.digest.bind(side);
      side.digest = async (...asked) => {
        await bench.clock.sleep(1_000, asked[3]);
        return digest(...asked);
      };
    }
    const sweeps = await bench.sweeps();
    const { done } = sweeps.start([bench.pair.id], bench.stop.signal) as NonNullable<ReturnType<Sweeps['start']>>;
    await bench.clock.pass(500);
    expect(sweeps.progressOf(bench.pair.id)).toMatchObject({ status: 'running', progressRatio: 0, rowsPerSecond: null, etaMs: null });
    await bench.clock.pass(5_000);
    const { progressRatio, rowsPerSecond, etaMs } = sweeps.progressOf(bench.pair.id) as NonNullable<ReturnType<Sweeps['progressOf']>>;
    expect(progressRatio).toBe(0.5);
    expect(rowsPerSecond).toBeGreaterThan(3);
    expect(rowsPerSecond).toBeLessThanOrEqual(4);
    expect(etaMs).toBeGreaterThanOrEqual(5_000);
    expect(etaMs).toBeLessThan(6_000);
    await bench.clock.until(done);
    expect(sweeps.progressOf(bench.pair.id)).toMatchObject({ status: 'done', progressRatio: 1, rowsPerSecond: null, etaMs: null });
  });

  it('stands still while there is more urgent work, says why, and keeps its pace', async () => {
    const bench = new Bench(rows(40), rows(40));
    const asked: number[] = [];
    for (const side of [bench.old, bench.new]) {
      const digest = side.digest.bind(side);
      side.digest = async (...question) => {
        asked.push(bench.clock.nowMs());
        await bench.clock.sleep(1_000, question[3]);
        return digest(...question);
      };
    }
    const sweeps = await bench.sweeps();
    const { done } = sweeps.start([bench.pair.id], bench.stop.signal) as NonNullable<ReturnType<Sweeps['start']>>;
    await bench.clock.pass(3_500);
    bench.lagMs = 31_000;
    await bench.clock.pass(3_000);
    expect(sweeps.progressOf(bench.pair.id)).toMatchObject({ pausedBy: 'lag', rowsPerSecond: 0, etaMs: null });
    bench.lagMs = 0;
    bench.new.pressureNow = () => ({ lockWaits: 1, activeSessions: 0, standbyLagMs: 0 });
    const before = asked.length;
    await bench.clock.pass(60_000);
    expect(sweeps.progressOf(bench.pair.id)).toMatchObject({ pausedBy: 'lock_waits', status: 'running' });
    expect(asked).toHaveLength(before);
    bench.new.pressureNow = () => ({ lockWaits: 0, activeSessions: 10, standbyLagMs: 0 });
    await bench.clock.pass(2_500);
    const progress = sweeps.progressOf(bench.pair.id) as NonNullable<ReturnType<Sweeps['progressOf']>>;
    expect(progress.pausedBy).toBeNull();
    expect(progress.rowsPerSecond).toBeGreaterThan(2.5);
    expect(progress.etaMs).toBeLessThan(10_000);
    await bench.clock.until(done);
    expect(sweeps.progressOf(bench.pair.id)).toMatchObject({ status: 'done', pausedBy: null, drift: 0 });
  });

  it('is cancelled at once while it stands still, and survives a database that does not say how it is doing', async () => {
    const bench = new Bench(rows(40), rows(40));
    bench.lagMs = 31_000;
    bench.old.pressureNow = () => {
      throw new LockstepError('query_failed', 'not here', { retry: 'final' });
    };
    const sweeps = await bench.sweeps();
    const { sweep, done } = sweeps.start([bench.pair.id], bench.stop.signal) as NonNullable<ReturnType<Sweeps['start']>>;
    await bench.clock.pass(1_300);
    expect(sweeps.progressOf(bench.pair.id)).toMatchObject({ pausedBy: 'lag', chunksDone: 0 });
    const atMs = bench.clock.nowMs();
    sweeps.cancel(sweep.id);
    await bench.clock.until(done);
    expect(bench.clock.nowMs()).toBe(atMs);
    expect(sweeps.progressOf(bench.pair.id)).toMatchObject({ status: 'cancelled', pausedBy: null });
  });

  it('tells rows that were in flight from those whose digests are wrong', async () => {
    const wrong = ['k00007', 'k00009', 'k00011', 'k00031', 'k00038'];
    const bench = new Bench(rows(40, { k00003: 'w', k00020: 'w', k00030: null }), rows(40, { k00020: 'x' }));
    misdigest(bench, wrong);
    // The row of k00003 arrives before its recheck.
    const take = bench.pending.take.bind(bench.pending);
    bench.pending.take = (...asked) => {
      bench.new.put(bench.pair, ['k00003', 'w']);
      return take(...asked);
    };
    const progress = await bench.run();
    expect(progress).toMatchObject({ status: 'done', suspects: 8, inFlight: 1, equivalent: 5, unverifiable: 0, drift: 2, rows: { old: '39', new: '40' } });
    expect(bench.metrics.suspects).toEqual({ in_flight: 1, equivalent: 5, unverifiable: 0, drift: 2 });
    const told = progress as SweepTableProgress;
    expect(equivalentFindings(bench.pair, told)).toMatchObject([{ severity: 'warning' }]);
    expect(equivalentFindings(bench.pair, { ...told, equivalent: 3 })).toEqual([]);
    const json = { ...bench.pair, columns: bench.pair.columns.map((column) => ({ ...column, valueClass: 'json' as const })) };
    expect(equivalentFindings(json, told)).toMatchObject([{ severity: 'info', message: expect.stringContaining('"id", "value" can have') }]);
  });

  it('does not call a row equivalent that changes while it is looked at, nor fail where it cannot be', async () => {
    const moving = new Bench(rows(8), rows(8));
    misdigest(moving, Object.keys(rows(8)));
    const keyDigests = moving.new.keyDigests.bind(moving.new);
    let asked = 0;
    moving.new.keyDigests = async (...question) => new Map([...(await keyDigests(...question))].map(([id]) => [id, `moved ${++asked}`]));
    expect(await moving.run()).toMatchObject({ status: 'done', suspects: 8, inFlight: 8, equivalent: 0 });
    const slow = new Bench(rows(8), rows(8, { k00001: 'w' }));
    misdigest(slow, Object.keys(rows(8)));
    slow.new.keyDigests = () => Promise.reject(new LockstepError('statement_timeout', 'too slow', { retry: 'retry' }));
    expect(await slow.run()).toMatchObject({ status: 'done', inFlight: 7, equivalent: 0, drift: 1 });
  });

  it('splits ranges that are too large to compare row by row', async () => {
    const bench = new Bench({}, rows(9_000));
    bench.old.put(bench.pair, ['k08999', 'w']);
    const progress = await bench.run();
    expect(bench.suspected).toHaveLength(9_000);
    expect(progress?.rows).toEqual({ old: '1', new: '9000' });
  });

  it('parts a chunk that takes a database too long to digest', async () => {
    const bench = new Bench(rows(3_000), rows(3_000, { k01234: 'w' }));
    bench.old.splits = ['k02500'];
    const digest = bench.new.digest.bind(bench.new);
    let refused = 0;
    bench.new.digest = async (...asked) => {
      const answer = await digest(...asked);
      if (answer.rows <= 800n) return answer;
      refused++;
      throw new LockstepError('statement_timeout', 'too slow', { retry: 'retry' });
    };
    bench.chunkRows = 6_000;
    const progress = await bench.run();
    expect(progress).toMatchObject({ status: 'done', drift: 1, rows: { old: '3000', new: '3000' } });
    expect(refused).toBeGreaterThan(0);
  });

  it('fails where even the smallest part takes too long', async () => {
    const bench = new Bench(rows(30), rows(30));
    bench.new.trouble = (question): void => {
      if (question === 'digest') throw new LockstepError('statement_timeout', 'too slow', { retry: 'retry' });
    };
    expect(await bench.run()).toMatchObject({ status: 'failed', error: 'too slow' });
  });

  it.each([[[]], [['k00010']], [['k00003', 'k00010', 'k00010x', 'k00035', 'zz']], [['a', 'b', 'c']]])('follows statistics, however old: %j', async (splits) => {
    const bench = new Bench(rows(40, { k00009: 'w' }), rows(41, { k00010: null }));
    bench.old.splits = splits;
    expect(await bench.run(2)).toMatchObject({ status: 'done', suspects: 3, drift: 3, rows: { old: '40', new: '40' } });
    expect(bench.suspected.sort()).toEqual(['k00009', 'k00010', 'k00040']);
  });

  it('counts exactly when questions fail half-way', async () => {
    const bench = new Bench(rows(30, { k00002: 'w', k00011: null }), rows(30, { k00020: 'w' }));
    let asked = 0;
    bench.old.trouble = bench.new.trouble = (question): void => {
      if (question !== 'estimateRows' && ++asked % 3 === 0) throw new LockstepError('gone', 'the server went away', { retry: 'retry' });
    };
    const progress = await bench.run(2);
    expect(progress).toMatchObject({ status: 'done', suspects: 3, drift: 3, rows: { old: '29', new: '30' } });
  });

  it('fails with the reason when the trouble does not end, and leaves no chunk running', async () => {
    const bench = new Bench(rows(30), rows(30));
    bench.new.trouble = (): void => {
      throw new LockstepError('bad_value', 'a value cannot be read', { retry: 'final' });
    };
    const progress = await bench.run(2);
    expect(progress).toMatchObject({ status: 'failed', error: 'a value cannot be read' });
    expect(bench.proofs.get(bench.pair.id).provenSinceUs).toBeNull();
  });

  it.each([1, 2, 3])('goes on after a stop, loses no suspect and counts exactly (%i at once)', async (concurrency) => {
    let midway = 0;
    for (let stopMs = 0; stopMs < 40_000; stopMs += 1_700) {
      const old = rows(40, { k00003: 'w', k00017: 'w', k00039: null });
      const neu = rows(40, { k00004: null, k00030: null });
      const first = new Bench(old, neu);
      let steps = 0;
      first.recheckMs = 900;
      const slow = (database: MemoryDatabase): void => {
        const digest = database.digest.bind(database);
        database.digest = async (...asked) => {
          await first.clock.sleep(500 * (1 + (steps++ % 4)), asked[3]);
          return digest(...asked);
        };
      };
      slow(first.old);
      slow(first.new);
      const sweeps = await first.sweeps(concurrency);
      const stop = new AbortController();
      const started = sweeps.start([first.pair.id], stop.signal);
      const recheck = first.recheck(stop.signal);
      await first.clock.pass(stopMs);
      stop.abort();
      await first.clock.until(Promise.all([started?.done, recheck]));
      // Nothing of the first life's checks is left: it died before a checkpoint.
      const second = new Bench(old, neu);
      for (const [id, sweep] of first.state.sweeps) {
        second.state.sweeps.set(id, sweep);
        if (sweep.status === 'running' && sweep.tables[0]?.resumeFrom !== null) midway++;
      }
      const resumed = await second.sweeps(concurrency);
      const again = second.recheck(second.stop.signal);
      await second.clock.until(resumed.resume(second.stop.signal));
      second.stop.abort();
      await again;
      if (stopMs === 0 || first.state.sweeps.get('s1')?.status === 'running') {
        expect(resumed.progressOf(second.pair.id)).toMatchObject({ status: 'done', suspects: 5, drift: 5, rows: { old: '39', new: '38' } });
      }
    }
    expect(midway).toBeGreaterThan(0);
  });
});

describe('a row that differs with a change of it under way', () => {
  const position = { topic: 't', partition: 0, offset: '1', lsn: null, txId: null };

  /** A sweep that finds one row without a change that was made before it. */
  async function sweeping(before: (bench: Bench) => void): Promise<{ bench: Bench; sweeps: Sweeps; done: Promise<unknown>; check: Check }> {
    const bench = new Bench(rows(10, { k00003: 'w' }), rows(10));
    before(bench);
    const check = bench.pending.addChange(bench.pair, ['k00003'], { committedAtUs: 1n, lsn: null, hash: 5n, unknownColumns: [], position }, 0, 0);
    const sweeps = await bench.sweeps();
    const { done } = sweeps.start([bench.pair.id], bench.stop.signal) as NonNullable<ReturnType<Sweeps['start']>>;
    return { bench, sweeps, done, check };
  }

  function proven(bench: Bench): void {
    bench.proofs.sweepEnded(bench.pair.id, { startedAtUs: 1n, endedAtMs: 1, clean: true, asked: false, oldRows: 10n, newRows: 10n });
  }

  it('is left to the stream, and the sweep is clean once it has its verdict', async () => {
    const { bench, sweeps, done, check } = await sweeping(proven);
    await bench.clock.until(done);
    expect(sweeps.progressOf(bench.pair.id)).toMatchObject({ status: 'done', suspects: 1, drift: 0, rows: { old: '10', new: '10' } });
    const proof = bench.proofs.get(bench.pair.id);
    expect(check.suspected).toBe(true);
    expect(proof.lastSweepEndedMs).toBeGreaterThan(1);
    expect(proof.lastCleanSweepMs).toBe(1);
    bench.proofs.driftGone(bench.pair.id);
    expect(proof.lastCleanSweepMs).toBe(1);
    bench.pending.settle(check, { kind: 'match', present: true });
    expect(proof.lastCleanSweepMs).toBe(proof.lastSweepEndedMs);
  });

  it.each([
    ['before the first proof', () => undefined],
    ['while a change is missed', (bench: Bench) => (proven(bench), bench.proofs.oweSweep(bench.pair.id, 2n))],
    ['while a record could not be decoded', (bench: Bench) => (proven(bench), bench.proofs.deadLetter(bench.pair.id, 2n, position))],
  ])('is waited for %s: it may lack one that the stream does not know of', async (_when, before) => {
    const { bench, sweeps, done, check } = await sweeping(before);
    await bench.clock.pass(5_000);
    expect(sweeps.progressOf(bench.pair.id)).toMatchObject({ status: 'settling' });
    bench.pending.settle(check, { kind: 'match', present: true });
    await bench.clock.until(done);
    expect(sweeps.progressOf(bench.pair.id)).toMatchObject({ status: 'done', suspects: 1 });
  });

  it('is under way until its end is stored: whoever sees that it is over can begin the next', async () => {
    const bench = new Bench(rows(10), rows(10));
    const sweeps = await bench.sweeps();
    const shown: (string | undefined)[] = [];
    const watched = vi.spyOn(MemoryStore.prototype, 'saveSweep').mockImplementation((sweep) => {
      if (sweep.endedAtMs !== null) shown.push(sweep.status, sweeps.current()?.status);
      return Promise.resolve();
    });
    try {
      const started = sweeps.start([bench.pair.id], bench.stop.signal);
      expect(await bench.clock.until((started as NonNullable<typeof started>).done)).toMatchObject({ status: 'done' });
    } finally {
      watched.mockRestore();
    }
    expect(shown).toEqual(['done', 'running']);
    expect(sweeps.current()).toBeNull();
    const next = sweeps.start([bench.pair.id], bench.stop.signal);
    expect(next).not.toBeNull();
    await bench.clock.until((next as NonNullable<typeof next>).done);
  });
});

describe('a table with changes under way', () => {
  const position = { topic: 't', partition: 0, offset: '1', lsn: null, txId: null };

  /** A bench of 20 rows in 5 chunks of which these keys differ, with a change of each of `hot` under way; and what the sweep asks. */
  function live(differing: readonly string[], hot: readonly string[]): { bench: Bench; asked: Record<string, number>; change: (key: string) => void } {
    const bench = new Bench(rows(20, Object.fromEntries(differing.map((key) => [key, 'w']))), rows(20));
    const change = (key: string): void => void bench.pending.addChange(bench.pair, [key], { committedAtUs: 1n, lsn: null, hash: 5n, unknownColumns: [], position }, bench.clock.nowMs(), 1_000_000_000);
    for (const key of hot) change(key);
    bench.proofs.sweepEnded(bench.pair.id, { startedAtUs: 1n, endedAtMs: 1, clean: true, asked: false, oldRows: 20n, newRows: 20n });
    const asked: Record<string, number> = {};
    bench.old.trouble = (question) => void (asked[question] = (asked[question] ?? 0) + 1);
    return { bench, asked, change };
  }

  it('has its hot rows told apart, and no chunk read again for them', async () => {
    const { bench, asked } = live(['k00001', 'k00009'], ['k00001', 'k00009', 'k00010']);
    expect(await bench.run()).toMatchObject({ status: 'done', suspects: 2, drift: 0, chunksDone: 5, chunksDiffering: 2, rows: { old: '20', new: '20' } });
    expect(asked['digestApart']).toBe(5);
    expect(asked['rowDigests']).toBeUndefined();
    expect([...bench.pending.checksOf(bench.pair.id)].filter(({ suspected }) => suspected).map(({ id }) => id)).toEqual(['k00001', 'k00009']);
  });

  it('has what differs beside its hot rows found', async () => {
    const { bench } = live(['k00001', 'k00002', 'k00009'], ['k00001', 'k00010']);
    expect(await bench.run()).toMatchObject({ status: 'done', suspects: 3, drift: 2, chunksDiffering: 2, rows: { old: '20', new: '20' } });
    expect(bench.suspected.sort()).toEqual(['k00002', 'k00009']);
  });

  it('has a row explained by a change that comes after the look, while other chunks are compared', async () => {
    const { bench, asked, change } = live(['k00001', 'k00019'], ['k00010']);
    let looks = 0;
    const question = bench.old.trouble;
    bench.old.trouble = (what) => {
      question(what);
      if (what === 'digestApart' && ++looks === 5) for (const key of ['k00001', 'k00019', 'k00018']) change(key);
    };
    expect(await bench.run()).toMatchObject({ status: 'done', suspects: 2, drift: 0, chunksDone: 5, rows: { old: '20', new: '20' } });
    expect(asked).toMatchObject({ digestApart: 5, keyDigests: 2 });
    expect(asked['rowDigests']).toBeUndefined();
  });

  it('has a chunk parted that takes a database too long to digest', async () => {
    const { bench } = live(['k00001', 'k00002'], ['k00001']);
    bench.chunkRows = 20;
    bench.old.digestApart = () => Promise.reject(new LockstepError('statement_timeout', 'too slow', { retry: 'retry' }));
    expect(await bench.run()).toMatchObject({ status: 'done', suspects: 2, drift: 1, rows: { old: '20', new: '20' } });
  });
});

describe('an incremental sweep', () => {
  /** A bench after a clean full sweep, and a way to sweep on. */
  async function swept(old: Record<string, string>): Promise<{ bench: Bench; sweep: (kind: 'full' | 'incremental') => Promise<ReturnType<Sweeps['progressOf']>> }> {
    const bench = new Bench(old, old);
    const sweeps = await bench.sweeps();
    const sweep = async (kind: 'full' | 'incremental'): ReturnType<typeof bench.run> => {
      const stop = new AbortController();
      const started = sweeps.start([bench.pair.id], stop.signal, false, kind);
      const recheck = bench.recheck(stop.signal);
      await bench.clock.until((started as NonNullable<typeof started>).done);
      stop.abort();
      await recheck;
      return sweeps.progressOf(bench.pair.id);
    };
    expect(await sweep('full')).toMatchObject({ status: 'done', kind: 'full' });
    return { bench, sweep };
  }

  it('finds what differs of touched rows, and a full one what differs of the others', async () => {
    const { bench, sweep } = await swept(rows(40));
    for (const key of ['k00003', 'k00020', 'k00031']) bench.touched.touch(bench.pair, [key]);
    bench.new.put(bench.pair, ['k00003', 'w']);
    bench.new.rows.delete('k00020');
    bench.new.put(bench.pair, ['k00011', 'w']);
    const { provenSinceUs, lastCleanSweepMs } = { ...bench.proofs.get(bench.pair.id) };
    const digests: string[] = [];
    bench.old.trouble = (question): void => void digests.push(question);
    await bench.clock.pass(1_000);
    expect(await sweep('incremental')).toMatchObject({ status: 'done', kind: 'incremental', drift: 2, suspects: 2, progressRatio: 1 });
    expect(bench.suspected).toEqual(['k00003', 'k00020']);
    expect(digests).toContain('keyDigests');
    expect(digests).not.toContain('digest');
    // It moves nothing that stands on full sweeps, row counts among them.
    expect(bench.proofs.get(bench.pair.id)).toMatchObject({ provenSinceUs, lastCleanSweepMs, lastSweepEndedMs: lastCleanSweepMs, oldRows: 40n, newRows: 40n });
    expect(bench.proofs.get(bench.pair.id).lastIncrementalEndedMs).toBeGreaterThan(lastCleanSweepMs as number);
    // What it compared is not compared again.
    bench.suspected.length = 0;
    expect(await sweep('incremental')).toMatchObject({ kind: 'incremental', suspects: 0 });
    expect(await sweep('full')).toMatchObject({ kind: 'full', drift: 3 });
    expect(bench.suspected.sort()).toEqual(['k00003', 'k00011', 'k00020']);
  });

  it('compares keys whose checks are pending', async () => {
    const { bench, sweep } = await swept(rows(10));
    bench.new.put(bench.pair, ['k00004', 'w']);
    bench.pending.suspect(bench.pair, ['k00004'], 'stream', bench.clock.nowMs() + 60_000, null);
    expect(await sweep('incremental')).toMatchObject({ kind: 'incremental', suspects: 1, drift: 1 });
  });

  it.each([
    ['a record was lost', (bench: Bench): void => bench.touched.lose(bench.pair.id, 'records of the stream are missing'), /records of the stream are missing/],
    ['the table was rewritten', (bench: Bench): void => void (bench.new.shapeNow = 'other'), /altered or rewritten/],
    ['changes were missed', (bench: Bench): void => bench.proofs.oweSweep(bench.pair.id, bench.clock.nowUs()), /changes were missed/],
  ])('is a full one, and says why, where %s', async (_name, happens, reason) => {
    const { bench, sweep } = await swept(rows(10));
    bench.new.put(bench.pair, ['k00004', 'w']);
    await bench.clock.pass(10);
    happens(bench);
    const progress = await sweep('incremental');
    expect(progress).toMatchObject({ kind: 'full', drift: 1, rows: { old: '10', new: '10' } });
    expect(progress?.kindReason).toMatch(reason);
  });

  it('keeps what was touched when it fails', async () => {
    const { bench, sweep } = await swept(rows(10));
    bench.touched.touch(bench.pair, ['k00004']);
    bench.new.put(bench.pair, ['k00004', 'w']);
    bench.new.trouble = (question): void => {
      if (question === 'keyDigests') throw new LockstepError('bad_value', 'a value cannot be read', { retry: 'final' });
    };
    expect(await sweep('incremental')).toMatchObject({ status: 'failed', error: 'a value cannot be read' });
    bench.new.trouble = () => undefined;
    expect(await sweep('incremental')).toMatchObject({ status: 'done', kind: 'incremental', drift: 1 });
  });
});
