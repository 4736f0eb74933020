import { setTimeout as sleep } from 'node:timers/promises';
import type { Consumer, EachBatchPayload } from 'kafkajs';
import { partitionId } from '../../domain/change.ts';
import type { StreamPartition } from '../../domain/change.ts';
import { LockstepError } from '../../domain/errors.ts';
import type { SourceListener } from '../../verify/ports.ts';
import { kafkaError } from './client.ts';
import type { KafkaClient } from './client.ts';
import { PartitionFeed } from './feed.ts';
import type { RecordDecoder } from './feed.ts';
import { planStart } from './start.ts';
import type { PartitionBounds } from './start.ts';
import { DISCONNECT_MS, within } from './wait.ts';

/** A broker answers an idle fetch after this long; a partition that is resumed meanwhile waits for it. */
const FETCH_WAIT_MS = 250;
/** Of one partition in one fetch, before decompression. A record batch that is larger comes whole and alone (KIP-74). */
const FETCH_PARTITION_BYTES = 2 * 1024 * 1024;
/** Of one fetch in all, before decompression. */
const FETCH_BYTES = 16 * 1024 * 1024;
/** Fetched and waiting, one partition: beyond it the partition is paused. */
const PARTITION_QUEUE_BYTES = 8 * 1024 * 1024;
/** Fetched and waiting, all partitions together. */
const TOTAL_QUEUE_BYTES = 64 * 1024 * 1024;
/** How long a full partition holds up the fetch loop before it is paused: short waits cost no extra round trip. */
const PAUSE_AFTER_MS = 500;
/** Handlers are short but may wait PAUSE_AFTER_MS each: enough of them for the partitions of one fetch. */
const CONCURRENT_PARTITIONS = 64;
/** A member that died without leaving holds up the next one for this long: a restart after a kill should not wait more. */
const SESSION_TIMEOUT_MS = 10_000;
const REBALANCE_TIMEOUT_MS = 60_000;
const HEARTBEAT_MS = 3_000;
/** Attempts to find out where to start, per assignment. */
const MAX_POSITION_ATTEMPTS = 5;
const POSITION_RETRY_MS = 1_000;

/** An error of the listener, told apart from those of Kafka. */
export class ListenerFailure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

export interface SessionOptions {
  readonly client: KafkaClient;
  readonly group: string;
  readonly decoder: RecordDecoder;
  /** How long the group waits for a silent member; 10 s by default. */
  readonly sessionTimeoutMs?: number;
  readonly topicNames: readonly string[];
  readonly listener: SourceListener;
  readonly bounds: (topic: string) => Promise<ReadonlyMap<number, PartitionBounds>>;
  /** It is known where to start, or that there is nothing to do. */
  readonly onJoined: () => void;
  /** Records were accepted. */
  readonly onDelivered: () => void;
}

/** A fetched batch of which nothing is left to deliver. */
interface FilteredBatch extends StreamPartition {
  readonly firstOffset: string | null;
  readonly lastOffset: string;
  readonly highWatermark: string;
}

