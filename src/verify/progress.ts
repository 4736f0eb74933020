import { isBag } from '../domain/bag.ts';
import { partitionId } from '../domain/change.ts';
import type { ClockSkew } from '../domain/clock-skew.ts';
import type { Pair, Side } from '../domain/pair.ts';
import type { Watermarks } from '../domain/watermarks.ts';
import type { Health } from './health.ts';
import type { SourceWatch } from './source-watch.ts';
import { unsettledSinceUs, type PendingChecks } from './pending-checks.ts';
import type { Clock, Database, LogProgress, PartitionsOf, PipelineOffsets, ReplicationSlot } from './ports.ts';
import type { Proofs } from './proofs.ts';
import { LockstepError, rootMessage } from '../domain/errors.ts';
import { within } from './within.ts';

/** A question to a database that takes longer is given up. */
const ASK_LIMIT_MS = 5_000;
/** The primary's log and the pipeline's offsets are looked at this often. */
const SAMPLE_MS = 500;
const SKEW_SAMPLE_MS = 2_000;
/** Verified-through is brought up to date this often. */
const ADVANCE_MS = 250;
/** A change may be in flight for at least this long before the sink is said to stand. */
const SINK_GRACE_MS = 5_000;
/** A sink's group may be without members for this long, e.g. while its tasks restart. */
const SINK_MEMBERS_GRACE_MS = 10_000;
/**
 * A connector hands its records over in commit order, but to several partitions: once one
 * of its changes was consumed, what it committed before is readable everywhere this much later.
 */
const CONNECTOR_GUARD_MS = 500;
/**
 * Heartbeats that must follow in Kafka once a connector has received a log position: the
 * first may have been on its way before, the second comes after all it had received.
 */
const HEARTBEATS_AFTER = 2n;
/** Received positions that are waited for at once. */
const RECEIVED_MAX = 64;
/** Questions to the pipeline may fail this often in a row before it is said to be out of reach. */
const FAILURES_SHOWN = 4;
/** Unconsumed records for this long mean that this consumer is behind. */
const CONSUMER_GRACE_MS = 10_000;

export interface ProgressParts {
  readonly pairs: readonly Pair[];
  readonly watermarks: Watermarks;
  readonly source: SourceWatch;
  readonly partitions: PartitionsOf;
  /** Slot on the primary that feeds the stream; null: looked for. */
  readonly slotName: string | null;
  readonly offsets: PipelineOffsets;
  readonly primary: Database;
  readonly replica: Database;
  readonly skew: Readonly<Record<Side, ClockSkew>>;
  readonly health: Health;
  readonly pending: PendingChecks;
  readonly proofs: Proofs;
  readonly newestAppliedUs: (table: string) => bigint | null;
  /** Without heartbeats, a connector that is this long idle is taken to have handed over what it received. */
  readonly settleMs: number;
  readonly clock: Clock;
  readonly lagBudgetMs: number;
  /** Name of the connector that writes a topic. */
  readonly connectorOf: (topic: string) => string;
  /** All topics of a connector. */
  readonly topicsOf: (connector: string) => ReadonlySet<string>;
  /** One stream in commit order: its own positions say how far it reaches. */
  readonly ordered: boolean;
}

/** A log position that the source's reader said it has received. */
interface ReceivedPosition {
  readonly lsn: bigint;
  readonly atMs: number;
  /** Ends of the heartbeat topics at that moment. */
  readonly heartbeats: ReadonlyMap<string, bigint>;
}

interface ConnectorProgress {
  newestUs: bigint | null;
  /** A change whose guard time runs. */
  guardedUs: bigint | null;
  guardedAtMs: number;
  usedUs: bigint | null;
}

/** The smallest of the positions; null where one is not known or there is none. */
function least(positions: readonly (bigint | null)[]): bigint | null {
  let smallest: bigint | null = null;
  for (const position of positions) {
    if (position === null) return null;
    if (smallest === null || position < smallest) smallest = position;
  }
  return smallest;
}

function earlier(one: bigint | null, other: bigint | null): bigint | null {
  if (one === null || other === null) return one ?? other;
  return other < one ? other : one;
}

/** Watches how far the primary, the source and the sink have come, and moves verified-through. */
export class Progress {
  private readonly parts: ProgressParts;
  /** Since when the sink's group has had no members, after it had some; null: it has, or never had. */
  private sinkEmptySinceMs: number | null = null;
  private sinkHadMembers = false;
  /** Records that the sink has not applied; null: unknown. */
  private unapplied: bigint | null = null;
  /** The primary's newest log position that was read. */
  private lsn = 0n;
  /** The oldest unsettled change of each table, and since when it has been the oldest. */
  private readonly oldest = new Map<string, { committedAtUs: bigint; sinceMs: number }>();
  private readonly targets = new Map<string, { end: bigint; sinceMs: number }>();
  private subscriptionSlots: readonly string[] = [];
  private received: ReceivedPosition[] = [];
  private readers = '';
  private readonly connectors = new Map<string, ConnectorProgress>();

