import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import type { Admin, Message, Producer } from 'kafkajs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { partitionId } from '../../src/domain/change.ts';
import type { SourceBatch, SourceRecord, StreamPartition } from '../../src/domain/change.ts';
import type { Pair } from '../../src/domain/pair.ts';
import { DebeziumDecoder } from '../../src/events/debezium/decoder.ts';
import { createKafkaClient } from '../../src/events/kafka/client.ts';
import type { KafkaClient } from '../../src/events/kafka/client.ts';
import { KafkaPipelineOffsets } from '../../src/events/kafka/offsets.ts';
import { KafkaChangeSource } from '../../src/events/kafka/source.ts';
import type { KafkaChangeSourceOptions } from '../../src/events/kafka/source.ts';
import { findTopics } from '../../src/events/kafka/topics.ts';
import { RegistryClient } from '../../src/events/registry/client.ts';
import { RegistrySchemas } from '../../src/events/registry/schemas.ts';
import type { SourceListener } from '../../src/verify/ports.ts';
import { fetchJars } from '../stack/jars.ts';
import { detectJava } from '../stack/java.ts';
import { KafkaServer } from '../stack/kafka.ts';
import { freePorts } from '../stack/ports.ts';
import { Workspace } from '../stack/processes.ts';
import { fixture, fixtureText, makePair, pairOf } from '../unit/events/debezium/support.ts';

const java = detectJava();
if (!java.ok) console.warn(`SKIPPED: consuming from Kafka cannot be tested here: ${java.reason}`);

/** Generous: the point is that records arrive, not when. */
const ARRIVES = { timeout: 60_000, interval: 50 };
const SHORT_SESSION_MS = 6_000;

function change(id: number | string, note = 'x'): Message {
  const source = { ts_us: 1_700_000_000_000_000, lsn: 100, txId: 7, schema: 'public', table: 't', snapshot: 'false' };
  return { key: JSON.stringify({ id }), value: JSON.stringify({ before: null, after: { id, note }, source, op: 'c' }) };
}

/** Keeps what a source delivers, as the state store would. */
class Collector implements SourceListener {
  readonly records: SourceRecord[] = [];
  readonly next = new Map<string, string>();
  readonly ends = new Map<string, string | null>();
  readonly gaps: string[] = [];
  assigned: readonly StreamPartition[] = [];
  assignments = 0;
  revocations = 0;
  /** What the next assignment starts from. */
  readonly stored: Map<string, string>;
  /** Waited for before a batch with records is accepted. */
  hold: Promise<void> = Promise.resolve();
  batches = 0;

  constructor(stored = new Map<string, string>()) {
    this.stored = stored;
  }

  resumeFrom(partitions: readonly StreamPartition[]): ReadonlyMap<string, string> {
    return new Map(
      partitions.flatMap((partition) => {
        const offset = this.stored.get(partitionId(partition));
        return offset === undefined ? [] : [[partitionId(partition), offset] as const];
      }),
    );
  }

  onGap(partition: StreamPartition, expected: string, low: string): void {
    this.gaps.push(`${partitionId(partition)} ${expected} ${low}`);
  }

  async onBatch(batch: SourceBatch): Promise<void> {
    this.batches++;
    if (batch.records.length > 0) await this.hold;
    this.records.push(...batch.records);
    const id = partitionId(batch.partition);
    this.next.set(id, batch.nextOffset);
    this.ends.set(id, batch.endOffset);
    this.stored.set(id, batch.nextOffset);
  }

  onAssigned(partitions: readonly StreamPartition[]): void {
    this.assigned = partitions;
    this.assignments++;
  }

  onRevoked(): void {
    this.assigned = [];
    this.revocations++;
  }

  keys(): string[] {
    return this.records.map((record) => (record.type === 'row' ? (record.key[0] as string) : record.type));
  }

