import { DRIFT_KINDS, FOUND_BY } from '../domain/drift.ts';
import type { GateVerdict } from '../domain/gate.ts';
import { PHASES } from '../domain/gate.ts';
import type { Side } from '../domain/pair.ts';
import { PAUSE_REASONS } from '../domain/sweep-pause.ts';
import type { PipelineFinding } from '../domain/status.ts';
import { SUSPECT_RESULTS, type CheckVerdict } from '../verify/ports.ts';

/** What a metric is called, what it counts, and by what. */
export interface MetricDefinition {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds in seconds; histograms only. */
  readonly buckets?: readonly number[];
}

export const SIDES: readonly Side[] = ['old', 'new'];
export const CHANGE_OPS: readonly string[] = ['create', 'update', 'delete', 'snapshot', 'truncate'];
export const CHECK_VERDICTS: readonly CheckVerdict[] = ['match', 'mismatch', 'inconclusive', 'hot', 'unverifiable'];
export const CHUNK_RESULTS = ['equal', 'differing'] as const;
export const GATE_VERDICTS: readonly GateVerdict[] = ['pass', 'fail', 'unknown'];
export const SCHEMA_SEVERITIES = ['info', 'warning', 'error'] as const;
/** Reasons that the decoders give; a reason not listed here appears with its first dead letter. */
export const DEAD_LETTER_REASONS: readonly string[] = [
  'not_json',
  'no_key',
  'bad_value',
  'unknown_shape',
  'other_table',
  'outbox_event',
  'too_large',
  'bad_framing',
  'bad_avro',
  'no_registry',
  'registry_unreachable',
  'registry_refused',
  'unknown_schema',
  'bad_schema',
];
export const PIPELINE_FINDINGS: readonly PipelineFinding[] = [
  'primary_unreachable',
  'replica_unreachable',
  'stream_unreachable',
  'source_connector_stopped',
  'source_slot_inactive',
  'source_slot_missing',
  'source_slot_lost',
  'slot_wal_growing',
  'sink_stopped',
  'consumer_behind',
  'replica_stream_stopped',
  'snapshot_in_progress',
  'state_store_unreachable',
];

/** 5 ms to 5 min: below any sink's batch time up to a pipeline that stands. */
const LAG_BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
/** 0.1 s to 10 min: detection waits for `settle`, 10 s by default. */
const DETECTION_BUCKETS_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 60, 120, 300, 600];

