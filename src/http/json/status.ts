import { DRIFT_KINDS } from '../../domain/drift.ts';
import type { LagFigures, PipelineStatus, RowCheckResult, SourceStatus, Summary, TableStatus } from '../../domain/status.ts';
import type { TableLag } from '../ports.ts';
import type { FindingJson, LagFiguresJson, SourceJson, RowCheckJson, SummaryJson, TableJson, TableLagJson, TableLineJson } from '../schemas.ts';
import { gateJson } from './gate.ts';
import { sweepTableJson } from './sweep.ts';
import { isoTime } from './times.ts';

/** Row counts are shown as JSON numbers: no table holds 2^53 rows. */
function countJson(count: string | null): number | null {
  return count === null ? null : Number(count);
}

export function summaryJson(summary: Summary): SummaryJson {
  return {
    migration: summary.migration,
    phase: summary.phase,
    primary: summary.primary,
    verified_through: isoTime(summary.verifiedThroughMs),
    verified_lag_ms: summary.verifiedLagMs,
    open_drift: summary.openDrift,
    pipeline: summary.pipeline.map(findingJson),
    source: sourceJson(summary.source),
    gate: gateJson(summary.gate),
    clock_skew_ms: { old: skewJson(summary, 'old'), new: skewJson(summary, 'new') },
    consumer_lag: summary.consumerLag.map(({ topic, partition, messages }) => ({ topic, partition, messages })),
    tables: summary.tables.map(tableLineJson),
  };
}

function findingJson({ finding, sinceMs, message, observed, limit, tables }: PipelineStatus): FindingJson {
  return { finding, since: isoTime(sinceMs), message, observed, limit, tables: tables === null ? null : [...tables] };
}

function sourceJson({ slots, heartbeatAgeMs, idle }: SourceStatus): SourceJson {
  return {
    slots: slots.map(({ name, active, walStatus, retainedBytes, safeBytes, limitBytes }) => ({
      name,
      active,
      wal_status: walStatus,
      retained_bytes: retainedBytes,
      safe_bytes: safeBytes,
      limit_bytes: limitBytes,
    })),
    heartbeat_age_ms: heartbeatAgeMs,
    primary_idle: idle === null ? null : { for_ms: idle.forMs, limit_ms: idle.limitMs, log_moved_bytes: idle.logMovedBytes },
  };
}

function skewJson(summary: Summary, side: 'old' | 'new'): { offset_ms: number; bound_ms: number } | null {
  const skew = summary.clockSkewMs[side];
  return skew === null ? null : { offset_ms: skew.offsetMs, bound_ms: skew.boundMs };
}

function tableLineJson(status: TableStatus): TableLineJson {
  return {
    table: status.table,
    verified_through: isoTime(status.verifiedThroughMs),
    held_by: status.verifiedThroughHeldBy,
    pending: status.pendingChecks,
    drift: driftCount(status),
    rows: { old: countJson(status.rows.old), new: countJson(status.rows.new) },
    row_count_delta: countJson(status.rowCountDelta),
    lag_p99_ms: status.lag.p99Ms,
    dead_letters: status.deadLetters,
    missing_evidence: status.missingEvidence,
    unverifiable: status.unverifiable,
    last_clean_sweep: isoTime(status.lastCleanSweepMs),
    last_sweep_ended: isoTime(status.lastSweepEndedMs),
    sweep_progress_ratio: status.sweep === null ? null : status.sweep.progressRatio,
  };
}

export function tableJson(status: TableStatus): TableJson {
  return {
    table: status.table,
    new_table: status.newTable,
    key: [...status.key],
    coverage: status.coverage,
    sample_ratio: status.sampleRatio,
    verified_through: isoTime(status.verifiedThroughMs),
    held_by: status.verifiedThroughHeldBy,
    rows: { old: countJson(status.rows.old), new: countJson(status.rows.new) },
    row_count_delta: countJson(status.rowCountDelta),
    lag: lagFiguresJson(status.lag),
    pending: status.pendingChecks,
    oldest_pending: isoTime(status.oldestPendingMs),
    hot_keys: status.hotKeys,
    unverifiable: status.unverifiable,
    drift: driftCount(status),
    drift_by_kind: { ...status.drift },
    dead_letters: status.deadLetters,
    missing_evidence: status.missingEvidence,
    pipeline: status.pipeline.map(findingJson),
    last_clean_sweep: isoTime(status.lastCleanSweepMs),
    last_sweep_ended: isoTime(status.lastSweepEndedMs),
    last_clean_incremental_sweep: isoTime(status.lastCleanIncrementalMs),
    last_incremental_sweep_ended: isoTime(status.lastIncrementalEndedMs),
    touched_keys: status.touchedKeys,
    needs_full_sweep: status.needsFullSweep,
    sweep: status.sweep === null ? null : sweepTableJson(status.sweep),
    strategy: status.strategy,
    schema_findings: status.schemaFindings.map(({ severity, message }) => ({ severity, message })),
  };
}

function driftCount(status: TableStatus): number {
  return DRIFT_KINDS.reduce((sum, kind) => sum + status.drift[kind], 0);
}

function lagFiguresJson(lag: LagFigures): LagFiguresJson {
  return {
    current_ms: lag.currentMs,
    p50_ms: lag.p50Ms,
    p95_ms: lag.p95Ms,
    p99_ms: lag.p99Ms,
    samples: lag.samples,
    exact_ratio: lag.exactRatio,
    window_ms: lag.windowMs,
    breaches: lag.breaches,
  };
}

export function tableLagJson(entry: TableLag): TableLagJson {
  return {
    table: entry.table,
    ...lagFiguresJson(entry.lag),
    budget_ms: entry.budgetMs,
    objective: entry.objective,
    error_budget_remaining_ratio: entry.errorBudgetRemainingRatio,
    burn_rates: { ...entry.burnRates },
  };
}

export function rowCheckJson(result: RowCheckResult): RowCheckJson {
  return { key: { ...result.key }, verdict: result.verdict, columns: [...result.columns], message: result.message, lag_ms: result.lagMs };
}
