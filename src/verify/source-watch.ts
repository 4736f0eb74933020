import { IDLE_AFTER_MS, idleMs, SOURCE_FINDINGS, slotWalSituation, sourceSituation, type SlotFacts } from '../domain/source-situation.ts';
import type { SlotStatus, SourceStatus } from '../domain/status.ts';
import type { Health } from './health.ts';
import type { Clock, LogProgress, ReplicationSlot } from './ports.ts';

export interface SourceWatchParts {
  /** Slot on the primary that feeds the stream; null: looked for. */
  readonly slotName: string | null;
  /** Most log that it may hold back, bytes; null: half of what the server allows. */
  readonly slotWalBytes: number | null;
  readonly health: Health;
  readonly clock: Clock;
  /** Changes may be in nobody's hands: only a sweep that begins after this moment of the primary's clock (µs) finds what they did. */
  readonly onChangesLost: (reason: string, sinceUs: bigint) => void;
}

/** Watches the slot that feeds the stream and whoever reads it, and tells apart what can be wrong with them. */
export class SourceWatch {
  private readonly parts: SourceWatchParts;
  private unreadSinceMs: number | null = null;
  private heartbeats: { readonly sum: bigint; readonly atMs: number; readonly come: boolean } | null = null;
  private slots: readonly SlotStatus[] = [];
  /** The slot was not there, or had lost what it needs: what was committed until there is one again may be in no stream. */
  private isGone = false;
  private idle: { readonly lsn: bigint; readonly sinceUs: bigint } | null = null;
  private idleFor: SourceStatus['idle'] = null;

  constructor(parts: SourceWatchParts) {
    this.parts = parts;
  }

  /**
   * Looks at the slots that may be the source's.
   * @param heartbeats ends of the connectors' heartbeat topics, none where they send none
   * @param certain whether the slots are known to be the source's; else its heartbeats are all that tells of it
   */
  look(log: LogProgress, candidates: readonly ReplicationSlot[], heartbeats: ReadonlyMap<string, bigint>, certain: boolean): void {
    const { slotName, health, clock } = this.parts;
    const nowMs = clock.nowMs();
    if (candidates.some((slot) => slot.active)) this.unreadSinceMs = null;
    else this.unreadSinceMs ??= nowMs;
    this.noteHeartbeats(heartbeats, nowMs, certain);
    const slots = candidates.map((slot) => factsOf(log, slot));
    const situation = sourceSituation({
      slotName,
      slots,
      unreadMs: this.unreadSinceMs === null ? 0 : nowMs - this.unreadSinceMs,
      heartbeatAgeMs: this.heartbeatAgeMs(nowMs),
    });
    for (const finding of SOURCE_FINDINGS) if (finding !== situation?.finding) health.clear(finding);
    if (situation !== null) health.raise(situation.finding, situation.message, situation);
    this.judgeGone(log, slots);
    this.lookAtLog(log, candidates);
  }

  /** Looks at how much log the slots hold back alone, where the source says by itself how it is. */
  lookAtLog(log: LogProgress, candidates: readonly ReplicationSlot[]): void {
    const { health, slotWalBytes } = this.parts;
    const slots = candidates.map((slot) => factsOf(log, slot));
    this.slots = candidates.map((slot, index) => statusOf(slot, slots[index] as SlotFacts, log));
    const growing = slotWalSituation(slots, slotWalBytes === null ? null : BigInt(slotWalBytes), log.slotWalLimitBytes, health.has('slot_wal_growing'));
    if (growing === null) health.clear('slot_wal_growing');
    else health.raise(growing.finding, growing.message, growing);
  }

  /**
   * Judges whether the primary is idle. Times are the primary's, µs.
   * @param lastChangeUs commit time of the newest change that was consumed; null: none since the start
   * @param consumedThroughUs commit time before which all changes of all tables are consumed; null: unknown
   */
  judgeIdle(lastChangeUs: bigint | null, consumedThroughUs: bigint | null, nowUs: bigint, lsn: bigint): void {
    const sinceUs = lastChangeUs ?? this.idle?.sinceUs ?? consumedThroughUs;
    if (sinceUs === null) return;
    if (this.idle?.sinceUs !== sinceUs) this.idle = { sinceUs, lsn };
    const forMs = idleMs({ lastChangeUs: sinceUs, consumedThroughUs, nowUs });
    this.idleFor = forMs === null ? null : { forMs, limitMs: IDLE_AFTER_MS, logMovedBytes: (lsn > this.idle.lsn ? lsn - this.idle.lsn : 0n).toString() };
  }

  status(): SourceStatus {
    return { slots: this.slots, heartbeatAgeMs: this.heartbeatAgeMs(this.parts.clock.nowMs()), idle: this.idleFor };
  }

  /** A topic may be left from when heartbeats were sent: where the slot tells as well, they count once they are seen to come. */
  private noteHeartbeats(heartbeats: ReadonlyMap<string, bigint>, nowMs: number, certain: boolean): void {
    if (heartbeats.size === 0) {
      this.heartbeats = null;
      return;
    }
    const sum = [...heartbeats.values()].reduce((total, end) => total + end, 0n);
    if (this.heartbeats?.sum !== sum) this.heartbeats = { sum, atMs: nowMs, come: this.heartbeats !== null || !certain };
  }

  private heartbeatAgeMs(nowMs: number): number | null {
    return this.heartbeats === null || !this.heartbeats.come ? null : nowMs - this.heartbeats.atMs;
  }

  /** A slot that is made anew begins where the log is then: sweeps are owed from when it was missed, and again from when there is one. */
  private judgeGone(log: LogProgress, slots: readonly SlotFacts[]): void {
    const gone = slots.every((slot) => slot.walStatus === 'lost');
    if (gone === this.isGone) return;
    this.isGone = gone;
    this.parts.onChangesLost('the replication slot of the source was missing', log.clockUs);
  }
}

function factsOf(log: LogProgress, slot: ReplicationSlot): SlotFacts {
  const { name, active, walStatus, restartLsn } = slot;
  const behind = restartLsn === null ? null : log.insertLsn - restartLsn;
  return { name, active, walStatus, retainedBytes: behind === null || behind >= 0n ? behind : 0n };
}

function statusOf(slot: ReplicationSlot, { retainedBytes }: SlotFacts, log: LogProgress): SlotStatus {
  return {
    name: slot.name,
    active: slot.active,
    walStatus: slot.walStatus,
    retainedBytes: retainedBytes === null ? null : Number(retainedBytes),
    safeBytes: slot.safeWalBytes === null ? null : Number(slot.safeWalBytes),
    limitBytes: log.slotWalLimitBytes === null ? null : Number(log.slotWalLimitBytes),
  };
}
