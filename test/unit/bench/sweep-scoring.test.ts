import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Run } from '../../../bench/sweep/rounds.ts';
import { isExact, scoreFindings } from '../../../bench/sweep/score.ts';
import { SHAPES, type ShapeName } from '../../../bench/sweep/shapes.ts';
import { median } from '../../../bench/sweep/statistics.ts';
import { updatedRows } from '../../../bench/sweep/incremental.ts';
import { judge, judgeIncremental } from '../../../bench/sweep/thresholds.ts';
import { readReport } from '../../../bench/sweep/tools/lockstep.ts';
import { readComparatorLines } from '../../../bench/sweep/tools/pg-comparator.ts';
import { readJsonLines } from '../../../bench/sweep/tools/python.ts';
import { type Difference, plant, type VariantName, VARIANTS, VARIANTS_OF } from '../../../bench/sweep/variants.ts';

const missing = (...key: string[]): Difference => ({ key, kind: 'missing', columns: null });
const changed = (column: string, ...key: string[]): Difference => ({ key, kind: 'changed', columns: [column] });

describe('scoring', () => {
  const planted = [missing('1'), changed('note', '2'), changed('note', '3')];

  it('tells right rows from missed, false and wrongly described ones', () => {
    expect(scoreFindings(planted, planted)).toEqual({ planted: 3, right: 3, missed: 0, false: 0, wrong: 0 });
    expect(scoreFindings(planted, planted.slice(1))).toMatchObject({ right: 2, missed: 1 });
    expect(scoreFindings(planted, [...planted, missing('4')])).toMatchObject({ right: 3, false: 1 });
    expect(scoreFindings(planted, [...planted, missing('1')])).toMatchObject({ right: 3, false: 1 });
    expect(scoreFindings(planted, [changed('note', '1'), changed('amount', '2'), { ...changed('note', '3'), columns: null }])).toMatchObject({ right: 1, wrong: 2, missed: 0 });
  });

  it('is exact only for the planted rows and nothing else', () => {
    expect(isExact(scoreFindings(planted, planted))).toBe(true);
    expect(isExact(scoreFindings([], []))).toBe(true);
    for (const found of [planted.slice(1), [...planted, missing('4')], [changed('note', '1'), ...planted.slice(1)]]) {
      expect(isExact(scoreFindings(planted, found))).toBe(false);
    }
  });

  it('keeps keys of several columns apart', () => {
    expect(scoreFindings([missing('1', '12')], [missing('11', '2')])).toMatchObject({ missed: 1, false: 1 });
  });
});

describe('planting', () => {
  it('plants what each variant promises at five million rows', () => {
    const kinds = (variant: VariantName): Record<string, number> => {
      const counts: Record<string, number> = {};
      for (const { kind, columns } of plant(SHAPES.mixed, variant, 5_000_000).differences) {
        const name = columns === null ? kind : `${kind} ${columns.join()}`;
        counts[name] = (counts[name] ?? 0) + 1;
      }
      return counts;
    };
    expect(kinds('identical')).toEqual({});
    expect(kinds('d10')).toEqual({ missing: 3, extra: 3, 'changed amount': 1, 'changed created_at': 1, 'changed note': 1, 'changed active': 1 });
    expect(kinds('d5k')).toEqual({ missing: 1000, extra: 1000, 'changed amount': 1000, 'changed created_at': 1000, 'changed note': 1000 });
    expect(kinds('block')).toEqual({ missing: 50_000 });
  });

  it('differs in distinct rows: old has those that are missing or changed, and none that are extra', () => {
    fc.assert(
      fc.property(fc.constantFrom<ShapeName>('mixed', 'uuid', 'composite'), fc.constantFrom(...VARIANTS), fc.integer({ min: 1_000, max: 20_000 }), (name, variant, rows) => {
        fc.pre(VARIANTS_OF[name].includes(variant));
        const shape = SHAPES[name];
        const { differences } = plant(shape, variant, rows);
        const own = new Set(Array.from({ length: rows }, (_, index) => shape.keyOf(index + 1).join()));
        expect(own.size).toBe(rows);
        expect(new Set(differences.map(({ key }) => key.join())).size).toBe(differences.length);
        for (const { key, kind } of differences) expect(own.has(key.join())).toBe(kind !== 'extra');
      }),
      { numRuns: 30 },
    );
  });
});