/** Every metric of Lockstep but those of the process itself, by a short name. */
export const METRICS = {
  changeEvents: counter('lockstep_change_events_total', 'Decoded row changes.', ['table', 'side', 'op']),
  checks: counter('lockstep_checks_total', 'Reads of a key on both sides, by what they came to.', ['table', 'verdict']),
  pairedEvents: counter('lockstep_paired_events_total', "Changes proven by the replica's own events of them, without a read.", ['table']),
  pendingChecks: gauge('lockstep_pending_checks', 'Changed keys not yet proven equal.', ['table']),
  sampleRatio: gauge('lockstep_table_sample_ratio', 'Share of the keys whose changes are checked; 1: all of them. Sweeps compare all rows.', ['table']),
  hotKeys: gauge('lockstep_hot_keys', 'Pending keys that change faster than they can be confirmed.', ['table']),
  unverifiableKeys: gauge('lockstep_unverifiable_keys', 'Keys that could not be verified.', ['table']),
  driftRows: gauge('lockstep_drift_rows', 'Rows with open drift.', ['table', 'kind']),
  driftConfirmed: counter('lockstep_drift_confirmed_total', 'Drift proven.', ['table', 'kind']),
  driftResolved: counter('lockstep_drift_resolved_total', 'Drift gone again.', ['table', 'kind']),
  driftDetection: histogram('lockstep_drift_detection_seconds', 'From the commit of a change to its drift proven.', ['found_by'], DETECTION_BUCKETS_SECONDS),
  lag: histogram('lockstep_replication_lag_seconds', 'From commit on the primary to visible on the replica, clock skew removed.', ['table'], LAG_BUCKETS_SECONDS),
  lagBudget: gauge('lockstep_replication_lag_budget_seconds', 'The lag budget.', []),
  lagObjective: gauge('lockstep_replication_lag_objective_ratio', 'Share of the changes that must stay within the lag budget.', []),
  lagBreaches: counter('lockstep_lag_budget_breaches_total', 'Changes that took longer than the lag budget.', ['table']),
  errorBudgetRemaining: gauge('lockstep_error_budget_remaining_ratio', 'Share of the lag error budget left over the SLO window, all tables; below 0 when overspent.', []),
  verifiedThrough: gauge('lockstep_verified_through_timestamp_seconds', 'Every change committed before this time is seen equal or stands in the drift report.', ['table']),
  verifiedLag: gauge('lockstep_verified_lag_seconds', 'How far verified-through is behind now.', ['table']),
  consumerLag: gauge('lockstep_consumer_lag_messages', 'Records of the partition not yet consumed.', ['topic', 'partition']),
  pipelineFinding: gauge('lockstep_pipeline_finding', '1 while this part of the pipeline is found not to do its work.', ['finding']),
  primaryIdle: gauge('lockstep_primary_idle', '1 while the primary is proven to write none of the compared tables, 0 else: no failure.', []),
  slotActive: gauge('lockstep_slot_active', '1 while somebody reads the replication slot of the source, 0 else.', ['slot']),
  slotRetained: gauge('lockstep_slot_retained_wal_bytes', "The primary's log that the slot holds back.", ['slot']),
  slotSafe: gauge('lockstep_slot_safe_wal_bytes', 'Log that may still be written before the slot is lost; absent where the server has no limit.', ['slot']),
  heartbeatAge: gauge('lockstep_source_heartbeat_age_seconds', "Since the source connectors' last heartbeat; absent where none are known.", []),
  clockOffset: gauge('lockstep_clock_offset_seconds', "How far the database's clock is ahead of Lockstep's.", ['side']),
  tableRows: gauge('lockstep_table_rows', 'Exact row count of the last finished sweep.', ['table', 'side']),
  rowCountDelta: gauge('lockstep_row_count_delta', 'Rows of new less rows of old, net of rows in flight.', ['table']),
  sweepProgress: gauge('lockstep_sweep_progress_ratio', 'Progress of the running or last sweep, 0 to 1.', ['table']),
  sweepRate: gauge('lockstep_sweep_rows_per_second', 'Rows that the running sweep compared a second over the last seconds; absent when none runs.', ['table']),
  sweepEta: gauge('lockstep_sweep_eta_seconds', 'Until the running sweep has compared all rows at that rate; absent while that cannot be told.', ['table']),
  sweepPaused: gauge('lockstep_sweep_paused', '1 while the running sweep stands still for this reason, 0 else.', ['table', 'reason']),
  sweepRows: counter('lockstep_sweep_rows_total', 'Rows digested by sweeps.', ['table', 'side']),
  sweepChunks: counter('lockstep_sweep_chunks_total', 'Chunks compared by sweeps.', ['table', 'result']),
  sweepSuspects: counter('lockstep_sweep_suspects_total', 'Rows whose digests differed in sweeps that have ended, by what they came to.', ['table', 'result']),
  sweepLastClean: gauge('lockstep_sweep_last_clean_timestamp_seconds', 'When the last clean full sweep ended.', ['table']),
  sweepLastCleanIncremental: gauge('lockstep_sweep_incremental_last_clean_timestamp_seconds', 'When the last clean incremental sweep ended: it compares touched rows alone.', ['table']),
  touchedKeys: gauge('lockstep_touched_keys', 'Keys, or ranges of keys, that the next incremental sweep compares.', ['table']),
  sweepMaxAge: gauge('lockstep_sweep_max_age_seconds', 'How old the last clean full sweep may become.', []),
  sweepHelpers: gauge('lockstep_sweep_helpers', 'Processes standing by that compare chunks of the running sweep; absent when none runs.', []),
  schemaFindings: gauge('lockstep_schema_findings', 'Differences between the two tables themselves.', ['table', 'severity']),
  gateVerdict: gauge('lockstep_gate_verdict', '1 on the verdict that holds for the phase, 0 on the others.', ['phase', 'verdict']),
  deadLetters: counter('lockstep_dead_letters_total', 'Records that could not be decoded.', ['topic', 'reason']),
  deadLettersOpen: gauge('lockstep_dead_letters_open', 'Dead letters not yet discharged.', ['table']),
  phase: gauge('lockstep_phase', '1 on the phase of the migration, 0 on the others.', ['phase']),
  buildInfo: gauge('lockstep_build_info', 'Always 1; the label says which version runs.', ['version']),
} as const satisfies Readonly<Record<string, MetricDefinition>>;