/** One consumer from joining the group to its end. */
export class ConsumerSession {
  readonly #options: SessionOptions;
  readonly #consumer: Consumer;
  readonly #feeds = new Map<string, PartitionFeed>();
  /** Deliveries of revoked partitions that are still under way, by partition. */
  readonly #leaving = new Map<string, Promise<void>>();
  #waiters: (() => void)[] = [];
  #fail: (error: unknown) => void = () => undefined;
  readonly #failed: Promise<never>;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#failed = new Promise<never>((_resolve, reject) => {
      this.#fail = reject;
    });
    this.#failed.catch(() => undefined);
    this.#consumer = options.client.kafka.consumer({
      groupId: options.group,
      sessionTimeout: options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      heartbeatInterval: Math.min(HEARTBEAT_MS, (options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS) / 3),
      maxWaitTimeInMs: FETCH_WAIT_MS,
      maxBytesPerPartition: FETCH_PARTITION_BYTES,
      maxBytes: FETCH_BYTES,
      allowAutoTopicCreation: false,
      // Our own loop restarts: it tells of the failure, and knows where to go on.
      retry: { restartOnFailure: () => Promise.resolve(false) },
    });
  }

  /** Ends when `aborted` resolves; rejects when the consumer has died. */
  async run(aborted: Promise<void>): Promise<void> {
    const consumer = this.#consumer;
    const { events } = consumer;
    consumer.on(events.CRASH, ({ payload }) => {
      this.#fail(payload.error);
    });
    consumer.on(events.REBALANCING, () => {
      this.#revokeAll();
    });
    consumer.on(events.GROUP_JOIN, ({ payload }) => {
      this.#guard(() => {
        this.#assign(payload.memberAssignment);
      });
    });
    consumer.on(events.END_BATCH_PROCESS, ({ payload }) => {
      if (payload.batchSize === 0) this.#onFiltered(payload);
    });
    try {
      await Promise.race([this.#start(), this.#failed, aborted]);
      await Promise.race([this.#failed, aborted]);
    } finally {
      this.#revokeAll();
      await within(DISCONNECT_MS, Promise.all([consumer.disconnect(), ...this.#leaving.values()]));
    }
  }

  /** Offsets are committed for others to see; ours are in the state store, so failing is no harm. */
  async commit(offsets: ReadonlyMap<string, string>): Promise<void> {
    const commits: { topic: string; partition: number; offset: string }[] = [];
    for (const [id, offset] of offsets) {
      const feed = this.#feeds.get(id);
      if (feed !== undefined && feed.nextFetch !== null) commits.push({ ...feed.partition, offset });
    }
    if (commits.length === 0) return;
    try {
      await this.#consumer.commitOffsets(commits);
    } catch (error) {
      const failure = kafkaError(error, this.#options.client.brokers, 'committing offsets');
      this.#options.client.log('warn', failure.message, { group: this.#options.group });
    }
  }

  async #start(): Promise<void> {
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: [...this.#options.topicNames], fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: CONCURRENT_PARTITIONS,
      eachBatch: (payload) => this.#onFetched(payload),
    });
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fail(new ListenerFailure(error));
    }
  }

  #assign(assignment: Readonly<Record<string, readonly number[]>>): void {
    this.#revokeAll();
    const byTopic = Object.entries(assignment).filter(([, numbers]) => numbers.length > 0);
    const feeds: PartitionFeed[] = [];
    for (const [topic, numbers] of byTopic) {
      for (const partition of numbers) feeds.push(this.#newFeed({ topic, partition }));
      // Nothing is fetched before it is known where to start.
      this.#consumer.pause([{ topic, partitions: [...numbers] }]);
    }
    this.#options.listener.onAssigned(feeds.map((feed) => feed.partition));
    if (feeds.length === 0) this.#options.onJoined();
    for (const [topic] of byTopic) {
      const ofTopic = feeds.filter((feed) => feed.partition.topic === topic);
      void this.#position(topic, ofTopic, async () => {
        for (const feed of ofTopic) await this.#leaving.get(partitionId(feed.partition));
        return this.#options.listener.resumeFrom(ofTopic.map((feed) => feed.partition));
      });
    }
  }

  #newFeed(partition: StreamPartition): PartitionFeed {
    const { listener, decoder, onDelivered } = this.#options;
    const feed = new PartitionFeed({
      partition,
      decode: (record) => decoder.decode(record),
      prepare: (records) => decoder.prepare(records),
      deliver: async (batch) => {
        await listener.onBatch(batch);
        if (batch.records.length > 0) onDelivered();
      },
      onDrained: () => {
        this.#resumeWhereRoom();
      },
      onFailure: (error) => {
        this.#fail(new ListenerFailure(error));
      },
    });
    this.#feeds.set(partitionId(partition), feed);
    return feed;
  }

  #revokeAll(): void {
    if (this.#feeds.size === 0) return;
    const partitions: StreamPartition[] = [];
    for (const [id, feed] of this.#feeds) {
      feed.close();
      partitions.push(feed.partition);
      const before = this.#leaving.get(id) ?? Promise.resolve();
      const leaving = Promise.all([before, feed.idle()]).then(() => {
        if (this.#leaving.get(id) === leaving) this.#leaving.delete(id);
      });
      this.#leaving.set(id, leaving);
    }
    this.#feeds.clear();
    this.#wake();
    this.#guard(() => {
      this.#options.listener.onRevoked(partitions);
    });
  }

  /** Finds out where to start the feeds of one topic, tells of gaps, and lets them run. */
  async #position(
    topic: string,
    feeds: readonly PartitionFeed[],
    dueOffsets: () => Promise<ReadonlyMap<string, string>>,
    nothingBefore = 0n,
  ): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        const due = await dueOffsets();
        const bounds = await this.#options.bounds(topic);
        for (const feed of feeds) {
          if (feed.closed) continue;
          const dueOffset = due.get(partitionId(feed.partition)) ?? null;
          this.#startFeed(feed, dueOffset, bounds.get(feed.partition.partition), nothingBefore);
        }
        this.#options.onJoined();
        return;
      } catch (error) {
        if (feeds.every((feed) => feed.closed)) return;
        if (error instanceof ListenerFailure || attempt >= MAX_POSITION_ATTEMPTS) {
          this.#fail(error);
          return;
        }
        await sleep(POSITION_RETRY_MS);
      }
    }
  }

  #startFeed(
    feed: PartitionFeed,
    due: string | null,
    bounds: PartitionBounds | undefined,
    nothingBefore: bigint,
  ): void {
    const { topic, partition } = feed.partition;
    if (bounds === undefined) {
      throw new LockstepError('kafka_unreachable', `Kafka did not tell the offsets of ${topic}/${partition}`, {
        retry: 'retry',
      });
    }
    const start = planStart(due === null ? null : BigInt(due), bounds);
    if (start.gap && due !== null) {
      this.#callListener((listener) => {
        listener.onGap(feed.partition, due, String(bounds.low));
      });
    }
    const offset = !start.gap && nothingBefore > start.offset ? nothingBefore : start.offset;
    feed.nextFetch = offset;
    this.#consumer.seek({ topic, partition, offset: String(offset) });
    // Says where the partition stands even where it has nothing to deliver.
    feed.push({ messages: [], nextOffset: offset, endOffset: String(bounds.high) });
    feed.paused = false;
    this.#consumer.resume([{ topic, partitions: [partition] }]);
  }

  #callListener(call: (listener: SourceListener) => void): void {
    try {
      call(this.#options.listener);
    } catch (error) {
      throw new ListenerFailure(error);
    }
  }

  async #onFetched(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const feed = this.#feeds.get(partitionId(batch));
    const last = batch.messages.at(-1);
    if (feed === undefined || feed.nextFetch === null || last === undefined) return;
    if (!payload.isRunning() || payload.isStale()) return;
    // kafkajs keeps the offset it asked for on the batch, though its types do not say so.
    const { fetchedOffset } = batch as { readonly fetchedOffset?: string };
    if (fetchedOffset !== undefined && BigInt(fetchedOffset) !== feed.nextFetch) {
      this.#reposition(feed, feed.nextFetch);
      return;
    }
    feed.nextFetch = BigInt(batch.lastOffset()) + 1n;
    payload.resolveOffset(last.offset);
    feed.push({ messages: batch.messages, nextOffset: feed.nextFetch, endOffset: batch.highWatermark });
    if (this.#hasRoom(feed)) return;
    await this.#waitForRoom(feed);
    if (feed.closed || this.#hasRoom(feed)) return;
    feed.paused = true;
    this.#consumer.pause([{ topic: batch.topic, partitions: [batch.partition] }]);
  }

  /** kafkajs starts over by itself where its offset is gone: see what is lost, then go on from there. */
  #reposition(feed: PartitionFeed, due: bigint, nothingBefore: bigint = due): void {
    const { topic, partition } = feed.partition;
    feed.nextFetch = null;
    this.#consumer.pause([{ topic, partitions: [partition] }]);
    const id = partitionId(feed.partition);
    const dueOffsets = async (): Promise<ReadonlyMap<string, string>> => {
      await feed.idle();
      return new Map([[id, String(due)]]);
    };
    void this.#position(topic, [feed], dueOffsets, nothingBefore);
  }

  /** Control records and aborted transactions: nothing to deliver, but the partition has moved. */
  #onFiltered({ topic, partition, firstOffset, lastOffset, highWatermark }: FilteredBatch): void {
    const feed = this.#feeds.get(partitionId({ topic, partition }));
    const next = BigInt(lastOffset) + 1n;
    if (feed === undefined || feed.nextFetch === null || next <= feed.nextFetch) return;
    if (firstOffset !== null && BigInt(firstOffset) > feed.nextFetch) {
      // Compaction, or a start over after a loss: only the partition's bounds can tell.
      this.#reposition(feed, feed.nextFetch, next);
      return;
    }
    feed.nextFetch = next;
    feed.push({ messages: [], nextOffset: next, endOffset: highWatermark });
  }

  #hasRoom(feed: PartitionFeed): boolean {
    if (feed.bytes === 0) return true;
    if (feed.bytes >= PARTITION_QUEUE_BYTES) return false;
    let total = 0;
    for (const { bytes } of this.#feeds.values()) total += bytes;
    return total < TOTAL_QUEUE_BYTES;
  }

  async #waitForRoom(feed: PartitionFeed): Promise<void> {
    const deadline = new AbortController();
    const timer = setTimeout(() => {
      deadline.abort();
      this.#wake();
    }, PAUSE_AFTER_MS);
    try {
      while (!feed.closed && !deadline.signal.aborted && !this.#hasRoom(feed)) {
        await new Promise<void>((resolve) => this.#waiters.push(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }

  #resumeWhereRoom(): void {
    this.#wake();
    for (const feed of this.#feeds.values()) {
      if (!feed.paused || feed.nextFetch === null || !this.#hasRoom(feed)) continue;
      feed.paused = false;
      const { topic, partition } = feed.partition;
      this.#consumer.resume([{ topic, partitions: [partition] }]);
    }
  }
}
