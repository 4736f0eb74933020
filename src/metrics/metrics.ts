import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { DriftKind, FoundBy } from '../domain/drift.ts';
import { DRIFT_KINDS, FOUND_BY } from '../domain/drift.ts';
import type { Phase } from '../domain/gate.ts';
import { PHASES } from '../domain/gate.ts';
import type { Side } from '../domain/pair.ts';
import { PAUSE_REASONS } from '../domain/sweep-pause.ts';
import type { SourceStatus, Summary, TableStatus } from '../domain/status.ts';
import { SUSPECT_RESULTS, type CheckVerdict, type SuspectResult, type VerifyMetrics } from '../verify/ports.ts';
import type { MetricDefinition } from './definitions.ts';
import {
  CHANGE_OPS,
  CHECK_VERDICTS,
  CHUNK_RESULTS,
  DEAD_LETTER_REASONS,
  GATE_VERDICTS,
  METRICS,
  PIPELINE_FINDINGS,
  SCHEMA_SEVERITIES,
  SIDES,
} from './definitions.ts';

export interface MetricsOptions {
  /** Old's qualified name of every table that is verified. */
  readonly tables: readonly string[];
  readonly lagBudgetMs: number;
  /** Share of the changes that must stay within the budget, e.g. 0.999. */
  readonly lagObjective: number;
  readonly sweepMaxAgeMs: number;
  readonly version: string;
}

/** Every metric, in a registry of its own. */
export class Metrics implements VerifyMetrics {
  readonly #registry = new Registry();
  readonly #options: MetricsOptions;
  readonly #gauges: Gauge[] = [];
  readonly #changeEvents = this.#counter(METRICS.changeEvents);
  readonly #checks = this.#counter(METRICS.checks);
  readonly #driftConfirmed = this.#counter(METRICS.driftConfirmed);
  readonly #driftResolved = this.#counter(METRICS.driftResolved);
  readonly #lagBreaches = this.#counter(METRICS.lagBreaches);
  readonly #pairedEvents = this.#counter(METRICS.pairedEvents);
  readonly #sweepRows = this.#counter(METRICS.sweepRows);
  readonly #sweepChunks = this.#counter(METRICS.sweepChunks);
  readonly #sweepSuspects = this.#counter(METRICS.sweepSuspects);
  readonly #deadLetters = this.#counter(METRICS.deadLetters);
  readonly #lag = this.#histogram(METRICS.lag);
  readonly #driftDetection = this.#histogram(METRICS.driftDetection);
  readonly #pendingChecks = this.#gauge(METRICS.pendingChecks);
  readonly #sampleRatio = this.#gauge(METRICS.sampleRatio);
  readonly #hotKeys = this.#gauge(METRICS.hotKeys);
  readonly #unverifiableKeys = this.#gauge(METRICS.unverifiableKeys);
  readonly #driftRows = this.#gauge(METRICS.driftRows);
  readonly #lagBudget = this.#gauge(METRICS.lagBudget);
  readonly #lagObjective = this.#gauge(METRICS.lagObjective);
  readonly #sweepMaxAge = this.#gauge(METRICS.sweepMaxAge);
  readonly #errorBudgetRemaining = this.#gauge(METRICS.errorBudgetRemaining);
  readonly #verifiedThrough = this.#gauge(METRICS.verifiedThrough);
  readonly #verifiedLag = this.#gauge(METRICS.verifiedLag);
  readonly #consumerLag = this.#gauge(METRICS.consumerLag);
  readonly #pipelineFinding = this.#gauge(METRICS.pipelineFinding);
  readonly #primaryIdle = this.#gauge(METRICS.primaryIdle);
  readonly #slotActive = this.#gauge(METRICS.slotActive);
  readonly #slotRetained = this.#gauge(METRICS.slotRetained);
  readonly #slotSafe = this.#gauge(METRICS.slotSafe);
  readonly #heartbeatAge = this.#gauge(METRICS.heartbeatAge);
  readonly #clockOffset = this.#gauge(METRICS.clockOffset);
  readonly #tableRows = this.#gauge(METRICS.tableRows);
  readonly #rowCountDelta = this.#gauge(METRICS.rowCountDelta);
  readonly #sweepProgress = this.#gauge(METRICS.sweepProgress);
  readonly #sweepRate = this.#gauge(METRICS.sweepRate);
  readonly #sweepEta = this.#gauge(METRICS.sweepEta);
  readonly #sweepPaused = this.#gauge(METRICS.sweepPaused);
  readonly #sweepHelpers = this.#gauge(METRICS.sweepHelpers);
  readonly #sweepLastClean = this.#gauge(METRICS.sweepLastClean);
  readonly #sweepLastCleanIncremental = this.#gauge(METRICS.sweepLastCleanIncremental);
  readonly #touchedKeys = this.#gauge(METRICS.touchedKeys);
  readonly #schemaFindings = this.#gauge(METRICS.schemaFindings);
  readonly #gateVerdict = this.#gauge(METRICS.gateVerdict);
  readonly #deadLettersOpen = this.#gauge(METRICS.deadLettersOpen);
  readonly #phase = this.#gauge(METRICS.phase);
  readonly #buildInfo = this.#gauge(METRICS.buildInfo);
  #lastGatePhase: Phase | null = null;

