import { setImmediate } from 'node:timers/promises';
import type { KafkaMessage } from 'kafkajs';
import type { SourceBatch, SourceRecord, StreamPartition } from '../../domain/change.ts';
import type { KafkaRecord } from '../debezium/decoder.ts';
import { rawRecord } from './raw-record.ts';

/** Records in one batch: enough to make a batch's own cost small, few enough to decode in some tens of milliseconds. */
export const MAX_BATCH_RECORDS = 2_000;

/** What a message costs in memory beside its key and value, so that a flood of empty ones is bounded as well. */
const MESSAGE_OVERHEAD_BYTES = 512;

/** What makes changes of records. */
export interface RecordDecoder {
  /** Gets ready what decoding these records needs; may take some seconds, never rejects. */
  prepare(records: readonly KafkaRecord[]): Promise<void>;
  /** Never throws. */
  decode(record: KafkaRecord): SourceRecord;
}

/** What one fetch brought of a partition. */
export interface FetchedRecords {
  readonly messages: readonly KafkaMessage[];
  /** Where to fetch next; beyond the last message where control records follow it. */
  readonly nextOffset: bigint;
  /** The partition's end as of the fetch. */
  readonly endOffset: string;
}

interface Queued extends FetchedRecords {
  readonly bytes: number;
}

export interface PartitionFeedOptions {
  readonly partition: StreamPartition;
  readonly decode: (record: KafkaRecord) => SourceRecord;
  /** Gets ready what decoding these records needs; waited for, never rejects. */
  readonly prepare: (records: readonly KafkaRecord[]) => Promise<void>;
  readonly deliver: (batch: SourceBatch) => Promise<void>;
  /** Something was delivered: there may be room again. */
  readonly onDrained: () => void;
  readonly onFailure: (error: unknown) => void;
}

/**
 * One assigned partition: fetched records wait here, are decoded in chunks and
 * delivered one batch at a time, in order. Not delivered any more once closed.
 */
export class PartitionFeed {
  readonly partition: StreamPartition;
  /** The offset that the next fetch must begin with; null until the start is known. */
  nextFetch: bigint | null = null;
  /** Whether fetching is paused because the queue is full. */
  paused = false;
  #closed = false;
  #queue: Queued[] = [];
  #bytes = 0;
  #running: Promise<void> | null = null;
  readonly #options: PartitionFeedOptions;

  constructor(options: PartitionFeedOptions) {
    this.#options = options;
    this.partition = options.partition;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  push(fetched: FetchedRecords): void {
    if (this.#closed) return;
    let bytes = 0;
    for (const { key, value } of fetched.messages) {
      bytes += MESSAGE_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
    }
    this.#queue.push({ ...fetched, bytes });
    this.#bytes += bytes;
    this.#running ??= this.#pump();
  }

  /** Drops what waits; a delivery under way is not waited for. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#bytes = 0;
  }

  /** Resolves when nothing waits and nothing is being delivered. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async #pump(): Promise<void> {
    try {
      for (;;) {
        const fetched = this.#queue[0];
        if (fetched === undefined) return;
        await this.#deliver(fetched);
        if (this.#closed) return;
        this.#queue.shift();
        this.#bytes -= fetched.bytes;
        this.#options.onDrained();
      }
    } catch (error) {
      if (!this.#closed) this.#options.onFailure(error);
      this.close();
    } finally {
      this.#running = null;
    }
  }

  async #deliver(fetched: FetchedRecords): Promise<void> {
    const { messages, nextOffset, endOffset } = fetched;
    const { partition, decode, prepare, deliver } = this.#options;
    let from = 0;
    do {
      // Lets heartbeats and other partitions through between two stretches of decoding.
      await setImmediate();
      if (this.#closed) return;
      const chunk = messages.slice(from, from + MAX_BATCH_RECORDS).map((message) => recordOf(partition, message));
      from += chunk.length;
      const last = chunk.at(-1);
      await prepare(chunk);
      if (this.#closed) return;
      const isEnd = last === undefined || from >= messages.length;
      await deliver({
        partition,
        records: chunk.map((record) => withRecord(decode(record), record)),
        nextOffset: String(isEnd ? nextOffset : BigInt(last.offset) + 1n),
        endOffset,
        completeThroughLsn: null,
      });
    } while (from < messages.length);
  }
}

/** What could not be decoded is told with all of its record. */
function withRecord(decoded: SourceRecord, record: KafkaRecord): SourceRecord {
  return decoded.type === 'undecodable' ? { ...decoded, record: rawRecord(record) } : decoded;
}

/** A message of kafkajs with its place. */
export function recordOf({ topic, partition }: StreamPartition, { offset, key, value, timestamp, headers }: KafkaMessage): KafkaRecord {
  // Named one by one: spreading costs more than all the rest.
  return headers === undefined ? { topic, partition, offset, key, value, timestamp } : { topic, partition, offset, key, value, timestamp, headers };
}
