import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluateGate, MAX_AHEAD_MS } from '../../../src/domain/gate-policy.ts';
import { PHASES } from '../../../src/domain/gate.ts';
import type { GateEvidence, GatePolicy, GateTableEvidence, GateVerdict } from '../../../src/domain/gate.ts';

const NOW = 1_800_000_000_000;
const POLICY: GatePolicy = { maxDriftRows: 0, verifiedWithinMs: 5_000, sweepMaxAgeMs: 86_400_000, allowSampled: false };

function table(change: Partial<GateTableEvidence> = {}): GateTableEvidence {
  return {
    table: 'public.payments',
    openDrift: 0,
    verifiedThroughMs: NOW - 1_000,
    verifiedThroughHeldBy: null,
    sweepOnly: false,
    sampleRatio: 1,
    lastCleanSweepMs: NOW - 3_600_000,
    lastSweepEndedMs: NOW - 3_600_000,
    deadLetters: 0,
    oldestDeadLetter: null,
    unverifiable: 0,
    ...change,
  };
}

function evidence(...tables: GateTableEvidence[]): GateEvidence {
  return { tables, pipeline: [], explanations: [] };
}

describe('evaluateGate', () => {
  it('passes with all evidence there and good', () => {
    expect(evaluateGate(evidence(table()), POLICY, 'canary', NOW)).toEqual({
      verdict: 'pass',
      action: 'proceed',
      phase: 'canary',
      reasons: [],
      evaluatedAtMs: NOW,
    });
  });

  it.each<[string, Partial<GateTableEvidence>, GateVerdict, string]>([
    ['open drift', { openDrift: 1 }, 'fail', 'open_drift'],
    ['verified-through behind', { verifiedThroughMs: NOW - 5_001 }, 'fail', 'verified_through_behind'],
    ['a table that only sweeps look at', { verifiedThroughMs: NOW - 5_001, sweepOnly: true }, 'unknown', 'sweep_only'],
    ['no verified-through', { verifiedThroughMs: null, verifiedThroughHeldBy: 'the first sweep' }, 'unknown', 'no_verified_through'],
    ['a verified-through that is no number', { verifiedThroughMs: Number.NaN }, 'unknown', 'no_verified_through'],
    ['a verified-through in the future', { verifiedThroughMs: NOW + MAX_AHEAD_MS + 1 }, 'unknown', 'clock_ahead'],
    ['no sweep', { lastCleanSweepMs: null, lastSweepEndedMs: null }, 'unknown', 'no_sweep'],
    ['no clean sweep', { lastCleanSweepMs: null }, 'unknown', 'no_clean_sweep'],
    ['a sample of the changes', { sampleRatio: 0.1 }, 'unknown', 'sampled'],
    ['an old sweep', { lastCleanSweepMs: NOW - 86_400_001 }, 'unknown', 'sweep_too_old'],
    ['a sweep in the future', { lastCleanSweepMs: NOW + MAX_AHEAD_MS + 1 }, 'unknown', 'clock_ahead'],
    ['dead letters', { deadLetters: 2 }, 'unknown', 'dead_letters'],
    ['unverifiable keys', { unverifiable: 3 }, 'unknown', 'unverifiable'],
    ['a count that is no number', { openDrift: Number.NaN }, 'unknown', 'bad_evidence'],
  ])('%s', (_name, change, verdict, code) => {
    const report = evaluateGate(evidence(table(), table({ table: 'public.orders', ...change })), POLICY, 'shadow', NOW);
    expect(report.verdict).toBe(verdict);
    expect(report.action).toBe('hold');
    expect(report.reasons.map((reason) => [reason.code, reason.table])).toEqual([[code, 'public.orders']]);
  });

  it('is unknown with no tables at all', () => {
    const report = evaluateGate(evidence(), POLICY, 'canary', NOW);
    expect(report).toMatchObject({ verdict: 'unknown', action: 'hold', reasons: [{ code: 'no_tables' }] });
  });

  it('counts drift of all tables against the allowance and names each table', () => {
    const tables = evidence(table({ table: 'a', openDrift: 2 }), table({ table: 'b', openDrift: 3 }), table({ table: 'c' }));
    expect(evaluateGate(tables, { ...POLICY, maxDriftRows: 5 }, 'canary', NOW).verdict).toBe('pass');
    const report = evaluateGate(tables, { ...POLICY, maxDriftRows: 4 }, 'canary', NOW);
    expect(report.reasons.map((reason) => [reason.code, reason.table, reason.observed, reason.limit])).toEqual([
      ['open_drift', 'a', 2, 4],
      ['open_drift', 'b', 3, 4],
    ]);
  });

  it('rolls back only a canary that drifts', () => {
    for (const phase of PHASES) {
      expect(evaluateGate(evidence(table({ openDrift: 1 })), POLICY, phase, NOW).action).toBe(phase === 'canary' ? 'rollback' : 'hold');
      expect(evaluateGate(evidence(table({ verifiedThroughMs: 0 })), POLICY, phase, NOW).action).toBe('hold');
    }
  });

  it('says that the last sweep found what is still open', () => {
    const report = evaluateGate(evidence(table({ openDrift: 1, lastSweepEndedMs: NOW - 60_000 })), POLICY, 'shadow', NOW);
    expect(report.reasons.map((reason) => reason.code)).toEqual(['open_drift', 'sweep_found_drift']);
  });

  it('reports how far behind in seconds and which part of the pipeline stands', () => {
    const report = evaluateGate(
      { tables: [table({ verifiedThroughMs: NOW - 65_432 })], pipeline: [{ code: 'sink_stopped', message: 'the sink has applied nothing for 60 s', observed: 60, limit: 5 }], explanations: [] },
      POLICY,
      'runway',
      NOW,
    );
    expect(report.verdict).toBe('fail');
    expect(report.reasons.map((reason) => reason.code)).toEqual(['verified_through_behind', 'sink_stopped']);
    expect(report.reasons[0]).toMatchObject({ observed: 65.432, limit: 5 });
    expect(report.reasons[0]?.message).toContain('sink_stopped');
  });

  it('is unknown while any part of the pipeline is out of sight', () => {
    const report = evaluateGate({ ...evidence(table()), pipeline: [{ code: 'replica_unreachable', message: 'new does not answer', observed: null, limit: null }] }, POLICY, 'canary', NOW);
    expect(report).toMatchObject({ verdict: 'unknown', reasons: [{ code: 'replica_unreachable', severity: 'unknown', message: 'new does not answer' }] });
  });
});

