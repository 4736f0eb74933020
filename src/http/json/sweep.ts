import type { Sweep, SweepTableProgress } from '../../domain/status.ts';
import type { SweepJson, SweepTableJson } from '../schemas.ts';
import { isoTime } from './times.ts';

export function sweepJson(sweep: Sweep): SweepJson {
  return {
    id: sweep.id,
    kind: sweep.kind,
    status: sweep.status,
    started_at: isoTime(sweep.startedAtMs),
    ended_at: isoTime(sweep.endedAtMs),
    processes: sweep.processes ?? null,
    tables: sweep.tables.map(sweepTableJson),
  };
}

export function sweepTableJson(progress: SweepTableProgress): SweepTableJson {
  return {
    table: progress.table,
    kind: progress.kind,
    kind_reason: progress.kindReason,
    status: progress.status,
    strategy: progress.strategy,
    strategy_reason: progress.strategyReason,
    progress_ratio: progress.progressRatio,
    rows_per_second: progress.rowsPerSecond,
    eta_ms: progress.etaMs,
    paused_by: progress.pausedBy,
    chunks_done: progress.chunksDone,
    chunks_differing: progress.chunksDiffering,
    rows: { old: Number(progress.rows.old), new: Number(progress.rows.new) },
    suspects: progress.suspects,
    in_flight: progress.inFlight,
    equivalent: progress.equivalent,
    unverifiable: progress.unverifiable,
    drift: progress.drift,
    started_at: isoTime(progress.startedAtMs),
    ended_at: isoTime(progress.endedAtMs),
    error: progress.error,
  };
}
