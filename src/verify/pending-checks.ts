import { partitionId, type Position } from '../domain/change.ts';
import type { Pair } from '../domain/pair.ts';
import { addVersion, hashText, type RowHash, type Suspicion, type Version } from '../domain/recheck.ts';
import { keyId, type KeyId, type RowKey } from '../domain/row.ts';
import { DueQueue } from './due-queue.ts';
import type { StoredCheck } from './ports.ts';

/** A key that moved through so many confirm steps counts as unverifiable until it rests. */
export const UNVERIFIABLE_ROUNDS = 40;

/** What brought a check about. */
export type CheckOrigin = 'stream' | 'sweep' | 'api';

/** A difference that every rule calls drift, unless the stream holds something about its key that is not yet consumed. */
export interface SeenDrift {
  readonly versions: readonly Version[];
  readonly primaryHash: RowHash;
  readonly replicaHash: RowHash;
  /** When it had been seen, on the primary's clock, µs. */
  readonly seenAtUs: bigint;
}

/** A bag's row must be found with the same numbers of copies by so many looks in a row, however long each takes. */
export const BAG_STANDING_LOOKS = 5;

/** Numbers of copies that some looks in a row have found. */
export interface Standing {
  readonly primaryHash: RowHash;
  readonly replicaHash: RowHash;
  readonly looks: number;
}

/** The work of proving one key equal on both sides. */
export interface Check {
  readonly pair: Pair;
  readonly key: RowKey;
  readonly id: KeyId;
  origin: CheckOrigin;
  firstSeenMs: number;
  /** Unsettled versions, oldest first. */
  versions: readonly Version[];
  /** What the replica had before them; undefined where that is not known. */
  base: RowHash | undefined;
  /** A sweep or a caller saw a difference: settled only by the confirm step. */
  suspected: boolean;
  /** When that was, on the host's clock. */
  suspectedAtMs: number;
  /** It was while a read was under way, which therefore says nothing about it. */
  suspectedWhileBusy: boolean;
  suspicion: Suspicion | null;
  seenDrift: SeenDrift | null;
  attempts: number;
  hotRounds: number;
  /** Of a bag's row: what its last looks found alike. */
  standing: Standing | null;
  dueMs: number;
  /** A read for it is under way. */
  busy: boolean;
  /** The replica showed one of its versions, and only for what nobody could decode that is not certain. */
  isLikelyApplied: boolean;
  /** When the replica was last seen without the newest version, on the host's clock, µs. */
  lastMissUs: bigint | null;
  /** Of a suspect that accounts for a change without a place among the versions, for want of a commit time or decoded late: it was made at or after this, µs. */
  holdsUs: bigint | null;
  /** The changes without a commit time that it accounts for, as consumed. */
  held: readonly HeldChange[];
  /** How many records of its table nobody could decode when its base was learned: after another one the base is a guess. */
  gaps: number;
  /** Those who wait for its end. */
  waiters: readonly ((end: CheckEnd) => void)[];
}

/** A change without a place among the versions: a replica that looks like the primary may be as it was before the change. */
export interface HeldChange extends GapEnd {
  /** Verified-through stays before this until the replica was given the change, primary's clock, µs. */
  readonly fromUs: bigint;
  /** A row that the replica shows only after the change, while no other one of the key is unsettled; undefined where none is known. */
  readonly shows: RowHash | undefined;
}

/** Held changes of one key that are kept apart; past that the newest stands for those before it. */
const HELD_MAX = 64;

/** How a check ended; `copies` are those of a bag's row, on the primary and on the replica. */
export type CheckEnd = { readonly copies?: readonly [bigint, bigint] } & (
  | { readonly kind: 'match'; readonly present: boolean }
  | { readonly kind: 'drift'; readonly onPrimary: boolean; readonly onReplica: boolean }
  /** Given up without an answer; which side had the row when that was decided. */
  | { readonly kind: 'unsettled'; readonly onPrimary: boolean; readonly onReplica: boolean }
);

interface TableChecks {
  readonly pair: Pair;
  readonly byKey: Map<KeyId, Check>;
  readonly queue: DueQueue<Check>;
  /** Records that could not be decoded, and the last one of each partition until the replica must have been given it. */
  gaps: number;
  readonly gapEnds: Map<string, GapEnd>;
}

