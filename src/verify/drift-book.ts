import { bagSample, isBag } from '../domain/bag.ts';
import { explainDifference, type RowEvidence } from '../domain/causes/explain.ts';
import { PlaceholderForms } from '../domain/causes/placeholder.ts';
import { DRIFT_KINDS, type Drift, type DriftEvent, type DriftKind, type FoundBy, type RowSample } from '../domain/drift.ts';
import type { Pair, Side } from '../domain/pair.ts';
import { hashText, type RowHash } from '../domain/recheck.ts';
import { differingColumns, keyId, type KeyId, type Row, type RowKey } from '../domain/row.ts';
import type { Sampler } from '../domain/samples.ts';
import type { Position } from '../domain/change.ts';
import type { DriftWrite, VerifyMetrics } from './ports.ts';

/** An open or ignored drift, with the key's encoded form. */
export interface BookedDrift {
  drift: Drift;
  readonly pair: Pair;
  readonly key: RowKey;
  readonly id: KeyId;
  nextCheckMs: number;
  notedAtMs: number;
  /** Its cause was looked for; not so for one that was put back. */
  explained: boolean;
}

/**
 * Open drift that is held: each costs some kilobytes, and is rechecked until its rows agree. Where more rows differ, it is
 * one fault that has to be mended, and `lockstep check`, which holds none, lists them all.
 */
const OPEN_MAX = 250_000;

/** A recheck that changes nothing is stored this often, so that `last_checked_at` stays true enough. */
const UNCHANGED_NOTE_MS = 10_000;

/** A proven difference, as the recheck hands it over. */
export interface ProvenDrift {
  readonly pair: Pair;
  readonly key: RowKey;
  readonly kind: DriftKind;
  readonly primaryIsOld: boolean;
  readonly primaryRow: Row | null;
  readonly replicaRow: Row | null;
  readonly primaryHash: RowHash;
  readonly replicaHash: RowHash;
  /** What the row's changes tell about the cause. */
  readonly evidence: RowEvidence;
  readonly foundBy: FoundBy;
  readonly firstSeenMs: number;
  readonly position: Position | null;
  /** Commit of the change that it began with, on the host's clock; null where no change is known. */
  readonly committedAtMs: number | null;
}

/** All compared columns of a table. */
interface WholeRow {
  readonly columns: readonly number[];
  readonly names: readonly string[];
}

/** The open drift of all tables: confirmed once, updated while it lasts, resolved when the rows agree. */
export class DriftBook {
  private readonly byTable = new Map<string, Map<KeyId, BookedDrift>>();
  /** Open drift by table and kind, kept up with every change. */
  private readonly open = new Map<string, Record<DriftKind, number>>();
  private changes = new Map<string, { booked: BookedDrift; events: DriftEvent[] }>();
  private readonly sampler: Sampler;
  private readonly metrics: VerifyMetrics;
  private readonly makeId: () => string;
  private readonly placeholder: PlaceholderForms;
  private readonly openMax: number;
  private readonly handOver: ((drift: Drift) => void) | null;
  private urgent: (() => void) | null = null;
  private readonly wholeRows = new Map<string, WholeRow>();

  /**
   * @param options placeholder: what connectors write for values that the log left out; absent: none is known.
   * openMax: most drift that it holds.
   * handOver: takes each drift as it is confirmed, and the book keeps none, only their number; absent: it keeps them
   */
  constructor(
    pairs: readonly Pair[],
    options: { sampler: Sampler; metrics: VerifyMetrics; makeId: () => string; placeholder?: PlaceholderForms; openMax?: number; handOver?: (drift: Drift) => void },
  ) {
    for (const pair of pairs) {
      this.byTable.set(pair.id, new Map());
      this.wholeRows.set(pair.id, { columns: pair.columns.map((_, index) => index), names: pair.columns.map(({ name }) => name) });
      this.open.set(pair.id, noDrift());
    }
    this.sampler = options.sampler;
    this.metrics = options.metrics;
    this.makeId = options.makeId;
    this.placeholder = options.placeholder ?? new PlaceholderForms([]);
    this.openMax = options.openMax ?? OPEN_MAX;
    this.handOver = options.handOver ?? null;
  }

  /** Called when something was confirmed or resolved and should be stored soon. */
  onChange(urgent: () => void): void {
    this.urgent = urgent;
  }

  restore(pair: Pair, drift: Drift, key: RowKey, nowMs: number): void {
    if (drift.status === 'open') this.counts(pair.id)[drift.kind]++;
    this.table(pair.id).set(keyId(key), { drift, pair, key, id: keyId(key), nextCheckMs: nowMs, notedAtMs: nowMs, explained: false });
  }

  get(table: string, id: KeyId): BookedDrift | undefined {
    return this.table(table).get(id);
  }

  byId(id: string): BookedDrift | undefined {
    for (const table of this.byTable.values()) for (const booked of table.values()) if (booked.drift.id === id) return booked;
    return undefined;
  }

  all(table: string): IterableIterator<BookedDrift> {
    return this.table(table).values();
  }