describe('what tools print', () => {
  it('reads lockstep', () => {
    const text = JSON.stringify({
      tables: [{ strategy: 'portable' }],
      drift: [
        { key: { tenant: 1, serial: '9007199254740993' }, kind: 'different', columns: ['note'] },
        { key: { tenant: 2, serial: 3 }, kind: 'missing', columns: [] },
      ],
    });
    expect(readReport(text, ['tenant', 'serial'])).toEqual({
      strategy: 'portable',
      found: [changed('note', '1', '9007199254740993'), missing('2', '3')],
    });
  });

  it('reads JSON lines, wrapped ones too, between warnings', () => {
    const text = ['12:00:00 WARNING  [PostgreSQL] no handling', '["-", ["1", "2", "a b"]]', '["-", ["3",', '"4", "a"]]', '["+", ["3", "4", "b"]]', '["+", ["5", "6",', '"]]"]]', ''].join('\n');
    expect(readJsonLines(text, 2)).toEqual([missing('1', '2'), { ...missing('3', '4'), kind: 'changed' }, { ...missing('5', '6'), kind: 'extra' }]);
    expect(() => readJsonLines('["-", ["1", ', 1)).toThrow('cut off');
  });

  it('reads pg_comparator', () => {
    expect(readComparatorLines('INSERT 1 2\nDELETE 3 4\nUPDATE 5 6\n\n')).toEqual([
      missing('1', '2'),
      { ...missing('3', '4'), kind: 'extra' },
      { ...missing('5', '6'), kind: 'changed' },
    ]);
  });
});

describe('judging', () => {
  const run = (tool: string, wallS: number, variant: VariantName = 'identical', strategy: string | null = null): Run => ({
    tool,
    strategy,
    subject: { shape: SHAPES.mixed, variant, rows: 1, tables: { old: 'a', new: 'a' }, differences: [] },
    usage: { wallS, clientCpuS: 0, serverCpuS: 0, clientPeakMiB: 140, exitCode: 0, othersShare: 0 },
    score: null,
  });

  it('compares medians, and says what was not measured', () => {
    const judged = judge([run('lockstep auto', 8), run('lockstep auto', 1), run('lockstep auto', 4), run('limit', 4), run('reladiff', 10), run('lockstep client', 7, 'identical', 'client'), run('lockstep auto', 9, 'd10')]);
    const of = (what: string): unknown => judged.find((one) => one.what === what);
    expect(of('identical: Lockstep / limit')).toMatchObject({ measured: '1.00', holds: true });
    expect(of('identical: reladiff / Lockstep')).toMatchObject({ measured: '2.50', holds: false });
    expect(of('identical: data-diff / Lockstep')).toMatchObject({ measured: null, holds: null });
    expect(of('d10: Lockstep / identical')).toMatchObject({ measured: '2.25', holds: false });
    expect(of('identical, the best path for any two engines: reladiff / Lockstep')).toMatchObject({ measured: '1.43', holds: false });
    expect(of('peak memory of `lockstep check`, any case and path')).toMatchObject({ measured: '147 MB', holds: true });
  });

  it('takes the middle', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1])).toBe(2.5);
    expect(() => median([])).toThrow(RangeError);
  });
});

describe('incremental sweeps', () => {
  it('update as many rows as they say, none twice, within 1 % of the key space or over all of it', () => {
    for (const rows of [1_000, 200_000, 5_000_000]) {
      for (const [spread, width] of [['neighbouring', rows / 100], ['scattered', rows]] as const) {
        const updated = updatedRows(spread, rows);
        expect(new Set(updated).size).toBe(Math.min(5_000, width));
        expect(Math.min(...updated)).toBeGreaterThan(0);
        expect(Math.max(...updated)).toBeLessThanOrEqual(rows);
        expect(Math.max(...updated) - Math.min(...updated)).toBeLessThan(width);
      }
    }
    expect(Math.max(...updatedRows('scattered', 5_000_000))).toBeGreaterThan(4_990_000);
  });

  it('are held to a share of the full one’s time', () => {
    const updates = { neighbouring: 5_000, scattered: 5_000 };
    const judged = judgeIncremental({ full: [900, 1_000, 2_000], incremental: { neighbouring: [49, 49, 400], scattered: [250, 250, 1] }, updates });
    expect(judged.map(({ measured, wanted, holds }) => [measured, wanted, holds])).toEqual([
      ['4.9 %', '< 5 %', true],
      ['25.0 %', '< 25 %', false],
    ]);
    expect(judgeIncremental({ full: [], incremental: { neighbouring: [], scattered: [] }, updates }).map(({ holds }) => holds)).toEqual([null, null]);
  });
});