  constructor(options: MetricsOptions) {
    this.#options = options;
    collectDefaultMetrics({ register: this.#registry });
    for (const found_by of FOUND_BY) this.#driftDetection.zero({ found_by });
    for (const table of options.tables) {
      for (const side of SIDES) {
        for (const op of CHANGE_OPS) this.#changeEvents.inc({ table, side, op }, 0);
        this.#sweepRows.inc({ table, side }, 0);
      }
      for (const verdict of CHECK_VERDICTS) this.#checks.inc({ table, verdict }, 0);
      for (const kind of DRIFT_KINDS) {
        this.#driftConfirmed.inc({ table, kind }, 0);
        this.#driftResolved.inc({ table, kind }, 0);
      }
      for (const result of SUSPECT_RESULTS) this.#sweepSuspects.inc({ table, result }, 0);
      for (const result of CHUNK_RESULTS) this.#sweepChunks.inc({ table, result }, 0);
      this.#pairedEvents.inc({ table }, 0);
      this.#lagBreaches.inc({ table }, 0);
      this.#lag.zero({ table });
    }
  }

  /** Topics become known after the start: their dead-letter counters stand at 0 from here on. */
  declareTopics(topics: readonly string[]): void {
    for (const topic of topics) {
      for (const reason of DEAD_LETTER_REASONS) this.#deadLetters.inc({ topic, reason }, 0);
    }
  }

  changeEvent(table: string, side: Side, op: string): void {
    this.#changeEvents.inc({ table, side, op });
  }

  check(table: string, verdict: CheckVerdict): void {
    this.#checks.inc({ table, verdict });
  }

  driftConfirmed(table: string, kind: DriftKind): void {
    this.#driftConfirmed.inc({ table, kind });
  }

  driftResolved(table: string, kind: DriftKind): void {
    this.#driftResolved.inc({ table, kind });
  }

  driftDetected(foundBy: FoundBy, seconds: number): void {
    this.#driftDetection.observe({ found_by: foundBy }, seconds);
  }

  pairedEvent(table: string): void {
    this.#pairedEvents.inc({ table });
  }

  replicationLag(table: string, seconds: number): void {
    this.#lag.observe({ table }, seconds);
  }

  lagBudgetBreach(table: string): void {
    this.#lagBreaches.inc({ table });
  }

  sweepRows(table: string, side: Side, rows: bigint): void {
    this.#sweepRows.inc({ table, side }, Number(rows));
  }

  sweepChunk(table: string, result: 'equal' | 'differing'): void {
    this.#sweepChunks.inc({ table, result });
  }

  sweepSuspects(table: string, result: SuspectResult, rows: number): void {
    this.#sweepSuspects.inc({ table, result }, rows);
  }

  deadLetter(topic: string, reason: string): void {
    this.#deadLetters.inc({ topic, reason });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /**
   * The text for a scrape. Gauges are those of `summary`; with none, they are
   * absent, and the gate, once it was known, is `unknown`.
   * @param processes that share the running sweep; 0 when none runs
   */
  render(summary: Summary | null, processes = 0): Promise<string> {
    for (const gauge of this.#gauges) gauge.reset();
    // A reset leaves a gauge without labels at 0, which would be a value.
    this.#errorBudgetRemaining.remove();
    if (processes > 0) this.#sweepHelpers.set(processes - 1);
    else this.#sweepHelpers.remove();
    this.#lagBudget.set(this.#options.lagBudgetMs / 1000);
    this.#lagObjective.set(this.#options.lagObjective);
    this.#sweepMaxAge.set(this.#options.sweepMaxAgeMs / 1000);
    this.#buildInfo.set({ version: this.#options.version }, 1);
    if (summary === null) {
      if (this.#lastGatePhase !== null) this.#setGate(this.#lastGatePhase, 'unknown');
    } else {
      this.#setOverall(summary);
      const nowMs = clockOf(summary);
      for (const table of summary.tables) this.#setTable(table, nowMs);
    }
    return this.#registry.metrics();
  }

  #setOverall(summary: Summary): void {
    this.#lastGatePhase = summary.gate.phase;
    this.#setGate(summary.gate.phase, summary.gate.verdict);
    for (const phase of PHASES) this.#phase.set({ phase }, phase === summary.phase ? 1 : 0);
    const found = new Set(summary.pipeline.map((status) => status.finding));
    for (const finding of PIPELINE_FINDINGS) this.#pipelineFinding.set({ finding }, found.has(finding) ? 1 : 0);
    this.#setSource(summary.source);
    for (const side of SIDES) {
      const skew = summary.clockSkewMs[side];
      if (skew !== null) this.#clockOffset.set({ side }, skew.offsetMs / 1000);
    }
    for (const { topic, partition, messages } of summary.consumerLag) {
      this.#consumerLag.set({ topic, partition: String(partition) }, messages);
    }
    const remaining = errorBudgetRemaining(summary.tables, this.#options.lagObjective);
    if (remaining !== null) this.#errorBudgetRemaining.set(remaining);
  }

  #setSource({ slots, heartbeatAgeMs, idle }: SourceStatus): void {
    this.#primaryIdle.set(idle === null ? 0 : 1);
    for (const { name: slot, active, retainedBytes, safeBytes } of slots) {
      this.#slotActive.set({ slot }, active ? 1 : 0);
      if (retainedBytes !== null) this.#slotRetained.set({ slot }, retainedBytes);
      if (safeBytes !== null) this.#slotSafe.set({ slot }, safeBytes);
    }
    if (heartbeatAgeMs !== null) this.#heartbeatAge.set(heartbeatAgeMs / 1000);
  }

  #setGate(phase: Phase, holds: (typeof GATE_VERDICTS)[number]): void {
    for (const verdict of GATE_VERDICTS) this.#gateVerdict.set({ phase, verdict }, verdict === holds ? 1 : 0);
  }

  #setTable(status: TableStatus, nowMs: number): void {
    const { table } = status;
    this.#pendingChecks.set({ table }, status.pendingChecks);
    this.#hotKeys.set({ table }, status.hotKeys);
    this.#unverifiableKeys.set({ table }, status.unverifiable);
    this.#sampleRatio.set({ table }, status.sampleRatio);
    this.#deadLettersOpen.set({ table }, status.deadLetters);
    for (const kind of DRIFT_KINDS) this.#driftRows.set({ table, kind }, status.drift[kind]);
    if (status.verifiedThroughMs !== null) {
      this.#verifiedThrough.set({ table }, status.verifiedThroughMs / 1000);
      this.#verifiedLag.set({ table }, Math.max(0, nowMs - status.verifiedThroughMs) / 1000);
    }
    for (const side of SIDES) {
      const rows = status.rows[side];
      if (rows !== null) this.#tableRows.set({ table, side }, Number(rows));
    }
    if (status.rowCountDelta !== null) this.#rowCountDelta.set({ table }, Number(status.rowCountDelta));
    if (status.sweep !== null) {
      const { progressRatio, rowsPerSecond, etaMs, pausedBy } = status.sweep;
      for (const reason of PAUSE_REASONS) this.#sweepPaused.set({ table, reason }, reason === pausedBy ? 1 : 0);
      this.#sweepProgress.set({ table }, progressRatio);
      if (rowsPerSecond !== null) this.#sweepRate.set({ table }, rowsPerSecond);
      if (etaMs !== null) this.#sweepEta.set({ table }, etaMs / 1000);
    }
    if (status.lastCleanSweepMs !== null) this.#sweepLastClean.set({ table }, status.lastCleanSweepMs / 1000);
    if (status.lastCleanIncrementalMs !== null) this.#sweepLastCleanIncremental.set({ table }, status.lastCleanIncrementalMs / 1000);
    this.#touchedKeys.set({ table }, status.touchedKeys);
    for (const severity of SCHEMA_SEVERITIES) {
      this.#schemaFindings.set({ table, severity }, status.schemaFindings.filter((finding) => finding.severity === severity).length);
    }
  }

  #counter<Label extends string>(definition: MetricDefinition & { readonly labels: readonly Label[] }): Counter<Label> {
    return new Counter({ name: definition.name, help: definition.help, labelNames: definition.labels, registers: [this.#registry] });
  }

  #histogram<Label extends string>(definition: MetricDefinition & { readonly labels: readonly Label[] }): Histogram<Label> {
    return new Histogram({
      name: definition.name,
      help: definition.help,
      labelNames: definition.labels,
      buckets: [...(definition.buckets ?? [])],
      registers: [this.#registry],
    });
  }

  #gauge<Label extends string>(definition: MetricDefinition & { readonly labels: readonly Label[] }): Gauge<Label> {
    const gauge = new Gauge({ name: definition.name, help: definition.help, labelNames: definition.labels, registers: [this.#registry] });
    this.#gauges.push(gauge);
    return gauge;
  }
}

/**
 * The share of the error budget that is left over the SLO window, all tables
 * taken together: 1 untouched, 0 spent, below 0 overspent; null where nothing
 * was measured.
 */
export function errorBudgetRemaining(tables: readonly TableStatus[], objective: number): number | null {
  let samples = 0;
  let breaches = 0;
  for (const { lag } of tables) {
    samples += lag.samples;
    breaches += lag.breaches;
  }
  if (samples === 0) return null;
  const allowed = (1 - objective) * samples;
  if (allowed <= 0) return breaches === 0 ? 1 : 0;
  return 1 - breaches / allowed;
}

/** Now, on the clock of the summary's own times. */
function clockOf(summary: Summary): number {
  return summary.verifiedThroughMs !== null && summary.verifiedLagMs !== null
    ? summary.verifiedThroughMs + summary.verifiedLagMs
    : summary.gate.evaluatedAtMs;
}
