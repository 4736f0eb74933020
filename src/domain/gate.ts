import type { DeadLetterPlace } from './dead-letter.ts';

/** Stages of a migration's rollout. */
export type Phase = 'shadow' | 'canary' | 'cutover' | 'runway' | 'complete' | 'rolled_back';

export const PHASES: readonly Phase[] = ['shadow', 'canary', 'cutover', 'runway', 'complete', 'rolled_back'];

export type GateVerdict = 'pass' | 'fail' | 'unknown';

export interface GateReason {
  /** Stable: `open_drift`, `verified_through_behind`, `no_verified_through`, `sweep_too_old`, `no_clean_sweep`, `dead_letters`, `sweep_only`, a pipeline finding such as `sink_stopped`, … */
  readonly code: string;
  /** `info` keeps nothing from passing. */
  readonly severity: 'fail' | 'unknown' | 'info';
  readonly table: string | null;
  readonly message: string;
  readonly observed: string | number | null;
  readonly limit: string | number | null;
}

export interface GateReport {
  readonly verdict: GateVerdict;
  readonly action: 'proceed' | 'hold' | 'rollback';
  readonly phase: Phase;
  readonly reasons: readonly GateReason[];
  readonly evaluatedAtMs: number;
}

/** What a phase asks for before traffic moves. */
export interface GatePolicy {
  readonly maxDriftRows: number;
  readonly verifiedWithinMs: number;
  readonly sweepMaxAgeMs: number;
  /** Whether it may pass where only a sample of a table's changes is checked. */
  readonly allowSampled: boolean;
}

/** What is known of one table when the gate is asked; null is not known. */
export interface GateTableEvidence {
  readonly table: string;
  readonly openDrift: number;
  readonly verifiedThroughMs: number | null;
  readonly verifiedThroughHeldBy: string | null;
  /** No change of it is checked: verified-through stands where its last sweep began. */
  readonly sweepOnly: boolean;
  /** Share of the keys whose changes are checked; 1: all of them. */
  readonly sampleRatio: number;
  readonly lastCleanSweepMs: number | null;
  readonly lastSweepEndedMs: number | null;
  readonly deadLetters: number;
  readonly oldestDeadLetter: DeadLetterPlace | null;
  readonly unverifiable: number;
}

export interface GateEvidence {
  readonly tables: readonly GateTableEvidence[];
  /** Open findings about the pipeline, one line each, with what was observed and the limit that it is beyond. */
  readonly pipeline: readonly { readonly code: string; readonly message: string; readonly observed: number | null; readonly limit: number | null }[];
  /** What explains that nothing moves and is no failure: told where the gate does not pass. */
  readonly explanations: readonly { readonly code: string; readonly message: string; readonly observed: number | null; readonly limit: number | null }[];
}