const RANK: Record<GateVerdict, number> = { pass: 0, unknown: 1, fail: 2 };
const counts = fc.integer({ min: 0, max: 5 });
const times = fc.option(fc.integer({ min: NOW - 200_000_000, max: NOW + 2 * MAX_AHEAD_MS }), { nil: null });
const anyTable: fc.Arbitrary<GateTableEvidence> = fc.record({
  table: fc.constantFrom('a', 'b', 'c'),
  openDrift: counts,
  verifiedThroughMs: fc.oneof(times, fc.integer({ min: NOW - 6_000, max: NOW })),
  verifiedThroughHeldBy: fc.option(fc.string(), { nil: null }),
  sweepOnly: fc.boolean(),
  sampleRatio: fc.constantFrom(1, 1, 0.1),
  lastCleanSweepMs: times,
  lastSweepEndedMs: times,
  deadLetters: fc.oneof(fc.constant(0), counts),
  oldestDeadLetter: fc.constantFrom(null, { topic: 't', partition: 0, offset: '7' }),
  unverifiable: fc.oneof(fc.constant(0), counts),
});
const goodTable: fc.Arbitrary<GateTableEvidence> = fc
  .record({ behindMs: fc.integer({ min: 0, max: 5_000 }), sweptMs: fc.integer({ min: 0, max: 86_400_000 }) })
  .map(({ behindMs, sweptMs }) => table({ verifiedThroughMs: NOW - behindMs, lastCleanSweepMs: NOW - sweptMs, lastSweepEndedMs: NOW - sweptMs }));
const anyEvidence: fc.Arbitrary<GateEvidence> = fc.record({
  tables: fc.array(fc.oneof(anyTable, goodTable), { maxLength: 4 }),
  pipeline: fc.array(fc.constant({ code: 'sink_stopped', message: 'stopped', observed: 30, limit: 5 }), { maxLength: 1 }),
  explanations: fc.array(fc.constant({ code: 'primary_idle', message: 'idle', observed: 60, limit: 10 }), { maxLength: 1 }),
});
const anyPolicy: fc.Arbitrary<GatePolicy> = fc.record({
  maxDriftRows: fc.integer({ min: 0, max: 8 }),
  verifiedWithinMs: fc.integer({ min: 0, max: 100_000 }),
  sweepMaxAgeMs: fc.integer({ min: 0, max: 200_000_000 }),
  allowSampled: fc.boolean(),
});
const anyPhase = fc.constantFrom(...PHASES);

