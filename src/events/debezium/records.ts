import type { RecordHeaders } from '../avro/framing.ts';

/** One Kafka message with its place. */
export interface KafkaRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** Kafka's own time of the record, ms since 1970 as decimal text. */
  readonly timestamp?: string;
  readonly headers?: RecordHeaders;
}
