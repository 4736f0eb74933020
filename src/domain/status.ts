import type { DriftKind } from './drift.ts';
import type { GateReport, Phase } from './gate.ts';
import type { Side } from './pair.ts';
import type { SlotWalStatus } from './source-situation.ts';
import type { PauseReason } from './sweep-pause.ts';

/** What part of the pipeline or of Lockstep is not doing its work. */
export type PipelineFinding =
  | 'primary_unreachable'
  | 'replica_unreachable'
  | 'stream_unreachable'
  | 'source_connector_stopped'
  | 'source_slot_inactive'
  | 'source_slot_missing'
  | 'source_slot_lost'
  | 'slot_wal_growing'
  | 'sink_stopped'
  | 'replica_stream_stopped'
  | 'consumer_behind'
  | 'snapshot_in_progress'
  | 'state_store_unreachable';

/** A finding with when it began and one line that says what to look at. */
export interface PipelineStatus {
  readonly finding: PipelineFinding;
  readonly sinceMs: number;
  readonly message: string;
  /** What was measured, in the unit of its limit: seconds, bytes or records; null where the finding is no matter of degree. */
  readonly observed: number | null;
  readonly limit: number | null;
  /** Tables that it is about; null: all of them. */
  readonly tables: readonly string[] | null;
}

/** A replication slot on the primary that feeds the stream, or may. */
export interface SlotStatus {
  readonly name: string;
  readonly active: boolean;
  /** The server's `wal_status`; null: it does not say. */
  readonly walStatus: SlotWalStatus;
  /** Log that the server keeps for it. */
  readonly retainedBytes: number | null;
  /** Log that may still be written before the slot is lost; null: there is no limit. */
  readonly safeBytes: number | null;
  /** `max_slot_wal_keep_size`; null: there is no limit. */
  readonly limitBytes: number | null;
}

/** What is known of the source, right or wrong. */
export interface SourceStatus {
  readonly slots: readonly SlotStatus[];
  /** Since the connectors' last heartbeat; null: they send none. */
  readonly heartbeatAgeMs: number | null;
  /** The primary writes none of the compared tables, which is no failure; null: it does, or nobody knows. */
  readonly idle: { readonly forMs: number; readonly limitMs: number; readonly logMovedBytes: string } | null;
}

/** p50, p95 and p99 over a window, in milliseconds; null where nothing was measured. */
export interface LagFigures {
  readonly currentMs: number | null;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
  readonly samples: number;
  /** Share of the samples that is exact rather than bounded by two reads. */
  readonly exactRatio: number | null;
  readonly windowMs: number;
  /** Samples over the lag budget within the window. */
  readonly breaches: number;
}

/** `full`: all rows; `incremental`: those that a consumed change touched since the last sweep, which a clean full one must have come before. */
export type SweepKind = 'full' | 'incremental';

export type SweepStatus = 'running' | 'settling' | 'done' | 'cancelled' | 'failed';

/**
 * How the rows of both sides are digested: by the engine's own hash functions, by text and md5 in SQL, or by reading
 * them out and hashing them here.
 */
export type DigestPath = 'fast' | 'portable' | 'client';

/** One table's part in a sweep. */
export interface SweepTableProgress {
  readonly table: string;
  readonly kind: SweepKind;
  /** Why it is of this kind. */
  readonly kindReason: string;
  readonly status: SweepStatus;
  readonly strategy: DigestPath;
  readonly strategyReason: string;
  readonly progressRatio: number;
  /** Rows compared a second over the last seconds; null unless it is under way. */
  readonly rowsPerSecond: number | null;
  /** Until all of the table's rows are compared at that rate; null while that cannot be told. */
  readonly etaMs: number | null;
  /** Why it stands still for now; null: it goes on. */
  readonly pausedBy: PauseReason | null;
  readonly chunksDone: number;
  readonly chunksDiffering: number;
  readonly rows: Readonly<Record<Side, string>>;
  /** Rows handed to the recheck; what became of them follows, but for those that wait for it still. */
  readonly suspects: number;
  /** Equal when they were looked at again, or left to the stream with a change of theirs that is under way. */
  readonly inFlight: number;
  /** Equal in value, though their digests differ: of a sample that is taken when the sweep ends. */
  readonly equivalent: number;
  /** Given up without an answer: they never came to rest. */
  readonly unverifiable: number;
  readonly drift: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
  readonly error: string | null;
}

