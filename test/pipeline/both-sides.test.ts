import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { debeziumSource, jdbcSink } from '../stack/connectors.ts';
import { detectJava } from '../stack/java.ts';
import { freePort } from '../stack/ports.ts';
import { type Stack, startStack } from '../stack/stack.ts';
import { Service } from './scenario/service.ts';
import type { SummaryJson } from './scenario/scenario.ts';

const java = detectJava();
if (!java.ok) console.warn(`SKIPPED: sources on both sides cannot be tested here: ${java.reason}`);

const BUSY_MS = 240_000;
const SOON = { timeout: 60_000, interval: 100 };
const TABLE = 'public.items';
const SCHEMA_SQL = 'CREATE TABLE items (id int PRIMARY KEY, amount numeric(12, 2) NOT NULL, note text, made timestamptz NOT NULL DEFAULT now())';
const SEEDED = 200;
const CHANGES = 60;

interface DriftJson {
  readonly key: { readonly id: number };
  readonly kind: string;
  readonly found_by: string;
  readonly status: string;
  readonly cause: { readonly code: string } | null;
  readonly position: { readonly topic: string; readonly tx_id: string; readonly lsn: string } | null;
}

describe.skipIf(!java.ok)('sources on both sides', () => {
  let stack: Stack;
  let folder = '';
  let port = 0;
  let service: Service;

  beforeAll(async () => {
    stack = await startStack({ kafka: true });
    port = await freePort();
    folder = mkdtempSync(join(tmpdir(), 'lockstep-both-'));
    chmodSync(folder, 0o755);
    for (const side of [stack.old, stack.new]) await side.query(SCHEMA_SQL);
    await stack.old.query(`INSERT INTO items SELECT n, n, 'seed' FROM generate_series(1, ${SEEDED}) n`);
    for (const [name, side] of [['shop', stack.old], ['billing', stack.new]] as const) {
      await stack.connect?.putConnector(name, debeziumSource({ port: side.port, database: 'app', topicPrefix: name, tables: [TABLE] }));
    }
    await stack.connect?.putConnector('forward', jdbcSink({ port: stack.new.port, database: 'app', topics: [`shop.${TABLE}`] }));
    await vi.waitFor(async () => expect(await stack.new.query('SELECT count(*)::int AS n FROM items')).toEqual([{ n: SEEDED }]), SOON);
    const admin = new Kafka({ brokers: [...(stack.kafka?.brokers ?? [])], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    await vi.waitFor(async () => expect(await admin.listTopics()).toEqual(expect.arrayContaining([`shop.${TABLE}`, `billing.${TABLE}`])), SOON);
    await admin.disconnect();
  }, BUSY_MS);
  afterAll(async () => {
    await service?.stop();
    await stack?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function configure(primary: 'old' | 'new'): void {
    writeFileSync(
      join(folder, 'lockstep.yaml'),
      `migration: both
databases:
  old: { url: "${stack.old.url()}" }
  new: { url: "${stack.new.url()}" }
primary: ${primary}
events: { kafka: { brokers: [${stack.kafka?.brokers.join(', ')}], group: lockstep-both } }
data_dir: ${join(folder, 'data')}
slo: { settle: 6s }
sweep: { every: 24h }
http: { port: ${port} }
tables:
  - { old: ${TABLE}, topic: { old: shop.${TABLE}, new: billing.${TABLE} } }
`,
    );
  }

  async function verifiedThrough(sinceMs: number): Promise<void> {
    await vi.waitFor(async () => {
      const { verified_through: through, tables } = await service.get<SummaryJson>('/v1/summary');
      expect([Date.parse(through ?? '') > sinceMs, tables[0]?.pending]).toEqual([true, 0]);
    }, SOON);
  }

  async function drift(): Promise<Record<number, DriftJson>> {
    const { items } = await service.get<{ items: DriftJson[] }>('/v1/drift?status=open');
    return Object.fromEntries(items.map((one) => [one.key.id, one]));
  }

  async function paired(): Promise<number> {
    return Number(/^lockstep_paired_events_total\{table="public\.items"\} (\d+)/m.exec(await service.metrics())?.[1]);
  }

  /** Statements of Lockstep about the table that a server has logged. */
  function readsOf(side: 'old' | 'new'): number {
    const log = readFileSync(stack[side].logFile, 'utf8');
    return log.split(/^app=/m).filter((entry) => entry.startsWith('lockstep') && /items/.test(entry)).length;
  }

  it("verifies changes by new's events, without reading new, with the exact lag", { timeout: BUSY_MS }, async () => {
    configure('old');
    service = new Service({ configFile: join(folder, 'lockstep.yaml'), port, logFile: join(folder, 'lockstep.log') });
    await service.start();
    await verifiedThrough(Date.now());
    // One change after another, so that the events are known to come in time.
    for (let id = 1; id <= 20; id++) {
      await stack.old.query(`UPDATE items SET amount = amount + 1 WHERE id = ${id}`);
      await vi.waitFor(async () => expect((await service.get<SummaryJson>('/v1/summary')).tables[0]?.pending).toBe(0), SOON);
    }
    await stack.new.query(`ALTER SYSTEM SET log_statement = 'all'`);
    await stack.new.query(`ALTER SYSTEM SET log_line_prefix = 'app=%a '`);
    await stack.new.query('SELECT pg_reload_conf()');
    const before = { paired: await paired(), reads: readsOf('new') };
    for (let change = 0; change < CHANGES; change++) {
      const id = 1 + (change % 50);
      const sql = change % 10 === 9 ? `DELETE FROM items WHERE id = ${150 + change}` : change % 10 === 5 ? `INSERT INTO items VALUES (${1_000 + change}, 1, 'new')` : `UPDATE items SET amount = amount + 0.01, note = 'é ${change}' WHERE id = ${id}`;
      await stack.old.query(sql);
    }
    await verifiedThrough(Date.now());
    // On a machine that has much else to do some events come late, and their rows are read.
    const settled = (await paired()) - before.paired;
    expect(settled).toBeGreaterThan(CHANGES / 2);
    expect(readsOf('new') - before.reads).toBeLessThan(settled / 2);
    const lag = await service.get<{ items: { exact_ratio: number | null }[] }>('/v1/lag');
    expect(lag.items[0]?.exact_ratio).toBeGreaterThan(0.5);
    expect(await drift()).toEqual({});
  });

  it('finds writes on new that old never made, with their transactions, and no sweep', { timeout: BUSY_MS }, async () => {
    const written = async (sql: string): Promise<string> => {
      const [row] = await stack.new.query<{ id: string }>(`WITH w AS (${sql} RETURNING 1) SELECT txid_current()::text AS id FROM w`);
      return row?.id ?? '';
    };
    const transactions = [
      await written(`UPDATE items SET amount = 77 WHERE id = 60`),
      await written(`DELETE FROM items WHERE id = 61`),
      await written(`INSERT INTO items VALUES (5000, 1, 'beside')`),
    ];
    await vi.waitFor(async () => expect(Object.keys(await drift())).toHaveLength(3), SOON);
    const found = await drift();
    const shown = (id: number): unknown[] => [found[id]?.kind, found[id]?.found_by, found[id]?.cause?.code, found[id]?.position?.topic, found[id]?.position?.tx_id];
    expect([shown(60), shown(61), shown(5_000)]).toEqual([
      ['different', 'stream', 'replica_write', `billing.${TABLE}`, transactions[0]],
      ['missing', 'stream', 'replica_write', `billing.${TABLE}`, transactions[1]],
      ['extra', 'stream', 'replica_write', `billing.${TABLE}`, transactions[2]],
    ]);
    expect(readsOf('new')).toBeGreaterThan(0);
    await stack.old.query('UPDATE items SET amount = amount WHERE id = 60');
    await vi.waitFor(async () => expect(Object.keys(await drift())).toEqual(['61', '5000']), SOON);
  });

  it('turns round without a restart when the configuration is read again, and keeps open drift', { timeout: BUSY_MS }, async () => {
    const before61 = (await drift())[61] as DriftJson & { id: string };
    await stack.connect?.stopConnector('forward');
    const { pid } = service;
    configure('new');
    process.kill(pid as number, 'SIGHUP');
    await vi.waitFor(async () => expect((await service.get<{ primary: string }>('/v1/summary')).primary).toBe('new'), SOON);
    expect(service.pid).toBe(pid);
    // What new lacks is one too many on old now.
    await vi.waitFor(async () => expect(await drift()).toMatchObject({ 61: { id: before61.id, kind: 'extra' }, 5_000: { kind: 'missing' } }), SOON);
    await stack.connect?.putConnector('reverse', jdbcSink({ port: stack.old.port, database: 'app', topics: [`billing.${TABLE}`] }));
    await verifiedThrough(Date.now());
    const before = await paired();
    for (let change = 0; change < 30; change++) {
      await stack.new.query(`UPDATE items SET amount = amount + 0.5 WHERE id = ${1 + (change % 20)}`);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    await verifiedThrough(Date.now());
    expect(await paired()).toBeGreaterThan(before);
    // The way back brings old what was written on new beside the way there.
    await vi.waitFor(async () => expect(await drift()).toEqual({}), SOON);
    await stack.old.query('UPDATE items SET amount = 88 WHERE id = 62');
    await vi.waitFor(async () => expect((await drift())[62]).toMatchObject({ kind: 'different', found_by: 'stream', cause: { code: 'replica_write' }, position: { topic: `shop.${TABLE}` } }), SOON);
  });
});