const CLOSED_LABELS: Readonly<Record<string, readonly string[]>> = {
  side: SIDES,
  op: CHANGE_OPS,
  kind: DRIFT_KINDS,
  found_by: FOUND_BY,
  phase: PHASES,
  finding: PIPELINE_FINDINGS,
  severity: SCHEMA_SEVERITIES,
};

/** The metrics as a Markdown document: the text of docs/metrics.md. */
export function metricsDocument(): string {
  const lines = [
    '# Metrics',
    '',
    'Served at `/metrics` in the Prometheus text format. Base units; no metric carries a row key.',
    'Counters stand at 0 from the start for every declared table; a gauge whose value is not known is absent.',
    '`table` is the qualified name of the table on old.',
    'The process itself is described by the usual `process_*` and `nodejs_*` metrics.',
    '',
    '| metric | type | labels | meaning |',
    '|---|---|---|---|',
  ];
  for (const metric of Object.values<MetricDefinition>(METRICS)) {
    const labels = metric.labels.map((label) => `\`${label}\``).join(', ');
    lines.push(`| \`${metric.name}\` | ${metric.type} | ${labels} | ${metric.help} |`);
  }
  lines.push('', '## Label values', '', '| label | values |', '|---|---|');
  const verdicts = (values: readonly string[]) => values.map((value) => `\`${value}\``).join(', ');
  for (const [label, values] of Object.entries(CLOSED_LABELS)) lines.push(`| \`${label}\` | ${verdicts(values)} |`);
  lines.push(`| \`verdict\` of \`${METRICS.checks.name}\` | ${verdicts(CHECK_VERDICTS)} |`);
  lines.push(`| \`verdict\` of \`${METRICS.gateVerdict.name}\` | ${verdicts(GATE_VERDICTS)} |`);
  lines.push(`| \`result\` of \`${METRICS.sweepChunks.name}\` | ${verdicts(CHUNK_RESULTS)} |`);
  lines.push(`| \`result\` of \`${METRICS.sweepSuspects.name}\` | ${verdicts(SUSPECT_RESULTS)} |`);
  lines.push(`| \`reason\` of \`${METRICS.sweepPaused.name}\` | ${verdicts(PAUSE_REASONS)} |`);
  lines.push(`| \`reason\` of \`${METRICS.deadLetters.name}\` | ${verdicts(DEAD_LETTER_REASONS)} and others |`);
  lines.push('', '## Histogram buckets', '');
  for (const metric of Object.values<MetricDefinition>(METRICS)) {
    if (metric.buckets !== undefined) lines.push(`- \`${metric.name}\`: ${metric.buckets.join(', ')} seconds`);
  }
  return `${lines.join('\n')}\n`;
}

function counter<const Label extends string>(name: string, help: string, labels: readonly Label[]) {
  return { name, type: 'counter' as const, help, labels };
}

function gauge<const Label extends string>(name: string, help: string, labels: readonly Label[]) {
  return { name, type: 'gauge' as const, help, labels };
}

function histogram<const Label extends string>(name: string, help: string, labels: readonly Label[], buckets: readonly number[]) {
  return { name, type: 'histogram' as const, help, labels, buckets };
}
