import type { DriftKind } from '../domain/drift.ts';

/** A row's key: column → value as text. */
export type KeyText = Readonly<Record<string, string>>;

/** Something that makes a row differ, written down when it is done. */
export interface LedgerEntry {
  readonly table: string;
  readonly key: KeyText;
  /** What was done, in a few words. */
  readonly what: string;
  /** `planted` by the demo, or made by the pipeline itself. */
  readonly origin: 'planted' | 'pipeline';
  readonly kinds: readonly DriftKind[];
  /** Columns that must be named; null: not asked for (missing and extra rows). */
  readonly columns: readonly string[] | null;
  readonly atMs: number | null;
}

/** A difference that the comparison of both databases found. */
export interface Difference {
  readonly table: string;
  readonly key: KeyText;
  readonly kind: 'missing' | 'extra' | 'different';
  /** Differing columns; empty for missing and extra rows. */
  readonly columns: readonly string[];
}

/** What Lockstep reported, as far as it is judged. */
export interface ReportedDrift {
  readonly id: string;
  readonly table: string;
  readonly key: KeyText;
  readonly kind: string;
  readonly columns: readonly string[];
  readonly status: string;
  readonly foundBy: string;
  readonly confirmedAtMs: number;
}

/** What became of one ledger entry. */
export interface Finding {
  readonly entry: LedgerEntry;
  readonly drift: ReportedDrift | null;
  /** From the deed to its confirmation; null where either is not known. */
  readonly afterMs: number | null;
  /** What is wrong with it; null: found, and rightly described. */
  readonly fault: string | null;
}

export interface Judgement {
  readonly findings: readonly Finding[];
  /** Reported without a difference or a deed behind it. */
  readonly falseReports: readonly ReportedDrift[];
}

/** Text that two keys have in common only when they are the same. */
export function keyId(table: string, key: KeyText): string {
  return JSON.stringify([table, Object.keys(key).sort().map((column) => [column, key[column]])]);
}

/**
 * Judges what was reported against what was done and what two databases say in the end.
 *
 * @param planted what the demo did
 * @param truth all differences in the end
 * @param explain says what the pipeline did to a differing row, and since when if that is known
 * @param reported all drift, whatever its status
 */
export function judge(
  planted: readonly LedgerEntry[],
  truth: readonly Difference[],
  explain: (difference: Difference) => { readonly what: string; readonly atMs: number | null },
  reported: readonly ReportedDrift[],
): Judgement {
  const differences = new Map(truth.map((difference) => [keyId(difference.table, difference.key), difference]));
  const ledger = new Map(planted.map((entry) => [keyId(entry.table, entry.key), entry]));
  for (const [id, difference] of differences) {
    if (ledger.has(id)) continue;
    ledger.set(id, {
      ...explain(difference),
      table: difference.table,
      key: difference.key,
      origin: 'pipeline',
      kinds: [difference.kind],
      columns: difference.kind === 'different' ? difference.columns : null,
    });
  }
  const drifts = new Map<string, ReportedDrift[]>();
  const falseReports: ReportedDrift[] = [];
  for (const drift of reported) {
    const id = keyId(drift.table, drift.key);
    if (!ledger.has(id)) falseReports.push(drift);
    else drifts.set(id, [...(drifts.get(id) ?? []), drift]);
  }
  const findings = [...ledger].map(([id, entry]) => judgeEntry(entry, differences.get(id) ?? null, drifts.get(id) ?? []));
  return { findings, falseReports };
}

function judgeEntry(entry: LedgerEntry, difference: Difference | null, drifts: readonly ReportedDrift[]): Finding {
  const open = drifts.filter((drift) => drift.status === 'open');
  const drift = open[0] ?? drifts.at(-1) ?? null;
  const afterMs = drift === null || entry.atMs === null ? null : drift.confirmedAtMs - entry.atMs;
  const finding = (fault: string | null): Finding => ({ entry, drift, afterMs, fault });
  if (drift === null) return finding('not found');
  if (difference !== null && open.length === 0) return finding(`reported as ${drift.status}, and still there`);
  if (difference === null && open.length > 0) return finding('reported as open, and gone');
  if (open.length > 1) return finding(`reported ${open.length} times`);
  if (!entry.kinds.some((kind) => kind === drift.kind)) return finding(`reported as ${drift.kind}, expected ${entry.kinds.join(' or ')}`);
  if (entry.columns !== null && !sameNames(entry.columns, drift.columns)) {
    return finding(`reported for ${drift.columns.join(', ') || 'no column'}, expected ${entry.columns.join(', ')}`);
  }
  return finding(null);
}

function sameNames(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name) => other.includes(name));
}