/** The last record of a partition that nobody could decode. */
export interface GapEnd {
  readonly position: Pick<Position, 'topic' | 'partition' | 'offset'>;
  /** When it was consumed, on the primary's clock, µs; null: before this process began. */
  readonly atUs: bigint | null;
}

/** Commit time before which a check says nothing about the replica; null where it stands for no change. */
export function unsettledSinceUs({ versions, holdsUs }: Pick<Check, 'versions' | 'holdsUs'>): bigint | null {
  const first = versions[0]?.committedAtUs ?? null;
  if (first === null || holdsUs === null) return first ?? holdsUs;
  return holdsUs < first ? holdsUs : first;
}

/** All checks that are not settled, by table and key, with what the next checkpoint must write. */
export class PendingChecks {
  private readonly tables = new Map<string, TableChecks>();
  private dirty = new Set<Check>();
  private settled = new Map<string, { table: string; key: RowKey }>();
  private stored = new Set<string>();
  private total = 0;
  /** Versions beyond the first of each check: hot keys hold many. */
  private extraVersions = 0;
  private wake: ((dueMs: number) => void) | null = null;

  constructor(pairs: readonly Pair[]) {
    for (const pair of pairs) this.tables.set(pair.id, { pair, byKey: new Map(), queue: new DueQueue(), gaps: 0, gapEnds: new Map() });
  }

  /** What the bound on pending work counts: checks, and the versions beyond each one's first. */
  get size(): number {
    return this.total + this.extraVersions;
  }

  /** Called with the due time of each check that is scheduled. */
  onWake(wake: (dueMs: number) => void): void {
    this.wake = wake;
  }

  tableSize(table: string): number {
    return this.table(table).byKey.size;
  }

  checksOf(table: string): IterableIterator<Check> {
    return this.table(table).byKey.values();
  }

  get(table: string, id: KeyId): Check | undefined {
    return this.table(table).byKey.get(id);
  }

  /**
   * A change of a key: a new check, or a newer version for the one that is pending.
   * @param base the row before the change; undefined where that is not known
   */
  addChange(pair: Pair, key: RowKey, version: Version, nowMs: number, delayMs: number, base?: RowHash): Check {
    const existing = this.get(pair.id, keyId(key));
    if (existing === undefined) return this.insert({ ...this.fresh(pair, key, 'stream', nowMs, [version]), base }, nowMs + delayMs);
    const versions = addVersion(existing.versions, version);
    if (versions === existing.versions) return existing;
    this.setVersions(existing, versions);
    existing.firstSeenMs = nowMs;
    existing.attempts = 0;
    // The primary's row has changed since, even where it looks the same again.
    existing.suspicion = null;
    if (!existing.busy && existing.dueMs > nowMs + delayMs) this.schedule(existing, nowMs + delayMs);
    return existing;
  }

  /** The replica has shown something that no known change accounts for: the key goes to the confirm step, unless one comes meanwhile that does. */
  watch(pair: Pair, key: RowKey, nowMs: number, delayMs: number): Check {
    return this.get(pair.id, keyId(key)) ?? this.insert(this.fresh(pair, key, 'stream', nowMs, []), nowMs + delayMs);
  }

  /** A difference that no event explains: the key goes to the confirm step. */
  suspect(pair: Pair, key: RowKey, origin: CheckOrigin, nowMs: number, waiter: ((end: CheckEnd) => void) | null): Check {
    const existing = this.get(pair.id, keyId(key));
    const check = existing ?? this.insert(this.fresh(pair, key, origin, nowMs, []), nowMs);
    check.suspected = true;
    check.suspectedAtMs = nowMs;
    check.suspectedWhileBusy = check.busy;
    if (waiter !== null) check.waiters = [...check.waiters, waiter];
    this.dirty.add(check);
    return check;
  }

  /**
   * Keeps verified-through before `fromUs` until what is suspected of the check is settled.
   * @param held the change that it is for: the replica must have been given it
   */
  hold(check: Check, fromUs: bigint, held?: Omit<HeldChange, 'fromUs'>): void {
    if (check.holdsUs === null || fromUs < check.holdsUs) check.holdsUs = fromUs;
    if (held !== undefined) check.held = heldWith(check.held, { ...held, fromUs });
    this.dirty.add(check);
  }