export interface Sweep {
  readonly id: string;
  /** As asked for: a table that cannot be swept incrementally is swept in full, and says why. */
  readonly kind: SweepKind;
  readonly status: SweepStatus;
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
  /** How many processes share it, the writer included; absent where it is not under way here. */
  readonly processes?: number;
  readonly tables: readonly SweepTableProgress[];
}

/** Something about a pair's tables, columns or events that is worth knowing. */
export interface SchemaFinding {
  /** `info`: nothing is lost; `warning`: what is compared rests on an assumption, or one side may not hold what the other does. */
  readonly severity: 'info' | 'warning' | 'error';
  readonly message: string;
}

/** What looks at a table's rows: of one without a key, sweeps alone; `sampled`: sweeps at all, the stream at a part of the keys. */
export type Coverage = 'stream_and_sweep' | 'sampled' | 'sweep_only';

export interface TableStatus {
  readonly table: string;
  readonly newTable: string;
  readonly key: readonly string[];
  /** Exact counts of the last finished full sweep, as decimal text; null before the first. */
  readonly rows: Readonly<Record<Side, string | null>>;
  /** new − old of rows, net of rows in flight; null before the first sweep. */
  readonly rowCountDelta: string | null;
  readonly verifiedThroughMs: number | null;
  /** Why there is none, or why it stands still; null when it moves. */
  readonly verifiedThroughHeldBy: string | null;
  readonly coverage: Coverage;
  /** Share of the keys whose changes are checked; 1: all of them. */
  readonly sampleRatio: number;
  readonly lag: LagFigures;
  readonly pendingChecks: number;
  readonly oldestPendingMs: number | null;
  readonly hotKeys: number;
  readonly unverifiable: number;
  readonly drift: Readonly<Record<DriftKind, number>>;
  readonly deadLetters: number;
  /** What of the stream could not be read, in words; null where all could. */
  readonly missingEvidence: string | null;
  /** Findings of the pipeline that concern it. */
  readonly pipeline: readonly PipelineStatus[];
  readonly lastCleanSweepMs: number | null;
  readonly lastSweepEndedMs: number | null;
  readonly lastCleanIncrementalMs: number | null;
  readonly lastIncrementalEndedMs: number | null;
  /** Keys, or ranges of keys, that the next incremental sweep compares. */
  readonly touchedKeys: number;
  /** Why the next sweep must be a full one; null: an incremental one is possible. */
  readonly needsFullSweep: string | null;
  readonly sweep: SweepTableProgress | null;
  readonly strategy: DigestPath | null;
  readonly schemaFindings: readonly SchemaFinding[];
}

export interface Summary {
  readonly migration: string;
  readonly phase: Phase;
  readonly primary: Side;
  /** The smallest of the tables' verified-through; null while any has none. */
  readonly verifiedThroughMs: number | null;
  readonly verifiedLagMs: number | null;
  readonly pipeline: readonly PipelineStatus[];
  readonly source: SourceStatus;
  readonly gate: GateReport;
  readonly openDrift: number;
  readonly clockSkewMs: Readonly<Record<Side, { readonly offsetMs: number; readonly boundMs: number } | null>>;
  readonly tables: readonly TableStatus[];
  readonly consumerLag: readonly { readonly topic: string; readonly partition: number; readonly messages: number }[];
}

/** Verdict of one row asked for by the API. */
export interface RowCheckResult {
  readonly key: Readonly<Record<string, string | number | boolean | null>>;
  readonly verdict: 'match' | 'mismatch' | 'inconclusive' | 'hot' | 'unverifiable';
  readonly columns: readonly string[];
  readonly message: string;
  readonly lagMs: number | null;
}
