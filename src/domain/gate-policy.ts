import { undecodedRecords } from './dead-letter.ts';
import type { GateEvidence, GatePolicy, GateReason, GateReport, GateTableEvidence, GateVerdict, Phase } from './gate.ts';

/** A time this far ahead of the evaluation says that a clock is wrong, not that the table is fresh. */
export const MAX_AHEAD_MS = 60_000;

/** How many pipeline findings a message about a late table quotes: enough to see the cause, short enough to read. */
const QUOTED_FINDINGS = 3;

interface Finding {
  readonly verdict: 'fail' | 'unknown';
  readonly reason: GateReason;
}

/**
 * Judges whether traffic may move. `pass` needs every piece of evidence for
 * every table: what is absent, stale or implausible makes it `unknown`, what
 * speaks against the migration makes it `fail`, and `fail` beats `unknown`.
 * All times, `nowMs` among them, are ms since 1970 on one clock. Never throws.
 */
export function evaluateGate(evidence: GateEvidence, policy: GatePolicy, phase: Phase, nowMs: number): GateReport {
  const findings: Finding[] = [];
  if (evidence.tables.length === 0) {
    findings.push(unknown('no_tables', null, 'no table is being verified', 0, null));
  }
  if (!isPolicy(policy) || !Number.isFinite(nowMs)) {
    findings.push(unknown('bad_evidence', null, 'the gate policy or the time of evaluation is not a number', null, null));
  }
  for (const table of evidence.tables) {
    if (!isCount(table.openDrift) || !isCount(table.deadLetters) || !isCount(table.unverifiable)) {
      findings.push(unknown('bad_evidence', table.table, `the counts of ${table.table} are not known`, null, null));
    }
  }
  const overDrift = driftFindings(evidence, policy, findings);
  for (const table of evidence.tables) {
    verifiedThroughFindings(table, evidence, policy, nowMs, findings);
    sweepFindings(table, policy, nowMs, overDrift, findings);
    if (table.deadLetters > 0) {
      findings.push(
        unknown('dead_letters', table.table, `${table.table}: ${undecodedRecords(table.deadLetters, table.oldestDeadLetter)}; retry or discharge`, table.deadLetters, 0),
      );
    }
    if (table.unverifiable > 0) {
      findings.push(unknown('unverifiable', table.table, `${table.unverifiable} key(s) of ${table.table} could not be verified`, table.unverifiable, 0));
    }
  }
  const sampled = evidence.tables.filter((table) => !(table.sampleRatio >= 1));
  if (!policy.allowSampled) {
    for (const table of sampled) findings.push({ verdict: 'unknown', reason: { ...sampledReason(table), severity: 'unknown' } });
  }
  for (const finding of evidence.pipeline) {
    findings.push(unknown(finding.code, null, finding.message, finding.observed, finding.limit));
  }

  const failed = findings.filter((finding) => finding.verdict === 'fail');
  const verdict: GateVerdict = failed.length > 0 ? 'fail' : findings.length > 0 ? 'unknown' : 'pass';
  const told = policy.allowSampled ? sampled.map(sampledReason) : [];
  const explained = verdict === 'pass' ? [] : evidence.explanations.map(({ code, message, observed, limit }) => info(code, null, message, observed, limit));
  return {
    verdict,
    action: verdict === 'pass' ? 'proceed' : phase === 'canary' && overDrift ? 'rollback' : 'hold',
    phase,
    reasons: [...[...failed, ...findings.filter((finding) => finding.verdict === 'unknown')].map((finding) => finding.reason), ...told, ...explained],
    evaluatedAtMs: nowMs,
  };
}

/** Names every table with open drift when all of it together is more than the policy allows; says whether it is. */
function driftFindings(evidence: GateEvidence, policy: GatePolicy, findings: Finding[]): boolean {
  const drifting = evidence.tables.filter((table) => table.openDrift > 0);
  const total = drifting.reduce((sum, table) => sum + table.openDrift, 0);
  if (total === 0 || total <= policy.maxDriftRows) return false;
  for (const table of drifting) {
    const message =
      drifting.length === 1
        ? `${table.openDrift} row(s) of ${table.table} drift; ${policy.maxDriftRows} allowed`
        : `${table.openDrift} row(s) of ${table.table} drift, ${total} in all tables; ${policy.maxDriftRows} allowed`;
    findings.push(fail('open_drift', table.table, message, table.openDrift, policy.maxDriftRows));
  }
  return true;
}

