import kafkajs from 'kafkajs';
import type { Admin } from 'kafkajs';
import { partitionId } from '../../domain/change.ts';
import { LockstepError } from '../../domain/errors.ts';
import type { PipelineOffsets } from '../../verify/ports.ts';
import { AdminConnection } from './admin.ts';
import type { KafkaClient } from './client.ts';
import { appliedOffset, sinksOf } from './sinks.ts';
import type { GroupOnTopics } from './sinks.ts';

/** Connectors come and go in minutes; looking at every group is the dearest of the questions. */
const REDISCOVER_MS = 30_000;
/** Groups looked at; a cluster with more needs the group named. */
const MAX_GROUPS = 1_000;
const CONCURRENT_REQUESTS = 8;
/** Other instances of Lockstep read the same topics and apply nothing. */
const LOCKSTEP_PREFIX = 'lockstep';

/** Debezium's heartbeat topics are this and the connector's topic prefix. */
const HEARTBEAT_PREFIX = '__debezium-heartbeat.';

export interface KafkaPipelineOffsetsOptions {
  readonly client: KafkaClient;
  readonly topics: readonly string[];
  /** Our own consumer group, which is no sink. */
  readonly ownGroup: string;
  /** The sink's group; absent to look for it. */
  readonly sinkGroup?: string;
  /** Topics whose sink is worth knowing; all by default. */
  readonly appliedTopics?: readonly string[];
  /** Topic prefixes of the source connectors, to find their heartbeats; none by default. */
  readonly connectors?: readonly string[];
  readonly nowMs: () => number;
}

/** Offsets of the pairs' topics: their ends, and what the sink has committed. */
export class KafkaPipelineOffsets implements PipelineOffsets {
  readonly #options: KafkaPipelineOffsetsOptions;
  readonly #connection: AdminConnection;
  #groups: readonly string[] = [];
  #groupsByTopic: ReadonlyMap<string, readonly string[]> = new Map();
  #discoveredAtMs: number | null = null;
  #sinkMembers: number | null = null;
  #heartbeatTopics: readonly string[] = [];
  #heartbeatsFoundAtMs: number | null = null;

  constructor(options: KafkaPipelineOffsetsOptions) {
    this.#options = options;
    this.#connection = new AdminConnection(options.client);
  }

  /** Which groups are taken for the sinks of each topic, for status messages. */
  get sinkGroups(): ReadonlyMap<string, readonly string[]> {
    return this.#groupsByTopic;
  }

  get sinkMembers(): number | null {
    return this.#sinkMembers;
  }

