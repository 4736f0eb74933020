import type { RawRecord, RecordHeaders } from '../../domain/change.ts';
import type { KafkaRecord } from '../debezium/records.ts';

type HeaderValue = Buffer | string;

/** A record as it can be kept: its headers in a list of bytes. */
export function rawRecord({ topic, partition, offset, key, value, headers, timestamp }: KafkaRecord): RawRecord {
  const listed: [string, Buffer | null][] = [];
  for (const [name, given] of Object.entries(headers ?? {})) {
    for (const one of Array.isArray(given) ? (given as readonly HeaderValue[]) : [given as HeaderValue | undefined]) listed.push([name, bytesOf(one)]);
  }
  const timestampMs = Number(timestamp ?? Number.NaN);
  return { topic, partition, offset, key, value, headers: listed, timestampMs: Number.isSafeInteger(timestampMs) && timestampMs >= 0 ? timestampMs : null };
}

/** A kept record as the decoder takes it. */
export function kafkaRecord({ topic, partition, offset, key, value, headers, timestampMs }: RawRecord): KafkaRecord {
  return {
    topic,
    partition,
    offset,
    key,
    value,
    ...(timestampMs === null ? {} : { timestamp: String(timestampMs) }),
    ...(headers.length === 0 ? {} : { headers: byName(headers) }),
  };
}

function byName(headers: RecordHeaders): NonNullable<KafkaRecord['headers']> {
  const values = new Map<string, Buffer[]>();
  for (const [name, value] of headers) {
    const known = values.get(name) ?? [];
    values.set(name, value === null ? known : [...known, value]);
  }
  return Object.fromEntries([...values].map(([name, known]) => [name, known.length > 1 ? known : known[0]]));
}

function bytesOf(value: HeaderValue | undefined): Buffer | null {
  if (value === undefined) return null;
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
}