  /** The rows agree, but these changes may be on their way still: who waits is told, and verified-through stays before them. */
  keepHeld(check: Check, held: readonly HeldChange[], present: boolean): void {
    const { waiters } = check;
    if (held.length !== check.held.length) {
      check.held = held;
      check.holdsUs = held.reduce<bigint | null>((least, { fromUs }) => (least === null || fromUs < least ? fromUs : least), null);
      this.dirty.add(check);
    }
    check.waiters = [];
    for (const waiter of waiters) waiter({ kind: 'match', present });
  }

  /** Any key of the table may have had a change that nobody could decode: what its row was between two known ones is unknown. */
  gap(table: string, end: GapEnd): void {
    const { gapEnds } = this.table(table);
    this.table(table).gaps++;
    gapEnds.set(partitionId(end.position), end);
  }

  /** Whether the replica has been given all that could not be decoded: until then it may show what came before. */
  gapsPassed(table: string, isApplied: (end: GapEnd) => boolean): boolean {
    const { gapEnds } = this.table(table);
    for (const [id, end] of gapEnds) {
      if (!isApplied(end)) return false;
      gapEnds.delete(id);
    }
    return true;
  }

  /** What the replica had before the check's versions; undefined where that is not known. @param passed as `gapsPassed` says */
  baseOf(check: Check, passed: boolean): RowHash | undefined {
    if (!passed) return undefined;
    const { gaps } = this.table(check.pair.id);
    if (check.gaps !== gaps) {
      check.base = undefined;
      check.gaps = gaps;
    }
    return check.base;
  }

  /**
   * Puts back a check as the state store kept it.
   * @param consumed the last record consumed of each partition: what the check holds verified-through for is among those before
   */
  restore(pair: Pair, stored: StoredCheck, nowMs: number, consumed: readonly GapEnd[] = []): Check {
    const versions = stored.versions.map((version) => ({
      committedAtUs: version.committedAtUs,
      lsn: version.lsn,
      hash: version.hash === null ? null : BigInt(`0x${version.hash}`),
      unknownColumns: version.unknownColumns,
      position: version.position,
    }));
    const check = this.fresh(pair, stored.key, stored.origin, stored.firstSeenMs, versions);
    check.suspected = versions.length === 0 || stored.origin !== 'stream';
    const { holdsUs } = stored;
    check.holdsUs = holdsUs;
    if (holdsUs !== null) check.held = consumed.map((end) => ({ ...end, fromUs: holdsUs, shows: undefined }));
    this.stored.add(storedId(check));
    this.insert(check, nowMs);
    this.dirty.delete(check);
    return check;
  }

  /** Sets when the check is next looked at. */
  schedule(check: Check, dueMs: number): void {
    check.dueMs = dueMs;
    this.table(check.pair.id).queue.push(check, dueMs);
    this.wake?.(dueMs);
  }

  /** Gives a check the versions that are still unsettled. */
  setVersions(check: Check, versions: readonly Version[]): void {
    this.extraVersions += extra(versions) - extra(check.versions);
    check.versions = versions;
    this.dirty.add(check);
  }

  /** What was suspected is found in order; the check goes on with the changes that are unsettled. */
  clearSuspicion(check: Check, present: boolean): void {
    const { waiters } = check;
    check.suspected = false;
    check.suspicion = null;
    check.holdsUs = null;
    check.held = [];
    check.waiters = [];
    this.dirty.add(check);
    for (const waiter of waiters) waiter({ kind: 'match', present });
  }

  /** Ends a check and tells those who wait for it. */
  settle(check: Check, end: CheckEnd): void {
    const table = this.table(check.pair.id);
    if (table.byKey.get(check.id) !== check) return;
    table.byKey.delete(check.id);
    this.total--;
    this.extraVersions -= extra(check.versions);
    this.dirty.delete(check);
    const id = this.stored.size === 0 ? null : storedId(check);
    if (id !== null && this.stored.has(id)) this.settled.set(id, { table: check.pair.id, key: check.key });
    for (const waiter of check.waiters) waiter(end);
  }

  /** Of the tables that are wanted, the one whose earliest check is due first, at most `nowMs`; null when none is due. */
  dueTable(nowMs: number, isWanted: (pair: Pair) => boolean = () => true): Pair | null {
    let due: TableChecks | null = null;
    let earliest = nowMs;
    for (const table of this.tables.values()) {
      if (!isWanted(table.pair)) continue;
      const next = table.queue.nextDueMs();
      if (next !== null && next <= earliest) {
        due = table;
        earliest = next;
      }
    }
    return due?.pair ?? null;
  }