  /** Rejects with `kafka_unreachable` or `kafka_refused`. */
  endOffsets(signal: AbortSignal): Promise<ReadonlyMap<string, bigint>> {
    return this.#connection.ask('asking for the ends of the topics', async (admin) => {
      const ends = new Map<string, bigint>();
      await eachOf(this.#options.topics, signal, async (topic) => {
        for (const { partition, high } of await admin.fetchTopicOffsets(topic)) {
          ends.set(partitionId({ topic, partition }), BigInt(high));
        }
      });
      return ends;
    });
  }

  /** Rejects with `kafka_unreachable` or `kafka_refused`. */
  appliedOffsets(signal: AbortSignal): Promise<ReadonlyMap<string, bigint>> {
    return this.#connection.ask('asking how far the sink is', async (admin) => {
      const topics = this.#options.appliedTopics ?? this.#options.topics;
      await this.#discover(admin, topics, signal);
      const groups = await this.#describe(admin, this.#groups, topics, signal);
      const applied = new Map<string, bigint>();
      const byTopic = new Map<string, readonly string[]>();
      for (const topic of topics) {
        const sinks = sinksOf(topic, groups);
        if (sinks.length === 0) continue;
        byTopic.set(
          topic,
          sinks.map(({ group }) => group),
        );
        for (const partition of await partitionsOf(admin, topic)) {
          const offset = appliedOffset(topic, partition, sinks);
          if (offset !== undefined) applied.set(partitionId({ topic, partition }), offset);
        }
      }
      this.#groupsByTopic = byTopic;
      const sinks = new Set([...byTopic.values()].flat());
      this.#sinkMembers = sinks.size === 0 ? null : groups.reduce((sum, { group, members }) => sum + (sinks.has(group) ? members : 0), 0);
      return applied;
    });
  }

  /** Rejects with `kafka_unreachable` or `kafka_refused`. */
  heartbeatEnds(signal: AbortSignal): Promise<ReadonlyMap<string, bigint>> {
    return this.#connection.ask('asking for the heartbeats', async (admin) => {
      const now = this.#options.nowMs();
      if (this.#heartbeatsFoundAtMs === null || now - this.#heartbeatsFoundAtMs >= REDISCOVER_MS) {
        const existing = new Set(await admin.listTopics());
        const wanted = (this.#options.connectors ?? []).map((prefix) => `${HEARTBEAT_PREFIX}${prefix}`);
        this.#heartbeatTopics = wanted.filter((topic) => existing.has(topic));
        this.#heartbeatsFoundAtMs = this.#heartbeatTopics.length === wanted.length ? now : null;
      }
      const ends = new Map<string, bigint>();
      await eachOf(this.#heartbeatTopics, signal, async (topic) => {
        const partitions = await admin.fetchTopicOffsets(topic);
        ends.set(topic, partitions.reduce((sum, { high }) => sum + BigInt(high), 0n));
      });
      return ends;
    });
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  /** Looks, now and then, for the groups that concern `topics`. */
  async #discover(admin: Admin, topics: readonly string[], signal: AbortSignal): Promise<void> {
    const { sinkGroup, ownGroup, nowMs } = this.#options;
    if (sinkGroup !== undefined) {
      this.#groups = [sinkGroup];
      return;
    }
    const now = nowMs();
    if (this.#discoveredAtMs !== null && now - this.#discoveredAtMs < REDISCOVER_MS) return;
    const { groups } = await admin.listGroups();
    const candidates = groups
      .filter(({ groupId, protocolType }) => {
        // An emptied group has lost its protocol type.
        const consumes = protocolType === 'consumer' || protocolType === '';
        return consumes && groupId !== ownGroup && !groupId.startsWith(LOCKSTEP_PREFIX);
      })
      .map(({ groupId }) => groupId)
      .slice(0, MAX_GROUPS);
    const described = await this.#describe(admin, candidates, topics, signal);
    const chosen = new Set(topics.flatMap((topic) => sinksOf(topic, described).map(({ group }) => group)));
    this.#groups = [...chosen];
    this.#discoveredAtMs = now;
  }

  async #describe(
    admin: Admin,
    groups: readonly string[],
    topics: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly GroupOnTopics[]> {
    if (groups.length === 0) return [];
    const { groups: descriptions } = await admin.describeGroups([...groups]);
    const assigned = new Map<string, ReadonlySet<string>>();
    const memberCounts = new Map<string, number>();
    for (const { groupId, members } of descriptions) {
      memberCounts.set(groupId, members.length);
      assigned.set(groupId, new Set(members.flatMap((member) => topicsOf(member.memberAssignment))));
    }
    const found: GroupOnTopics[] = [];
    await eachOf(groups, signal, async (group) => {
      const offsets = await admin.fetchOffsets({ groupId: group, topics: [...topics] });
      const committed = new Map<string, ReadonlyMap<number, bigint>>();
      for (const { topic, partitions } of offsets) {
        const known = partitions.filter(({ offset }) => !offset.startsWith('-'));
        committed.set(topic, new Map(known.map(({ partition, offset }) => [partition, BigInt(offset)])));
      }
      found.push({ group, committed, assigned: assigned.get(group) ?? new Set(), members: memberCounts.get(group) ?? 0 });
    });
    return found;
  }
}

async function partitionsOf(admin: Admin, topic: string): Promise<readonly number[]> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  return topics[0]?.partitions.map(({ partitionId: number }) => number) ?? [];
}

function topicsOf(memberAssignment: Buffer): readonly string[] {
  if (memberAssignment.length === 0) return [];
  try {
    const decoded = kafkajs.AssignerProtocol.MemberAssignment.decode(memberAssignment);
    return Object.entries(decoded?.assignment ?? {}).flatMap(([topic, numbers]) => (numbers.length > 0 ? [topic] : []));
  } catch {
    // Another protocol's assignment: its committed offsets still tell.
    return [];
  }
}

/** Runs `task` on all items, a few at a time; stops where the signal aborts. */
async function eachOf<T>(items: readonly T[], signal: AbortSignal, task: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const workers = Array.from({ length: Math.min(CONCURRENT_REQUESTS, items.length) }, async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      if (signal.aborted) throw new LockstepError('aborted', 'stopped while asking Kafka', { cause: signal.reason });
      await task(item);
    }
  });
  await Promise.all(workers);
}