function verifiedThroughFindings(table: GateTableEvidence, evidence: GateEvidence, policy: GatePolicy, nowMs: number, findings: Finding[]): void {
  const limitSeconds = seconds(policy.verifiedWithinMs);
  if (table.verifiedThroughMs === null || !Number.isFinite(table.verifiedThroughMs)) {
    const held = table.verifiedThroughHeldBy === null ? '' : `: ${table.verifiedThroughHeldBy}`;
    findings.push(unknown('no_verified_through', table.table, `${table.table} has no verified-through yet${held}`, null, limitSeconds));
    return;
  }
  const behindMs = nowMs - table.verifiedThroughMs;
  if (behindMs < -MAX_AHEAD_MS) {
    findings.push(unknown('clock_ahead', table.table, `verified-through of ${table.table} lies ${seconds(-behindMs)} s in the future: a clock is wrong`, seconds(behindMs), limitSeconds));
  } else if (!(behindMs <= policy.verifiedWithinMs) && table.sweepOnly) {
    // It is not late, it cannot be on time: nothing speaks against the migration, and nothing for it.
    const message = `${table.table} has no key, so only sweeps look at it: what was committed in the last ${seconds(behindMs)} s is not verified; ${limitSeconds} s allowed`;
    findings.push(unknown('sweep_only', table.table, message, seconds(behindMs), limitSeconds));
  } else if (!(behindMs <= policy.verifiedWithinMs)) {
    const message = `verified-through of ${table.table} is ${seconds(behindMs)} s old; ${limitSeconds} s allowed${whyBehind(table, evidence)}`;
    findings.push(fail('verified_through_behind', table.table, message, seconds(behindMs), limitSeconds));
  }
}

function whyBehind(table: GateTableEvidence, evidence: GateEvidence): string {
  const held = table.verifiedThroughHeldBy === null ? '' : `; held by: ${table.verifiedThroughHeldBy}`;
  if (evidence.pipeline.length === 0) return held;
  const quoted = evidence.pipeline.slice(0, QUOTED_FINDINGS).map((finding) => `${finding.code} (${finding.message})`);
  return `${held}; the pipeline is not whole: ${quoted.join(', ')}`;
}

function sweepFindings(table: GateTableEvidence, policy: GatePolicy, nowMs: number, overDrift: boolean, findings: Finding[]): void {
  const clean = table.lastCleanSweepMs;
  const ended = table.lastSweepEndedMs;
  const lastWasDirty = ended !== null && (clean === null || clean < ended);
  if (overDrift && lastWasDirty && table.openDrift > 0) {
    findings.push(fail('sweep_found_drift', table.table, `the last sweep of ${table.table} was not clean and drift is still open`, table.openDrift, 0));
  }
  const limitSeconds = seconds(policy.sweepMaxAgeMs);
  if (clean === null || !Number.isFinite(clean)) {
    const [code, message] =
      ended === null
        ? ['no_sweep', `${table.table} has not been swept yet`]
        : ['no_clean_sweep', `no sweep of ${table.table} has ended clean yet`];
    findings.push(unknown(code, table.table, message, null, limitSeconds));
    return;
  }
  const ageMs = nowMs - clean;
  if (ageMs < -MAX_AHEAD_MS) {
    findings.push(unknown('clock_ahead', table.table, `the last clean sweep of ${table.table} lies ${seconds(-ageMs)} s in the future: a clock is wrong`, seconds(ageMs), limitSeconds));
  } else if (!(ageMs <= policy.sweepMaxAgeMs)) {
    findings.push(unknown('sweep_too_old', table.table, `the last clean sweep of ${table.table} is ${seconds(ageMs)} s old; ${limitSeconds} s allowed`, seconds(ageMs), limitSeconds));
  }
}

function fail(code: string, table: string | null, message: string, observed: string | number | null, limit: string | number | null): Finding {
  return { verdict: 'fail', reason: { code, severity: 'fail', table, message, observed: shown(observed), limit: shown(limit) } };
}

function unknown(code: string, table: string | null, message: string, observed: string | number | null, limit: string | number | null): Finding {
  return { verdict: 'unknown', reason: { code, severity: 'unknown', table, message, observed: shown(observed), limit: shown(limit) } };
}

/** Verified-through speaks of the sample alone: of the other keys' changes only sweeps tell. */
function sampledReason({ table, sampleRatio }: GateTableEvidence): GateReason {
  return info('sampled', table, `only a sample of the changes of ${table} is checked: of the other keys only sweeps tell`, sampleRatio, 1);
}

function info(code: string, table: string | null, message: string, observed: string | number | null, limit: string | number | null): GateReason {
  return { code, severity: 'info', table, message, observed: shown(observed), limit: shown(limit) };
}

/** JSON has no NaN and no infinity. */
function shown(value: string | number | null): string | number | null {
  return typeof value === 'number' && !Number.isFinite(value) ? null : value;
}

function isCount(value: number): boolean {
  return Number.isFinite(value) && value >= 0;
}

function isPolicy(policy: GatePolicy): boolean {
  return isCount(policy.maxDriftRows) && isCount(policy.verifiedWithinMs) && isCount(policy.sweepMaxAgeMs);
}

function seconds(durationMs: number): number {
  return Math.round(durationMs) / 1000;
}
