import { isBag } from '../domain/bag.ts';
import { partitionId, type Position, type RowChange } from '../domain/change.ts';
import type { ClockSkew } from '../domain/clock-skew.ts';
import { otherSide, type Pair, type Side } from '../domain/pair.ts';
import { changeHash, changeUnknowns, type Hasher, type RowHash, type Version } from '../domain/recheck.ts';
import { isLaterEvent, judgeReplicaEvent, type ReplicaEvent } from '../domain/replica-event.ts';
import { comparesByNearness, keyId } from '../domain/row.ts';
import type { PipelineEvidence } from '../domain/watermarks.ts';
import type { DriftBook } from './drift-book.ts';
import type { Health } from './health.ts';
import type { Check, PendingChecks } from './pending-checks.ts';
import type { Clock, PartitionsOf, VerifyMetrics } from './ports.ts';
import type { VersionHistory } from './version-history.ts';

/** A change is left to the replica's events for at least and at most this long before the replica is read for it. */
const WAIT_MIN_MS = 150;
const WAIT_MAX_MS = 2_000;
/** The wait is so many times what events took lately, so that few are read for that are only a little late; it shortens slowly. */
const WAIT_FACTOR = 2;
const WAIT_SHORTENS = 0.98;
const WAIT_GROWS = 1.2;
/** So many changes in a row that a read found applied before their events came: the events are not waited for any more. */
const MISSES_MAX = 20;
/** A write on the replica that no known change accounts for is looked into so much later: its change may come by another partition. */
const UNMATCHED_WAIT_MS = 250;
/** For at most this long it waits while the stream is known to hold changes of the primary that are not consumed. */
const BACKLOG_WAIT_MS = 15_000;
/** Events come in commit order, but for commits that are this close together. */
const COMMIT_ORDER_SLACK_US = 50_000n;
/** Changes are seen applied and no event comes for this long: the replica's stream has stopped. */
const SILENCE_MS = 10_000;

/** How the replica's events of one table come. */
interface Feed {
  isLive: boolean;
  waitMs: number;
  misses: number;
  /** Since when changes are seen applied without an event; null: they are not. */
  missingSinceMs: number | null;
}

/** Who settles what the events show. */
export interface Settler {
  /** A change was seen on the replica. @param committedAtUs when it was committed there, on its clock */
  sawShown(check: Check, version: Version, committedAtUs: bigint): void;
  settled(check: Check, isPresent: boolean): void;
}

export interface ReplicaEventsParts {
  readonly primarySide: Side;
  /** null: nothing is known of a pipeline. */
  readonly partitions: PartitionsOf | null;
  readonly pending: PendingChecks;
  readonly history: VersionHistory;
  readonly book: Pick<DriftBook, 'get'>;
  readonly skew: Readonly<Record<Side, ClockSkew>>;
  readonly health: Health;
  readonly metrics: VerifyMetrics;
  readonly clock: Clock;
  readonly hasher: Hasher;
  readonly pendingMax: number;
}

/**
 * Pairs the change events of the replica with the pending checks: what they show applied is settled without a read, and
 * what no known change accounts for becomes a check of its own. Of a key only the replica's newest event counts. It is
 * kept with the key's check and goes with it, so there are never more of them than checks.
 */
export class ReplicaEvents {
  private readonly parts: ReplicaEventsParts;
  private readonly shown = new WeakMap<Check, ReplicaEvent>();
  private readonly feeds = new Map<string, Feed>();
  /** By partition: commit time and log position of the newest event. */
  private readonly newest = new Map<string, { committedAtUs: bigint; lsn: bigint | null }>();
  private readonly silent = new Set<string>();
  private settler: Settler | null = null;

  constructor(parts: ReplicaEventsParts) {
    this.parts = parts;
  }

  settlesBy(settler: Settler): void {
    this.settler = settler;
  }

  /** How long a change is left to the replica's events before the replica is read for it; null: they are not to be waited for. */
  waitMs(pair: Pair): number | null {
    const feed = this.feeds.get(pair.id);
    return feed?.isLive === true ? feed.waitMs : null;
  }

