/**
 * What the stream costs, side by side on one topic of a real Kafka:
 *   npm run bench:stream -- [--events N] [--rounds N]
 * Raw consumption with kafkajs, the same with JSON.parse of each value, and Lockstep's own: consumed, decoded, with canonical
 * rows and their hashes, with and without schemas in the messages. Writes its section of docs/BENCHMARKS.md.
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { Kafka, logLevel } from 'kafkajs';
import createXxhash from 'xxhash-wasm';
import type { Pair } from '../src/domain/pair.ts';
import { changeHash } from '../src/domain/recheck.ts';
import { DebeziumDecoder } from '../src/events/debezium/decoder.ts';
import { createKafkaClient } from '../src/events/kafka/client.ts';
import { KafkaChangeSource } from '../src/events/kafka/source.ts';
import { fetchJars } from '../test/stack/jars.ts';
import { detectJava } from '../test/stack/java.ts';
import { KafkaServer } from '../test/stack/kafka.ts';
import { Workspace } from '../test/stack/processes.ts';
import { pairOf } from '../test/unit/events/debezium/support.ts';
import { writeSection } from './document.ts';

const { values: options } = parseArgs({ options: { events: { type: 'string', default: '100000' }, rounds: { type: 'string', default: '5' } } });
const EVENTS = Number(options.events);
const ROUNDS = Number(options.rounds);
/** Messages of one request to Kafka. */
const PRODUCED_AT_ONCE = 1_000;

interface CapturedLine {
  readonly topic: string;
  readonly key: string;
  readonly value: string | null;
}

/** Captured changes of customers and orders with their schemas, parted where the payload begins. */
function captured(table: string): { readonly prefix: string; readonly payloads: readonly string[] } {
  const lines = gunzipSync(readFileSync(`test/fixtures/debezium/a-json-schemas.${table}.jsonl.gz`)).toString('utf8').split('\n');
  const messages = lines
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CapturedLine)
    .flatMap(({ topic, value }) => (topic.endsWith(`.${table}`) && value !== null ? [Buffer.from(value, 'base64').toString('utf8')] : []))
    .filter((value) => /"op":"[cur]"/.test(value));
  const [first = ''] = messages;
  const at = first.indexOf('"payload":') + '"payload":'.length;
  const prefix = first.slice(0, at);
  return { prefix, payloads: messages.filter((value) => value.startsWith(prefix)).map((value) => value.slice(at, -1)) };
}

interface Topic {
  readonly name: string;
  readonly pair: Pair;
  readonly bytes: number;
}

async function produce(kafka: Kafka, table: string, withSchemas: boolean): Promise<Topic> {
  const { prefix, payloads } = captured(table);
  const pair = pairOf(table, 'old');
  const name = `${withSchemas ? 'with' : 'without'}.public.${table}`;
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: name, numPartitions: 1 }], waitForLeaders: true });
  await admin.disconnect();
  const producer = kafka.producer();
  await producer.connect();
  let bytes = 0;
  for (let sent = 0; sent < EVENTS; sent += PRODUCED_AT_ONCE) {
    const messages = Array.from({ length: Math.min(PRODUCED_AT_ONCE, EVENTS - sent) }, (_, index) => {
      const serial = sent + index;
      // Places and times differ from event to event, as they do on the wire.
      const payload = (payloads[serial % payloads.length] as string)
        .replace(/"lsn":\d+/, `"lsn":${27_000_000 + 100 * serial}`)
        .replace(/"ts_us":\d+/, `"ts_us":${1_795_403_276_000_000 + 97 * serial}`);
      const value = withSchemas ? `${prefix}${payload}}` : payload;
      bytes += Buffer.byteLength(value);
      return { key: `{"id":${serial}}`, value };
    });
    await producer.send({ topic: name, messages });
  }
  await producer.disconnect();
  return { name, pair, bytes: bytes / EVENTS };
}

interface Measured {
  /** µs of CPU an event. */
  readonly cpuUs: number;
  readonly perSecond: number;
}

/** Consumes the whole topic; CPU and time from the first message to the last. */
async function timed(run: (arrived: (count: number) => void, done: Promise<void>) => Promise<void>): Promise<Measured> {
  let count = 0;
  let startedMs = 0;
  let cpuBefore = process.cpuUsage();
  let result: Measured = { cpuUs: Number.NaN, perSecond: Number.NaN };
  let counted = 0;
  let end: () => void = () => undefined;
  const done = new Promise<void>((resolve) => {
    end = resolve;
  });
  await run((arrived) => {
    count += arrived;
    if (startedMs === 0) {
      // Joining the group and the first batch are no part of it.
      startedMs = performance.now();
      cpuBefore = process.cpuUsage();
      counted = count;
    }
    if (count < EVENTS) return;
    const { user, system } = process.cpuUsage(cpuBefore);
    const events = EVENTS - counted;
    result = { cpuUs: (user + system) / events, perSecond: (1000 * events) / (performance.now() - startedMs) };
    end();
  }, done);
  return result;
}

let groups = 0;

