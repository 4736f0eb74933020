import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Admin, Kafka, Partitioners, type Producer, logLevel } from 'kafkajs';
import { expect } from 'vitest';
import { FaultProxy } from '../../stack/fault-proxy.ts';
import { fetchJars } from '../../stack/jars.ts';
import { detectJava } from '../../stack/java.ts';
import { KafkaServer } from '../../stack/kafka.ts';
import { freePorts } from '../../stack/ports.ts';
import { PostgresServer } from '../../stack/postgres-server.ts';
import { Workspace } from '../../stack/processes.ts';
import { SmallDisk } from '../../stack/small-disk.ts';
import type { DriftJson, SummaryJson } from '../scenario/scenario.ts';
import { Service } from '../scenario/service.ts';

export const EVENTUALLY = { timeout: 120_000, interval: 100 };
export const TOPIC = 'shop.public.items';
export const GROUP = 'lockstep-faults';
const PARTITIONS = 3;
const ROWS = 2_000;
const STATE_DISK_MIB = 256;

type Road = 'old' | 'new' | 'state' | 'kafka';

/** Two databases with native replication between them, events of our own making, and Lockstep, each reached by a proxy. */
export class Roads {
  readonly old: PostgresServer;
  readonly new: PostgresServer;
  readonly state: PostgresServer;
  readonly kafka: KafkaServer;
  readonly client: Kafka;
  readonly roads: Readonly<Record<Road, FaultProxy>>;
  /** The state store's own small disk, or why there is none. */
  readonly disk: SmallDisk | string;
  readonly shiftFile: string;
  readonly first: Service;
  readonly second: Service;
  private readonly workspace: Workspace;
  private readonly admin: Admin;
  private readonly producer: Producer;
  private lsn = 1_000;
  private sent = 0;
  private n = 0;
  /** Records that the process that writes has not to count: they were stored before it began. */
  private base = 0;

  private constructor(parts: Pick<Roads, 'old' | 'new' | 'state' | 'kafka' | 'client' | 'roads' | 'disk' | 'shiftFile' | 'first' | 'second'> & { workspace: Workspace; admin: Admin; producer: Producer }) {
    this.old = parts.old;
    this.new = parts.new;
    this.state = parts.state;
    this.kafka = parts.kafka;
    this.client = parts.client;
    this.roads = parts.roads;
    this.disk = parts.disk;
    this.shiftFile = parts.shiftFile;
    this.first = parts.first;
    this.second = parts.second;
    this.workspace = parts.workspace;
    this.admin = parts.admin;
    this.producer = parts.producer;
  }

