import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { MetricDefinition } from '../../../src/metrics/definitions.ts';
import { METRICS, metricsDocument } from '../../../src/metrics/definitions.ts';
import { errorBudgetRemaining, Metrics } from '../../../src/metrics/metrics.ts';
import { freshTableStatus, NOW_MS, summary, tableStatus } from './summary.ts';

const TABLES = ['public.payments', 'public.orders'];

function metrics(): Metrics {
  return new Metrics({ tables: TABLES, lagBudgetMs: 5_000, lagObjective: 0.999, sweepMaxAgeMs: 86_400_000, version: '1.2.3' });
}

/** Series → value, without comments. */
function series(text: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const space = line.lastIndexOf(' ');
    found.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return found;
}

describe('Metrics', () => {
  it('has every counter at 0 from the start, for each table and label value', async () => {
    const found = series(await metrics().render(null));
    for (const table of TABLES) {
      expect(found.get(`lockstep_change_events_total{table="${table}",side="old",op="create"}`)).toBe(0);
      expect(found.get(`lockstep_checks_total{table="${table}",verdict="unverifiable"}`)).toBe(0);
      expect(found.get(`lockstep_drift_confirmed_total{table="${table}",kind="stream_gap"}`)).toBe(0);
      expect(found.get(`lockstep_drift_resolved_total{table="${table}",kind="missing"}`)).toBe(0);
      expect(found.get(`lockstep_lag_budget_breaches_total{table="${table}"}`)).toBe(0);
      expect(found.get(`lockstep_sweep_rows_total{table="${table}",side="new"}`)).toBe(0);
      expect(found.get(`lockstep_sweep_chunks_total{table="${table}",result="differing"}`)).toBe(0);
      expect(found.get(`lockstep_replication_lag_seconds_count{table="${table}"}`)).toBe(0);
    }
    expect(found.get('lockstep_drift_detection_seconds_count{found_by="sweep"}')).toBe(0);
    expect(found.get('lockstep_replication_lag_budget_seconds')).toBe(5);
    expect(found.get('lockstep_replication_lag_objective_ratio')).toBe(0.999);
    expect(found.get('lockstep_sweep_max_age_seconds')).toBe(86_400);
    expect(found.get('lockstep_build_info{version="1.2.3"}')).toBe(1);
  });

  it('declares dead letters of a topic at 0 once the topic is known', async () => {
    const one = metrics();
    one.declareTopics(['shop.public.payments']);
    const found = series(await one.render(null));
    expect(found.get('lockstep_dead_letters_total{topic="shop.public.payments",reason="not_json"}')).toBe(0);
  });

  it('counts what verification tells it', async () => {
    const one = metrics();
    one.changeEvent('public.payments', 'old', 'update');
    one.check('public.payments', 'match');
    one.driftConfirmed('public.payments', 'stale');
    one.driftResolved('public.payments', 'stale');
    one.driftDetected('stream', 12);
    one.replicationLag('public.payments', 0.04);
    one.lagBudgetBreach('public.payments');
    one.sweepRows('public.payments', 'new', 1_000n);
    one.sweepChunk('public.payments', 'equal');
    one.deadLetter('t', 'new_reason');
    const found = series(await one.render(null));
    expect(found.get('lockstep_change_events_total{table="public.payments",side="old",op="update"}')).toBe(1);
    expect(found.get('lockstep_checks_total{table="public.payments",verdict="match"}')).toBe(1);
    expect(found.get('lockstep_drift_confirmed_total{table="public.payments",kind="stale"}')).toBe(1);
    expect(found.get('lockstep_drift_resolved_total{table="public.payments",kind="stale"}')).toBe(1);
    expect(found.get('lockstep_drift_detection_seconds_sum{found_by="stream"}')).toBe(12);
    expect(found.get('lockstep_replication_lag_seconds_bucket{le="0.05",table="public.payments"}')).toBe(1);
    expect(found.get('lockstep_replication_lag_seconds_bucket{le="0.025",table="public.payments"}')).toBe(0);
    expect(found.get('lockstep_lag_budget_breaches_total{table="public.payments"}')).toBe(1);
    expect(found.get('lockstep_sweep_rows_total{table="public.payments",side="new"}')).toBe(1000);
    expect(found.get('lockstep_sweep_chunks_total{table="public.payments",result="equal"}')).toBe(1);
    expect(found.get('lockstep_dead_letters_total{topic="t",reason="new_reason"}')).toBe(1);
  });

  it('sets the gauges from the summary', async () => {
    const found = series(await metrics().render(summary()));
    const expected: Record<string, number> = {
      'lockstep_pending_checks{table="public.payments"}': 3,
      'lockstep_hot_keys{table="public.payments"}': 1,
      'lockstep_drift_rows{table="public.payments",kind="different"}': 2,
      'lockstep_drift_rows{table="public.payments",kind="stale"}': 0,
      'lockstep_verified_through_timestamp_seconds{table="public.payments"}': (NOW_MS - 2_500) / 1000,
      'lockstep_verified_lag_seconds{table="public.payments"}': 2.5,
      'lockstep_consumer_lag_messages{topic="shop.public.payments",partition="0"}': 42,
      'lockstep_pipeline_finding{finding="sink_stopped"}': 1,
      'lockstep_pipeline_finding{finding="replica_unreachable"}': 0,
      'lockstep_pipeline_finding{finding="source_slot_lost"}': 0,
      'lockstep_primary_idle': 0,
      'lockstep_slot_active{slot="debezium"}': 1,
      'lockstep_slot_retained_wal_bytes{slot="debezium"}': 4096,
      'lockstep_slot_safe_wal_bytes{slot="debezium"}': 1_000_000,
      'lockstep_source_heartbeat_age_seconds': 0.9,
      'lockstep_clock_offset_seconds{side="old"}': 0.012,
      'lockstep_table_rows{table="public.payments",side="old"}': 120,
      'lockstep_row_count_delta{table="public.payments"}': -1,
      'lockstep_sweep_progress_ratio{table="public.payments"}': 0.25,
      'lockstep_sweep_rows_per_second{table="public.payments"}': 250_000.5,
      'lockstep_sweep_paused{table="public.payments",reason="lag"}': 1,
      'lockstep_sweep_paused{table="public.payments",reason="lock_waits"}': 0,
      'lockstep_sweep_eta_seconds{table="public.payments"}': 90,
      'lockstep_sweep_last_clean_timestamp_seconds{table="public.payments"}': (NOW_MS - 3_600_000) / 1000,
      'lockstep_schema_findings{table="public.payments",severity="warning"}': 1,
      'lockstep_schema_findings{table="public.payments",severity="error"}': 0,
      'lockstep_gate_verdict{phase="canary",verdict="fail"}': 1,
      'lockstep_gate_verdict{phase="canary",verdict="pass"}': 0,
      'lockstep_gate_verdict{phase="canary",verdict="unknown"}': 0,
      'lockstep_phase{phase="canary"}': 1,
      'lockstep_phase{phase="shadow"}': 0,
      'lockstep_error_budget_remaining_ratio': 0.5,
    };
    for (const [name, value] of Object.entries(expected)) expect(found.get(name), name).toBeCloseTo(value, 6);
    expect(found.has('lockstep_clock_offset_seconds{side="new"}')).toBe(false);
  });

  it('leaves out every gauge whose value is not known', async () => {
    const one = metrics();
    await one.render(summary());
    const nothing = summary({ tables: [freshTableStatus('public.payments')], verifiedThroughMs: null, verifiedLagMs: null, consumerLag: [] });
    const names = [...series(await one.render(nothing)).keys()].map((name) => name.replace(/\{.*/, ''));
    for (const metric of [METRICS.verifiedThrough, METRICS.verifiedLag, METRICS.tableRows, METRICS.rowCountDelta, METRICS.sweepProgress, METRICS.sweepRate, METRICS.sweepEta, METRICS.sweepLastClean, METRICS.errorBudgetRemaining, METRICS.consumerLag]) {
      expect(names, metric.name).not.toContain(metric.name);
    }
    expect(names).toContain(METRICS.pendingChecks.name);
  });

  it('calls the gate unknown when the state is out of reach, and leaves the rest out', async () => {
    const one = metrics();
    await one.render(summary());
    const found = series(await one.render(null));
    expect(found.get('lockstep_gate_verdict{phase="canary",verdict="unknown"}')).toBe(1);
    expect(found.get('lockstep_gate_verdict{phase="canary",verdict="fail"}')).toBe(0);
    expect([...found.keys()].filter((name) => /drift_rows|verified|pending|^lockstep_phase/.test(name))).toEqual([]);
  });

  it('defines what it exports and exports what it defines', async () => {
    const one = metrics();
    one.declareTopics(['t']);
    const text = await one.render(summary());
    const exported = new Map([...text.matchAll(/^# TYPE (lockstep_\S+) (\w+)$/gm)].map((match) => [match[1], match[2]]));
    const defined = new Map(Object.values<MetricDefinition>(METRICS).map((metric) => [metric.name, metric.type]));
    expect(exported).toEqual(defined);
    expect(text).toMatch(/^nodejs_eventloop_lag_seconds /m);
    expect(text).toMatch(/^process_cpu_seconds_total /m);
  });

  it('is described by docs/metrics.md (UPDATE_DOCS=1 writes it)', () => {
    const file = new URL('../../../docs/metrics.md', import.meta.url);
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(file, metricsDocument());
    expect(readFileSync(file, 'utf8')).toBe(metricsDocument());
  });
});

describe('errorBudgetRemaining', () => {
  const lag = tableStatus().lag;
  it.each([
    [0, 0, 0.999, null],
    [1_000, 0, 0.999, 1],
    [1_000, 1, 0.999, 0],
    [1_000, 3, 0.999, -2],
    [1_000, 0, 1, 1],
    [1_000, 1, 1, 0],
  ])('%i samples, %i breaches at %f: %s', (samples, breaches, objective, remaining) => {
    const actual = errorBudgetRemaining([tableStatus({ lag: { ...lag, samples, breaches } })], objective);
    if (remaining === null) expect(actual).toBeNull();
    else expect(actual).toBeCloseTo(remaining, 6);
  });
});
