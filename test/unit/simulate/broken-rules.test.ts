import { afterEach, expect, it, vi } from 'vitest';
import type * as recheck from '../../../src/domain/recheck.ts';
import type * as through from '../../../src/domain/verified-through.ts';
import { AppliedChanges } from '../../../src/verify/applied-changes.ts';
import { runHistory } from '../../simulate/history.ts';
import { FAULT_KINDS, makePlan, type FaultKind } from '../../simulate/plan.ts';

/** Rules that are broken on purpose: the simulation must tell. */
const broken: { rule: string } = vi.hoisted(() => ({ rule: '' }));

vi.mock(import('../../../src/domain/recheck.ts'), async (original) => {
  const real: typeof recheck = await original();
  return {
    ...real,
    judgeConfirm: (hasher, versions, suspicion, reads, facts) => {
      switch (broken.rule) {
        case 'in flight is drift':
          return real.judgeConfirm(hasher, versions, suspicion, reads, { ...facts, newestApplied: true, appliedThrough: () => true });
        case 'what differs is a match':
          return reads.primaryBefore === reads.primaryAfter ? { kind: 'match' } : { kind: 'hot' };
        case 'no version is known':
          return real.judgeConfirm(hasher, versions, suspicion, reads, { ...facts, isEarlierVersion: () => false });
        case 'nothing is drift': {
          const verdict = real.judgeConfirm(hasher, versions, suspicion, reads, facts);
          return verdict.kind === 'drift' ? { kind: 'inconclusive', suspicion } : verdict;
        }
        default:
          return real.judgeConfirm(hasher, versions, suspicion, reads, facts);
      }
    },
    judgeRead: (hasher, versions, base, replica, replicaHash, isApplied, allKnown) =>
      real.judgeRead(hasher, versions, base, replica, replicaHash, broken.rule === 'a row that returns is there' ? () => true : isApplied, allKnown),
  };
});

vi.mock(import('../../../src/domain/verified-through.ts'), async (original) => {
  const real: typeof through = await original();
  return { ...real, judgeVerifiedThrough: (facts) => real.judgeVerifiedThrough(broken.rule === 'verified-through passes what is unsettled' ? { ...facts, oldestUnsettledUs: null } : facts) };
});

afterEach(() => {
  broken.rule = '';
  vi.restoreAllMocks();
});

it.each<[string, readonly FaultKind[], readonly string[]]>([
  ['in flight is drift', [], ['I1', 'I2']],
  ['a row that returns is there', [], ['I2']],
  ['verified-through passes what is unsettled', [], ['I2']],
  ['what differs is a match', FAULT_KINDS, ['I2', 'I4']],
  ['nothing is drift', FAULT_KINDS, ['I4']],
  ['no version is known', FAULT_KINDS, ['I5']],
])('%s', { timeout: 120_000 }, async (rule, faults, invariants) => {
  broken.rule = rule;
  if (rule === 'in flight is drift') vi.spyOn(AppliedChanges.prototype, 'newestApplied').mockReturnValue(true);
  /** Within so many histories it shows. */
  const seeds = 600;
  for (let seed = 1; seed <= seeds; seed++) {
    const { problem } = await runHistory(makePlan(seed, faults));
    if (problem === null) continue;
    expect(invariants).toContain(problem.invariant);
    return;
  }
  expect.unreachable('the simulation did not tell');
});
