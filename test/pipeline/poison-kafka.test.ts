import { createServer, type Server } from 'node:http';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import avro from 'avsc';
import { CompressionTypes, Kafka, Partitioners, logLevel, type Admin, type Message, type Producer } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchJars } from '../stack/jars.ts';
import { detectJava } from '../stack/java.ts';
import { KafkaServer } from '../stack/kafka.ts';
import { freePorts } from '../stack/ports.ts';
import { PostgresServer } from '../stack/postgres-server.ts';
import { Workspace } from '../stack/processes.ts';
import { Service } from './scenario/service.ts';

const EVENTUALLY = { timeout: 120_000, interval: 100 };
const MIB = 1024 * 1024;
const FLOOD = 100_000;
/** A flood's bytes are more than what is kept of them. */
const FLOOD_VALUE = Buffer.from('x'.repeat(900));
const KEPT_BYTES = 64 * MIB;
/** Without a flood the service takes about 150 MiB; the records of one alone would be as much again. */
const MEMORY_BYTES = 600 * MIB;

const TABLES = ['items', 'lines', 'others', 'flood'] as const;
const SCHEMA = `
CREATE TABLE items (id bigint PRIMARY KEY, n int, note text);
CREATE TABLE lines (a int, b int, note text, PRIMARY KEY (a, b));
CREATE TABLE others (id bigint PRIMARY KEY, n int, note text);
CREATE TABLE flood (id bigint PRIMARY KEY, n int, note text);
`;
const SEED = TABLES.map((table) => `INSERT INTO ${table} SELECT i, ${table === 'lines' ? 'i' : '1'}, 'x' FROM generate_series(1, 50) i;`).join('\n');

const ROW_TYPE = avro.Type.forSchema({
  type: 'record',
  name: 'Envelope',
  namespace: 'shop.public.items',
  fields: [
    { name: 'before', type: ['null', { type: 'record', name: 'Value', fields: [{ name: 'id', type: 'long' }, { name: 'n', type: ['null', 'int'] }, { name: 'note', type: ['null', 'string'] }] }] },
    { name: 'after', type: ['null', 'Value'] },
    {
      name: 'source',
      type: { type: 'record', name: 'Source', fields: [{ name: 'ts_us', type: 'long' }, { name: 'schema', type: 'string' }, { name: 'table', type: 'string' }, { name: 'lsn', type: 'long' }, { name: 'snapshot', type: 'string' }] },
    },
    { name: 'op', type: 'string' },
  ],
});

interface Letter {
  readonly id: string;
  readonly table: string;
  readonly offset: string;
  readonly reason: string;
  readonly message: string;
  readonly attempts: number;
}

/** A schema registry that is down until it is started, and knows what it is told. */
class Registry {
  readonly port: number;
  readonly schemas = new Map<number, string>();
  private server: Server | null = null;

  constructor(port: number) {
    this.port = port;
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      const schema = this.schemas.get(Number(/^\/schemas\/ids\/(\d+)$/.exec(request.url ?? '')?.[1]));
      if (schema === undefined) response.writeHead(404).end('{"error_code":40403}');
      else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ schema }));
    });
    this.server = server;
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = null;
    server?.closeAllConnections();
    await new Promise<unknown>((resolve) => (server === null ? resolve(null) : server.close(resolve)));
  }
}

