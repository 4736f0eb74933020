import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { debeziumSource, jdbcSink } from '../../stack/connectors.ts';
import { freePort } from '../../stack/ports.ts';
import { type Stack, startStack } from '../../stack/stack.ts';
import { FAULTS_SQL, SCHEMA_SQL, SEED_SQL, TABLES } from './schema.ts';
import { Service } from './service.ts';

export type SourceKind = 'kafka' | 'postgres';

/** What tests read of the REST answers. */
export interface SummaryJson {
  readonly verified_through: string | null;
  readonly verified_lag_ms: number | null;
  readonly open_drift: number;
  readonly pipeline: readonly { readonly finding: string; readonly observed: number | null; readonly limit: number | null }[];
  readonly source: {
    readonly slots: readonly { readonly name: string; readonly active: boolean; readonly wal_status: string | null; readonly retained_bytes: number | null }[];
    readonly primary_idle: { readonly for_ms: number } | null;
  };
  readonly gate: { readonly verdict: string; readonly reasons: readonly { readonly code: string }[] };
  readonly tables: readonly {
    readonly table: string;
    readonly pending: number;
    readonly held_by: string | null;
    readonly rows: { readonly old: string | number | null; readonly new: string | number | null };
    readonly row_count_delta: string | number | null;
  }[];
}

export interface DriftJson {
  readonly id: string;
  readonly table: string;
  readonly key: Readonly<Record<string, unknown>>;
  readonly kind: string;
  readonly columns: readonly string[];
  readonly status: string;
  readonly found_by: string;
  readonly old: Readonly<Record<string, unknown>> | null;
  readonly new: Readonly<Record<string, unknown>> | null;
}

/** A whole pipeline, old to new, and Lockstep beside it. */
export interface Scenario {
  readonly kind: SourceKind;
  readonly stack: Stack;
  readonly service: Service;
  readonly folder: string;
  /** Lets nothing more through to new, in order. */
  pauseSink(): Promise<void>;
  resumeSink(): Promise<void>;
  summary(): Promise<SummaryJson>;
  openDrift(): Promise<readonly DriftJson[]>;
  allDrift(): Promise<readonly DriftJson[]>;
  /** A sweep of all tables, to its end. */
  sweep(): Promise<void>;
  stop(): Promise<void>;
}

const SETTLE = '6s';

/** Starts servers, pipeline and service; the first sweep may still run. */
export async function startScenario(kind: SourceKind): Promise<Scenario> {
  const stack = await startStack({ kafka: kind === 'kafka' });
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-scenario-'));
  chmodSync(folder, 0o755);
  try {
    await stack.old.query(SCHEMA_SQL);
    await stack.new.query(SCHEMA_SQL + FAULTS_SQL);
    await stack.old.query(SEED_SQL);
    if (kind === 'kafka') await connectKafka(stack);
    else await subscribe(stack);
    const port = await freePort();
    const configFile = join(folder, 'lockstep.yaml');
    writeFileSync(configFile, configuration(kind, stack, folder, port));
    const service = new Service({ configFile, port, logFile: join(folder, 'lockstep.log') });
    await service.start();
    return scenario(kind, stack, service, folder);
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

function configuration(kind: SourceKind, stack: Stack, folder: string, port: number): string {
  const events =
    kind === 'kafka'
      ? `kafka: { brokers: [${stack.kafka?.brokers.join(', ')}], group: lockstep-scenario }`
      : 'postgres: { slot: lockstep, publication: lockstep }';
  return `migration: scenario
databases:
  old: { url: "${stack.old.url()}" }
  new: { url: "${stack.new.url()}" }
events:
  ${events}
data_dir: ${join(folder, 'data')}
slo: { settle: ${SETTLE} }
sweep: { every: 24h }
samples: { values: full }
http: { port: ${port} }
tables:
${TABLES.map((table) => `  - { old: ${table} }`).join('\n')}
`;
}

/** Starts Debezium on old, and the sink to new once the topics are there. */
export async function connectKafka(stack: Stack): Promise<void> {
  const { connect, kafka } = stack;
  if (connect === null || kafka === null) throw new Error('the stack has no Kafka');
  const database = new URL(stack.old.url()).pathname.slice(1);
  await connect.putConnector('source', debeziumSource({ port: stack.old.port, database, topicPrefix: 'shop', tables: TABLES }));
  const admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  for (let attempt = 0; attempt < 300; attempt++) {
    const topics = await admin.listTopics();
    if (TABLES.every((table) => topics.includes(`shop.${table}`))) break;
    await delay(100);
  }
  await admin.disconnect();
  await connect.putConnector(
    'sink',
    jdbcSink({ port: stack.new.port, database, topics: TABLES.map((table) => `shop.${table}`), extra: { 'errors.tolerance': 'all' } }),
  );
}

async function subscribe(stack: Stack): Promise<void> {
  const url = new URL(stack.old.url());
  await stack.old.query('CREATE PUBLICATION pipeline FOR TABLE customers, orders, payments');
  await stack.new.query(
    `CREATE SUBSCRIPTION pipeline CONNECTION 'host=127.0.0.1 port=${stack.old.port} dbname=${url.pathname.slice(1)} user=${url.username}' PUBLICATION pipeline`,
  );
}

function scenario(kind: SourceKind, stack: Stack, service: Service, folder: string): Scenario {
  const drift = async (query: string): Promise<readonly DriftJson[]> =>
    (await service.get<{ items: DriftJson[] }>(`/v1/drift?limit=500${query}`)).items;
  return {
    kind,
    stack,
    service,
    folder,
    pauseSink: async () => {
      if (kind === 'kafka') await stack.connect?.stopConnector('sink');
      else await stack.new.query('ALTER SUBSCRIPTION pipeline DISABLE');
    },
    resumeSink: async () => {
      if (kind === 'kafka') await stack.connect?.resume('sink');
      else await stack.new.query('ALTER SUBSCRIPTION pipeline ENABLE');
    },
    summary: () => service.get<SummaryJson>('/v1/summary'),
    openDrift: () => drift('&status=open'),
    allDrift: () => drift(''),
    sweep: async () => {
      for (;;) {
        const running = (await service.get<{ items: { status: string }[] }>('/v1/sweeps')).items.some(({ status }) => status === 'running');
        if (!running) break;
        await delay(100);
      }
      const { id } = await service.post<{ id: string }>('/v1/sweeps', {});
      for (;;) {
        const sweep = (await service.get<{ items: { id: string; status: string }[] }>('/v1/sweeps')).items.find((item) => item.id === id);
        if (sweep?.status === 'done') return;
        if (sweep !== undefined && sweep.status !== 'running' && sweep.status !== 'settling') throw new Error(`the sweep is ${sweep.status}`);
        await delay(100);
      }
    },
    stop: async () => {
      await service.stop();
      await stack.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
