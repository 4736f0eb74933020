import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LagWindow } from '../../../src/domain/lag-window.ts';

const WINDOW_MS = 3_600_000;

function exact(sorted: readonly number[], share: number): number {
  return sorted[Math.ceil(sorted.length * share) - 1] as number;
}

describe('LagWindow', () => {
  it('tells quantiles within 2 %', () => {
    const lags = fc.array(fc.oneof(fc.integer({ min: 0, max: 300_000 }), fc.double({ min: 0, max: 50, noNaN: true })), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(lags, (all) => {
        const window = new LagWindow(5_000);
        all.forEach((lag, index) => window.add(index * 1_000, lag, index % 2 === 0));
        const figures = window.figures(all.length * 1_000, WINDOW_MS);
        const sorted = [...all].sort((left, right) => left - right);
        for (const [figure, share] of [[figures.p50Ms, 0.5], [figures.p95Ms, 0.95], [figures.p99Ms, 0.99]] as const) {
          const truth = exact(sorted, share);
          expect(Math.abs((figure as number) - truth)).toBeLessThanOrEqual(0.02 * truth + 0.1);
        }
        expect(figures.samples).toBe(all.length);
        expect(figures.breaches).toBe(all.filter((lag) => lag > 5_000).length);
        expect(figures.exactRatio).toBe(Math.ceil(all.length / 2) / all.length);
      }),
    );
  });

  it('forgets what is older than the window', () => {
    const window = new LagWindow(100);
    for (let second = 0; second < 600; second++) window.add(second * 1_000, 1_000, true);
    for (let second = 600; second < 720; second++) window.add(second * 1_000, 10, true);
    const figures = window.figures(720_000, 60_000);
    expect(figures.p99Ms).toBeLessThan(11);
    expect(figures.breaches).toBe(0);
    expect(figures.samples).toBeLessThanOrEqual(71);
    expect(window.figures(720_000, WINDOW_MS).breaches).toBe(600);
    expect(window.figures(10_000_000, 60_000)).toMatchObject({ samples: 0, p50Ms: null, exactRatio: null });
  });

  it('counts a negative lag as none', () => {
    const window = new LagWindow(100);
    window.add(0, -5, true);
    expect(window.figures(0, WINDOW_MS)).toMatchObject({ currentMs: 0, p50Ms: 0 });
  });

  it('keeps a day at most', () => {
    const window = new LagWindow(100);
    for (let slot = 0; slot < 30_000; slot++) window.add(slot * 10_000, 10, true);
    expect(window.figures(300_000_000, 300_000_000).samples).toBe(24 * 360);
  });
});
