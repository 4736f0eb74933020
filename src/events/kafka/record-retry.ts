import type { RawRecord, SourceRecord } from '../../domain/change.ts';
import { deadLetterId, type DeadLetterPlace } from '../../domain/dead-letter.ts';
import type { Redecoded, RecordRetry } from '../../verify/ports.ts';
import type { KafkaRecord } from '../debezium/records.ts';
import type { KafkaClient } from './client.ts';
import { kafkaRecord } from './raw-record.ts';
import { RecordReader } from './record-reader.ts';

export interface KafkaRecordRetryOptions {
  readonly client: KafkaClient;
  readonly decoder: {
    /** @param fresh asks again for what failed a moment ago */
    prepare(records: readonly KafkaRecord[], options: { readonly fresh: boolean }): Promise<void>;
    decode(record: KafkaRecord): SourceRecord;
  };
}

/** Decodes a record again from what was kept of it, or from its topic. */
export class KafkaRecordRetry implements RecordRetry {
  readonly #options: KafkaRecordRetryOptions;
  readonly #reader: RecordReader;

  constructor(options: KafkaRecordRetryOptions) {
    this.#options = options;
    this.#reader = new RecordReader(options.client);
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }

  /** Rejects with `kafka_unreachable` (retry) or `kafka_refused`. */
  async decodeAgain(place: DeadLetterPlace, kept: RawRecord | null, signal: AbortSignal): Promise<Redecoded> {
    const { decoder } = this.#options;
    const record = kept === null ? await this.#reader.read(place, signal) : kafkaRecord(kept);
    if (record === null) {
      const message = `the topic holds ${deadLetterId(place)} no more (retention or compaction) and its bytes are not kept: sweep the table`;
      return { kind: 'gone', message };
    }
    await decoder.prepare([record], { fresh: true });
    return { kind: 'record', record: decoder.decode(record) };
  }
}
