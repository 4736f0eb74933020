import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startLoad } from '../test/pipeline/scenario/load.ts';
import { connectKafka } from '../test/pipeline/scenario/scenario.ts';
import { FAULTS_SQL, SCHEMA_SQL, SEED_SQL, TABLES } from '../test/pipeline/scenario/schema.ts';
import { Service } from '../test/pipeline/scenario/service.ts';
import { freePort } from '../test/stack/ports.ts';
import { type Stack, startStack } from '../test/stack/stack.ts';

/**
 * How long a migration goes unverified when the process that holds the writing role dies under load: three of them, a
 * real Debezium pipeline between, `kill -9` and SIGSTOP in turn. Prints one line of JSON for each.
 */

const ROUNDS = 3;
const GIVE_UP_MS = 120_000;
const POLL_MS = 50;
const TRANSACTIONS_PER_SECOND = 50;

interface SummaryJson {
  readonly verified_through: string | null;
  readonly open_drift: number;
}

async function main(): Promise<void> {
  const stack = await startStack({ kafka: true });
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-takeover-'));
  const services: Service[] = [];
  try {
    await stack.old.query(SCHEMA_SQL);
    await stack.new.query(SCHEMA_SQL + FAULTS_SQL);
    await stack.old.query(SEED_SQL);
    await stack.new.createDatabase('state');
    await connectKafka(stack);
    for (const name of ['a', 'b', 'c']) services.push(await configured(stack, folder, name));
    for (const [index, service] of services.entries()) await service.start(index === 0 ? '/readyz' : '/healthz');
    const load = startLoad(stack.old.url(), TRANSACTIONS_PER_SECOND);
    for (let round = 0; round < ROUNDS; round++) {
      for (const how of ['kill -9', 'SIGSTOP'] as const) console.log(JSON.stringify({ how, ...(await takeover(services, how)) }));
    }
    await load.stop();
  } finally {
    for (const service of services) await service.stop();
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function configured(stack: Stack, folder: string, name: string): Promise<Service> {
  const port = await freePort();
  const configFile = join(folder, `${name}.yaml`);
  writeFileSync(
    configFile,
    `migration: takeover
databases:
  old: { url: "${stack.old.url()}" }
  new: { url: "${stack.new.url()}" }
events:
  kafka: { brokers: [${stack.kafka?.brokers.join(', ')}], group: lockstep-takeover }
state: { url: "${stack.new.url('state')}" }
sweep: { every: 24h }
http: { port: ${port} }
tables:
${TABLES.map((table) => `  - { old: ${table} }`).join('\n')}
`,
  );
  return new Service({ configFile, port, logFile: join(folder, `${name}.log`) });
}

/** Takes the writer away and times the others; brings it back as a process that stands by. */
async function takeover(services: readonly Service[], how: 'kill -9' | 'SIGSTOP'): Promise<Record<string, number>> {
  const writer = await ready(services);
  await until(async () => (await lagMs(writer)) < 5_000);
  const atMs = Date.now();
  if (how === 'SIGSTOP') writer.pause();
  else await writer.kill9();
  const others = services.filter((service) => service !== writer);
  const next = await until(async () => await ready(others).catch(() => null));
  const roleMs = Date.now() - atMs;
  // What was committed after the death is verified.
  await until(async () => Date.parse((await next.get<SummaryJson>('/v1/summary')).verified_through ?? '1970-01-01') > atMs);
  const verifiedMs = Date.now() - atMs;
  const { open_drift } = await next.get<SummaryJson>('/v1/summary');
  if (how === 'SIGSTOP') await writer.resumeToEnd();
  await writer.start('/healthz');
  await delay(2_000);
  return { roleMs, verifiedMs, openDrift: open_drift };
}

async function ready(services: readonly Service[]): Promise<Service> {
  for (const service of services) {
    const response = await fetch(`${service.url}/readyz`, { signal: AbortSignal.timeout(1_000) }).catch(() => null);
    if (response?.ok === true) return service;
  }
  throw new Error('none is ready');
}

async function lagMs(service: Service): Promise<number> {
  const { verified_through } = await service.get<SummaryJson>('/v1/summary');
  return verified_through === null ? Number.POSITIVE_INFINITY : Date.now() - Date.parse(verified_through);
}

async function until<Answer>(ask: () => Promise<Answer | null | false>): Promise<Exclude<Answer, false>> {
  const giveUpAt = Date.now() + GIVE_UP_MS;
  while (Date.now() < giveUpAt) {
    const answer = await ask();
    if (answer !== null && answer !== false) return answer as Exclude<Answer, false>;
    await delay(POLL_MS);
  }
  throw new Error(`not within ${GIVE_UP_MS} ms`);
}

await main();
