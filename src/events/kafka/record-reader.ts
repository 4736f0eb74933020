import type { Kafka, KafkaMessage } from 'kafkajs';
import type { DeadLetterPlace } from '../../domain/dead-letter.ts';
import { LockstepError } from '../../domain/errors.ts';
import type { KafkaRecord } from '../debezium/records.ts';
import { kafkaError } from './client.ts';
import type { KafkaClient } from './client.ts';
import { recordOf } from './feed.ts';
import { DISCONNECT_MS, within } from './wait.ts';

/** A broker that has the record answers at once; past the end it waits for this long. */
const FETCH_WAIT_MS = 500;
/** Asked for; a record batch that is larger comes whole, as the protocol has it. */
const FETCH_BYTES = 1024 * 1024;
/** Connecting, asking and answering altogether. */
const READ_LIMIT_MS = 10_000;
/** A connection is kept for the next read of many. */
const IDLE_MS = 5_000;
/** Only what is committed, as the consumer reads. */
const READ_COMMITTED = 1;
const CONSUMER_REPLICA = -1;

interface FetchedPartition {
  readonly partition: number;
  readonly highWatermark: string;
  readonly messages: readonly (KafkaMessage & { readonly isControlRecord?: boolean })[];
}

interface Broker {
  fetch(request: {
    readonly replicaId: number;
    readonly isolationLevel: number;
    readonly maxWaitTime: number;
    readonly minBytes: number;
    readonly maxBytes: number;
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly { readonly partition: number; readonly fetchOffset: string; readonly maxBytes: number; readonly currentLeaderEpoch: number }[];
    }[];
  }): Promise<{ readonly responses: readonly { readonly topicName: string; readonly partitions: readonly FetchedPartition[] }[] }>;
}

interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Readonly<Record<string, readonly number[]>>;
  findBroker(wanted: { readonly nodeId: string }): Promise<Broker>;
}

/** Reads single records by their place, outside of any consumer group. */
export class RecordReader {
  readonly #client: KafkaClient;
  #cluster: Cluster | null = null;
  #reading = 0;
  #idle: NodeJS.Timeout | null = null;

  constructor(client: KafkaClient) {
    this.#client = client;
  }

  /**
   * The record at `place`; null where the topic has it no more.
   * Rejects with `kafka_unreachable` (retry) or `kafka_refused`.
   */
  async read(place: DeadLetterPlace, signal: AbortSignal): Promise<KafkaRecord | null> {
    const doing = `reading ${place.topic}/${place.partition} at offset ${place.offset}`;
    if (this.#idle !== null) clearTimeout(this.#idle);
    const cluster = (this.#cluster ??= clusterOf(this.#client.kafka));
    this.#reading++;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(READ_LIMIT_MS)]);
    try {
      return await Promise.race([this.#fetch(cluster, place), ended(limit, doing)]);
    } catch (error) {
      if (isOutOfRange(error)) return null;
      await this.#drop(cluster);
      throw kafkaError(error, this.#client.brokers, doing);
    } finally {
      this.#reading--;
      this.#idle = this.#reading === 0 ? setTimeout(() => void this.close(), IDLE_MS).unref() : null;
    }
  }

  /** Ends the connection; a later read opens another. */
  async close(): Promise<void> {
    if (this.#cluster !== null) await this.#drop(this.#cluster);
  }

  async #drop(cluster: Cluster): Promise<void> {
    if (this.#cluster === cluster) this.#cluster = null;
    await within(DISCONNECT_MS, cluster.disconnect());
  }

  async #fetch(cluster: Cluster, place: DeadLetterPlace): Promise<KafkaRecord | null> {
    const { topic, partition, offset } = place;
    await cluster.connect();
    await cluster.addTargetTopic(topic);
    const leader = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))[0];
    if (leader === undefined) return null;
    const broker = await cluster.findBroker({ nodeId: leader });
    const { responses } = await broker.fetch({
      replicaId: CONSUMER_REPLICA,
      isolationLevel: READ_COMMITTED,
      maxWaitTime: FETCH_WAIT_MS,
      minBytes: 1,
      maxBytes: FETCH_BYTES,
      topics: [{ topic, partitions: [{ partition, fetchOffset: offset, maxBytes: FETCH_BYTES, currentLeaderEpoch: -1 }] }],
    });
    const found = responses
      .flatMap(({ partitions }) => partitions)
      .flatMap(({ messages }) => messages)
      .find((message) => message.offset === offset && message.isControlRecord !== true);
    return found === undefined ? null : recordOf(place, found);
  }
}

/** kafkajs has no public way to fetch without a group: its clients are made of the clusters that this makes. */
function clusterOf(kafka: Kafka): Cluster {
  const symbol = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === 'private:Kafka:createCluster');
  const create = symbol === undefined ? undefined : (kafka as unknown as Readonly<Record<symbol, unknown>>)[symbol];
  if (typeof create !== 'function') throw new LockstepError('kafka_client', 'this version of kafkajs cannot read single records');
  return (create as (options: { readonly metadataMaxAge: number; readonly allowAutoTopicCreation: boolean }) => Cluster)({
    metadataMaxAge: 0,
    allowAutoTopicCreation: false,
  });
}

function ended(signal: AbortSignal, doing: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => reject(new LockstepError('kafka_unreachable', `Kafka failed ${doing}: no answer in time`, { retry: 'retry' }));
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

/** Retention removed the offset, or the topic or partition is there no more. */
function isOutOfRange(error: unknown): boolean {
  let current: unknown = error;
  for (let depth = 0; depth < 8 && current instanceof Error; depth++) {
    if ('type' in current && (current.type === 'OFFSET_OUT_OF_RANGE' || current.type === 'UNKNOWN_TOPIC_OR_PARTITION')) return true;
    current = current.cause;
  }
  return false;
}