  tables(): IterableIterator<string> {
    return this.byTable.keys();
  }

  /** Rows whose drift is open, by kind. */
  openByKind(table: string): Record<DriftKind, number> {
    return { ...this.counts(table) };
  }

  openCount(table: string): number {
    return Object.values(this.counts(table)).reduce((sum, count) => sum + count, 0);
  }

  size(): number {
    let size = 0;
    for (const table of this.byTable.values()) size += table.size;
    return size;
  }

  /** As much drift is open as it holds: what differs beside that stays a pending check. */
  get isFull(): boolean {
    return this.size() >= this.openMax;
  }

  /** Books a proven difference; one that is open for the key is brought up to date instead. */
  confirm(proven: ProvenDrift, nowMs: number): BookedDrift {
    const { pair, key } = proven;
    const table = this.table(pair.id);
    const existing = table.get(keyId(key));
    if (existing !== undefined) {
      this.refresh(existing, proven, nowMs);
      return existing;
    }
    const { columns, old, new: neu, oldHash, newHash } = this.describe(proven);
    const { cause, columnCauses } = this.explain(proven);
    // Named one by one: spreading costs several kilobytes a drift, and there may be millions.
    const drift: Drift = {
      columns,
      old,
      new: neu,
      oldHash,
      newHash,
      cause,
      columnCauses,
      id: this.makeId(),
      table: pair.id,
      key: this.sampler.key(pair, key),
      kind: proven.kind,
      status: 'open',
      foundBy: proven.foundBy,
      firstSeenAtMs: proven.firstSeenMs,
      confirmedAtMs: nowMs,
      lastCheckedAtMs: nowMs,
      resolvedAtMs: null,
      checks: 1,
      position: proven.position,
    };
    const booked: BookedDrift = { drift, pair, key, id: keyId(key), nextCheckMs: nowMs, notedAtMs: nowMs, explained: true };
    this.counts(pair.id)[proven.kind]++;
    if (this.handOver === null) {
      table.set(booked.id, booked);
      this.record(booked, { atMs: nowMs, event: 'confirmed', detail: `${proven.kind}, found by ${proven.foundBy}` });
    } else this.handOver(drift);
    this.metrics.driftConfirmed(pair.id, proven.kind);
    this.metrics.driftDetected(proven.foundBy, Math.max(0, nowMs - (proven.committedAtMs ?? proven.firstSeenMs)) / 1000);
    return booked;
  }

  /** A recheck found the rows still unequal: columns, samples and, where it changed, the kind follow what was read. */
  refresh(booked: BookedDrift, proven: Omit<ProvenDrift, 'foundBy' | 'firstSeenMs' | 'position' | 'committedAtMs'>, nowMs: number): void {
    const before = booked.drift;
    const fields = this.describe(proven);
    const changed = before.oldHash !== fields.oldHash || before.newHash !== fields.newHash;
    // An event may tell what the sweep that found it could not.
    const told = before.cause === null && proven.evidence !== 'unknown';
    const explain = changed || told || !booked.explained;
    const kind = changed ? proven.kind : before.kind;
    this.set(booked, {
      ...before,
      ...(changed ? { ...fields, kind } : {}),
      ...(explain ? this.explainAgain(before, { ...proven, kind }) : {}),
      lastCheckedAtMs: nowMs,
      checks: before.checks + 1,
    });
    booked.explained = true;
    if (changed) {
      this.record(booked, { atMs: nowMs, event: 'changed', detail: `${proven.kind}: ${fields.columns.join(', ')}` });
    } else if (explain || nowMs - booked.notedAtMs >= UNCHANGED_NOTE_MS) {
      booked.notedAtMs = nowMs;
      this.note(booked);
    }
  }

  /** The rows agree: the drift, if there is one, is over. */
  resolve(table: string, id: KeyId, nowMs: number): boolean {
    const booked = this.table(table).get(id);
    if (booked === undefined) return false;
    this.table(table).delete(id);
    this.set(booked, {
      ...booked.drift,
      status: 'resolved',
      resolvedAtMs: nowMs,
      lastCheckedAtMs: nowMs,
      checks: booked.drift.checks + 1,
    });
    this.record(booked, { atMs: nowMs, event: 'resolved', detail: 'both sides agree' });
    this.metrics.driftResolved(table, booked.drift.kind);
    return true;
  }

  /** The primary is the other side from now on: a row that was missing there is one too many on the present replica, and the reverse. */
  turn(table: string, primary: Side, nowMs: number): void {
    for (const booked of this.table(table).values()) {
      const { drift } = booked;
      const kind = TURNED[drift.kind];
      if (kind !== drift.kind) this.set(booked, { ...drift, kind });
      this.record(booked, { atMs: nowMs, event: 'changed', detail: `${kind}, the primary being ${primary} now` });
    }
  }

  /** Takes a drift out of the count until its rows agree. */
  ignore(id: string, reason: string, nowMs: number): Drift | null {
    const booked = this.byId(id);
    if (booked === undefined) return null;
    this.set(booked, { ...booked.drift, status: 'ignored' });
    this.record(booked, { atMs: nowMs, event: 'ignored', detail: reason });
    return booked.drift;
  }

