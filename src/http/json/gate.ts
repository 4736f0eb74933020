import type { GateReport } from '../../domain/gate.ts';
import type { GateJson } from '../schemas.ts';
import { isoTime } from './times.ts';

export function gateJson(report: GateReport): GateJson {
  return {
    verdict: report.verdict,
    action: report.action,
    phase: report.phase,
    reasons: report.reasons.map(({ code, severity, table, message, observed, limit }) => ({ code, severity, table, message, observed, limit })),
    evaluated_at: isoTime(report.evaluatedAtMs),
  };
}
