import type { Drift, DriftKind } from '../drift.ts';
import { causeMessage, generalMessage } from './codes.ts';

/** Drift of one table, column, cause and kind. */
export interface DriftGroup {
  /** Old's qualified table name. */
  readonly table: string;
  /** null: whole rows. */
  readonly column: string | null;
  /** null: none is known. */
  readonly cause: { readonly code: string; readonly message: string } | null;
  readonly kind: DriftKind;
  readonly rows: number;
  /** Of the row that was seen first. */
  readonly firstSeenAtMs: number;
  /** Ids of some of its drift. */
  readonly sampleIds: readonly string[];
}

/** Ids that a group shows. */
export const GROUP_SAMPLES_MAX = 5;

/** Parameters (lengths, offsets) that a group tells apart; past that the commonest is one of those seen until then. */
const DETAILS_MAX = 1_000;

/**
 * The message of a group whose drift has different parameters.
 * @param details how many there are, none being one of them
 * @param commonest null where most have none
 */
export function groupMessage(code: string, details: number, commonest: string | null): string {
  if (details <= 1) return causeMessage(code, commonest);
  return commonest === null ? generalMessage(code) : `${generalMessage(code)}, mostly: ${commonest}`;
}

/** Whether a drift is about its row as a whole, whatever columns it lists. */
export function isWholeRow(drift: Pick<Drift, 'kind' | 'oldHash' | 'newHash'>): boolean {
  return drift.kind === 'missing' || drift.kind === 'extra' || drift.kind === 'stale' || drift.oldHash === null || drift.newHash === null;
}

interface Gathered {
  readonly table: string;
  readonly column: string | null;
  readonly code: string | null;
  readonly kind: DriftKind;
  rows: number;
  firstSeenAtMs: number;
  readonly sampleIds: string[];
  /** Message of a whole row's cause, or parameter of a column's → rows that have it. */
  readonly details: Map<string | null, number>;
}

/** Groups drift by table, column, cause and kind as it comes, and keeps none of it: what is held grows with columns and causes alone. */
export class DriftGroups {
  private readonly groups = new Map<string, Gathered>();
  /** Neighbours are mostly of one group. */
  private last: Gathered | null = null;

  add(drift: Drift): void {
    if (isWholeRow(drift)) this.gather(drift, null, drift.cause?.code ?? null, drift.cause?.message ?? null);
    else {
      for (const column of drift.columns) {
        const found = drift.columnCauses[column];
        this.gather(drift, column, found?.code ?? null, found?.detail ?? null);
      }
    }
  }

  private gather(drift: Drift, column: string | null, code: string | null, detail: string | null): void {
    const group = this.groupOf(drift, column, code);
    group.rows++;
    group.firstSeenAtMs = Math.min(group.firstSeenAtMs, drift.firstSeenAtMs);
    if (group.sampleIds.length < GROUP_SAMPLES_MAX) group.sampleIds.push(drift.id);
    const count = group.details.get(detail);
    if (count !== undefined || group.details.size < DETAILS_MAX) group.details.set(detail, (count ?? 0) + 1);
  }

  private groupOf({ table, kind, firstSeenAtMs }: Drift, column: string | null, code: string | null): Gathered {
    const { last } = this;
    if (last !== null && last.table === table && last.column === column && last.code === code && last.kind === kind) return last;
    const id = JSON.stringify([table, column, code, kind]);
    const group = this.groups.get(id) ?? { table, column, code, kind, rows: 0, firstSeenAtMs, sampleIds: [], details: new Map() };
    this.groups.set(id, group);
    this.last = group;
    return group;
  }

  /** The groups so far, most rows first; a row stands in a group for each of its columns. */
  all(): DriftGroup[] {
    return [...this.groups.values()].map(finished).sort(compareGroups);
  }
}

/** Groups drift by table, column, cause and kind, most rows first; a row stands in a group for each of its columns. */
export function groupDrift(drift: Iterable<Drift>): DriftGroup[] {
  const groups = new DriftGroups();
  for (const item of drift) groups.add(item);
  return groups.all();
}

function finished({ details, code, ...group }: Gathered): DriftGroup {
  const commonest = [...details].sort(([left, one], [right, other]) => other - one || compareText(left ?? '', right ?? ''))[0]?.[0] ?? null;
  const message = code === null ? '' : group.column === null ? (commonest ?? generalMessage(code)) : groupMessage(code, details.size, commonest);
  return { ...group, cause: code === null ? null : { code, message } };
}

function compareGroups(left: DriftGroup, right: DriftGroup): number {
  return (
    right.rows - left.rows ||
    compareText(left.table, right.table) ||
    compareText(left.column ?? '', right.column ?? '') ||
    compareText(left.cause?.code ?? '', right.cause?.code ?? '') ||
    compareText(left.kind, right.kind)
  );
}

function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** One sentence for a person: `public.payments.period: 412 rows, interval folded to hours`. */
export function groupSentence({ table, column, cause, kind, rows }: DriftGroup): string {
  const name = column === null ? table : `${table}.${column}`;
  const what = column === null && (kind === 'missing' || kind === 'extra') ? ` ${kind}` : '';
  return `${name}: ${rows} ${rows === 1 ? 'row' : 'rows'}${what}, ${cause === null ? 'no known cause' : cause.message}`;
}
