import type { Position } from './change.ts';

/** What kind of difference is proven. */
export type DriftKind = 'missing' | 'extra' | 'different' | 'stale' | 'stream_gap';

export const DRIFT_KINDS: readonly DriftKind[] = ['missing', 'extra', 'different', 'stale', 'stream_gap'];

export type DriftStatus = 'open' | 'resolved' | 'ignored';

export type FoundBy = 'stream' | 'sweep' | 'transaction' | 'api';

export const FOUND_BY: readonly FoundBy[] = ['stream', 'sweep', 'transaction', 'api'];

/** A value as JSON shows it. */
export type SampleValue = string | number | boolean | null;

/** Column name → shown value, masked as configured. */
export type RowSample = Readonly<Record<string, SampleValue>>;

/** One proven difference of one row. */
export interface Drift {
  readonly id: string;
  /** Old's qualified table name. */
  readonly table: string;
  readonly key: RowSample;
  readonly kind: DriftKind;
  /** Names of the columns that differ; all compared columns for `missing` and `extra`. */
  readonly columns: readonly string[];
  readonly old: RowSample | null;
  readonly new: RowSample | null;
  /** Row hashes as 16 hexadecimal digits; null where there is no row. */
  readonly oldHash: string | null;
  readonly newHash: string | null;
  readonly status: DriftStatus;
  readonly foundBy: FoundBy;
  /** null: none is known, or not for all that differs. */
  readonly cause: { readonly code: string; readonly message: string } | null;
  /** By column name, of the differing columns whose cause is known. */
  readonly columnCauses: Readonly<Record<string, { readonly code: string; readonly detail: string | null }>>;
  readonly firstSeenAtMs: number;
  readonly confirmedAtMs: number;
  readonly lastCheckedAtMs: number;
  readonly resolvedAtMs: number | null;
  readonly checks: number;
  readonly position: Position | null;
}

/** One entry of a drift's history. */
export interface DriftEvent {
  readonly atMs: number;
  readonly event: 'confirmed' | 'changed' | 'resolved' | 'ignored' | 'reopened';
  readonly detail: string;
}