  /** The replica's stream brought a change. */
  onEvent(change: RowChange): void {
    const { pending, history, hasher, clock } = this.parts;
    const { pair, key } = change;
    // What was there before it began is for the sweep.
    if (change.op === 'snapshot') return;
    const event: ReplicaEvent = {
      hash: changeHash(hasher, change),
      isWhole: changeUnknowns(change).length === 0,
      // One that a connector repeats may be older than what is settled: it proves nothing.
      committedAtUs: change.commitTime === 'upper_bound' || this.isRepeated(change.position, change.committedAtUs) ? null : change.committedAtUs,
      lsn: change.position.lsn,
      position: change.position,
    };
    this.heard(pair);
    const id = keyId(key);
    const isNewestKnown = event.isWhole && history.last(pair.id, id) === event.hash;
    const existing = pending.get(pair.id, id);
    if (existing === undefined) {
      if (isNewestKnown && pair.where[this.replicaSide] === undefined) this.came(pair, event);
      else this.shown.set(pending.watch(pair, key, clock.nowMs(), UNMATCHED_WAIT_MS), event);
      return;
    }
    const known = this.shown.get(existing);
    if (known !== undefined && !isLaterEvent(event, known)) return;
    this.shown.set(existing, event);
    if (existing.busy || this.settle(existing)) return;
    if (existing.versions.length > 0 && !event.isWhole && existing.dueMs > clock.nowMs()) pending.schedule(existing, clock.nowMs());
  }

  /** Settles a check that nothing is reading for by what the replica's newest event shows; whether it has ended. */
  settle(check: Check): boolean {
    const { pending, clock, metrics } = this.parts;
    const event = this.shown.get(check);
    if (event === undefined || event.committedAtUs === null || !this.settlesByEvents(check)) return false;
    if (check.versions.length === 0) return this.settleWatched(check, event);
    const notBeforeUs = this.notBeforeUs(event);
    if (notBeforeUs === null) return false;
    const verdict = judgeReplicaEvent(check.versions, pending.baseOf(check, true), event, notBeforeUs);
    if (verdict.kind === 'unproven') return false;
    this.settler?.sawShown(check, verdict.version, event.committedAtUs);
    this.arrived(check.pair, clock.nowMs() - check.firstSeenMs);
    metrics.pairedEvent(check.pair.id);
    if (verdict.kind === 'match') {
      this.settler?.settled(check, verdict.version.hash !== null);
      return true;
    }
    pending.setVersions(check, verdict.remaining);
    check.base = verdict.version.hash;
    check.attempts = 0;
    if (!check.busy) pending.schedule(check, clock.nowMs() + (this.waitMs(check.pair) ?? 0));
    return false;
  }

  /** Whether a write that no known change accounts for must wait: the primary's changes are consumed late. */
  isEarly(check: Check, { behind }: PipelineEvidence): boolean {
    if (!behind || check.suspected || check.versions.length > 0 || !this.shown.has(check)) return false;
    const { clock, pending, pendingMax } = this.parts;
    return clock.nowMs() - check.firstSeenMs < BACKLOG_WAIT_MS && pending.size < pendingMax / 2;
  }

  /**
   * The event of the replica that made what a read found there, where no known change of the primary can have: it came
   * after them all.
   */
  writeOf(check: Check, versions: readonly Version[], replicaHash: RowHash): ReplicaEvent | null {
    const event = this.shown.get(check);
    if (event === undefined || !event.isWhole || event.hash !== replicaHash) return null;
    const newest = versions.at(-1);
    if (newest === undefined) return event;
    const notBeforeUs = this.notBeforeUs(event);
    return notBeforeUs !== null && notBeforeUs > newest.committedAtUs ? event : null;
  }

  /** When an event of the replica was committed, on our clock, ms since 1970; null where it does not tell. */
  committedAtMs({ committedAtUs }: ReplicaEvent): number | null {
    if (committedAtUs === null) return null;
    return Number((committedAtUs - (this.parts.skew[this.replicaSide].best()?.offsetUs ?? 0n)) / 1000n);
  }