  offsets(partition = 0): number[] {
    return this.records.filter(({ position }) => position.partition === partition).map(({ position }) => Number(position.offset));
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

describe.skipIf(!java.ok)('a Kafka broker', () => {
  let workspace: Workspace;
  let server: KafkaServer;
  let client: KafkaClient;
  let admin: Admin;
  let producer: Producer;
  let topicNumber = 0;
  const running: { readonly abort: AbortController; readonly done: Promise<void> }[] = [];

  beforeAll(async () => {
    if (!java.ok) return;
    workspace = await Workspace.create('kafka-source');
    const jars = await fetchJars(workspace, java.mvn, () => undefined);
    server = await KafkaServer.create(workspace, java.java, jars);
    client = createKafkaClient({ brokers: server.brokers });
    admin = client.kafka.admin();
    await admin.connect();
    producer = client.kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
    await producer.connect();
  });

  afterEach(async () => {
    for (const { abort, done } of running.splice(0)) {
      abort.abort();
      await done.catch(() => undefined);
    }
  });

  afterAll(async () => {
    await producer?.disconnect();
    await admin?.disconnect();
    await server?.stop();
    await workspace?.remove();
  });

  async function newTopic(partitions = 1): Promise<{ topic: string; pair: Pair }> {
    const topic = `p${++topicNumber}.public.t`;
    await admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: 1 }], waitForLeaders: true });
    return { topic, pair: makePair('t', ['id int8', 'note text'], ['id'], { old: topic }) };
  }

  async function produce(topic: string, messages: readonly Message[], partition = 0): Promise<void> {
    await producer.send({ topic, messages: messages.map((message) => ({ partition, ...message })) });
  }

  async function deleteBefore(topic: string, offset: string): Promise<void> {
    // The client only finds leaders of topics that it has asked about.
    await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset }] });
  }

  function start(
    pair: Pair,
    listener: SourceListener,
    more: Partial<KafkaChangeSourceOptions> = {},
  ): { source: KafkaChangeSource; stop: () => Promise<void>; done: Promise<void> } {
    const topic = pair.topic.old as string;
    const source = new KafkaChangeSource({
      client,
      group: `lockstep-${topic}`,
      topics: [{ pair, side: 'old', topic }],
      decoder: new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map() }),
      sessionTimeoutMs: SHORT_SESSION_MS,
      ...more,
    });
    const abort = new AbortController();
    const done = source.run(listener, abort.signal);
    done.catch(() => undefined);
    running.push({ abort, done });
    return {
      source,
      done,
      stop: async () => {
        abort.abort();
        await done;
      },
    };
  }

  it('delivers every record of every partition, in order, from the beginning', async () => {
    const { topic, pair } = await newTopic(2);
    await produce(topic, range(0, 5_000).map((id) => change(id)), 0);
    await produce(topic, range(5_000, 5_010).map((id) => change(id)), 1);
    const collector = new Collector();
    const { source } = start(pair, collector);
    await expect.poll(() => collector.records.length, ARRIVES).toBe(5_010);
    expect(collector.offsets(0)).toEqual(range(0, 5_000));
    expect(collector.offsets(1)).toEqual(range(0, 10));
    expect(new Set(collector.keys()).size).toBe(5_010);
    expect(Object.fromEntries(collector.next)).toEqual({ [`${topic}/0`]: '5000', [`${topic}/1`]: '10' });
    expect(collector.ends).toEqual(collector.next);
    expect(source.partitionsOf(pair, 'old')).toEqual([{ topic, partition: 0 }, { topic, partition: 1 }]);
    expect(source.partitionsOf(pair, 'new')).toEqual([]);
    expect(collector.gaps).toEqual([]);
  });

  it('goes on after a restart where the listener says, whatever is committed in Kafka', async () => {
    const { topic, pair } = await newTopic();
    await produce(topic, range(0, 100).map((id) => change(id)));
    const first = new Collector();
    const one = start(pair, first);
    await expect.poll(() => first.records.length, ARRIVES).toBe(100);
    await one.source.acknowledge(new Map([[`${topic}/0`, '80'], ['other/0', '5']]));
    await one.stop();
    const committed = await admin.fetchOffsets({ groupId: `lockstep-${topic}`, topics: [topic] });
    expect(committed[0]?.partitions).toEqual([expect.objectContaining({ partition: 0, offset: '80' })]);

    await produce(topic, range(100, 120).map((id) => change(id)));
    const second = new Collector(new Map([[`${topic}/0`, '90']]));
    const two = start(pair, second);
    await expect.poll(() => second.next.get(`${topic}/0`), ARRIVES).toBe('120');
    expect(second.offsets()).toEqual(range(90, 120));
    await two.stop();
    const batches = second.batches;
    await produce(topic, [change(120)]);
    expect(second.batches).toBe(batches);
    expect(first.gaps.concat(second.gaps)).toEqual([]);
  });

  it('shares partitions with a second member and takes them back, losing nothing', async () => {
    const { topic, pair } = await newTopic(2);
    const stored = new Map<string, string>();
    const [left, right] = [new Collector(stored), new Collector(stored)];
    start(pair, left);
    await expect.poll(() => left.assigned.length, ARRIVES).toBe(2);
    let sent = 0;
    const send = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) await produce(topic, [change(sent++)], sent % 2);
    };
    await send(20);
    const two = start(pair, right);
    await send(20);
    await expect.poll(() => [left.assigned.length, right.assigned.length], ARRIVES).toEqual([1, 1]);
    await send(20);
    const seen = (): number => new Set([...left.keys(), ...right.keys()]).size;
    await expect.poll(seen, ARRIVES).toBe(60);
    await two.stop();
    await expect.poll(() => left.assigned.length, ARRIVES).toBe(2);
    await send(20);
    await expect.poll(seen, ARRIVES).toBe(80);
    expect(left.gaps.concat(right.gaps)).toEqual([]);
    expect(right.revocations).toBeGreaterThan(0);
  });

  it('tells of records that are gone before it starts', async () => {
    const { topic, pair } = await newTopic(2);
    await produce(topic, range(0, 10).map((id) => change(id)), 0);
    await deleteBefore(topic, '6');
    // Partition 1 was longer once: its topic has been made anew.
    const collector = new Collector(new Map([[`${topic}/0`, '2'], [`${topic}/1`, '900']]));
    start(pair, collector);
    await expect.poll(() => collector.records.length, ARRIVES).toBe(4);
    await expect.poll(() => collector.next.get(`${topic}/1`), ARRIVES).toBe('0');
    expect(collector.offsets(0)).toEqual(range(6, 10));
    expect(collector.gaps.toSorted()).toEqual([`${topic}/0 2 6`, `${topic}/1 900 0`]);

    const fresh = new Collector();
    start({ ...pair }, fresh, { group: `lockstep-fresh-${topic}` });
    await expect.poll(() => fresh.records.length, ARRIVES).toBe(4);
    expect(fresh.gaps).toEqual([]);
  });

  it('stops fetching while a batch is not accepted, stays in the group, and sees what was lost meanwhile', async () => {
    const { topic, pair } = await newTopic();
    const large = 'y'.repeat(900_000);
    for (const id of range(0, 40)) await produce(topic, [change(id, large)]);
    const collector = new Collector();
    let release: () => void = () => undefined;
    collector.hold = new Promise((resolve) => {
      release = resolve;
    });
    start(pair, collector);
    await expect.poll(() => collector.batches, ARRIVES).toBe(2);
    // Longer than the group would wait for a silent member.
    await sleep(2 * SHORT_SESSION_MS);
    expect(collector.records).toEqual([]);
    expect([collector.assignments, collector.revocations]).toEqual([1, 0]);
    await deleteBefore(topic, '38');
    release();
    await expect.poll(() => collector.next.get(`${topic}/0`), ARRIVES).toBe('40');
    expect(collector.gaps).toHaveLength(1);
    const [, expected, low] = (collector.gaps[0] as string).split(' ');
    expect(low).toBe('38');
    expect(collector.offsets()).toEqual([...range(0, Number(expected)), 38, 39]);
    expect(Number(expected)).toBeLessThan(38);
    expect([collector.assignments, collector.revocations]).toEqual([1, 0]);
  });

  it('goes on after a broker restart', async () => {
    const { topic, pair } = await newTopic();
    await produce(topic, range(0, 10).map((id) => change(id)));
    const troubles: (string | null)[] = [];
    const collector = new Collector();
    start(pair, collector, { onTrouble: (error) => troubles.push(error?.code ?? null) });
    await expect.poll(() => collector.records.length, ARRIVES).toBe(10);
    await server.restart();
    await expect.poll(() => produce(topic, [change(10)]).then(() => true, () => false), ARRIVES).toBe(true);
    await expect.poll(() => collector.next.get(`${topic}/0`), ARRIVES).toBe('11');
    expect(new Set(collector.keys())).toEqual(new Set(range(0, 11).map(String)));
    expect(collector.gaps).toEqual([]);
    expect(troubles.at(-1)).toBeNull();
  });

  it('a poison message is told and passed', async () => {
    const { topic, pair } = await newTopic();
    await produce(topic, [change(1), { key: 'x', value: 'nonsense' }, { key: '{"id":2}', value: null }, change('secret'), change(3)]);
    const collector = new Collector();
    start(pair, collector);
    await expect.poll(() => collector.records.length, ARRIVES).toBe(5);
    expect(collector.keys()).toEqual(['1', 'undecodable', 'none', 'undecodable', '3']);
    expect(collector.records[1]).toMatchObject({ reason: 'not_json', position: { offset: '1' }, rawValue: Buffer.from('nonsense') });
    expect(collector.records[3]).toMatchObject({ reason: 'bad_value' });
  });

  it('reads batches of every codec', async () => {
    const { topic, pair } = await newTopic();
    const { None, GZIP, Snappy, LZ4, ZSTD } = kafkajs.CompressionTypes;
    let id = 0;
    for (const compression of [None, GZIP, Snappy, LZ4, ZSTD]) {
      const messages = range(0, 50).map(() => change(id++, 'z'.repeat(500)));
      await producer.send({ topic, compression, messages: messages.map((message) => ({ ...message, partition: 0 })) });
    }
    const collector = new Collector();
    start(pair, collector);
    await expect.poll(() => collector.records.length, ARRIVES).toBe(250);
    expect(collector.keys()).toEqual(range(0, 250).map(String));
  });

  it('waits for a registry that is down, and lets no other partition wait', async () => {
    const { topic } = await newTopic(2);
    const pair = { ...pairOf('customers', 'vavro'), topic: { old: topic } };
    const captured = fixture('g-avro-apicurio-headers').filter((message) => message.topic.endsWith('.customers') && message.value !== null);
    const messages = captured.map(({ key, value, headers }): Message => ({ key, value, headers }));
    await produce(topic, messages, 0);
    const plain = { before: null, after: { id: 7 }, source: { ts_us: 5, schema: 'public', table: 'customers' }, op: 'c' };
    await produce(topic, [{ key: '{"id":7}', value: JSON.stringify(plain) }], 1);
    const schemas = JSON.parse(fixtureText('g-avro-schemas.json')) as Record<string, unknown>;
    let isUp = false;
    let asked = 0;
    const registry = createServer((request, response) => {
      asked++;
      const id = /^\/schemas\/ids\/(\d+)$/.exec(request.url ?? '')?.[1] ?? '';
      response.writeHead(isUp ? 200 : 503).end(JSON.stringify({ schema: JSON.stringify(schemas[id]) }));
    });
    await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`;
      const lookup = new RegistrySchemas({ client: new RegistryClient({ url }), nowMs: () => Date.now() });
      const collector = new Collector();
      start(pair, collector, { decoder: new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map(), registry: lookup }) });
      await expect.poll(() => collector.offsets(1), ARRIVES).toEqual([0]);
      await expect.poll(() => asked, ARRIVES).toBeGreaterThan(1);
      expect(collector.offsets(0)).toEqual([]);
      isUp = true;
      await expect.poll(() => collector.offsets(0), ARRIVES).toEqual(range(0, messages.length));
      expect(new Set(collector.records.map(({ type }) => type))).toEqual(new Set(['row']));
    } finally {
      registry.closeAllConnections();
      registry.close();
    }
  });

  it('passes aborted transactions and control records, to the very end', async () => {
    const { topic, pair } = await newTopic();
    const transactional = client.kafka.producer({ transactionalId: `tx-${topic}`, idempotent: true, maxInFlightRequests: 1, createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
    await transactional.connect();
    const send = async (ids: readonly number[], end: 'commit' | 'abort'): Promise<void> => {
      const transaction = await transactional.transaction();
      await transaction.send({ topic, messages: ids.map((id) => ({ ...change(id), partition: 0 })) });
      await transaction[end]();
    };
    try {
      const collector = new Collector();
      start(pair, collector);
      await send([1, 2], 'commit');
      await send([3], 'abort');
      await expect.poll(() => collector.next.get(`${topic}/0`), ARRIVES).toBe('5');
      await send([4], 'commit');
      await send([5, 6], 'abort');
      await expect.poll(() => collector.next.get(`${topic}/0`), ARRIVES).toBe('10');
      expect(collector.ends.get(`${topic}/0`)).toBe('10');
      expect(collector.keys()).toEqual(['1', '2', '4']);
      expect(collector.gaps).toEqual([]);
    } finally {
      await transactional.disconnect();
    }
  });

  it('ends with the listener’s own error', async () => {
    const { topic, pair } = await newTopic();
    await produce(topic, [change(1)]);
    const collector = new Collector();
    const failure = new Error('fenced');
    collector.hold = Promise.reject(failure);
    collector.hold.catch(() => undefined);
    const { done } = start(pair, collector);
    await expect(done).rejects.toBe(failure);
  });

  it('knows the ends of topics and how far the sink is', async () => {
    const { topic } = await newTopic(2);
    await produce(topic, range(0, 7).map((id) => change(id)), 0);
    const signal = AbortSignal.timeout(ARRIVES.timeout);
    let nowMs = 0;
    const offsets = new KafkaPipelineOffsets({ client, topics: [topic], ownGroup: `lockstep-${topic}`, nowMs: () => nowMs });
    const sink = client.kafka.consumer({ groupId: `connect-sink-${topic}` });
    try {
      expect(await offsets.endOffsets(signal)).toEqual(new Map([[`${topic}/0`, 7n], [`${topic}/1`, 0n]]));
      expect(await offsets.appliedOffsets(signal)).toEqual(new Map());
      await admin.setOffsets({ groupId: `analytics-${topic}`, topic, partitions: [{ partition: 0, offset: '7' }] });
      await sink.connect();
      await sink.subscribe({ topics: [topic], fromBeginning: true });
      await sink.run({ autoCommit: false, eachMessage: () => Promise.resolve() });
      await expect
        .poll(async () => {
          nowMs += 60_000;
          return await offsets.appliedOffsets(signal);
        }, ARRIVES)
        .toEqual(new Map([[`${topic}/0`, 0n], [`${topic}/1`, 0n]]));
      expect(offsets.sinkGroups).toEqual(new Map([[topic, [`connect-sink-${topic}`]]]));
      await sink.commitOffsets([{ topic, partition: 0, offset: '5' }]);
      expect(await offsets.appliedOffsets(signal)).toEqual(new Map([[`${topic}/0`, 5n], [`${topic}/1`, 0n]]));
      await sink.disconnect();
      expect(await offsets.appliedOffsets(signal)).toEqual(new Map([[`${topic}/0`, 5n]]));
    } finally {
      await sink.disconnect();
      await offsets.close();
    }
  });

  it('finds topics, and says what is wrong where it cannot', async () => {
    const { topic } = await newTopic(3);
    const table = { schema: 'public', name: 't' };
    const want = { pairId: 'public.t', side: 'old', table } as const;
    expect(await findTopics(client, [{ ...want, given: topic }])).toEqual([{ pairId: 'public.t', side: 'old', topic, partitions: 3 }]);
    await expect(findTopics(client, [{ ...want, given: `${topic}s` }])).rejects.toMatchObject({ code: 'topic_missing', retry: 'final', message: expect.stringContaining(topic) as unknown });
    await newTopic();
    await expect(findTopics(client, [want])).rejects.toMatchObject({ code: 'topic_ambiguous' });
    expect(await admin.listTopics()).not.toContain(`${topic}s`);
  });

  it('brokers that do not answer are named', async () => {
    const [port = 0] = await freePorts(1);
    const nowhere = createKafkaClient({ brokers: [`127.0.0.1:${port}`] });
    // A stop does not wait for the attempts to end.
    const run = start(makePair('t', ['id int8'], ['id'], { old: 'a.public.t' }), new Collector(), { client: nowhere });
    await run.stop();
    await expect(findTopics(nowhere, [])).rejects.toMatchObject({
      code: 'kafka_unreachable',
      retry: 'retry',
      message: expect.stringContaining('ECONNREFUSED') as unknown,
      hint: expect.stringContaining(`127.0.0.1:${port}`) as unknown,
    });
  });
});
