import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gateOf, heard, publish, PUBLISHED_MAX_AGE_MS, summaryOf, type Published } from '../../../src/app/published.ts';
import { PHASES, type GatePolicy, type GateTableEvidence, type Phase } from '../../../src/domain/gate.ts';
import { summary as summaryWith } from '../metrics/summary.ts';

const NOW_MS = 1_800_000_000_000;
const POLICY: GatePolicy = { maxDriftRows: 0, verifiedWithinMs: 60_000, sweepMaxAgeMs: 86_400_000, allowSampled: false };
const TABLE: GateTableEvidence = {
  table: 'public.a',
  openDrift: 0,
  verifiedThroughMs: NOW_MS - 1_000,
  verifiedThroughHeldBy: null,
  sweepOnly: false,
  sampleRatio: 1,
  lastCleanSweepMs: NOW_MS - 1_000,
  lastSweepEndedMs: NOW_MS - 1_000,
  deadLetters: 0,
  oldestDeadLetter: null,
  unverifiable: 0,
};

function said(table: Partial<GateTableEvidence> = {}): Published {
  const summary = summaryWith();
  const policies = Object.fromEntries(PHASES.map((phase) => [phase, POLICY])) as Record<Phase, GatePolicy>;
  return { summary, lag: [], evidence: { tables: [{ ...TABLE, ...table }], pipeline: [], explanations: [] }, policies, sweep: null, processes: 0, atMs: NOW_MS };
}
const after = (ageMs: number, table: Partial<GateTableEvidence> = {}) => heard({ body: JSON.stringify(said(table)), ageMs });

describe('what the writer said, asked of another process', () => {
  it('passes while it is fresh, and is unknown once the writer is silent, whatever the phase', () => {
    expect(gateOf(after(500), 'canary').verdict).toBe('pass');
    expect(gateOf(after(PUBLISHED_MAX_AGE_MS), 'cutover').verdict).toBe('pass');
    expect(gateOf(after(PUBLISHED_MAX_AGE_MS + 1), 'canary')).toMatchObject({ verdict: 'unknown', action: 'hold', reasons: [{ code: 'writer_silent' }] });
    fc.assert(
      fc.property(fc.integer({ min: PUBLISHED_MAX_AGE_MS + 1, max: 1e12 }), fc.constantFrom(...PHASES), (ageMs, phase) => gateOf(after(ageMs), phase).verdict === 'unknown'),
    );
  });

  it('ages: verified-through that was recent enough then may be too old now', () => {
    const late = { verifiedThroughMs: NOW_MS - 59_000 };
    expect(gateOf(after(900, late), null).verdict).toBe('pass');
    expect(gateOf(after(1_100, late), null)).toMatchObject({ verdict: 'fail', reasons: [{ code: 'verified_through_behind' }] });
    const { verifiedLagMs } = said().summary;
    expect(summaryOf(after(2_000)).verifiedLagMs).toBe(verifiedLagMs === null ? null : verifiedLagMs + 2_000);
  });

  it('keeps failing on drift, which stands in the report', () => {
    expect(gateOf(after(60_000, { openDrift: 2 }), 'canary')).toMatchObject({ verdict: 'fail', action: 'rollback' });
  });

  it('cannot be told before anything was said', () => {
    expect(() => heard(null)).toThrow(expect.objectContaining({ code: 'standby', retry: 'retry' }));
  });

  it('is written whatever it holds: an integer beyond JSON must not end the writer', async () => {
    const ending = new AbortController();
    const clock = { nowMs: () => NOW_MS, nowUs: () => 0n, sleep: () => Promise.resolve() };
    const bodies: string[] = [];
    const write = async (body: string): Promise<void> => {
      bodies.push(body);
      ending.abort();
    };
    await publish(() => Promise.resolve({ ...said(), watermarkUs: 1n } as Published), write, clock, ending.signal);
    expect(bodies).toHaveLength(1);
    expect(heard({ body: bodies[0] as string, ageMs: 0 }).said.atMs).toBe(NOW_MS);
  });
});