function poison(): void {
  let workspace: Workspace;
  let old: PostgresServer;
  let replica: PostgresServer;
  let kafka: KafkaServer;
  let producer: Producer;
  let admin: Admin;
  let registry: Registry;
  let service: Service;

  beforeAll(async () => {
    const java = detectJava();
    if (!java.ok) throw new Error(java.reason);
    workspace = await Workspace.create('poison');
    const jars = await fetchJars(workspace, java.mvn, () => undefined);
    [old, replica, kafka] = await Promise.all([
      PostgresServer.create(workspace, 'old', { database: 'app' }),
      PostgresServer.create(workspace, 'new', { database: 'app' }),
      KafkaServer.create(workspace, java.java, jars),
    ]);
    for (const side of [old, replica]) await side.query(SCHEMA);
    await old.query(`${SEED}; CREATE PUBLICATION pipeline FOR TABLE ${TABLES.join(', ')}`);
    await replica.query(`CREATE SUBSCRIPTION pipeline CONNECTION 'host=127.0.0.1 port=${old.port} dbname=app user=postgres' PUBLICATION pipeline`);
    await replica.createDatabase('state');
    const client = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING });
    admin = client.admin();
    await admin.connect();
    await admin.createTopics({
      topics: TABLES.map((table) => ({ topic: `shop.public.${table}`, numPartitions: 1, configEntries: [{ name: 'max.message.bytes', value: String(32 * MIB) }] })),
    });
    producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    const [port = 0, registryPort = 0] = await freePorts(2);
    registry = new Registry(registryPort);
    await registry.start();
    const configFile = join(workspace.folder, 'lockstep.yaml');
    writeFileSync(
      configFile,
      `migration: poison
databases:
  old: { url: "${old.url()}" }
  new: { url: "${replica.url()}" }
events:
  kafka: { brokers: [${kafka.brokers.join(', ')}], group: lockstep-poison, slot: pipeline, registry: { url: "http://127.0.0.1:${registryPort}" } }
state: { url: "${replica.url('state')}" }
slo: { settle: 2s }
sweep: { every: 24h }
http: { port: ${port} }
tables:
${TABLES.map((table) => `  - { old: public.${table} }`).join('\n')}
`,
    );
    service = new Service({ configFile, port, logFile: join(workspace.folder, 'lockstep.log') });
    await service.start();
  });
  afterAll(async () => {
    await service?.stop();
    await Promise.all([producer?.disconnect(), admin?.disconnect()]);
    await registry?.stop();
    await Promise.allSettled([kafka?.kill9(), old?.stop('immediate'), replica?.stop('immediate')]);
    await workspace?.remove();
  });

  let lsn = 1_000;
  const source = (table: string) => ({ ts_us: Date.now() * 1_000, schema: 'public', table, lsn: (lsn += 10), snapshot: 'false' });
  const send = async (table: string, ...messages: Message[]): Promise<number> =>
    Number((await producer.send({ topic: `shop.public.${table}`, messages }))[0]?.baseOffset);
  const update = (table: string, row: Readonly<Record<string, unknown>>): Message => ({
    key: JSON.stringify({ id: row['id'] }),
    value: JSON.stringify({ op: 'u', before: null, after: row, source: source(table) }),
  });
  const avroUpdate = (schemaId: number, id: number): Message => {
    const head = Buffer.alloc(5);
    head.writeInt32BE(schemaId, 1);
    return { key: JSON.stringify({ id }), value: Buffer.concat([head, ROW_TYPE.toBuffer({ before: null, after: { id, n: 1, note: 'x' }, source: source('items'), op: 'u' })]) };
  };
  const letters = async (table: string): Promise<Letter[]> => (await service.get<{ items: Letter[] }>(`/v1/dead-letters?table=public.${table}&limit=500`)).items;
  const reasons = async (table: string): Promise<[string, string][]> => (await letters(table)).toReversed().map(({ id, reason }) => [id.split(':').at(-1) as string, reason]);
  const gate = () => service.get<{ verdict: string; reasons: { code: string; table: string | null; message: string }[] }>('/v1/gate');
  const passes = () => expect.poll(async () => (await gate()).reasons.map(({ code, table, message }) => `${code} ${table} ${message}`), EVENTUALLY).toEqual([]);
  const retry = async (table: string, offset: number): Promise<[number, Record<string, unknown>]> => {
    const response = await fetch(`${service.url}/v1/dead-letters/shop.public.${table}:0:${offset}/retry`, { method: 'POST' });
    return [response.status, (await response.json()) as Record<string, unknown>];
  };
  const counted = async (metric: string): Promise<number> => {
    const line = (await service.metrics()).split('\n').find((one) => one.startsWith(`${metric} `));
    return Number(line?.slice(metric.length + 1));
  };
  const updates = (table: string): Promise<number> => counted(`lockstep_change_events_total{table="public.${table}",side="old",op="update"}`);
  const dead = (table: string, reason: string): Promise<number> => counted(`lockstep_dead_letters_total{topic="shop.public.${table}",reason="${reason}"}`);

  it('is told apart from the rest, and is verified once its reason is gone', async () => {
    registry.schemas.set(1, JSON.stringify(ROW_TYPE.schema()));
    await send('items', avroUpdate(1, 1));
    await expect.poll(() => updates('items'), EVENTUALLY).toBe(1);
    await passes();

    // A field of another type than its column, one in a message of 20 MB, larger than a fetch; a schema that the registry does not know.
    const wrongType = await send('items', update('items', { id: 2, n: 'private-words', note: 'x' }));
    const large = await send('items', update('items', { id: 3, n: 'private-words', note: 'y'.repeat(20_000_000) }));
    const unknownSchema = await send('items', avroUpdate(2, 4));
    await expect.poll(() => reasons('items'), EVENTUALLY).toEqual([[String(wrongType), 'bad_value'], [String(large), 'bad_value'], [String(unknownSchema), 'unknown_schema']]);
    // A registry that is away.
    await registry.stop();
    const noRegistry = await send('items', avroUpdate(3, 5));
    await expect.poll(async () => (await reasons('items')).at(-1), EVENTUALLY).toEqual([String(noRegistry), 'registry_unreachable']);

    // Later messages of the partition and other tables go on.
    await send('items', update('items', { id: 6, n: 1, note: 'x' }));
    await expect.poll(() => updates('items'), EVENTUALLY).toBe(2);
    await replica.query('UPDATE others SET n = 7 WHERE id = 1');
    await send('others', update('others', { id: 1, n: 1, note: 'x' }));
    const drift = () => service.get<{ items: { table: string }[] }>('/v1/drift?status=open').then(({ items }) => items.map(({ table }) => table));
    await expect.poll(drift, EVENTUALLY).toEqual(['public.others']);
    await replica.query('UPDATE others SET n = 1 WHERE id = 1');
    await expect.poll(drift, EVENTUALLY).toEqual([]);
    await expect.poll(gate, EVENTUALLY).toMatchObject({
      verdict: 'unknown',
      reasons: [{ code: 'dead_letters', table: 'public.items', message: `public.items: 4 records could not be decoded, the oldest at shop.public.items:0:${wrongType}; retry or discharge` }],
    });
    expect(await service.get('/v1/tables/public.items')).toMatchObject({ dead_letters: 4, missing_evidence: `4 records could not be decoded, the oldest at shop.public.items:0:${wrongType}` });

    // Each retry says why not, for as long as it is so.
    expect(await retry('items', wrongType)).toMatchObject([422, { code: 'still_undecodable', detail: expect.stringMatching(/^bad_value: column n/) as string }]);
    expect(await retry('items', large)).toMatchObject([422, { code: 'still_undecodable', detail: expect.stringMatching(/^bad_value: column n/) as string }]);
    expect(await retry('items', unknownSchema)).toMatchObject([422, { code: 'still_undecodable', detail: expect.stringMatching(/^registry_unreachable: /) as string }]);
    expect(await retry('items', 9_999)).toMatchObject([404, { code: 'unknown_dead_letter' }]);
    expect((await letters('items')).find(({ offset }) => offset === String(unknownSchema))).toMatchObject({ reason: 'registry_unreachable', attempts: 1 });

    await registry.start();
    expect(await retry('items', unknownSchema)).toMatchObject([422, { detail: expect.stringMatching(/^unknown_schema: /) as string }]);
    for (const id of [2, 3]) registry.schemas.set(id, JSON.stringify(ROW_TYPE.schema()));
    expect(await retry('items', unknownSchema)).toMatchObject([200, { discharged_by: 'retry' }]);
    expect(await retry('items', unknownSchema)).toMatchObject([200, { discharged_by: 'retry' }]);
    expect(await retry('items', noRegistry)).toMatchObject([200, { discharged_by: 'retry' }]);
    await service.stop();
    for (const side of [replica, old]) await side.query('ALTER TABLE items ALTER n TYPE text');
    await service.start();
    expect(await service.post('/v1/dead-letters/retry', { table: 'public.items', reason: 'bad_value', limit: 10 })).toEqual({ retried: 2, undecodable: 0, gone: 0, not_retryable: 0, more: false });
    expect(await letters('items')).toEqual([]);
    await passes();
    expect(await service.get('/v1/tables/public.items')).toMatchObject({ dead_letters: 0, missing_evidence: null, held_by: null });
    expect(service.log()).not.toContain('private-words');
  });

  it('that nothing can mend is discharged by a sweep', async () => {
    const base = await send(
      'items',
      { key: null, value: 'this is no JSON' },
      { key: Buffer.from([1]), value: Buffer.from([1, 2, 3, 4, 5, 6]) },
      { key: null, value: null },
      { key: '{"id":7}', value: null },
      update('items', { id: 7, n: '1', note: 'x' }),
    );
    const missing = await send('lines', { key: '{"a":1}', value: JSON.stringify({ op: 'd', before: null, after: null, source: source('lines') }) });
    await expect.poll(() => reasons('lines'), EVENTUALLY).toEqual([[String(missing), 'no_key']]);
    await expect.poll(() => reasons('items'), EVENTUALLY).toEqual([[String(base), 'not_json'], [String(base + 1), 'not_json']]);
    expect([await dead('items', 'not_json'), await dead('lines', 'no_key'), await dead('others', 'no_key')]).toEqual([2, 1, 0]);
    await expect.poll(async () => (await gate()).reasons.map(({ code, table }) => `${code} ${table}`).toSorted(), EVENTUALLY).toEqual(['dead_letters public.items', 'dead_letters public.lines']);
    expect(await service.post('/v1/dead-letters/retry', {})).toEqual({ retried: 0, undecodable: 3, gone: 0, not_retryable: 0, more: false });
    // The first sweep may be one that was owed and is under way.
    await expect.poll(async () => (await fetch(`${service.url}/v1/sweeps`, { method: 'POST' })).status, EVENTUALLY).toBe(202);
    await passes();
    await expect.poll(() => letters('items'), EVENTUALLY).toEqual([]);
    expect(await retry('items', base)).toMatchObject([409, { code: 'already_discharged' }]);
  });

  it('in a flood takes no more than its share of memory, store and time', async () => {
    const batch = Array.from({ length: 5_000 }, () => ({ key: null, value: FLOOD_VALUE }));
    for (let sent = 0; sent < FLOOD; sent += batch.length) {
      await producer.send({ topic: 'shop.public.flood', messages: batch, compression: CompressionTypes.GZIP });
    }
    const before = await updates('others');
    await send('others', update('others', { id: 2, n: 1, note: 'x' }));
    await expect.poll(() => updates('others'), EVENTUALLY).toBe(before + 1);
    const open = async (): Promise<number> => (await service.get<{ dead_letters: number }>('/v1/tables/public.flood')).dead_letters;
    await expect.poll(open, EVENTUALLY).toBe(FLOOD);
    expect(await dead('flood', 'not_json')).toBe(FLOOD);
    expect(await counted('process_resident_memory_bytes')).toBeLessThan(MEMORY_BYTES);
    const stored = (): Promise<{ letters: number; whole: number; bytes: number }[]> =>
      replica.query('SELECT count(*)::int AS letters, count(*) FILTER (WHERE raw_whole)::int AS whole, sum(octet_length(raw_value))::float8 AS bytes FROM lockstep.dead_letters WHERE discharged_ms IS NULL', 'state');
    await expect.poll(async () => (await stored())[0]?.letters, EVENTUALLY).toBe(FLOOD);
    const [kept] = await stored();
    expect(kept?.bytes).toBeLessThanOrEqual(KEPT_BYTES);
    expect(kept?.whole).toBe(Math.floor(KEPT_BYTES / FLOOD_VALUE.length));
    const listed = new Set<string>();
    for (let cursor: string | null = ''; cursor !== null && listed.size < 2_000; ) {
      const page: { items: Letter[]; next_cursor: string | null } = await service.get(`/v1/dead-letters?limit=500${cursor === '' ? '' : `&cursor=${cursor}`}`);
      for (const { id } of page.items) listed.add(id);
      cursor = page.next_cursor;
    }
    expect(listed.size).toBe(2_000);
    // The first are kept, the last are read again.
    expect(await retry('flood', 0)).toMatchObject([422, { code: 'still_undecodable' }]);
    expect(await retry('flood', FLOOD - 1)).toMatchObject([422, { code: 'still_undecodable' }]);
    // kafkajs knows the leaders of topics that it was asked about.
    await admin.fetchTopicOffsets('shop.public.flood');
    await admin.deleteTopicRecords({ topic: 'shop.public.flood', partitions: [{ partition: 0, offset: String(FLOOD) }] });
    expect(await retry('flood', FLOOD - 1)).toMatchObject([409, { code: 'record_gone' }]);
    expect((await letters('flood'))[0]).toMatchObject({ offset: String(FLOOD - 1), reason: 'not_json', attempts: 2 });
    expect((await gate()).reasons.find(({ code }) => code === 'dead_letters')?.message).toBe(`public.flood: ${FLOOD} records could not be decoded, the oldest at shop.public.flood:0:0; retry or discharge`);
    await service.kill9();
    await service.start();
    // A service that has just begun on a busy machine may say that it is.
    await expect.poll(open, EVENTUALLY).toBe(FLOOD);
    await expect.poll(async () => (await fetch(`${service.url}/v1/sweeps`, { method: 'POST' })).status, EVENTUALLY).toBe(202);
    await passes();
    await expect.poll(() => letters('flood'), EVENTUALLY).toEqual([]);
  });
}

const java = detectJava();
if (java.ok) describe('a poison message', poison);
else {
  console.warn(`SKIPPED: poison messages cannot be tested here: ${java.reason}`);
  describe.skip('a poison message', () => {
    it('needs Java and Maven', () => undefined);
  });
}