  /** What changed since the last call, for one checkpoint. */
  drainChanges(): { writes: DriftWrite[]; undo: () => void } {
    const changes = this.changes;
    this.changes = new Map();
    const writes = [...changes.values()].map(({ booked, events }) => ({ drift: booked.drift, keyValues: booked.key, events: [...events] }));
    return {
      writes,
      undo: () => {
        for (const [id, change] of changes) {
          const later = this.changes.get(id);
          this.changes.set(id, { booked: change.booked, events: [...change.events, ...(later?.events ?? [])] });
        }
      },
    };
  }

  private record(booked: BookedDrift, event: DriftEvent): void {
    this.note(booked).push(event);
    this.urgent?.();
  }

  private note(booked: BookedDrift): DriftEvent[] {
    const id = booked.drift.id;
    let change = this.changes.get(id);
    if (change === undefined) {
      change = { booked, events: [] };
      this.changes.set(id, change);
    }
    return change.events;
  }

  private describe(proven: Omit<ProvenDrift, 'foundBy' | 'firstSeenMs' | 'position' | 'committedAtMs'>): Pick<
    Drift,
    'columns' | 'old' | 'new' | 'oldHash' | 'newHash'
  > {
    const { pair, primaryRow, replicaRow, primaryIsOld } = proven;
    const differing = primaryRow !== null && replicaRow !== null && !isBag(pair) ? differingColumns(primaryRow, replicaRow) : null;
    const { columns, names } = differing === null ? this.wholeRow(pair.id) : { columns: differing, names: differing.map((index) => pair.columns[index]?.name ?? '') };
    const shown = (row: Row | null): RowSample | null => (isBag(pair) ? bagSample(row, this.sampler.row(pair, row, columns)) : this.sampler.row(pair, row, columns));
    const primary = shown(primaryRow);
    const replica = shown(replicaRow);
    const primaryHash = hashText(proven.primaryHash);
    const replicaHash = hashText(proven.replicaHash);
    return {
      columns: names,
      old: primaryIsOld ? primary : replica,
      new: primaryIsOld ? replica : primary,
      oldHash: primaryIsOld ? primaryHash : replicaHash,
      newHash: primaryIsOld ? replicaHash : primaryHash,
    };
  }

  private explain(proven: Omit<ProvenDrift, 'foundBy' | 'firstSeenMs' | 'position' | 'committedAtMs'>): Pick<Drift, 'cause' | 'columnCauses'> {
    const { pair, kind, primaryRow, replicaRow, primaryIsOld, evidence } = proven;
    if (isBag(pair)) return { cause: null, columnCauses: {} };
    const { cause, columns } = explainDifference(
      {
        pair,
        kind,
        primary: primaryIsOld ? 'old' : 'new',
        old: primaryIsOld ? primaryRow : replicaRow,
        new: primaryIsOld ? replicaRow : primaryRow,
        columns: primaryRow === null || replicaRow === null ? [] : differingColumns(primaryRow, replicaRow),
        evidence,
      },
      this.placeholder,
    );
    return { cause, columnCauses: columns };
  }

  /** What a row's changes once told stays true of a row that is still missing, or still there. */
  private explainAgain(before: Drift, proven: Omit<ProvenDrift, 'foundBy' | 'firstSeenMs' | 'position' | 'committedAtMs'>): Pick<Drift, 'cause' | 'columnCauses'> {
    const explained = this.explain(proven);
    const told = (before.kind === 'missing' || before.kind === 'extra') && before.kind === proven.kind;
    return explained.cause === null && told ? { ...explained, cause: before.cause } : explained;
  }

  /** Gives a booked drift its new state, and the counts theirs. */
  private set(booked: BookedDrift, drift: Drift): void {
    const counts = this.counts(booked.drift.table);
    if (booked.drift.status === 'open') counts[booked.drift.kind]--;
    if (drift.status === 'open') counts[drift.kind]++;
    booked.drift = drift;
  }

  private counts(table: string): Record<DriftKind, number> {
    const counts = this.open.get(table);
    if (counts === undefined) throw new RangeError(`no such table: ${table}`);
    return counts;
  }

  private wholeRow(table: string): WholeRow {
    const whole = this.wholeRows.get(table);
    if (whole === undefined) throw new RangeError(`no such table: ${table}`);
    return whole;
  }

  private table(id: string): Map<KeyId, BookedDrift> {
    const table = this.byTable.get(id);
    if (table === undefined) throw new RangeError(`no such table: ${id}`);
    return table;
  }
}

const TURNED: Readonly<Record<DriftKind, DriftKind>> = { missing: 'extra', extra: 'missing', different: 'different', stale: 'different', stream_gap: 'different' };

function noDrift(): Record<DriftKind, number> {
  return Object.fromEntries(DRIFT_KINDS.map((kind) => [kind, 0])) as Record<DriftKind, number>;
}
