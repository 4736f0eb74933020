/**
 * What decoding costs, against JSON.parse of the same messages:
 *   npm run bench:decode -- [rounds]
 * Each message becomes a change with canonical values, and its row a hash. Rounds alternate between the shapes, so that a
 * busy machine weighs on all alike. Writes its section of docs/BENCHMARKS.md.
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { gunzipSync } from 'node:zlib';
import createXxhash from 'xxhash-wasm';
import { changeHash } from '../src/domain/recheck.ts';
import type { ExactJsonObject } from '../src/domain/json.ts';
import { parseAvroSchema } from '../src/events/avro/schema.ts';
import type { AvroType } from '../src/events/avro/schema.ts';
import { DebeziumDecoder } from '../src/events/debezium/decoder.ts';
import type { KafkaRecord } from '../src/events/debezium/decoder.ts';
import { parseExactJson } from '../src/events/debezium/json.ts';
import { pairOf } from '../test/unit/events/debezium/support.ts';
import { writeSection } from './document.ts';

const ROUNDS = 21;
/** Of one shape and table in one round: long enough to be measured, short enough to alternate. */
const ROUND_BYTES = 8 * 1024 * 1024;
const FIXTURES = 'test/fixtures/debezium';
const TABLES = ['customers', 'orders', 'payments'] as const;

interface CapturedLine {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly timestamp: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly { readonly key: string; readonly value: string }[];
}

interface Case {
  readonly name: string;
  readonly messages: readonly KafkaRecord[];
  readonly run: (record: KafkaRecord) => unknown;
}

function text(name: string): string {
  return gunzipSync(readFileSync(`${FIXTURES}/${name}.gz`)).toString('utf8');
}

/** The captured changes of a table: no tombstones, no deletes, each as it came. */
function captured(name: string, table: string): KafkaRecord[] {
  const bytes = (encoded: string | null): Buffer | null => (encoded === null ? null : Buffer.from(encoded, 'base64'));
  return text(`${name}.jsonl`)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CapturedLine)
    .filter(({ topic, value }) => topic.endsWith(`.${table}`) && value !== null)
    .map(({ key, value, headers, ...rest }) => ({
      ...rest,
      key: bytes(key),
      value: bytes(value),
      headers: Object.fromEntries(headers.map((header) => [header.key, Buffer.from(header.value, 'base64')])),
    }));
}

/** The message without its schemas: the payload's own bytes. */
function withoutSchemas(record: KafkaRecord): KafkaRecord {
  const payload = (bytes: Buffer | null): Buffer | null => {
    if (bytes === null) return null;
    const at = bytes.indexOf('"payload":');
    return bytes.subarray(at + '"payload":'.length, bytes.length - 1);
  };
  return { ...record, key: payload(record.key), value: payload(record.value) };
}

const schemas = parseExactJson(text('g-avro-schemas.json')) as ExactJsonObject;
const types = new Map<string, AvroType>();
const registry = {
  load: () => Promise.resolve(),
  get: ({ id }: { readonly id: string }): AvroType => {
    const type = types.get(id) ?? parseAvroSchema(schemas[id] ?? null);
    types.set(id, type);
    return type;
  },
};

const xxhash = await createXxhash();
const hasher = (encoded: string): bigint => xxhash.h64(encoded);

function decoding(name: string, prefix: string, table: string, messages: readonly KafkaRecord[]): Case {
  const decoder = new DebeziumDecoder({ pairs: [pairOf(table, prefix)], replicaIdentity: new Map(), registry, hashBytes: (bytes) => xxhash.h64Raw(bytes) });
  return {
    name,
    messages,
    run: (record) => {
      const change = decoder.decode(record);
      if (change.type === 'undecodable') throw new Error(`${record.topic}@${record.offset}: ${change.message}`);
      return change.type === 'row' ? changeHash(hasher, change) : null;
    },
  };
}

function casesOf(table: string): Case[] {
  const withSchemas = captured('a-json-schemas.' + table, table);
  const plain = withSchemas.map(withoutSchemas);
  return [
    { name: 'JSON.parse of the value', messages: plain, run: ({ value }) => JSON.parse((value as Buffer).toString('utf8')) as unknown },
    decoding('without schemas', 'old', table, plain),
    decoding('with schemas', 'old', table, withSchemas),
    { name: 'JSON.parse of the value with schemas', messages: withSchemas, run: ({ value }) => JSON.parse((value as Buffer).toString('utf8')) as unknown },
    decoding('flattened', 'vflat', table, captured('c-flat-snappy', table)),
    decoding('Avro', 'vavro2', table, captured('g-avro-confluent', table)),
  ];
}

/** Nanoseconds a message. */
function measure({ messages, run }: Case): number {
  const bytes = messages.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
  const passes = Math.max(1, Math.round(ROUND_BYTES / bytes / 2));
  const before = process.cpuUsage();
  for (let pass = 0; pass < passes; pass++) for (const message of messages) run(message);
  const { user, system } = process.cpuUsage(before);
  return (1000 * (user + system)) / (passes * messages.length);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

const rounds = Number(process.argv[2] ?? ROUNDS);
const lines = [
  `\`npm run bench:decode\`: captured messages to a change with canonical values and the row's xxh64, one core, CPU time, ${rounds} alternating rounds,`,
  `Node ${process.versions.node}, ${cpus()[0]?.model ?? 'unknown'}. The factor is against \`JSON.parse\` of the same values without schemas: median (10th to 90th percentile).`,
  '',
];
for (const table of TABLES) {
  const cases = casesOf(table);
  const results = cases.map((): number[] => []);
  for (const one of cases) measure(one);
  for (let round = 0; round < rounds; round++) cases.forEach((one, index) => results[index]?.push(measure(one)));
  const [parsed = []] = results;
  lines.push(`| ${table} | bytes a value | µs a message | factor |`, '|---|---|---|---|');
  cases.forEach(({ name, messages }, index) => {
    const own = results[index] ?? [];
    const factors = own.map((value, round) => value / (parsed[round] ?? Number.NaN));
    const bytes = messages.reduce((sum, { value }) => sum + (value as Buffer).length, 0) / messages.length;
    const [low, middle, high] = [0.1, 0.5, 0.9].map((share) => quantile(factors, share).toFixed(2));
    lines.push(`| ${name} | ${bytes.toFixed(0)} | ${(quantile(own, 0.5) / 1000).toFixed(2)} | ${middle} (${low} to ${high}) |`);
  });
  lines.push('');
}
writeSection('Decoding change events', lines);
