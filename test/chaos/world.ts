import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { ConnectWorker } from '../stack/connect.ts';
import { debeziumSource, jdbcSink } from '../stack/connectors.ts';
import { FaultProxy } from '../stack/fault-proxy.ts';
import { fetchJars } from '../stack/jars.ts';
import { detectJava } from '../stack/java.ts';
import { KafkaServer } from '../stack/kafka.ts';
import { freePorts } from '../stack/ports.ts';
import { PostgresServer } from '../stack/postgres-server.ts';
import { Workspace } from '../stack/processes.ts';
import { SmallDisk } from '../stack/small-disk.ts';
import { LEDGER_SQL, PARTITIONS, SCHEMA_SQL, SEED_SQL, SWALLOW_SQL, TABLE_NAMES } from './schema.ts';

/** Enough for the state store of a run with its log; little enough to be filled in a moment. */
const STATE_DISK_MIB = 512;
const STATE_SETTINGS = { max_wal_size: '64MB', min_wal_size: '32MB', fsync: 'off' };
export const DATABASE = 'app';
export const STATE_DATABASE = 'state';
export const MIGRATION = 'chaos';
export const GROUP = 'lockstep-chaos';
export const TOPICS = new Map(TABLE_NAMES.map((table) => [`shop.public.${table}`, table]));

/** What Lockstep reaches by a proxy each. */
export type RoadName = 'old' | 'new' | 'state' | 'kafka';
export const ROADS: readonly RoadName[] = ['old', 'new', 'state', 'kafka'];

/** The servers of a run, and the roads that lead Lockstep to them. The pipeline and the checks go to the servers themselves. */
export interface World {
  readonly folder: string;
  readonly workspace: Workspace;
  readonly old: PostgresServer;
  readonly new: PostgresServer;
  readonly state: PostgresServer;
  readonly kafka: KafkaServer;
  readonly connect: ConnectWorker;
  readonly roads: Readonly<Record<RoadName, FaultProxy>>;
  /** The state store's own small disk, or why there is none. */
  readonly stateDisk: SmallDisk | string;
  stop(): Promise<void>;
}

/** Starts everything but Lockstep, with the pipeline at work. */
export async function startWorld(keep: boolean, say: (line: string) => void): Promise<World> {
  const java = detectJava();
  if (!java.ok) throw new Error(`Kafka cannot be started: ${java.reason}`);
  const workspace = await Workspace.create('chaos', keep);
  let disk: SmallDisk | string | null = null;
  try {
    const jars = await fetchJars(workspace, java.mvn, say);
    disk = await SmallDisk.mount(join(workspace.folder, 'state'), STATE_DISK_MIB);
    const [detourPort = 0, kafkaRoadPort = 0] = await freePorts(2);
    const [old, replica, state, kafka] = await Promise.all([
      PostgresServer.create(workspace, 'old', { database: DATABASE }),
      PostgresServer.create(workspace, 'new', { database: DATABASE }),
      PostgresServer.create(workspace, 'state', { database: STATE_DATABASE, settings: STATE_SETTINGS }),
      KafkaServer.create(workspace, java.java, jars, undefined, { port: detourPort, advertisedPort: kafkaRoadPort }),
    ]);
    const connect = await ConnectWorker.create(workspace, java.java, jars, kafka.brokers);
    say('servers are up');
    await old.query(SCHEMA_SQL + LEDGER_SQL + SEED_SQL);
    await replica.query(SCHEMA_SQL + SWALLOW_SQL);
    await connectPipeline(old, replica, kafka, connect);
    say('the pipeline is up');
    const roads = {
      old: await FaultProxy.open(old.port),
      new: await FaultProxy.open(replica.port),
      state: await FaultProxy.open(state.port),
      kafka: await FaultProxy.open(detourPort, { port: kafkaRoadPort }),
    };
    const mounted = disk;
    return {
      folder: workspace.folder,
      workspace,
      old,
      new: replica,
      state,
      kafka,
      connect,
      roads,
      stateDisk: disk,
      stop: async () => {
        await Promise.all(Object.values(roads).map((road) => road.close()));
        await Promise.allSettled([connect.kill9(), kafka.kill9(), ...[old, replica, state].map((server) => server.stop('immediate'))]);
        if (typeof mounted !== 'string') mounted.unmount();
        await workspace.remove();
      },
    };
  } catch (error) {
    if (disk !== null && typeof disk !== 'string') disk.unmount();
    await workspace.abandon();
    throw error;
  }
}

async function connectPipeline(old: PostgresServer, replica: PostgresServer, kafka: KafkaServer, connect: ConnectWorker): Promise<void> {
  const admin = adminOf(kafka);
  await admin.connect();
  await admin.createTopics({ topics: [...TOPICS].map(([topic, table]) => ({ topic, numPartitions: PARTITIONS[table] })), waitForLeaders: true });
  await admin.disconnect();
  const source = debeziumSource({
    port: old.port,
    database: DATABASE,
    topicPrefix: 'shop',
    tables: TABLE_NAMES.map((table) => `public.${table}`),
    extra: { 'retriable.restart.connector.wait.ms': '1000' },
  });
  await connect.putConnector('source', source);
  await connect.putConnector('sink', jdbcSink({ port: replica.port, database: DATABASE, topics: [...TOPICS.keys()] }));
  for (const table of TABLE_NAMES) {
    const count = async (server: PostgresServer): Promise<string> => (await server.query<{ n: string }>(`SELECT count(*) AS n FROM ${table}`))[0]?.n ?? '';
    while ((await count(old)) !== (await count(replica))) await delay(200);
  }
}

/** Asks Kafka itself, not by the road. */
export function adminOf(kafka: KafkaServer): ReturnType<Kafka['admin']> {
  return clientOf(kafka).admin();
}

export function clientOf(kafka: KafkaServer): Kafka {
  return new Kafka({ clientId: 'chaos', brokers: [...kafka.brokers], logLevel: logLevel.NOTHING, requestTimeout: 5_000, connectionTimeout: 2_000, retry: { retries: 2 } });
}

/** Writes a replica's configuration, all of it by the roads. */
export async function writeConfig(world: World, name: string, port: number): Promise<string> {
  const { roads } = world;
  const file = join(world.folder, `${name}.yaml`);
  await writeFile(
    file,
    `migration: ${MIGRATION}
databases:
  old: { url: "postgres://postgres@127.0.0.1:${roads.old.port}/${DATABASE}" }
  new: { url: "postgres://postgres@127.0.0.1:${roads.new.port}/${DATABASE}" }
events:
  kafka: { brokers: ["127.0.0.1:${roads.kafka.port}"], group: ${GROUP} }
state: { url: "postgres://postgres@127.0.0.1:${roads.state.port}/${STATE_DATABASE}" }
data_dir: ${join(world.folder, `${name}-data`)}
slo: { settle: 6s, lag: { budget: 5s } }
gate:
  canary: { max_drift_rows: 0, verified_within: ${VERIFIED_WITHIN_MS / 1000}s }
sweep: { every: 30s, chunk_rows: 1000, max_rows_per_second: 10000 }
samples: { values: full }
http: { port: ${port} }
tables:
${TABLE_NAMES.map((table) => `  - { old: public.${table}, topic: { old: shop.public.${table} } }`).join('\n')}
`,
  );
  await chmod(world.folder, 0o711);
  return file;
}

export const VERIFIED_WITHIN_MS = 5_000;
