import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PAUSE_REASONS, pauseReason, type PauseLimits, type Pressure } from '../../../src/domain/sweep-pause.ts';

const QUIET: Pressure = { lockWaits: 0, activeSessions: 0, standbyLagMs: 0 };
const LIMITS: PauseLimits = { lagMs: 30_000, lockWaits: true, activeSessions: 10 };
const pressure = fc.record({ lockWaits: fc.nat(3), activeSessions: fc.nat(20), standbyLagMs: fc.nat(60_000) });
const limits = fc.record({ lagMs: fc.option(fc.integer({ min: 1, max: 60_000 })), lockWaits: fc.boolean(), activeSessions: fc.option(fc.integer({ min: 1, max: 20 })) });

describe('whether a sweep should stand still', () => {
  it.each([
    ['nothing is the matter', 30_000, [QUIET, { ...QUIET, activeSessions: 10, standbyLagMs: 30_000 }], null, null],
    ['the pipeline is late', 30_001, [QUIET, QUIET], null, 'lag'],
    ['a standby is late', 0, [QUIET, { ...QUIET, standbyLagMs: 30_001 }], null, 'standby_lag'],
    ['somebody waits for our locks', 0, [{ ...QUIET, lockWaits: 1 }, QUIET], null, 'lock_waits'],
    ['a database is busy', 0, [{ ...QUIET, activeSessions: 11 }, QUIET], null, 'active_sessions'],
    ['lag has fallen a little', 25_000, [QUIET], 'lag', 'lag'],
    ['lag has fallen', 24_000, [QUIET], 'lag', null],
    ['no database says anything', 0, [], 'lock_waits', null],
  ] as const)('%s', (_name, lagMs, databases, present, expected) => {
    expect(pauseReason(LIMITS, lagMs, databases, present)).toBe(expected);
  });

  it('never pauses without limits, and always goes on when all is quiet', () => {
    fc.assert(
      fc.property(limits, fc.nat(), fc.array(pressure, { maxLength: 2 }), fc.option(fc.constantFrom(...PAUSE_REASONS)), (asked, lagMs, databases, present) => {
        expect(pauseReason({ lagMs: null, lockWaits: false, activeSessions: null }, lagMs, databases, present)).toBeNull();
        expect(pauseReason(asked, 0, databases.map(() => QUIET), present)).toBeNull();
        const reason = pauseReason(asked, lagMs, databases, null);
        // What pauses a sweep keeps it paused as long as nothing changes.
        if (reason !== null) expect(pauseReason(asked, lagMs, databases, reason)).toBe(reason);
      }),
    );
  });
});