async function plain(kafka: Kafka, topic: Topic, each: (value: Buffer) => void): Promise<Measured> {
  const consumer = kafka.consumer({ groupId: `bench-${groups++}`, maxBytesPerPartition: 2 * 1024 * 1024, maxBytes: 16 * 1024 * 1024 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic.name], fromBeginning: true });
  const measured = await timed(async (arrived, done) => {
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: true,
      eachBatch: ({ batch }) => {
        for (const { value } of batch.messages) if (value !== null) each(value);
        arrived(batch.messages.length);
        return Promise.resolve();
      },
    });
    await done;
  });
  await consumer.disconnect();
  return measured;
}

async function own(broker: KafkaServer, topic: Topic, xxhash: Awaited<ReturnType<typeof createXxhash>>): Promise<Measured> {
  const client = createKafkaClient({ brokers: broker.brokers, log: () => undefined });
  const pairs = [{ ...topic.pair, topic: { old: topic.name } }];
  const replicaIdentity = new Map([['public.orders', { old: 'full' as const }]]);
  const decoder = new DebeziumDecoder({ pairs, replicaIdentity, hashBytes: (bytes) => xxhash.h64Raw(bytes) });
  const source = new KafkaChangeSource({ client, group: `bench-${groups++}`, topics: pairs.map((pair) => ({ pair, side: 'old' as const, topic: topic.name })), decoder });
  const hasher = (encoded: string): bigint => xxhash.h64(encoded);
  const stopped = new AbortController();
  let hashes = 0n;
  return timed(async (arrived, done) => {
    const running = source.run(
      {
        resumeFrom: () => new Map(),
        onGap: () => undefined,
        onAssigned: () => undefined,
        onRevoked: () => undefined,
        onBatch: ({ records }) => {
          for (const record of records) {
            if (record.type === 'undecodable') throw new Error(record.message);
            if (record.type === 'row') hashes ^= changeHash(hasher, record) ?? 0n;
          }
          if (records.length > 0) arrived(records.length);
          return Promise.resolve();
        },
      },
      stopped.signal,
    );
    await done;
    stopped.abort();
    await running;
  });
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

const spread = (values: readonly number[], digits: number): string => `${quantile(values, 0.5).toFixed(digits)} (${quantile(values, 0.1).toFixed(digits)} to ${quantile(values, 0.9).toFixed(digits)})`;

const java = detectJava();
if (!java.ok) throw new Error(`Kafka cannot be started: ${java.reason}`);
const workspace = await Workspace.create('bench');
try {
  const broker = await KafkaServer.create(workspace, java.java, await fetchJars(workspace, java.mvn, () => undefined));
  const kafka = new Kafka({ brokers: [...broker.brokers], logLevel: logLevel.NOTHING });
  const xxhash = await createXxhash();
  const lines = [
    `\`npm run bench:stream -- --events ${EVENTS} --rounds ${ROUNDS}\`: ${EVENTS} captured change events in one partition of a real Kafka on the same machine, consumed from its beginning by one process`,
    `in ${ROUNDS} alternating rounds. Node ${process.versions.node}, ${cpus().length} cores of ${cpus()[0]?.model ?? 'unknown'}. CPU time of the consumer, median (10th to 90th percentile); the factor is the throughput of a core against`,
    'kafkajs with `JSON.parse` of the messages without schemas, in the same round. Lockstep consumes, decodes, makes the canonical row and its xxh64; of orders, which have `REPLICA IDENTITY FULL`, the row before as well.',
    '',
  ];
  for (const table of ['customers', 'orders']) {
    const bare = await produce(kafka, table, false);
    const wrapped = await produce(kafka, table, true);
    const parse = (value: Buffer): void => void (JSON.parse(value.toString('utf8')) as unknown);
    const cases: readonly [name: string, bytes: number, run: () => Promise<Measured>][] = [
      ['kafkajs and JSON.parse', bare.bytes, () => plain(kafka, bare, parse)],
      ['kafkajs alone', bare.bytes, () => plain(kafka, bare, () => undefined)],
      ['Lockstep', bare.bytes, () => own(broker, bare, xxhash)],
      ['kafkajs alone, with schemas', wrapped.bytes, () => plain(kafka, wrapped, () => undefined)],
      ['kafkajs and JSON.parse, with schemas', wrapped.bytes, () => plain(kafka, wrapped, parse)],
      ['Lockstep, with schemas', wrapped.bytes, () => own(broker, wrapped, xxhash)],
    ];
    const results = cases.map((): Measured[] => []);
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [index, [, , run]] of cases.entries()) {
        const measured = await run();
        // The first round warms everything up.
        if (round > 0) results[index]?.push(measured);
      }
    }
    lines.push(`| ${table} | bytes a value | µs of CPU an event | events a second | factor |`, '|---|---|---|---|---|');
    const [parsed = []] = results;
    cases.forEach(([name, bytes], index) => {
      const ofCase = results[index] ?? [];
      const factors = ofCase.map(({ cpuUs }, round) => (parsed[round]?.cpuUs ?? Number.NaN) / cpuUs);
      lines.push(`| ${name} | ${bytes.toFixed(0)} | ${spread(ofCase.map(({ cpuUs }) => cpuUs), 2)} | ${spread(ofCase.map(({ perSecond }) => perSecond), 0)} | ${spread(factors, 2)} |`);
    });
    lines.push('');
  }
  writeSection('Stream: consuming and decoding', lines);
} finally {
  await workspace.abandon();
}