  static async start(): Promise<Roads> {
    const java = detectJava();
    if (!java.ok) throw new Error(java.reason);
    const workspace = await Workspace.create('faults');
    const jars = await fetchJars(workspace, java.mvn, () => undefined);
    const disk = await SmallDisk.mount(join(workspace.folder, 'state'), STATE_DISK_MIB);
    const [detour = 0, kafkaRoad = 0, port = 0, secondPort = 0] = await freePorts(4);
    const [old, replica, state, kafka] = await Promise.all([
      PostgresServer.create(workspace, 'old', { database: 'app' }),
      PostgresServer.create(workspace, 'new', { database: 'app' }),
      PostgresServer.create(workspace, 'state', { database: 'state', settings: { max_wal_size: '64MB', min_wal_size: '32MB' } }),
      KafkaServer.create(workspace, java.java, jars, undefined, { port: detour, advertisedPort: kafkaRoad }),
    ]);
    for (const side of [old, replica]) await side.query('CREATE TABLE items (id bigint PRIMARY KEY, n int, note text)');
    await old.query(`INSERT INTO items SELECT i, 0, 'x' FROM generate_series(1, ${ROWS}) i; CREATE PUBLICATION pipeline FOR TABLE items`);
    await replica.query(`CREATE SUBSCRIPTION pipeline CONNECTION 'host=127.0.0.1 port=${old.port} dbname=app user=postgres' PUBLICATION pipeline`);
    const client = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING });
    const admin = client.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: PARTITIONS }] });
    const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    const roads = {
      old: await FaultProxy.open(old.port),
      new: await FaultProxy.open(replica.port),
      state: await FaultProxy.open(state.port),
      kafka: await FaultProxy.open(detour, { port: kafkaRoad }),
    };
    const shiftFile = join(workspace.folder, 'shift');
    const service = (name: string, itsPort: number): Service => {
      const configFile = join(workspace.folder, `${name}.yaml`);
      writeFileSync(configFile, configuration(roads, itsPort));
      return new Service({ configFile, port: itsPort, logFile: join(workspace.folder, `${name}.log`), shiftFile });
    };
    return new Roads({ workspace, old, new: replica, state, kafka, client, admin, producer, roads, disk, shiftFile, first: service('first', port), second: service('second', secondPort) });
  }

  async stop(): Promise<void> {
    for (const service of [this.first, this.second]) {
      service.signal('SIGCONT');
      await service.kill9();
    }
    await Promise.all([this.producer.disconnect(), this.admin.disconnect(), ...Object.values(this.roads).map((road) => road.close())]);
    await Promise.allSettled([this.kafka.kill9(), ...[this.old, this.new, this.state].map((server) => server.stop('immediate'))]);
    if (typeof this.disk !== 'string') this.disk.unmount();
    await this.workspace.remove();
  }

  /** Changes rows on old, and says so on Kafka as a connector would. */
  async write(ids: readonly number[]): Promise<void> {
    this.n++;
    await this.old.query(`UPDATE items SET n = ${this.n} WHERE id IN (${ids.join()})`);
    await this.tell(ids, this.n);
  }

  /** Takes a row's change away from new, and tells of it: drift, once it is looked at. */
  async plant(id: number): Promise<void> {
    const [row] = await this.old.query<{ n: number }>(`SELECT n FROM items WHERE id = ${id}`);
    await this.new.query(`UPDATE items SET note = 'planted' WHERE id = ${id}`);
    await this.tell([id], row?.n ?? 0);
  }

  async undo(id: number): Promise<void> {
    await this.new.query(`UPDATE items SET note = 'x' WHERE id = ${id}`);
  }

  summary(service: Service): Promise<SummaryJson> {
    return service.get<SummaryJson>('/v1/summary');
  }

  /** What the state store has of the partitions, in records. */
  async stored(): Promise<number> {
    const [row] = await this.state.query<{ next: number | null }>('SELECT sum(next_offset::bigint)::int AS next FROM lockstep.partitions', 'state');
    return row?.next ?? 0;
  }

  /** A process that begins now counts only what is not stored. */
  async noteBase(): Promise<void> {
    this.base = await this.stored();
  }

  /** Waits for the only drift to be this row's, undoes it, and then for all figures to be as they must. */
  async holds(service: Service, planted: number): Promise<void> {
    const open = async (): Promise<unknown[]> =>
      (await service.get<{ items: DriftJson[] }>('/v1/drift?status=open').catch(() => ({ items: [] }))).items.map(({ key, kind, columns }) => ({ key, kind, columns }));
    await expect.poll(open, EVENTUALLY).toEqual([{ key: { id: planted }, kind: 'different', columns: ['note'] }]);
    await this.undo(planted);
    const since = Date.now();
    await expect
      .poll(async () => {
        const [summary, gate] = await Promise.all([this.summary(service), service.get<{ verdict: string }>('/v1/gate')]);
        const isProven = summary.verified_through !== null && Date.parse(summary.verified_through) >= since;
        return { isProven, pending: summary.tables[0]?.pending, open: summary.open_drift, findings: summary.pipeline.map(({ finding }) => finding), gate: gate.verdict };
      }, EVENTUALLY)
      .toEqual({ isProven: true, pending: 0, open: 0, findings: [], gate: 'pass' });
    const line = (await service.metrics()).split('\n').find((one) => one.startsWith('lockstep_change_events_total{table="public.items",side="old",op="update"}'));
    expect(Number(line?.split(' ').at(-1))).toBe(this.sent - this.base);
    await expect.poll(() => this.stored(), EVENTUALLY).toBe(this.sent);
    await expect.poll(() => this.committed(), EVENTUALLY).toBe(this.sent);
    // Each drift once, and nothing else: nobody was told of a row that was only late.
    const all = await this.state.query<{ id: string; times: number }>('SELECT key_values[1] AS id, count(*)::int AS times FROM lockstep.drift GROUP BY 1', 'state');
    this.planted.add(planted);
    expect(new Map(all.map(({ id, times }) => [Number(id), times]))).toEqual(new Map([...this.planted].map((id) => [id, 1])));
    expect(await this.state.query('SELECT * FROM lockstep.checks', 'state')).toEqual([]);
  }

  private readonly planted = new Set<number>();

  private async committed(): Promise<number> {
    const [topic] = await this.admin.fetchOffsets({ groupId: GROUP, topics: [TOPIC] });
    return (topic?.partitions ?? []).reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0);
  }

  private async tell(ids: readonly number[], n: number): Promise<void> {
    const source = { ts_us: Date.now() * 1_000, schema: 'public', table: 'items', snapshot: 'false' };
    const messages = ids.map((id) => ({
      key: JSON.stringify({ id }),
      value: JSON.stringify({ op: 'u', before: null, after: { id, n, note: 'x' }, source: { ...source, lsn: (this.lsn += 10) } }),
    }));
    await this.producer.send({ topic: TOPIC, messages });
    this.sent += messages.length;
  }
}

function configuration(roads: Readonly<Record<Road, FaultProxy>>, port: number): string {
  return `migration: faults
databases:
  old: { url: "postgres://postgres@127.0.0.1:${roads.old.port}/app" }
  new: { url: "postgres://postgres@127.0.0.1:${roads.new.port}/app" }
events:
  kafka: { brokers: ["127.0.0.1:${roads.kafka.port}"], group: ${GROUP}, slot: pipeline }
state: { url: "postgres://postgres@127.0.0.1:${roads.state.port}/state" }
slo: { settle: 2s }
sweep: { every: 24h }
http: { port: ${port} }
tables:
  - { old: public.items }
`;
}
