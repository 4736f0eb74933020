import type { DeadLetter } from '../domain/dead-letter.ts';
import type { DriftGroup } from '../domain/causes/groups.ts';
import type { Drift, DriftEvent, DriftKind, DriftStatus, FoundBy } from '../domain/drift.ts';
import type { GateReport, Phase } from '../domain/gate.ts';
import type { LagFigures, RowCheckResult, Summary, Sweep, SweepKind, TableStatus } from '../domain/status.ts';

/** A key as a request names it: column → value, numbers as the decimal text they were written in. */
export type RequestedKey = Readonly<Record<string, string | boolean>>;

/** Which drift to list; null does not filter. */
export interface DriftFilter {
  readonly table: string | null;
  readonly kind: DriftKind | null;
  readonly status: DriftStatus | null;
  readonly causeCode: string | null;
  readonly foundBy: FoundBy | null;
  /** First seen at least so long ago. */
  readonly minAgeMs: number | null;
  /** Confirmed at or after this, ms since 1970. */
  readonly sinceMs: number | null;
  readonly key: RequestedKey | null;
}

/** One page of a list; `nextCursor` is null on the last. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}

export type RowChecks =
  | { readonly kind: 'results'; readonly results: readonly RowCheckResult[] }
  | { readonly kind: 'unknown_table' }
  | { readonly kind: 'bad_key'; readonly message: string };

export type SweepStart =
  | { readonly kind: 'started'; readonly sweep: Sweep }
  | { readonly kind: 'unknown_table'; readonly table: string }
  | { readonly kind: 'already_running'; readonly sweep: Sweep };

export interface TableLag {
  readonly table: string;
  readonly lag: LagFigures;
  readonly budgetMs: number;
  /** Share of changes that must stay within the budget. */
  readonly objective: number;
  readonly errorBudgetRemainingRatio: number | null;
  /** Window (`5m`, `1h`, …) → how many times faster than allowed the budget is spent; null where nothing was measured. */
  readonly burnRates: Readonly<Record<string, number | null>>;
}

/** Which dead letters to try again; what is absent does not narrow. */
export interface DeadLetterSelection {
  readonly table?: string;
  readonly topic?: string;
  readonly reason?: string;
}

/** What came of decoding a dead letter's record again. */
export type RetryOutcome =
  /** It is discharged, and what it says is being verified. */
  | { readonly kind: 'retried'; readonly letter: DeadLetter }
  | { readonly kind: 'unknown' }
  /** A sweep or an operator discharged it, and nothing is left to account for. */
  | { readonly kind: 'already_discharged' }
  | { readonly kind: 'under_way' }
  | { readonly kind: 'undecodable'; readonly reason: string; readonly message: string }
  | { readonly kind: 'gone' | 'not_retryable'; readonly message: string };

/** What came of retrying several. */
export interface RetryCounts {
  readonly retried: number;
  readonly undecodable: number;
  readonly gone: number;
  readonly notRetryable: number;
  /** There are more of the selection than this call came to. */
  readonly isCut: boolean;
}

/** A mutating call, told before it is carried out. Never row values: a drift is named by its id. */
export interface AuditEntry {
  readonly atMs: number;
  /** `loopback`, or `token:` and the first digits of the token's hash. */
  readonly actor: string;
  readonly remoteAddress: string;
  readonly action: 'drift.recheck' | 'drift.ignore' | 'dead_letter.discharge' | 'dead_letter.retry' | 'sweep.start' | 'sweep.cancel';
  /** What it is done to: a drift's, dead letter's or sweep's id, table names. */
  readonly target: string;
  readonly reason: string | null;
}

/**
 * What the HTTP interface asks of the service. A cursor is an opaque string
 * that the view gave; one that it does not know is refused with a
 * `LockstepError` of code `bad_cursor`.
 */
export interface ServiceView {
  summary(): Promise<Summary>;
  table(id: string): Promise<TableStatus | null>;
  listDrift(filter: DriftFilter, cursor: string | null, limit: number): Promise<Page<Drift>>;
  /** Drift by table, column and cause, most rows first. */
  groupDrift(filter: DriftFilter, limit: number): Promise<readonly DriftGroup[]>;
  drift(id: string): Promise<{ readonly drift: Drift; readonly events: readonly DriftEvent[] } | null>;
  recheckDrift(id: string): Promise<'accepted' | 'not_found'>;
  ignoreDrift(id: string, reason: string, actor: string): Promise<Drift | null>;
  /** Dead letters not yet discharged, newest first; null is every table. */
  listDeadLetters(table: string | null, cursor: string | null, limit: number): Promise<Page<DeadLetter>>;
  /** The dead letter, discharged now or before; null when there is none of that id. */
  dischargeDeadLetter(id: string): Promise<DeadLetter | null>;
  retryDeadLetter(id: string): Promise<RetryOutcome>;
  retryDeadLetters(selection: DeadLetterSelection, limit: number): Promise<RetryCounts>;
  checkRows(table: string, keys: readonly RequestedKey[]): Promise<RowChecks>;
  /** Lag over the last `windowMs`; null is the configured window. */
  lag(windowMs: number | null): Promise<readonly TableLag[]>;
  listSweeps(cursor: string | null, limit: number): Promise<Page<Sweep>>;
  startSweep(tables: readonly string[] | null, kind: SweepKind, actor: string): Promise<SweepStart>;
  cancelSweep(id: string, actor: string): Promise<Sweep | null>;
  gate(phase: Phase | null): Promise<GateReport>;
  readiness(): Promise<{ readonly ready: boolean; readonly reasons: readonly string[] }>;
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>;
  /** The call is refused when this rejects. */
  audit(entry: AuditEntry): Promise<void>;
}
