import { setTimeout as sleep } from 'node:timers/promises';
import { debeziumSource, jdbcSink } from '../../test/stack/connectors.ts';
import type { Stack } from '../../test/stack/stack.ts';
import { LockstepError } from '../domain/errors.ts';
import { DEMO_TABLES } from './schema.ts';

const POLL_MS = 100;
const TOPIC_PREFIX = 'shop';
const SINK = 'demo-sink';
const SOURCE = 'demo-source';
const PUBLICATION = 'demo';
const SUBSCRIPTION = 'demo';

/** What carries old's changes to new. */
export interface DemoPipeline {
  readonly name: 'kafka' | 'postgres';
  /** One line: what it is made of. */
  readonly description: string;
  /** How the sink is held up, for the report. */
  readonly pauseDescription: string;
  /** Copies what is there and follows old from then on. */
  start(signal: AbortSignal): Promise<void>;
  pauseSink(): Promise<void>;
  resumeSink(): Promise<void>;
  /** The `events` section of Lockstep's configuration. */
  readonly events: Readonly<Record<string, unknown>>;
  /** The topic of old's changes to a table; null where there are none. */
  topic(table: string): string | null;
}

/** Debezium source → Kafka → Debezium JDBC sink. */
export function kafkaPipeline(stack: Stack, database: string): DemoPipeline {
  const { kafka, connect } = stack;
  if (kafka === null || connect === null) throw new LockstepError('demo_failed', 'the stack was started without Kafka');
  const topic = (table: string): string => `${TOPIC_PREFIX}.${table}`;
  return {
    name: 'kafka',
    description: 'Debezium PostgreSQL source → Kafka → Debezium JDBC sink',
    pauseDescription: 'the JDBC sink paused',
    start: async (signal) => {
      await connect.putConnector(
        SOURCE,
        debeziumSource({ port: stack.old.port, database, topicPrefix: TOPIC_PREFIX, tables: DEMO_TABLES.map((table) => table.name) }),
        signal,
      );
      await connect.putConnector(SINK, jdbcSink({ port: stack.new.port, database, topics: DEMO_TABLES.map((table) => topic(table.name)) }), signal);
    },
    pauseSink: () => connect.pause(SINK),
    resumeSink: () => connect.resume(SINK),
    events: { kafka: { brokers: [...kafka.brokers] } },
    topic,
  };
}

/** PostgreSQL's own logical replication. */
export function postgresPipeline(stack: Stack, database: string): DemoPipeline {
  return {
    name: 'postgres',
    description: 'PostgreSQL logical replication (publication on old, subscription on new)',
    pauseDescription: 'the subscription disabled',
    start: async (signal) => {
      await stack.old.query(`CREATE PUBLICATION ${PUBLICATION} FOR TABLE ${DEMO_TABLES.map((table) => table.name).join(', ')}`);
      await stack.new.query(`ALTER SYSTEM SET wal_receiver_status_interval = '1s'`);
      await stack.new.query('SELECT pg_reload_conf()');
      await stack.new.query(
        `CREATE SUBSCRIPTION ${SUBSCRIPTION} CONNECTION 'host=127.0.0.1 port=${stack.old.port} user=postgres dbname=${database}' PUBLICATION ${PUBLICATION}`,
      );
      for (;;) {
        signal.throwIfAborted();
        const [row] = await stack.new.query<{ left: string }>(`SELECT count(*) AS left FROM pg_subscription_rel WHERE srsubstate <> 'r'`);
        if (row?.left === '0') return;
        await sleep(POLL_MS);
      }
    },
    pauseSink: async () => {
      await stack.new.query(`ALTER SUBSCRIPTION ${SUBSCRIPTION} DISABLE`);
    },
    resumeSink: async () => {
      await stack.new.query(`ALTER SUBSCRIPTION ${SUBSCRIPTION} ENABLE`);
    },
    events: { postgres: { slot: 'lockstep', publication: PUBLICATION } },
    topic: () => null,
  };
}

/**
 * Writes a marker row into every table of old and waits until all are on new: then everything before them is.
 * @returns false when that took longer than `limitMs`
 */
export async function drain(stack: Stack, round: number, limitMs: number): Promise<boolean> {
  const text = DEMO_TABLES.map((table) => table.marker.replaceAll('$1', String(round))).join('; ');
  const before = await markersOnNew(stack);
  await stack.old.query(`BEGIN; ${text}; COMMIT`);
  const end = Date.now() + limitMs;
  for (;;) {
    const now = await markersOnNew(stack);
    if (now.every((count, index) => count > (before[index] ?? 0))) return true;
    if (Date.now() > end) return false;
    await sleep(POLL_MS);
  }
}

/** Marker rows of each table that are on new. */
async function markersOnNew(stack: Stack): Promise<number[]> {
  const counts = DEMO_TABLES.map((table, index) => `(SELECT count(*) FROM ${table.name} WHERE ${table.marked}) AS c${index}`);
  const [row] = await stack.new.query<Record<string, string>>(`SELECT ${counts.join(', ')}`);
  return DEMO_TABLES.map((_, index) => Number(row?.[`c${index}`] ?? 0));
}
