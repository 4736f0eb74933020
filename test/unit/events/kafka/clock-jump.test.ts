import { afterEach, describe, expect, it, vi } from 'vitest';
import { untilClockJumps } from '../../../../src/events/kafka/clock-jump.ts';

const HOUR_MS = 3_600_000;

describe('a wall clock that jumps', () => {
  afterEach(() => vi.restoreAllMocks());

  it.each([
    ['back', -HOUR_MS],
    ['forward', HOUR_MS],
  ])('%s ends the session, so that the group is joined anew', async (_direction, jumpMs) => {
    const now = Date.now.bind(Date);
    const jumped = untilClockJumps(new AbortController().signal);
    vi.spyOn(Date, 'now').mockImplementation(() => now() + jumpMs);
    await expect(jumped).rejects.toMatchObject({ code: 'clock_jumped', retry: 'retry' });
  });

  it('is waited for no longer than the session lasts', async () => {
    const ended = new AbortController();
    const jumped = untilClockJumps(ended.signal);
    ended.abort();
    await expect(jumped).resolves.toBeUndefined();
  });
});