  /** A read found a change applied that no event had told of. */
  foundByRead(pair: Pair): void {
    const { clock, partitions } = this.parts;
    if (partitions === null || isBag(pair) || partitions(pair, this.replicaSide).length === 0) return;
    const feed = this.feed(pair.id);
    feed.misses++;
    if (feed.misses >= MISSES_MAX) feed.isLive = false;
    else feed.waitMs = Math.min(WAIT_MAX_MS, feed.waitMs * WAIT_GROWS);
    const nowMs = clock.nowMs();
    feed.missingSinceMs ??= nowMs;
    if (feed.misses < MISSES_MAX || nowMs - feed.missingSinceMs < SILENCE_MS) return;
    this.silent.add(pair.id);
    this.tellSilence();
  }

  /** Notes an event of a partition; whether it stands before another that has come already. */
  private isRepeated(position: Position, committedAtUs: bigint): boolean {
    const { lsn } = position;
    const id = partitionId(position);
    const newest = this.newest.get(id);
    if (newest === undefined) {
      this.newest.set(id, { committedAtUs, lsn });
      return false;
    }
    // A clock that was set back makes no event a repetition: its log position is higher.
    if (committedAtUs < newest.committedAtUs - COMMIT_ORDER_SLACK_US && (lsn === null || newest.lsn === null || lsn < newest.lsn)) return true;
    if (lsn !== null && newest.lsn !== null && lsn > newest.lsn) Object.assign(newest, { committedAtUs, lsn });
    else if (committedAtUs > newest.committedAtUs) newest.committedAtUs = committedAtUs;
    return false;
  }

  private get replicaSide(): Side {
    return otherSide(this.parts.primarySide);
  }

  /** The replica shows again what the primary's newest change made: nothing is left to look into. */
  private settleWatched(check: Check, event: ReplicaEvent): boolean {
    if (!event.isWhole || this.parts.history.last(check.pair.id, check.id) !== event.hash) return false;
    this.settler?.settled(check, event.hash !== null);
    return true;
  }

  /** Whether reads can be done without: nothing else is held against the key, and its row and its event's image are the same thing. */
  private settlesByEvents(check: Check): boolean {
    const { pair, id, suspected, held, holdsUs } = check;
    if (suspected || held.length > 0 || holdsUs !== null) return false;
    if (pair.where.old !== undefined || pair.where.new !== undefined || comparesByNearness(pair)) return false;
    return this.parts.book.get(pair.id, id) === undefined && this.parts.pending.gapsPassed(pair.id, () => false);
  }

  /** The earliest moment of an event's commit on the primary's clock, µs; null while the clocks are not known. */
  private notBeforeUs({ committedAtUs }: ReplicaEvent): bigint | null {
    const { skew, primarySide } = this.parts;
    const primary = skew[primarySide].best();
    const replica = skew[this.replicaSide].best();
    if (committedAtUs === null || primary === null || replica === null) return null;
    return committedAtUs - replica.offsetUs + primary.offsetUs - replica.boundUs - primary.boundUs;
  }

  /** An event came for a change that is settled already: had it been waited for, no read would have been needed. */
  private came(pair: Pair, event: ReplicaEvent): void {
    const committedAtMs = this.committedAtMs(event);
    if (committedAtMs !== null) this.arrived(pair, this.parts.clock.nowMs() - committedAtMs);
  }

  private arrived(pair: Pair, tookMs: number): void {
    const feed = this.feed(pair.id);
    if (tookMs > WAIT_MAX_MS) return;
    feed.isLive = true;
    feed.misses = 0;
    feed.waitMs = Math.min(WAIT_MAX_MS, Math.max(WAIT_MIN_MS, tookMs * WAIT_FACTOR, feed.waitMs * WAIT_SHORTENS));
  }

  private heard(pair: Pair): void {
    this.feed(pair.id).missingSinceMs = null;
    if (this.silent.delete(pair.id)) this.tellSilence();
  }

  private tellSilence(): void {
    const { health } = this.parts;
    const side = this.replicaSide;
    if (this.silent.size === 0) health.clear('replica_stream_stopped');
    else {
      const message = `changes are applied on ${side}, and its own events of them do not come: ${[...this.silent].join(', ')}. They are verified by reads, and other writes there are found by sweeps alone`;
      health.raise('replica_stream_stopped', message);
    }
  }

  private feed(table: string): Feed {
    let feed = this.feeds.get(table);
    if (feed === undefined) {
      feed = { isLive: false, waitMs: WAIT_MIN_MS, misses: 0, missingSinceMs: null };
      this.feeds.set(table, feed);
    }
    return feed;
  }
}