  constructor(parts: ProgressParts) {
    this.parts = parts;
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.every(SAMPLE_MS, signal, () => this.sampleLog(signal)),
      this.every(SAMPLE_MS, signal, () => this.sampleApplied(signal)),
      this.every(SKEW_SAMPLE_MS, signal, () => this.sampleSkew(this.parts.primary, signal)),
      this.every(SKEW_SAMPLE_MS, signal, () => this.sampleSkew(this.parts.replica, signal)),
      this.every(ADVANCE_MS, signal, () => this.advance()),
    ]);
  }

  /** Measures both clocks once. */
  async measureSkew(signal: AbortSignal): Promise<void> {
    await Promise.all([this.sampleSkew(this.parts.primary, signal), this.sampleSkew(this.parts.replica, signal)]);
  }

  private async every(periodMs: number, signal: AbortSignal, work: () => Promise<void> | void): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        await work();
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        if (error instanceof LockstepError && error.about['side'] !== undefined) this.parts.health.failed(error);
        else if (failures >= FAILURES_SHOWN) this.parts.health.raise('stream_unreachable', rootMessage(error));
      }
      await this.parts.clock.sleep(periodMs, signal);
    }
  }

  private async sampleSkew(database: Database, signal: AbortSignal): Promise<void> {
    this.parts.skew[database.side].add(await within(database.side, ASK_LIMIT_MS, signal, (limited) => database.clock(limited)));
    this.parts.health.reachable(database.side);
  }

  private async sampleLog(signal: AbortSignal): Promise<void> {
    const { primary, replica, watermarks, offsets, health, ordered } = this.parts;
    const log = await within(primary.side, ASK_LIMIT_MS, signal, (limited) => primary.logProgress(limited));
    health.reachable(primary.side);
    watermarks.sample(log.clockUs, log.insertLsn);
    this.lsn = log.insertLsn;
    if (ordered) {
      this.parts.source.lookAtLog(log, this.candidates(log));
      return;
    }
    this.subscriptionSlots = await within(replica.side, ASK_LIMIT_MS, signal, (limited) => replica.subscriptionSlots(limited));
    const through = await this.sourceThrough(log, signal);
    const reached = this.connectorsReached();
    if ((through !== null && watermarks.wantsEnds(through)) || reached.length > 0) {
      const ends = await offsets.endOffsets(signal);
      if (through !== null) watermarks.sourcePassed(through, ends);
      for (const { committedAtUs, topics } of reached) {
        watermarks.connectorReached(committedAtUs, new Map([...ends].filter(([id]) => topics.has(id.slice(0, id.lastIndexOf('/'))))));
      }
      health.clear('stream_unreachable');
    }
  }

  /** A change of a connector was consumed, commit times in µs on the primary's clock. */
  changeConsumed(topic: string, committedAtUs: bigint): void {
    const connector = this.parts.connectorOf(topic);
    let progress = this.connectors.get(connector);
    if (progress === undefined) {
      progress = { newestUs: null, guardedUs: null, guardedAtMs: 0, usedUs: null };
      this.connectors.set(connector, progress);
    }
    if (progress.newestUs === null || committedAtUs > progress.newestUs) progress.newestUs = committedAtUs;
  }

  /** Connectors with a change that was consumed long enough ago to speak for all their partitions. */
  private connectorsReached(): { committedAtUs: bigint; topics: ReadonlySet<string> }[] {
    const nowMs = this.parts.clock.nowMs();
    const reached: { committedAtUs: bigint; topics: ReadonlySet<string> }[] = [];
    for (const [connector, progress] of this.connectors) {
      const { guardedUs, newestUs } = progress;
      if (guardedUs !== null && nowMs - progress.guardedAtMs >= CONNECTOR_GUARD_MS) {
        reached.push({ committedAtUs: guardedUs, topics: this.parts.topicsOf(connector) });
        progress.usedUs = guardedUs;
        progress.guardedUs = null;
      }
      if (progress.guardedUs === null && newestUs !== null && (progress.usedUs === null || newestUs > progress.usedUs)) {
        progress.guardedUs = newestUs;
        progress.guardedAtMs = nowMs;
      }
    }
    return reached;
  }

  /**
   * The log position before which the source has handed over everything: what it has confirmed,
   * or, since an idle connector confirms nothing, what it has received and heartbeats followed.
   */
  private async sourceThrough(log: LogProgress, signal: AbortSignal): Promise<bigint | null> {
    const { slotName } = this.parts;
    const candidates = this.candidates(log);
    const active = candidates.filter((slot) => slot.active);
    const heartbeats = await this.parts.offsets.heartbeatEnds(signal);
    // Of several slots the source's is not known: another's progress must not pass for its own.
    const certain = slotName !== null || candidates.length === 1;
    this.parts.source.look(log, candidates, heartbeats, certain);
    // A slot without a reader says nothing: before its snapshot is copied, an idle primary's would seem to be at the log's end.
    const confirmed = certain ? least(active.map((slot) => slot.confirmedFlushLsn)) : null;
    const handedOver = certain || heartbeats.size > 0 ? this.handedOver(active, heartbeats) : null;
    if (confirmed === null || handedOver === null) return confirmed ?? handedOver;
    return handedOver > confirmed ? handedOver : confirmed;
  }

  /** Slots that may be the source's. */
  private candidates({ slots }: LogProgress): readonly ReplicationSlot[] {
    const { slotName } = this.parts;
    return slots.filter((slot) => (slotName === null ? !this.subscriptionSlots.includes(slot.name) : slot.name === slotName));
  }

  private handedOver(active: readonly ReplicationSlot[], heartbeats: ReadonlyMap<string, bigint>): bigint | null {
    const { clock, settleMs } = this.parts;
    const readers = active.map((slot) => slot.readerPid).join();
    if (readers !== this.readers) this.received = [];
    this.readers = readers;
    const lsn = least(active.map((slot) => slot.receivedLsn));
    if (lsn === null) return null;
    const nowMs = clock.nowMs();
    const done = this.received.findLastIndex((position) =>
      heartbeats.size === 0
        ? nowMs - position.atMs >= settleMs
        : [...heartbeats].every(([topic, end]) => end >= (position.heartbeats.get(topic) ?? end) + HEARTBEATS_AFTER),
    );
    const through = done < 0 ? null : (this.received[done] as ReceivedPosition).lsn;
    // The last that is done stays: it is still the answer when nothing newer is.
    if (done > 0) this.received = this.received.slice(done);
    const last = this.received.at(-1);
    if (last === undefined || lsn > last.lsn) this.received.push({ lsn, atMs: nowMs, heartbeats });
    if (this.received.length > RECEIVED_MAX) this.received = this.received.filter((_, index) => index % 2 === 1);
    return through;
  }

  private async sampleApplied(signal: AbortSignal): Promise<void> {
    const { watermarks, offsets, health, clock } = this.parts;
    const applied = await offsets.appliedOffsets(signal);
    watermarks.appliedTo(applied);
    health.clear('stream_unreachable');
    this.unapplied = this.unappliedOf(applied);
    const { sinkMembers } = offsets;
    if (sinkMembers !== null && sinkMembers > 0) this.sinkHadMembers = true;
    if (sinkMembers !== 0 || !this.sinkHadMembers) this.sinkEmptySinceMs = null;
    else this.sinkEmptySinceMs ??= clock.nowMs();
  }

  /** Records of the topics that the sink has not applied, as far as their ends are known; null where nothing tells of a sink. */
  private unappliedOf(applied: ReadonlyMap<string, bigint>): bigint | null {
    if (this.parts.ordered || applied.size === 0) return null;
    let records = 0n;
    for (const { partition, endOffset, nextOffset } of this.parts.watermarks.all()) {
      const through = applied.get(partitionId(partition));
      const end = endOffset ?? nextOffset;
      if (through !== undefined && end > through) records += end - through;
    }
    return records;
  }

  private advance(): void {
    const { pairs, proofs, watermarks, primary } = this.parts;
    let snapshot = false;
    const standing: string[] = [];
    for (const pair of pairs) {
      const partitions = this.parts.partitions(pair, primary.side);
      const snapshotInProgress = watermarks.snapshotInProgress(partitions);
      snapshot ||= snapshotInProgress;
      const { oldestChangeUs, oldestUnsettledUs } = this.oldestOf(pair.id);
      if (isBag(pair)) {
        proofs.advanceBySweeps(pair.id, snapshotInProgress);
        continue;
      }
      proofs.advance(pair.id, {
        consumedThroughUs: watermarks.consumedThroughUs(partitions),
        oldestUnsettledUs,
        snapshotInProgress,
      });
      if (this.sinkStands(pair.id, oldestChangeUs)) standing.push(pair.id);
    }
    const { health } = this.parts;
    if (snapshot) health.raise('snapshot_in_progress', "the connector's initial snapshot is in progress");
    else health.clear('snapshot_in_progress');
    this.judgeSink(standing);
    this.judgeConsumer();
    this.judgeIdle();
  }

  /** A sink that stands shows no newer change on the replica; one that is gone has no members in its group, whether or not anything waits for it. */
  private judgeSink(standing: readonly string[]): void {
    const { health, clock, lagBudgetMs } = this.parts;
    const waiting = this.unapplied === null ? '' : `; ${this.unapplied} record(s) wait for the sink`;
    const emptyMs = this.sinkEmptySinceMs === null ? 0 : clock.nowMs() - this.sinkEmptySinceMs;
    if (standing.length > 0) {
      const waitedMs = Math.max(...standing.map((table) => clock.nowMs() - (this.oldest.get(table)?.sinceMs ?? clock.nowMs())));
      health.raise('sink_stopped', `changes are not applied to the replica: ${standing.join(', ')}${waiting}`, {
        observed: Math.round(waitedMs / 1000),
        limit: Math.max(lagBudgetMs, SINK_GRACE_MS) / 1000,
        tables: standing,
      });
    } else if (emptyMs >= SINK_MEMBERS_GRACE_MS) {
      health.raise('sink_stopped', `the sink's consumer group has had no member for ${Math.round(emptyMs / 1000)} s: it has stopped${waiting}`, {
        observed: Math.round(emptyMs / 1000),
        limit: SINK_MEMBERS_GRACE_MS / 1000,
      });
    } else health.clear('sink_stopped');
  }

  /** An idle primary is no failure; it explains why nothing moves. */
  private judgeIdle(): void {
    const { pairs, watermarks, primary, skew, clock, source } = this.parts;
    const throughs = pairs.map((pair) => watermarks.consumedThroughUs(this.parts.partitions(pair, primary.side)));
    let newestUs: bigint | null = null;
    for (const connector of this.connectors.values()) if (connector.newestUs !== null && (newestUs === null || connector.newestUs > newestUs)) newestUs = connector.newestUs;
    source.judgeIdle(newestUs, least(throughs), clock.nowUs() + (skew[primary.side].best()?.offsetUs ?? 0n), this.lsn);
  }

  /** Commit times of the oldest change of a table that waits for the sink, and of the oldest that is not settled for whatever reason. */
  private oldestOf(table: string): { oldestChangeUs: bigint | null; oldestUnsettledUs: bigint | null } {
    let oldestChangeUs: bigint | null = null;
    let oldestUnsettledUs: bigint | null = null;
    for (const check of this.parts.pending.checksOf(table)) {
      if (!check.isLikelyApplied) oldestChangeUs = earlier(oldestChangeUs, check.versions[0]?.committedAtUs ?? null);
      oldestUnsettledUs = earlier(oldestUnsettledUs, unsettledSinceUs(check));
    }
    return { oldestChangeUs, oldestUnsettledUs };
  }

  /** Whether the same change has been the oldest beyond the budget and nothing as new was seen applied: a late sink moves on, a stopped one does not. */
  private sinkStands(table: string, oldestUs: bigint | null): boolean {
    const nowMs = this.parts.clock.nowMs();
    const known = this.oldest.get(table);
    if (oldestUs === null) this.oldest.delete(table);
    else if (known?.committedAtUs !== oldestUs) this.oldest.set(table, { committedAtUs: oldestUs, sinceMs: nowMs });
    if (oldestUs === null || known?.committedAtUs !== oldestUs) return false;
    const applied = this.parts.newestAppliedUs(table);
    if (applied !== null && applied >= oldestUs) return false;
    return nowMs - known.sinceMs > Math.max(this.parts.lagBudgetMs, SINK_GRACE_MS);
  }

  /** A consumer is behind when it takes long to reach an end that it has seen: under load there is always a newer one. */
  private judgeConsumer(): void {
    const { watermarks, health, clock } = this.parts;
    if (this.parts.ordered) return;
    const nowMs = clock.nowMs();
    let behind = 0n;
    const topics = new Set<string>();
    for (const { partition, endOffset, nextOffset } of watermarks.all()) {
      if (endOffset === null) continue;
      const id = partitionId(partition);
      const target = this.targets.get(id);
      if (target === undefined || nextOffset >= target.end) this.targets.set(id, { end: endOffset, sinceMs: nowMs });
      else if (nowMs - target.sinceMs >= CONSUMER_GRACE_MS) {
        behind += endOffset - nextOffset;
        topics.add(partition.topic);
      }
    }
    if (behind > 0n) {
      const tables = this.parts.pairs.filter((pair) => this.parts.partitions(pair, this.parts.primary.side).some(({ topic }) => topics.has(topic))).map((pair) => pair.id);
      health.raise('consumer_behind', `${behind} records are not yet consumed: this consumer has taken longer than ${CONSUMER_GRACE_MS / 1000} s to come to an end that it has seen`, { observed: Number(behind), limit: 0, tables });
    }
    else health.clear('consumer_behind');
  }
}