describe('what explains and is no failure', () => {
  const idle = { code: 'primary_idle', message: 'the primary is idle', observed: 60, limit: 10 };

  it('is told after the reasons where the gate does not pass, and changes no verdict', () => {
    const late = { ...evidence(table({ verifiedThroughMs: NOW - 65_432 })), explanations: [idle] };
    expect(evaluateGate(late, POLICY, 'runway', NOW).reasons.map(({ code, severity }) => [code, severity])).toEqual([
      ['verified_through_behind', 'fail'],
      ['primary_idle', 'info'],
    ]);
    expect(evaluateGate(evidence(table({ sampleRatio: 0.1 })), { ...POLICY, allowSampled: true }, 'runway', NOW)).toMatchObject({
      verdict: 'pass',
      reasons: [{ code: 'sampled', severity: 'info', observed: 0.1, limit: 1 }],
    });
    expect(evaluateGate({ ...evidence(table()), explanations: [idle] }, POLICY, 'runway', NOW)).toMatchObject({ verdict: 'pass', reasons: [] });
  });
});

describe('properties of the gate', () => {
  it('good evidence passes', () => {
    fc.assert(fc.property(fc.array(goodTable, { minLength: 1, maxLength: 4 }), anyPhase, (tables, phase) => evaluateGate(evidence(...tables), POLICY, phase, NOW).verdict === 'pass'));
  });

  it('any one piece of missing evidence never passes, whatever the policy', () => {
    const missing = fc.constantFrom<Partial<GateTableEvidence>>(
      { verifiedThroughMs: null },
      { verifiedThroughMs: Number.NaN },
      { verifiedThroughMs: Number.POSITIVE_INFINITY },
      { lastCleanSweepMs: null },
      { lastCleanSweepMs: Number.NaN },
      { deadLetters: 1 },
      { unverifiable: 1 },
      { openDrift: Number.NaN },
      { openDrift: -1 },
      { deadLetters: Number.NaN },
      { unverifiable: Number.NaN },
    );
    fc.assert(
      fc.property(anyEvidence, anyTable, missing, anyPolicy, anyPhase, (rest, base, change, policy, phase) => {
        const report = evaluateGate({ ...rest, tables: [...rest.tables, { ...base, ...change }] }, policy, phase, NOW);
        return report.verdict !== 'pass' && report.action !== 'proceed' && report.reasons.length > 0;
      }),
    );
  });

  it('a policy or time that is no number never passes', () => {
    const broken = fc.constantFrom<[Partial<GatePolicy>, number]>(
      [{ maxDriftRows: Number.NaN }, NOW],
      [{ verifiedWithinMs: Number.NaN }, NOW],
      [{ sweepMaxAgeMs: Number.POSITIVE_INFINITY }, NOW],
      [{}, Number.NaN],
    );
    fc.assert(fc.property(goodTable, broken, (one, [change, nowMs]) => evaluateGate(evidence(one), { ...POLICY, ...change }, 'canary', nowMs).verdict !== 'pass'));
  });

  it('pass, proceed and no reason but information are one and the same', () => {
    fc.assert(
      fc.property(anyEvidence, anyPolicy, anyPhase, (given, policy, phase) => {
        const report = evaluateGate(given, policy, phase, NOW);
        const passes = report.verdict === 'pass';
        return passes === report.reasons.every(({ severity }) => severity === 'info') && passes === (report.action === 'proceed');
      }),
    );
  });

  it('worse evidence never gives a better verdict', () => {
    const worsen = fc.constantFrom<(one: GateTableEvidence) => GateTableEvidence>(
      (one) => ({ ...one, openDrift: one.openDrift + 1 }),
      (one) => ({ ...one, deadLetters: one.deadLetters + 1 }),
      (one) => ({ ...one, unverifiable: one.unverifiable + 1 }),
      (one) => ({ ...one, lastCleanSweepMs: null }),
      (one) => (one.lastCleanSweepMs === null || one.lastCleanSweepMs > NOW ? one : { ...one, lastCleanSweepMs: one.lastCleanSweepMs - 50_000_000 }),
      (one) => (one.verifiedThroughMs === null || one.verifiedThroughMs > NOW ? one : { ...one, verifiedThroughMs: one.verifiedThroughMs - 10_000 }),
    );
    fc.assert(
      fc.property(anyEvidence, anyTable, worsen, anyPolicy, anyPhase, (rest, one, change, policy, phase) => {
        const before = evaluateGate({ ...rest, tables: [...rest.tables, one] }, policy, phase, NOW);
        const after = evaluateGate({ ...rest, tables: [...rest.tables, change(one)] }, policy, phase, NOW);
        return RANK[after.verdict] >= RANK[before.verdict];
      }),
    );
  });

  it('a pipeline finding never gives a better verdict and never passes', () => {
    fc.assert(
      fc.property(anyEvidence, anyPolicy, anyPhase, (given, policy, phase) => {
        const before = evaluateGate({ ...given, pipeline: [] }, policy, phase, NOW);
        const after = evaluateGate({ ...given, pipeline: [{ code: 'primary_unreachable', message: 'gone', observed: null, limit: null }] }, policy, phase, NOW);
        return after.verdict !== 'pass' && RANK[after.verdict] >= RANK[before.verdict];
      }),
    );
  });
});
