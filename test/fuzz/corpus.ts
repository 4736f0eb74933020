import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { LockstepError } from '../../src/domain/errors.ts';
import type { ExactJsonObject } from '../../src/domain/json.ts';
import { parseAvroSchema } from '../../src/events/avro/schema.ts';
import type { AvroType } from '../../src/events/avro/schema.ts';
import { DebeziumDecoder } from '../../src/events/debezium/decoder.ts';
import type { DebeziumDecoderOptions } from '../../src/events/debezium/decoder.ts';
import type { KafkaRecord } from '../../src/events/debezium/decoder.ts';
import { parseExactJson } from '../../src/events/debezium/json.ts';
import type { SchemaLookup } from '../../src/events/debezium/payloads.ts';
import { makePair, pairOf, TABLES } from '../unit/events/debezium/support.ts';

const PREFIXES = ['old', 'vplain', 'vflat', 'vstr', 'vdbl', 'vavro', 'vavro2'] as const;
const FILES = [
  'a-json-schemas.customers', 'a-json-schemas.edge', 'a-json-schemas.outbox-auditlog', 'b-json-plain-old-side-gzip', 'c-flat-snappy',
  'f-string-isostring-lz4', 'f-double-connect-zstd', 'g-avro-confluent', 'g-avro-apicurio-headers', 'e-outbox-router', 'i-flat-delete-modes',
] as const;
/** Of the large rows few are enough, else they take all the time. */
const LARGE_BYTES = 4_000;
const LARGE_KEPT = 0.1;

interface CapturedLine {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly timestamp: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly { readonly key: string; readonly value: string | null }[];
}

function text(name: string): string {
  return gunzipSync(readFileSync(`test/fixtures/debezium/${name}.gz`)).toString('utf8');
}

/** Captured messages of every shape. */
export function corpus(): KafkaRecord[] {
  const bytes = (encoded: string | null): Buffer | null => (encoded === null ? null : Buffer.from(encoded, 'base64'));
  let large = 0;
  return FILES.flatMap((file) =>
    text(`${file}.jsonl`)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as CapturedLine)
      .map(({ key, value, headers, topic, partition, offset, timestamp }): KafkaRecord => ({
        topic,
        partition,
        offset,
        timestamp,
        key: bytes(key),
        value: bytes(value),
        headers: Object.fromEntries(headers.map((header) => [header.key, bytes(header.value) ?? Buffer.alloc(0)])),
      }))
      .filter(({ value }) => value === null || value.length < LARGE_BYTES || large++ % (1 / LARGE_KEPT) === 0),
  );
}

export function registry(): SchemaLookup {
  const schemas = parseExactJson(text('g-avro-schemas.json')) as ExactJsonObject;
  const types = new Map<string, AvroType>();
  return {
    load: () => Promise.resolve(),
    get: ({ id }) => {
      const schema = schemas[id];
      if (schema === undefined) throw new LockstepError('unknown_schema', 'no such schema');
      const type = types.get(id) ?? parseAvroSchema(schema);
      types.set(id, type);
      return type;
    },
  };
}

/** Makes decoders of every captured table, and of one that the outbox router’s messages are given for. */
export function decoderMaker(schemas: SchemaLookup): (options?: Pick<DebeziumDecoderOptions, 'hashBytes'>) => DebeziumDecoder {
  const pairs = PREFIXES.flatMap((prefix) => Object.keys(TABLES).map((table) => pairOf(table, prefix)));
  for (const prefix of ['bare', 'rw', 'rwt', 'tomb', 'dtt', 'drop']) pairs.push(makePair('t', ['id int8', 'note text', 'n int4'], ['id'], { old: `${prefix}.public.t` }));
  for (const table of ['t_1', 't_2']) pairs.push(makePair(table, ['id int8', 'note text'], ['id'], { old: 'route.public.all' }));
  const outbox = pairOf('orders', 'voutbox');
  const topics = [{ topic: 'voutbox.order', pair: outbox, side: 'old' as const }];
  const replicaIdentity = new Map([['public.orders', { old: 'full' as const }]]);
  return (options = {}) => new DebeziumDecoder({ pairs, topics, replicaIdentity, registry: schemas, ...options });
}
