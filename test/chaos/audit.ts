import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '../stack/postgres-server.ts';
import type { LockstepReplica } from './lockstep.ts';
import type { Plant } from './plants.ts';
import { TABLE_NAMES, type TableName } from './schema.ts';
import { describePlant, type SummaryJson, type Violations, type Watch } from './watch.ts';
import { adminOf, clientOf, GROUP, MIGRATION, STATE_DATABASE, TOPICS, type World } from './world.ts';

const LIMIT_MS = 180_000;
const LOOK_MS = 500;

const OPS = { c: 'create', u: 'update', d: 'delete', r: 'snapshot' } as const;
type Op = (typeof OPS)[keyof typeof OPS];

/** What the topics hold. */
export interface TopicAudit {
  readonly ends: ReadonlyMap<string, bigint>;
  /** Changes by table and op, each counted once however often the connector told it. */
  readonly distinct: ReadonlyMap<string, number>;
  /** Records of changes by table and op, at or after the offsets that were asked for. */
  readonly since: ReadonlyMap<string, number>;
  readonly records: number;
}

/** Reads all topics. @param bases offsets by partition from which records are counted for `since` */
export async function auditTopics(world: World, bases: ReadonlyMap<string, bigint>): Promise<TopicAudit> {
  const ends = await topicEnds(world);
  const seen = new Set<string>();
  const distinct = new Map<string, number>();
  const since = new Map<string, number>();
  let records = 0;
  const consumer = clientOf(world.kafka).consumer({ groupId: 'lockstep-chaos-audit', maxWaitTimeInMs: 200 });
  await consumer.connect();
  await consumer.subscribe({ topics: [...TOPICS.keys()], fromBeginning: true });
  const at = new Map<string, bigint>();
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      const table = TOPICS.get(batch.topic) as TableName;
      const id = `${batch.topic}/${batch.partition}`;
      for (const { key, value, offset } of batch.messages) {
        if (BigInt(offset) < (at.get(id) ?? 0n)) continue;
        records++;
        if (value === null) continue;
        const text = value.toString();
        // Envelope and source alone are wanted: the schema is most of each message.
        const { payload } = JSON.parse(text) as { payload: { op: keyof typeof OPS; source: { lsn: number } } };
        const op: Op = OPS[payload.op];
        const counter = `${table} ${op}`;
        if (BigInt(offset) >= (bases.get(id) ?? 0n)) since.set(counter, (since.get(counter) ?? 0) + 1);
        const change = `${payload.source.lsn} ${counter} ${key === null ? '' : JSON.stringify((JSON.parse(key.toString()) as { payload: unknown }).payload)}`;
        if (seen.has(change)) continue;
        seen.add(change);
        distinct.set(counter, (distinct.get(counter) ?? 0) + 1);
      }
      at.set(id, BigInt(batch.lastOffset()) + 1n);
      await Promise.resolve();
    },
  });
  const until = performance.now() + LIMIT_MS;
  while (performance.now() < until && [...ends].some(([id, end]) => end > 0n && (at.get(id) ?? 0n) < end)) await delay(LOOK_MS);
  await consumer.disconnect();
  return { ends, distinct, since, records };
}

async function topicEnds(world: World): Promise<Map<string, bigint>> {
  const admin = adminOf(world.kafka);
  await admin.connect();
  const ends = new Map<string, bigint>();
  for (const topic of TOPICS.keys()) {
    for (const { partition, high } of await admin.fetchTopicOffsets(topic)) ends.set(`${topic}/${partition}`, BigInt(high));
  }
  await admin.disconnect();
  return ends;
}

