import type { Side } from './pair.ts';
import type { PauseReason } from './sweep-pause.ts';
import type { SchemaFinding } from './status.ts';

/** What one sweep of one table came to. */
export interface TableOutcome {
  /** Old's qualified table name. */
  readonly table: string;
  /** By key, or for want of one as a bag, whose drift is known by the rows' hashes. */
  readonly comparedAs: 'rows' | 'bag';
  /** Exact row counts as decimal text. */
  readonly rows: Readonly<Record<Side, string>>;
  /** Rows whose digests differed and that were rechecked, and what they came to beside drift. */
  readonly suspects: number;
  readonly inFlight: number;
  readonly equivalent: number;
  readonly unverifiable: number;
  /** Drift found in this table. */
  readonly drift: number;
  readonly strategy: string;
  /** Why that strategy was taken. */
  readonly strategyReason: string;
  readonly elapsedMs: number;
  /** What is worth knowing of the pair: types that differ, what is taken for granted. */
  readonly findings: readonly SchemaFinding[];
}

/** What a one-off check came to. */
export interface CheckOutcome {
  readonly verdict: 'match' | 'drift' | 'unknown';
  /** Why it is unknown; null otherwise. */
  readonly reason: string | null;
  readonly tables: readonly TableOutcome[];
  /** Differing rows of all tables. */
  readonly drift: number;
}

/** How far a one-off check has come with one table. */
export interface CheckProgress {
  readonly table: string;
  /** 0…1 */
  readonly ratio: number;
  /** Rows compared. */
  readonly rows: bigint;
  readonly rowsPerSecond: number | null;
  /** null while it cannot be told. */
  readonly etaMs: number | null;
  /** Why the sweep stands still for now; null: it goes on. */
  readonly pausedBy: PauseReason | null;
}
