import type { Summary, TableStatus } from '../../../src/domain/status.ts';

export const NOW_MS = 1_800_000_000_000;

/** A table about which everything is known. */
export function tableStatus(change: Partial<TableStatus> = {}): TableStatus {
  return {
    table: 'public.payments',
    newTable: 'billing.payments',
    key: ['id'],
    rows: { old: '120', new: '119' },
    rowCountDelta: '-1',
    verifiedThroughMs: NOW_MS - 2_500,
    coverage: 'stream_and_sweep',
    sampleRatio: 1,
    verifiedThroughHeldBy: null,
    lag: { currentMs: 40, p50Ms: 35, p95Ms: 80, p99Ms: 120, samples: 10_000, exactRatio: 0.9, windowMs: 3_600_000, breaches: 5 },
    pendingChecks: 3,
    oldestPendingMs: NOW_MS - 700,
    hotKeys: 1,
    unverifiable: 0,
    drift: { missing: 1, extra: 0, different: 2, stale: 0, stream_gap: 0 },
    deadLetters: 0,
    missingEvidence: null,
    pipeline: [],
    lastCleanSweepMs: NOW_MS - 3_600_000,
    lastSweepEndedMs: NOW_MS - 3_600_000,
    lastCleanIncrementalMs: NOW_MS - 600_000,
    lastIncrementalEndedMs: NOW_MS - 600_000,
    touchedKeys: 12,
    needsFullSweep: null,
    sweep: {
      table: 'public.payments',
      kind: 'full',
      kindReason: 'a full sweep was asked for',
      status: 'running',
      strategy: 'portable',
      strategyReason: 'the servers differ',
      progressRatio: 0.25,
      rowsPerSecond: 250_000.5,
      etaMs: 90_000,
      pausedBy: 'lag',
      chunksDone: 2,
      chunksDiffering: 1,
      rows: { old: '30', new: '29' },
      suspects: 1,
      inFlight: 0,
      equivalent: 0,
      unverifiable: 0,
      drift: 0,
      startedAtMs: NOW_MS - 60_000,
      endedAtMs: null,
      error: null,
    },
    strategy: 'portable',
    schemaFindings: [{ severity: 'warning', message: 'column note is nullable on new only' }],
    ...change,
  };
}

/** A table of which nothing is known yet. */
export function freshTableStatus(table: string): TableStatus {
  return tableStatus({
    table,
    rows: { old: null, new: null },
    rowCountDelta: null,
    verifiedThroughMs: null,
    verifiedThroughHeldBy: 'the first sweep',
    lag: { currentMs: null, p50Ms: null, p95Ms: null, p99Ms: null, samples: 0, exactRatio: null, windowMs: 3_600_000, breaches: 0 },
    pendingChecks: 0,
    oldestPendingMs: null,
    hotKeys: 0,
    drift: { missing: 0, extra: 0, different: 0, stale: 0, stream_gap: 0 },
    lastCleanSweepMs: null,
    lastSweepEndedMs: null,
    lastCleanIncrementalMs: null,
    lastIncrementalEndedMs: null,
    touchedKeys: 0,
    needsFullSweep: 'no full sweep has ended clean yet',
    sweep: null,
    strategy: null,
    schemaFindings: [],
  });
}

export function summary(change: Partial<Summary> = {}): Summary {
  return {
    migration: 'payments',
    phase: 'canary',
    primary: 'old',
    verifiedThroughMs: NOW_MS - 2_500,
    verifiedLagMs: 2_500,
    pipeline: [{ finding: 'sink_stopped', sinceMs: NOW_MS - 30_000, message: 'the sink has applied nothing for 30 s', observed: 30, limit: 5, tables: null }],
    source: {
      slots: [{ name: 'debezium', active: true, walStatus: 'reserved', retainedBytes: 4096, safeBytes: 1_000_000, limitBytes: 1_048_576 }],
      heartbeatAgeMs: 900,
      idle: null,
    },
    gate: {
      verdict: 'fail',
      action: 'rollback',
      phase: 'canary',
      reasons: [{ code: 'open_drift', severity: 'fail', table: 'public.payments', message: '3 row(s) drift; 0 allowed', observed: 3, limit: 0 }],
      evaluatedAtMs: NOW_MS,
    },
    openDrift: 3,
    clockSkewMs: { old: { offsetMs: 12, boundMs: 1 }, new: null },
    tables: [tableStatus()],
    consumerLag: [{ topic: 'shop.public.payments', partition: 0, messages: 42 }],
    ...change,
  };
}
