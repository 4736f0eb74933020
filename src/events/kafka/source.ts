import type { StreamPartition } from '../../domain/change.ts';
import type { LockstepError } from '../../domain/errors.ts';
import type { Pair, Side } from '../../domain/pair.ts';
import type { ChangeSource, SourceListener } from '../../verify/ports.ts';
import { AdminConnection } from './admin.ts';
import { kafkaError } from './client.ts';
import type { KafkaClient } from './client.ts';
import { untilClockJumps } from './clock-jump.ts';
import type { RecordDecoder } from './feed.ts';
import { ConsumerSession, ListenerFailure } from './session.ts';
import type { SessionOptions } from './session.ts';
import type { PartitionBounds } from './start.ts';
import { pause, untilAborted } from './wait.ts';

/** Sessions that end without having delivered a record in between; then the caller decides. */
const MAX_FAILED_SESSIONS = 10;
const MIN_RESTART_MS = 500;
const MAX_RESTART_MS = 15_000;

export interface TopicOfPair {
  readonly pair: Pair;
  readonly side: Side;
  readonly topic: string;
}

export interface KafkaChangeSourceOptions {
  readonly client: KafkaClient;
  /** The consumer group: replicas of Lockstep that share it share the partitions. */
  readonly group: string;
  readonly topics: readonly TopicOfPair[];
  readonly decoder: RecordDecoder;
  /** Slot on the primary that feeds the topics, where it is known. */
  readonly slotName?: string | null;
  /** How long the group waits for a silent member; 10 s by default. */
  readonly sessionTimeoutMs?: number;
  /** Told of an error that is being retried, and null each time the group is joined. */
  readonly onTrouble?: (error: LockstepError | null) => void;
}

/** The change events of a Kafka cluster, as a member of a consumer group. */
export class KafkaChangeSource implements ChangeSource {
  readonly slotName: string | null;
  readonly #options: KafkaChangeSourceOptions;
  readonly #topics: readonly string[];
  /** Partition numbers by topic. */
  readonly #partitions = new Map<string, readonly number[]>();
  #session: ConsumerSession | null = null;

  constructor(options: KafkaChangeSourceOptions) {
    this.#options = options;
    this.slotName = options.slotName ?? null;
    this.#topics = [...new Set(options.topics.map(({ topic }) => topic))];
  }

  /** Rejects with `kafka_refused`, with `kafka_unreachable` after many attempts in vain, or with what the listener threw. */
  async run(listener: SourceListener, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const admin = new AdminConnection(client);
    const aborted = untilAborted(signal);
    let failures = 0;
    const reports = {
      onJoined: (): void => {
        this.#options.onTrouble?.(null);
      },
      // Only records show that a session is worth more than its own start.
      onDelivered: (): void => {
        failures = 0;
      },
    };
    try {
      while (!signal.aborted) {
        try {
          if (await this.#connect(admin, aborted)) await this.#runSession(admin, listener, aborted, reports);
        } catch (error) {
          if (error instanceof ListenerFailure) throw error.error;
          if (signal.aborted) return;
          const failure = kafkaError(error, client.brokers, `consuming as group ${this.#options.group}`);
          failures++;
          if (failure.retry === 'final' || failures >= MAX_FAILED_SESSIONS) throw failure;
          this.#options.onTrouble?.(failure);
          await pause(Math.min(MIN_RESTART_MS * 2 ** failures, MAX_RESTART_MS), signal);
        }
      }
    } finally {
      await admin.close();
    }
  }

  async acknowledge(offsets: ReadonlyMap<string, string>): Promise<void> {
    await this.#session?.commit(offsets);
  }

  partitionsOf(pair: Pair, side: Side): readonly StreamPartition[] {
    return this.#options.topics
      .filter((entry) => entry.pair.id === pair.id && entry.side === side)
      .flatMap(({ topic }) => (this.#partitions.get(topic) ?? []).map((partition) => ({ topic, partition })));
  }

  /** Whether the brokers answered before the abort. */
  async #connect(admin: AdminConnection, aborted: Promise<void>): Promise<boolean> {
    const connect = async (): Promise<boolean> => {
      for (const topic of this.#topics) await this.#bounds(admin, topic);
      return true;
    };
    return await Promise.race([connect(), aborted.then(() => false)]);
  }

  /** Ends when `aborted` resolves; rejects when the consumer has died. */
  async #runSession(
    admin: AdminConnection,
    listener: SourceListener,
    aborted: Promise<void>,
    reports: Pick<SessionOptions, 'onJoined' | 'onDelivered'>,
  ): Promise<void> {
    const session = new ConsumerSession({
      ...this.#options,
      topicNames: this.#topics,
      listener,
      bounds: (topic) => this.#bounds(admin, topic),
      ...reports,
    });
    this.#session = session;
    const ended = new AbortController();
    const jumped = untilClockJumps(ended.signal);
    // Of a jump that nobody waits for any more nothing need be said.
    jumped.catch(() => undefined);
    try {
      await session.run(Promise.race([aborted, jumped]));
    } finally {
      ended.abort();
      this.#session = null;
    }
  }

  async #bounds(admin: AdminConnection, topic: string): Promise<ReadonlyMap<number, PartitionBounds>> {
    const bounds = new Map<number, PartitionBounds>();
    const offsets = await admin.ask(`asking where ${topic} begins and ends`, (asked) => asked.fetchTopicOffsets(topic));
    for (const { partition, low, high } of offsets) {
      bounds.set(partition, { low: BigInt(low), high: BigInt(high) });
    }
    this.#partitions.set(
      topic,
      [...bounds.keys()].sort((left, right) => left - right),
    );
    return bounds;
  }
}