/** Offsets that the state store has, once nobody writes to it any more. */
export async function storedOffsets(world: World): Promise<Map<string, bigint>> {
  const writers = (): Promise<{ n: number }[]> => world.state.query(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'lockstep-state'`, STATE_DATABASE);
  const until = performance.now() + LIMIT_MS;
  while (performance.now() < until && (await writers())[0]?.n !== 0) await delay(100);
  const rows = await world.state.query<{ id: string; next: string }>(`SELECT topic || '/' || partition AS id, next_offset AS next FROM lockstep.partitions WHERE migration = '${MIGRATION}'`, STATE_DATABASE);
  return new Map(rows.map(({ id, next }) => [id, BigInt(next)]));
}

async function waitUntil(violations: Violations, what: string, left: () => Promise<string | null>): Promise<boolean> {
  const until = performance.now() + LIMIT_MS;
  let last: string | null = null;
  while (performance.now() < until) {
    last = await left().catch((error: unknown) => String(error));
    if (last === null) return true;
    await delay(LOOK_MS);
  }
  violations.add(`it did not come to rest: ${what}`, String(last));
  return false;
}

/** Waits until all that was written before is proven, and nothing is pending. */
export async function comesToRest(world: World, replica: LockstepReplica, violations: Violations): Promise<SummaryJson | null> {
  const [now] = await world.old.query<{ ms: number }>('SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms');
  let summary: SummaryJson | null = null;
  await waitUntil(violations, 'verified-through and pending checks', async () => {
    summary = await replica.get<SummaryJson>('/v1/summary');
    if (summary === null) return `no answer: ${replica.life?.exit ?? 'it runs'}`;
    const findings = summary.pipeline.map(({ finding, message }) => `${finding}: ${message}`);
    for (const table of summary.tables) {
      if (table.pending > 0) return `${table.pending} pending checks of ${table.table}; ${findings.join('; ')}`;
      if (table.verified_through === null || Date.parse(table.verified_through) < (now?.ms ?? 0)) return `${table.table} is verified through ${table.verified_through} (${table.held_by}); ${findings.join('; ')}`;
    }
    return findings.length === 0 ? null : findings.join('; ');
  });
  return summary;
}

/** A sweep of all tables, to its end. */
export async function sweep(replica: LockstepReplica, violations: Violations): Promise<void> {
  const newest = async (): Promise<{ id: string; status: string } | undefined> => (await replica.get<{ items: { id: string; status: string }[] }>('/v1/sweeps?limit=1'))?.items[0];
  let before: string | undefined;
  await waitUntil(violations, 'a sweep could not be begun', async () => {
    before = (await newest())?.id;
    const status = await replica.post('/v1/sweeps');
    return status === 202 ? null : `POST /v1/sweeps answers ${status}`;
  });
  await waitUntil(violations, 'the last sweep', async () => {
    const last = await newest();
    return last !== undefined && last.id !== before && last.status === 'done' ? null : `it is ${last?.status}`;
  });
}

async function rowsOf(server: PostgresServer, table: TableName): Promise<Map<string, string>> {
  const key = table === 'orders' ? `tenant_id || '/' || order_id` : 'id::text';
  // The sink writes a numeric without scale with as many zeros as it likes.
  const row = table === 'payments' ? `id || '|' || amount || '|' || trim_scale(fee) || '|' || paid_at || '|' || long_text || '|' || n` : 't::text';
  return new Map((await server.query<{ key: string; hash: string }>(`SELECT ${key} AS key, md5(${row}) AS hash FROM ${table} t`)).map(({ key: one, hash }) => [one, hash]));
}

/** Holds every figure against the truth, when everything has come to rest. */
export async function audit(world: World, replica: LockstepReplica, plants: readonly Plant[], watch: Watch, bases: ReadonlyMap<string, bigint>, violations: Violations): Promise<string[]> {
  const lines: string[] = [];
  const summary = await replica.get<SummaryJson>('/v1/summary');
  const open = [...watch.reported.values()].filter(({ status }) => status === 'open');
  let differing = 0;
  for (const table of TABLE_NAMES) {
    const [old, replicaRows] = [await rowsOf(world.old, table), await rowsOf(world.new, table)];
    const truth = new Map<string, string>();
    for (const [key, hash] of old) {
      const other = replicaRows.get(key);
      if (other === undefined) truth.set(key, 'missing');
      else if (other !== hash) truth.set(key, 'different');
    }
    for (const key of replicaRows.keys()) if (!old.has(key)) truth.set(key, 'extra');
    differing += truth.size;
    const told = open.filter((drift) => drift.table === `public.${table}`);
    for (const [key, kind] of truth) {
      const drift = told.find((one) => one.key === key);
      if (drift === undefined) violations.add('a row differs and is not in the report', `${table} ${key} ${kind}, ${plantOf(plants, table, key)}`);
      else if (kind === 'different' ? drift.kind === 'missing' || drift.kind === 'extra' : drift.kind !== kind) violations.add('a row differs in another way than the report says', `${table} ${key} ${kind}, not ${drift.kind}`);
    }
    for (const { key, kind } of told) if (!truth.has(key)) violations.add('the report has a row that does not differ', `${table} ${key} ${kind}, ${plantOf(plants, table, key)}`);
    for (const plant of plants.filter((one) => one.table === table)) {
      if (plant.stage === 'planted' && !truth.has(plant.key)) violations.add('a plant is gone by itself: the run proves nothing of it', describePlant(plant));
      if (plant.stage === 'planted' && plant.foundMs === null) violations.add('a planted drift was not found', describePlant(plant));
    }
    const rows = summary?.tables.find((one) => one.table === `public.${table}`)?.rows;
    if (rows?.old !== old.size || rows.new !== replicaRows.size) violations.add('row counts are wrong', `${table}: ${JSON.stringify(rows)}, not ${old.size} and ${replicaRows.size}`);
  }
  lines.push(`rows compared independently: ${differing} differ, ${open.length} open in the report, ${plants.filter(({ stage }) => stage === 'planted').length} planted and kept`);
  if (summary !== null && summary.open_drift !== open.length) violations.add('open drift is counted wrong', `${summary.open_drift}, not ${open.length}`);

  const topics = await auditTopics(world, bases);
  const ledger = await world.old.query<{ table_name: TableName; creates: string; updates: string; deletes: string }>(
    'SELECT table_name, sum(creates) AS creates, sum(updates) AS updates, sum(deletes) AS deletes FROM ledger GROUP BY 1',
  );
  let written = 0;
  for (const { table_name, ...counts } of ledger) {
    for (const [op, count] of [['create', counts.creates], ['update', counts.updates], ['delete', counts.deletes]] as const) {
      written += Number(count);
      const inTopic = topics.distinct.get(`${table_name} ${op}`) ?? 0;
      if (inTopic !== Number(count)) violations.add('the topics do not hold what the ledger says: the run proves nothing', `${table_name} ${op}: ${inTopic}, not ${count}`);
    }
  }
  for (const [id, end] of topics.ends) {
    // The writer's last checkpoint and its commit to Kafka may be a moment behind.
    await waitUntil(violations, `stored and committed offsets of ${id}`, async () => {
      const stored = watch.stored.get(`stored offset of ${id}`) ?? 0n;
      const committed = watch.committed.get(id) ?? 0n;
      return Promise.resolve(stored === end && committed === end ? null : `stored ${stored}, committed ${committed}, end ${end}`);
    });
  }
  const metrics = (await replica.metrics()) ?? '';
  for (const table of TABLE_NAMES) {
    for (const op of Object.values(OPS)) {
      const line = metrics.split('\n').find((one) => one.startsWith(`lockstep_change_events_total{table="public.${table}",side="old",op="${op}"}`));
      const counted = Number(line?.split(' ').at(-1));
      const expected = topics.since.get(`${table} ${op}`) ?? 0;
      if (counted !== expected) violations.add('change events are counted wrong', `${table} ${op}: ${counted}, not ${expected} of this process's life`);
    }
  }
  const distinct = [...topics.distinct.values()].reduce((sum, count) => sum + count, 0);
  lines.push(`events: ${written} changes in old's ledger, ${distinct} with the snapshot's in the topics, ${topics.records} records with repetitions and tombstones, all consumed; ${GROUP} stands at the end`);
  return lines;
}

function plantOf(plants: readonly Plant[], table: TableName, key: string): string {
  const plant = plants.findLast((one) => one.table === table && one.key === key);
  return plant === undefined ? 'nobody planted it' : describePlant(plant);
}
