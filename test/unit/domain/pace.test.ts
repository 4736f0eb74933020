import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Pace } from '../../../src/domain/pace.ts';

describe('the pace of work', () => {
  it('is not known before two counts, and nothing is left to tell once all is done', () => {
    const pace = new Pace();
    expect(pace.perSecond(0)).toBeNull();
    pace.note(1_000, 0n);
    expect([pace.perSecond(5_000), pace.etaMs(5_000, 10n)]).toEqual([null, null]);
    pace.note(2_000, 10n);
    expect([pace.perSecond(2_000), pace.etaMs(2_000, 10n), pace.etaMs(2_000, 30n)]).toEqual([10, null, 2_000]);
  });

  it('is that of the last seconds, however the work began', () => {
    const pace = new Pace();
    for (let second = 0; second <= 100; second++) pace.note(second * 1_000, BigInt(second <= 50 ? second : 50 + (second - 50) * 100));
    expect(pace.perSecond(100_000)).toBe(100);
    expect(pace.perSecond(110_000)).toBe(50);
    expect(pace.etaMs(100_000, 6_050n)).toBe(10_000);
  });

  it('spans counts that are further apart than its window', () => {
    const pace = new Pace();
    for (let minute = 0; minute < 5; minute++) pace.note(minute * 60_000, BigInt(minute * 600));
    expect(pace.perSecond(240_000)).toBe(10);
  });

  it('lies between the slowest and the fastest step of steady work, whatever the times', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ ms: fc.integer({ min: 0, max: 5_000 }), rate: fc.integer({ min: 1, max: 50 }) }), { minLength: 2, maxLength: 300 }), (steps) => {
        const pace = new Pace();
        let atMs = 0;
        let done = 0n;
        pace.note(atMs, done);
        for (const { ms, rate } of steps) {
          atMs += ms;
          done += BigInt(ms * rate);
          pace.note(atMs, done);
        }
        fc.pre(atMs > 0);
        const found = pace.perSecond(atMs);
        expect(found).toBeLessThanOrEqual(1_000 * 50 + 1e-6);
        if (steps.some(({ ms }) => ms > 0)) expect(found).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
