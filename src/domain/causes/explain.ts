import type { DriftKind } from '../drift.ts';
import type { Pair, Side } from '../pair.ts';
import type { Row } from '../row.ts';
import { columnFinding } from './column-cause.ts';
import { causeMessage, mostSpecific, type Finding } from './codes.ts';
import type { PlaceholderForms } from './placeholder.ts';
import { clockOffsetUs, offsetFinding } from './temporal.ts';

/** What is known of the changes of a row, beyond its values. */
export type RowEvidence =
  /** The key's newest change is a delete. */
  | 'deleted'
  /** The stream brought the row's insert, and the replica has shown neither it nor anything after it. */
  | 'inserted'
  /** The replica's row was written while every change was seen, and none of its key was. */
  | 'written_beside'
  /** The replica's own event shows that it was written there after all changes of the primary had been seen applied. */
  | 'written_on_replica'
  | 'unknown';

/** A proven difference, as its cause is looked for. */
export interface Difference {
  readonly pair: Pair;
  readonly kind: DriftKind;
  readonly primary: Side;
  readonly old: Row | null;
  readonly new: Row | null;
  /** Positions of the columns that differ. */
  readonly columns: readonly number[];
  readonly evidence: RowEvidence;
}

export interface Explanation {
  /** Of the drift as a whole; null where not every differing column has one. */
  readonly cause: { readonly code: string; readonly message: string } | null;
  /** By old's column name, of the columns that have one. */
  readonly columns: Readonly<Record<string, Finding>>;
}

/**
 * Why a row drifted, as far as its values and the row's changes prove it. A row that is a whole earlier version is a
 * lost update, whatever its columns look like. Messages carry no row values.
 */
export function explainDifference(difference: Difference, placeholder: PlaceholderForms): Explanation {
  const { pair, kind, old, new: neu, evidence } = difference;
  const isWritten = evidence === 'written_on_replica';
  if (kind === 'stale' && !isWritten) return ofRow({ code: 'lost_update', detail: null });
  if (old === null || neu === null) return ofRow(rowFinding(kind, evidence));
  const findings = new Map<number, Finding>();
  for (const index of difference.columns) {
    const column = pair.columns[index];
    const finding = column === undefined ? null : columnFinding(column, difference.primary, old[index] ?? null, neu[index] ?? null, placeholder);
    if (finding !== null) findings.set(index, finding);
  }
  agreeOnOffset(difference, old, neu, findings);
  const columns: Record<string, Finding> = {};
  for (const [index, finding] of findings) columns[pair.columns[index]?.name ?? ''] = finding;
  if (isWritten) return { ...ofRow(WRITTEN), columns };
  const cause = findings.size === difference.columns.length ? mostSpecific([...findings.values()]) : null;
  return { cause: cause === null ? null : causeOf(cause), columns };
}

const WRITTEN: Finding = { code: 'replica_write', detail: null };

function rowFinding(kind: DriftKind, evidence: RowEvidence): Finding | null {
  if (evidence === 'written_on_replica') return WRITTEN;
  if (kind === 'missing' && evidence === 'inserted') return { code: 'insert_lost', detail: null };
  if (kind !== 'extra') return null;
  if (evidence === 'deleted') return { code: 'delete_lost', detail: null };
  return evidence === 'written_beside' ? { code: 'written_beside', detail: null } : null;
}

function ofRow(finding: Finding | null): Explanation {
  return { cause: finding === null ? null : causeOf(finding), columns: {} };
}

function causeOf({ code, detail }: Finding): { readonly code: string; readonly message: string } {
  return { code, message: causeMessage(code, detail) };
}

const HOUR_US = 3_600_000_000n;

/**
 * A clock is off by the same time in all columns of a row, but for an hour of daylight saving and a day that a date
 * shows. An offset that others contradict is none; what fits theirs is one, though it fits something else as well.
 */
function agreeOnOffset({ pair, columns }: Difference, old: Row, neu: Row, findings: Map<number, Finding>): void {
  const offsets = new Map<number, bigint>();
  for (const index of columns) {
    const valueClass = pair.columns[index]?.valueClass ?? '';
    const [was, is] = [old[index] ?? null, neu[index] ?? null];
    if (!CLOCKED.has(valueClass) || was === null || is === null) continue;
    const us = clockOffsetUs(was, is);
    if (us !== null) offsets.set(index, us);
  }
  const proven = [...offsets].filter(([index]) => findings.get(index)?.code === 'clock_offset' && pair.columns[index]?.valueClass !== 'date').map(([, us]) => us);
  const [first] = proven;
  if (first !== undefined && proven.some((us) => apart(us, first) > HOUR_US)) {
    for (const [index] of offsets) if (findings.get(index)?.code === 'clock_offset') findings.delete(index);
    return;
  }
  if (first === undefined && !agreeAlone(offsets)) return;
  for (const [index, us] of offsets) {
    const found = findings.get(index);
    const open = found === undefined || found.detail === 'cut to the day';
    if (open && (first === undefined || apart(us, first) <= HOUR_US)) findings.set(index, offsetFinding(us));
  }
}

/** Columns whose values a clock sets. */
const CLOCKED: ReadonlySet<string> = new Set(['date', 'time', 'timestamp', 'instant']);

/** Whether at least two columns are off by the very same time. */
function agreeAlone(offsets: ReadonlyMap<number, bigint>): boolean {
  return offsets.size >= 2 && new Set(offsets.values()).size === 1;
}

function apart(left: bigint, right: bigint): bigint {
  return left > right ? left - right : right - left;
}
