import { describe, expect, it } from 'vitest';
import type { StreamPartition } from '../../../src/domain/change.ts';
import type { SweepKind } from '../../../src/domain/status.ts';
import { Watermarks } from '../../../src/domain/watermarks.ts';
import { Proofs } from '../../../src/verify/proofs.ts';
import { SweepSchedule } from '../../../src/verify/sweep-schedule.ts';
import type { Sweeps } from '../../../src/verify/sweeps.ts';
import { textPair } from './memory/samples.ts';
import { VirtualClock } from './memory/virtual-clock.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const PARTITION: StreamPartition = { topic: 'postgres:lockstep', partition: 0 };

/** A schedule over sweeps that end at once, clean unless it is said otherwise. */
class Bench {
  readonly clock = new VirtualClock();
  readonly pairs = [textPair('public.items', ['id', 'value']), textPair('public.names', ['id', 'value'])];
  readonly proofs = new Proofs(this.pairs.map(({ id }) => id));
  readonly begun: { kind: SweepKind; tables: readonly string[]; atMs: number }[] = [];
  readonly needsFull = new Map<string, string>();
  fails = false;
  private readonly watermarks = new Watermarks({ ordered: true });

  constructor() {
    this.watermarks.consumedChange(PARTITION, this.clock.nowUs());
  }

  async run(everyMs: number | null, incrementalEveryMs: number | null, forMs: number): Promise<void> {
    const startedMs = this.clock.nowMs();
    const sweeps: Pick<Sweeps, 'start' | 'resume' | 'needsFull'> = {
      resume: () => Promise.resolve(null),
      needsFull: ({ id }) => this.needsFull.get(id) ?? null,
      start: (tables, _signal, _asked, wanted) => {
        const kind = wanted ?? 'full';
        const nowMs = this.clock.nowMs();
        this.begun.push({ kind, tables, atMs: nowMs - startedMs });
        for (const table of this.fails ? [] : tables) {
          if (kind === 'incremental') this.proofs.incrementalEnded(table, nowMs, true);
          else this.proofs.sweepEnded(table, { startedAtUs: this.clock.nowUs(), endedAtMs: nowMs, clean: true, asked: false, oldRows: 1n, newRows: 1n });
        }
        const sweep = { id: 's', kind, status: 'done' as const, startedAtMs: nowMs, endedAtMs: nowMs, tables: [] };
        return { sweep, done: Promise.resolve(sweep) };
      },
    };
    const { pairs, proofs, watermarks, clock } = this;
    const schedule = new SweepSchedule({ pairs, primarySide: 'old', sweeps: sweeps as Sweeps, proofs, watermarks, partitions: () => [PARTITION], clock, everyMs, incrementalEveryMs });
    const stop = new AbortController();
    const running = schedule.run(stop.signal);
    await this.clock.pass(forMs);
    stop.abort();
    await running;
  }

  of(kind: SweepKind): number[] {
    return this.begun.filter((sweep) => sweep.kind === kind).map(({ atMs }) => atMs);
  }
}

describe('the schedule of sweeps', () => {
  it('begins incremental ones between the full ones, each counted from the end of the sweep before it', async () => {
    const bench = new Bench();
    await bench.run(HOUR_MS, 10 * MINUTE_MS, 2 * HOUR_MS - MINUTE_MS);
    expect(bench.of('full')).toEqual([0, HOUR_MS]);
    expect(bench.of('incremental')).toEqual([10, 20, 30, 40, 50, 70, 80, 90, 100, 110].map((minutes) => minutes * MINUTE_MS));
    expect(bench.begun.every(({ tables }) => tables.length === 2)).toBe(true);
  });

  it('begins none that nobody configured', async () => {
    const bench = new Bench();
    await bench.run(HOUR_MS, null, HOUR_MS - MINUTE_MS);
    expect(bench.begun.map(({ kind }) => kind)).toEqual(['full']);
  });

  it('leaves a table that needs a full sweep to the full ones, and never lets an incremental one put off a full one', async () => {
    const bench = new Bench();
    bench.needsFull.set('public.names', 'a gap');
    await bench.run(HOUR_MS, MINUTE_MS, HOUR_MS + MINUTE_MS / 2);
    expect(bench.of('full')).toEqual([0, HOUR_MS]);
    const tables = bench.begun.filter(({ kind }) => kind === 'incremental').map((sweep) => sweep.tables);
    expect(tables).toHaveLength(59);
    expect(new Set(tables.flat())).toEqual(new Set(['public.items']));
  });

  it('begins a full one at once that is owed, whatever else is due', async () => {
    const bench = new Bench();
    await bench.run(HOUR_MS, MINUTE_MS, MINUTE_MS / 2);
    bench.begun.length = 0;
    bench.proofs.oweSweep('public.names', bench.clock.nowUs());
    await bench.run(HOUR_MS, MINUTE_MS / 4, MINUTE_MS / 8);
    expect(bench.begun[0]).toMatchObject({ kind: 'full', tables: ['public.names'], atMs: 0 });
    expect(bench.begun[1]).toMatchObject({ kind: 'incremental', tables: ['public.items'] });
  });

  it('does not try an incremental one that failed again before its time', async () => {
    const bench = new Bench();
    await bench.run(HOUR_MS, 10 * MINUTE_MS, MINUTE_MS);
    bench.begun.length = 0;
    bench.fails = true;
    await bench.run(HOUR_MS, 10 * MINUTE_MS, 30 * MINUTE_MS);
    expect(bench.of('incremental')).toEqual([9, 19, 29].map((minutes) => minutes * MINUTE_MS));
  });
});