  /** Takes up to `limit` due checks of a table and marks them busy. */
  take(table: string, nowMs: number, limit: number): Check[] {
    const { queue, byKey } = this.table(table);
    const taken: Check[] = [];
    while (taken.length < limit) {
      const next = queue.takeDue(nowMs);
      if (next === null) break;
      const check = next.item;
      if (check.busy || check.dueMs !== next.dueMs || byKey.get(check.id) !== check) continue;
      check.busy = true;
      check.suspectedWhileBusy = false;
      taken.push(check);
    }
    return taken;
  }

  nextDueMs(isWanted: (pair: Pair) => boolean = () => true): number | null {
    let next: number | null = null;
    for (const table of this.tables.values()) {
      if (!isWanted(table.pair)) continue;
      const due = table.queue.nextDueMs();
      if (due !== null && (next === null || due < next)) next = due;
    }
    return next;
  }

  /** What changed since the last call, for one checkpoint; `undo` puts it back when the write failed. */
  drainChanges(): { checks: StoredCheck[]; settled: { table: string; key: RowKey }[]; undo: () => void } {
    const dirty = this.dirty;
    const settled = this.settled;
    this.dirty = new Set();
    this.settled = new Map();
    const checks: StoredCheck[] = [];
    for (const check of dirty) {
      const id = storedId(check);
      this.stored.add(id);
      settled.delete(id);
      checks.push(toStored(check));
    }
    for (const id of settled.keys()) this.stored.delete(id);
    return {
      checks,
      settled: [...settled.values()],
      undo: () => {
        for (const [id, entry] of settled) {
          this.stored.add(id);
          if (this.get(entry.table, keyId(entry.key)) === undefined) this.settled.set(id, entry);
        }
        for (const check of dirty) {
          if (this.get(check.pair.id, check.id) === check) this.dirty.add(check);
          else this.settled.set(storedId(check), { table: check.pair.id, key: check.key });
        }
      },
    };
  }

  private fresh(pair: Pair, key: RowKey, origin: CheckOrigin, nowMs: number, versions: readonly Version[]): Check {
    return {
      pair,
      key,
      id: keyId(key),
      origin,
      firstSeenMs: nowMs,
      versions,
      base: undefined,
      suspected: false,
      suspectedAtMs: nowMs,
      suspectedWhileBusy: false,
      suspicion: null,
      seenDrift: null,
      attempts: 0,
      hotRounds: 0,
      standing: null,
      dueMs: 0,
      busy: false,
      isLikelyApplied: false,
      lastMissUs: null,
      holdsUs: null,
      held: [],
      gaps: this.table(pair.id).gaps,
      waiters: [],
    };
  }

  private insert(check: Check, dueMs: number): Check {
    this.table(check.pair.id).byKey.set(check.id, check);
    this.total++;
    this.extraVersions += extra(check.versions);
    this.dirty.add(check);
    this.schedule(check, dueMs);
    return check;
  }

  private table(id: string): TableChecks {
    const table = this.tables.get(id);
    if (table === undefined) throw new RangeError(`no such table: ${id}`);
    return table;
  }
}

/** Of the changes that a check holds, those that the replica may not have been given. */
export function stillHeld({ held }: Pick<Check, 'held'>, isApplied: (end: GapEnd) => boolean): readonly HeldChange[] {
  return held.length === 0 ? held : held.filter((change) => !isApplied(change));
}

function heldWith(held: readonly HeldChange[], change: HeldChange): readonly HeldChange[] {
  const last = held.at(-1);
  if (last === undefined || held.length < HELD_MAX) return [...held, change];
  return [...held.slice(0, -1), { ...change, fromUs: last.fromUs < change.fromUs ? last.fromUs : change.fromUs }];
}

function extra(versions: readonly Version[]): number {
  return Math.max(0, versions.length - 1);
}

function storedId(check: Check): string {
  return `${check.pair.id}\u0000${check.id}`;
}

function toStored(check: Check): StoredCheck {
  return {
    table: check.pair.id,
    key: check.key,
    origin: check.suspected && check.origin === 'stream' ? 'sweep' : check.origin,
    firstSeenMs: check.firstSeenMs,
    versions: check.versions.map((version) => ({
      committedAtUs: version.committedAtUs,
      lsn: version.lsn,
      hash: hashText(version.hash),
      unknownColumns: version.unknownColumns,
      position: version.position,
    })),
    attempts: check.attempts,
    holdsUs: check.holdsUs,
  };
}
