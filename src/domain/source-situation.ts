/** How much of the log that a slot needs the server still has (`wal_status`); null: a server before 13 does not say. */
export type SlotWalStatus = 'reserved' | 'extended' | 'unreserved' | 'lost' | null;

/** A replication slot that may be the source's, at one moment. */
export interface SlotFacts {
  readonly name: string;
  /** Somebody reads it. */
  readonly active: boolean;
  readonly walStatus: SlotWalStatus;
  /** Log that the server keeps for it, bytes; null: none is kept, or it does not say. */
  readonly retainedBytes: bigint | null;
}

export interface SourceFacts {
  /** Slot that the configuration names; null: it is looked for. */
  readonly slotName: string | null;
  readonly slots: readonly SlotFacts[];
  /** None of the slots has been read for so long; 0 while one is. */
  readonly unreadMs: number;
  /** Since the connectors' last heartbeat; null: they are not known to send any. */
  readonly heartbeatAgeMs: number | null;
}

/** A finding as evidence gives it: what was observed, and the limit that it is beyond. */
export interface Situation<Finding extends string> {
  readonly finding: Finding;
  readonly message: string;
  readonly observed: number | null;
  readonly limit: number | null;
}

/** What can be wrong between the primary's log and the stream; at most one holds. */
export const SOURCE_FINDINGS = ['source_slot_missing', 'source_slot_lost', 'source_slot_inactive', 'source_connector_stopped'] as const;
export type SourceFinding = (typeof SOURCE_FINDINGS)[number];

/** A slot may be without its reader for this long, e.g. while a connector restarts its task. */
export const SLOT_GRACE_MS = 3_000;
/** A connector that sends heartbeats may be without one for this long. */
export const HEARTBEATS_GRACE_MS = 15_000;
/** A heartbeat that was on its way when the slot lost its reader arrives within this: a later one is a sign of life. */
const HEARTBEAT_ON_ITS_WAY_MS = 2_000;

/** What is wrong with the source, if anything is; nothing within the times that a restart takes. */
export function sourceSituation(facts: SourceFacts): Situation<SourceFinding> | null {
  const { slotName, slots, unreadMs, heartbeatAgeMs } = facts;
  const lost = slots.filter((slot) => slot.walStatus === 'lost');
  if (slots.length > 0 && lost.length === slots.length) {
    const message = `the primary has removed log that ${namesOf(lost)} needed (max_slot_wal_keep_size): changes are lost to the stream, and it cannot be read again`;
    return { finding: 'source_slot_lost', message, observed: null, limit: null };
  }
  if (slots.some((slot) => slot.active)) {
    if (heartbeatAgeMs === null || heartbeatAgeMs < HEARTBEATS_GRACE_MS) return null;
    const message = `the source connector has sent no heartbeat for ${seconds(heartbeatAgeMs)} s, though ${namesOf(slots)} is being read: it is paused, hangs, or cannot reach Kafka`;
    return { finding: 'source_connector_stopped', message, observed: seconds(heartbeatAgeMs), limit: HEARTBEATS_GRACE_MS / 1000 };
  }
  if (unreadMs < SLOT_GRACE_MS) return null;
  const timed = { observed: seconds(unreadMs), limit: SLOT_GRACE_MS / 1000 };
  if (slots.length === 0) {
    const message = slotName === null ? 'the primary has no logical replication slot for a source' : `the primary has no replication slot ${slotName}`;
    return { finding: 'source_slot_missing', message, ...timed };
  }
  if (heartbeatAgeMs !== null && heartbeatAgeMs + HEARTBEAT_ON_ITS_WAY_MS < unreadMs) {
    const message = `nothing has read ${namesOf(slots)} for ${seconds(unreadMs)} s, yet the connector's heartbeats go on: it reads another slot, or comes and goes`;
    return { finding: 'source_slot_inactive', message, ...timed };
  }
  return { finding: 'source_connector_stopped', message: `nothing has read ${namesOf(slots)} for ${seconds(unreadMs)} s: the source connector has stopped`, ...timed };
}

/** Share of the server's own limit from which a slot is said to grow towards it: half is left for somebody to act. */
const SERVER_LIMIT_SHARE = 2n;
/** Below this share of the limit, in percent, it is over. */
const OVER_PERCENT = 80n;

/**
 * Whether a slot holds back more log than it may.
 * @param allowedBytes what the configuration allows; null: half of what the server does
 * @param serverLimitBytes `max_slot_wal_keep_size`; null: the server has no limit
 * @param standing whether it was said before, so that it does not come and go at the limit
 */
export function slotWalSituation(slots: readonly SlotFacts[], allowedBytes: bigint | null, serverLimitBytes: bigint | null, standing: boolean): Situation<'slot_wal_growing'> | null {
  const limit = allowedBytes ?? (serverLimitBytes === null ? null : serverLimitBytes / SERVER_LIMIT_SHARE);
  for (const { name, walStatus, retainedBytes } of slots) {
    if (walStatus === 'lost' || retainedBytes === null) continue;
    const over = limit !== null && retainedBytes > (standing ? (limit * OVER_PERCENT) / 100n : limit);
    if (!over && walStatus !== 'unreserved') continue;
    const until = serverLimitBytes === null ? 'until the disk is full' : `and at ${mebibytes(serverLimitBytes)} MiB (max_slot_wal_keep_size) the server drops what the slot needs`;
    const message = `replication slot ${name} holds back ${mebibytes(retainedBytes)} MiB of the primary's log, ${until}`;
    return { finding: 'slot_wal_growing', message, observed: Number(retainedBytes), limit: limit === null ? null : Number(limit) };
  }
  return null;
}

/** No write of a compared table for this long is worth calling idle. */
export const IDLE_AFTER_MS = 10_000;
/** What is known of the primary must be this recent: of a stream that stands nobody knows. */
const IDLE_KNOWN_MS = 30_000;

export interface IdleFacts {
  /** Commit time of the newest change that was consumed, or, before the first, the moment from which all are; µs. */
  readonly lastChangeUs: bigint | null;
  /** Commit time before which all changes are consumed, µs; null: unknown. */
  readonly consumedThroughUs: bigint | null;
  /** The primary's clock, µs. */
  readonly nowUs: bigint;
}

/** How long no compared table has been written on the primary, as far as that is proven, ms; null: they are written, or nobody knows. */
export function idleMs({ lastChangeUs, consumedThroughUs, nowUs }: IdleFacts): number | null {
  if (lastChangeUs === null || consumedThroughUs === null) return null;
  if (nowUs - consumedThroughUs > BigInt(IDLE_KNOWN_MS) * 1000n) return null;
  const quietMs = Number((consumedThroughUs - lastChangeUs) / 1000n);
  return quietMs < IDLE_AFTER_MS ? null : quietMs;
}

function namesOf(slots: readonly SlotFacts[]): string {
  return `the replication slot ${slots.map((slot) => slot.name).join(', ')}`;
}

function seconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}

function mebibytes(bytes: bigint): number {
  return Math.round(Number(bytes) / 104_857.6) / 10;
}
