import { describe, expect, it } from 'vitest';
import { createCheckProgress } from '../../../src/cli/check-progress.ts';

describe('progress of a check without a terminal', () => {
  it('is a line now and then, and none for a short check', () => {
    let text = '';
    let nowMs = 0;
    const progress = createCheckProgress({ write: (more) => (text += more) }, 2, () => nowMs);
    progress.update({ table: 'public.a', ratio: 0.2, rows: 1_000n, rowsPerSecond: 500.4, etaMs: 8_000, pausedBy: null });
    expect(text).toBe('');
    nowMs = 60_000;
    progress.update({ table: 'public.a', ratio: 0.5, rows: 2_500n, rowsPerSecond: 249.6, etaMs: 10_000, pausedBy: null });
    progress.update({ table: 'public.a', ratio: 0.6, rows: 3_000n, rowsPerSecond: 249.6, etaMs: 9_000, pausedBy: null });
    nowMs = 121_000;
    progress.update({ table: 'public.b', ratio: 0, rows: 7n, rowsPerSecond: null, etaMs: null, pausedBy: null });
    progress.stop();
    expect(text).toBe('25%  2500 rows  250 rows/s  10.0s left in public.a\n30%  3007 rows  public.b\n');
  });

  it('is a bar with rate and time left on a terminal', () => {
    let text = '';
    const output = { isTTY: true, columns: 200, write: (more: string) => (text += more), on: () => output, off: () => output, cursorTo: () => true, clearLine: () => true, moveCursor: () => true };
    const progress = createCheckProgress(output, 1, () => 0);
    progress.update({ table: 'public.a', ratio: 0.5, rows: 2_500n, rowsPerSecond: 249.6, etaMs: 10_000, pausedBy: null });
    progress.stop();
    expect(text).toContain('50%  2500 rows  250 rows/s  10.0s left in public.a');
  });
});
