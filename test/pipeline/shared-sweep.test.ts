import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../stack/ports.ts';
import { type Stack, startStack } from '../stack/stack.ts';
import { Service } from './scenario/service.ts';

const EVENTUALLY = { timeout: 120_000, interval: 50 };
const ROWS = 60_000;
/** 300 chunks in some six seconds: time enough to kill somebody. */
const CHUNK_ROWS = 200;
const ROWS_PER_SECOND = 10_000;

interface SummaryJson {
  readonly open_drift: number;
  readonly gate: { readonly verdict: string };
  readonly tables: readonly { readonly table: string; readonly rows: unknown; readonly row_count_delta: unknown; readonly drift: unknown }[];
}

interface SweepJson {
  readonly id: string;
  readonly status: string;
  readonly processes: number | null;
  readonly tables: readonly { readonly progress_ratio: number; readonly rows: { readonly old: number; readonly new: number }; readonly drift: number; readonly chunks_done: number }[];
}

describe('a sweep that several processes share', () => {
  let stack: Stack;
  let folder: string;
  const services: Service[] = [];

  beforeAll(async () => {
    stack = await startStack({ kafka: false });
    folder = mkdtempSync(join(tmpdir(), 'lockstep-shared-'));
    const table = 'CREATE TABLE items (id bigint PRIMARY KEY, note text)';
    await stack.old.query(table);
    await stack.new.query(table);
    await stack.old.query(`INSERT INTO items SELECT i * 10, 'n' || i FROM generate_series(1, ${ROWS}) i`);
    await stack.new.query(`INSERT INTO items SELECT i * 10, 'n' || i FROM generate_series(1, ${ROWS}) i`);
    await stack.old.query('ANALYZE items');
    await stack.new.createDatabase('state');
    for (const name of ['a', 'b', 'c']) {
      const port = await freePort();
      const configFile = join(folder, `${name}.yaml`);
      writeFileSync(
        configFile,
        `migration: shared
databases:
  old: { url: "${stack.old.url()}" }
  new: { url: "${stack.new.url()}" }
events:
  postgres: { slot: lockstep, publication: lockstep }
state: { url: "${stack.new.url('state')}" }
slo: { settle: 1s }
sweep: { every: 24h, chunk_rows: ${CHUNK_ROWS}, max_rows_per_second: ${ROWS_PER_SECOND}, concurrency: 1 }
samples: { values: full }
http: { port: ${port} }
tables:
  - { old: public.items }
`,
      );
      services.push(new Service({ configFile, port, logFile: join(folder, `${name}.log`) }));
    }
  });
  afterAll(async () => {
    for (const service of services) await service.stop();
    await stack?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const one = (index: number): Service => services[index] as Service;
  const newest = async (service: Service): Promise<SweepJson | undefined> => (await service.get<{ items: SweepJson[] }>('/v1/sweeps?limit=1')).items[0];
  const progressed = async (service: Service, ratio: number): Promise<void> => {
    await expect.poll(async () => (await newest(service))?.tables[0]?.progress_ratio ?? 0, EVENTUALLY).toBeGreaterThan(ratio);
  };
  const ended = async (service: Service): Promise<SweepJson> => {
    await expect.poll(async () => (await newest(service))?.status, EVENTUALLY).toBe('done');
    return (await newest(service)) as SweepJson;
  };
  const state = (text: string): Promise<Record<string, unknown>[]> => stack.new.query(text, 'state');

  it('is exact though a helper and then the writer are killed, and goes on where it was', async () => {
    await one(0).start();
    await one(1).start('/healthz');
    await one(2).start('/healthz');
    expect((await fetch(`${one(1).url}/readyz`)).status).toBe(503);
    expect(await one(1).get('/v1/gate')).toMatchObject({ verdict: 'unknown' });
    expect(await one(1).metrics()).toContain('lockstep_build_info');
    await ended(one(0));
    await stack.new.query(`
      UPDATE items SET note = 'wrong' WHERE id % 10000 = 0;
      DELETE FROM items WHERE id % 20000 = 10010;
      INSERT INTO items SELECT i * 30000 + 15005, 'extra' FROM generate_series(0, 19) i`);
    const { id } = await one(0).post<{ id: string }>('/v1/sweeps', {});
    await expect.poll(async () => (await newest(one(0)))?.processes, EVENTUALLY).toBe(3);
    expect(await one(0).metrics()).toContain('lockstep_sweep_helpers 2');
    await progressed(one(0), 0.2);
    await one(1).kill9();
    await progressed(one(0), 0.5);
    // The first chunks have no suspects to wait for.
    const kept = async (): Promise<number> => Number((await state(`SELECT chunks_done FROM lockstep.sweep_tables WHERE sweep_id = '${id}'`))[0]?.['chunks_done']);
    await expect.poll(kept, EVENTUALLY).toBeGreaterThan(0);
    await one(0).kill9();
    await expect.poll(async () => (await fetch(`${one(2).url}/readyz`).catch(() => null))?.status, EVENTUALLY).toBe(200);
    const sweep = await ended(one(2));
    expect(sweep.id).toBe(id);
    expect(sweep.tables[0]).toMatchObject({ rows: { old: ROWS, new: ROWS - 30 + 20 }, drift: 60 + 30 + 20 });
    // The list is what is stored; the last of it may be a moment behind.
    await expect.poll(async () => (await one(2).get<{ open_drift: number }>('/v1/summary')).open_drift, EVENTUALLY).toBe(110);
    await expect.poll(async () => (await one(2).get<{ items: unknown[] }>('/v1/drift?limit=500')).items.length, EVENTUALLY).toBe(110);
    const drift = (await one(2).get<{ items: { kind: string; key: { id: number } }[] }>('/v1/drift?limit=500')).items;
    const keysOf = (kind: string): number[] => drift.filter((item) => item.kind === kind).map(({ key }) => key.id).sort((left, right) => left - right);
    expect(keysOf('different')).toEqual(Array.from({ length: 60 }, (_, index) => (index + 1) * 10_000));
    expect(keysOf('missing')).toEqual(Array.from({ length: 30 }, (_, index) => index * 20_000 + 10_010));
    expect(keysOf('extra')).toEqual(Array.from({ length: 20 }, (_, index) => index * 30_000 + 15_005));
    // The third is dead, so the first stands by again, and answers for all of it.
    await one(0).start('/healthz');
    const figures = async (service: Service): Promise<unknown> => {
      const { tables, ...summary } = await service.get<SummaryJson>('/v1/summary');
      return { open: summary.open_drift, gate: summary.gate.verdict, tables: tables.map(({ table, rows, row_count_delta, drift }) => ({ table, rows, row_count_delta, drift })) };
    };
    await expect.poll(() => figures(one(0)), EVENTUALLY).toEqual(await figures(one(2)));
    expect((await one(0).get<{ items: unknown[] }>('/v1/drift?limit=500')).items).toHaveLength(110);
    expect(await one(0).get(`/v1/tables/public.items`)).toMatchObject({ rows: { old: ROWS, new: ROWS - 10 } });
    expect((await one(0).get<{ verdict: string; reasons: { code: string }[] }>('/v1/gate')).reasons.map(({ code }) => code)).toContain('open_drift');
    expect(await one(0).get('/v1/lag')).toMatchObject({ items: [{ table: 'public.items' }] });
    expect(await one(0).metrics()).toContain('lockstep_drift_rows{table="public.items",kind="missing"} 30');
    const taken = one(2).logged().flatMap((line) => (line['msg'] === 'this process holds the writing role now' ? [Number(line['chunks'])] : []));
    expect(taken).toHaveLength(1);
    expect(taken[0]).toBeGreaterThan(0);
  });

  it('ends for helpers when it is cancelled, and an orderly stop hands the writing role on', async () => {
    await one(2).post('/v1/sweeps', {});
    await expect.poll(async () => (await state('SELECT count(*) FILTER (WHERE holder IS NOT NULL)::int AS held FROM lockstep.sweep_chunks'))[0]?.['held'], EVENTUALLY).toBeGreaterThan(0);
    const { id } = (await newest(one(2))) as SweepJson;
    await one(2).post(`/v1/sweeps/${id}/cancel`, {});
    await expect.poll(async () => (await newest(one(2)))?.status, EVENTUALLY).toBe('cancelled');
    expect(await state('SELECT seq FROM lockstep.sweep_chunks')).toEqual([]);
    // Its process hangs: the gate knows nothing until the role has passed, and the old holder must not go on.
    await stack.new.query(`DELETE FROM items; INSERT INTO items SELECT i * 10, 'n' || i FROM generate_series(1, ${ROWS}) i`);
    await expect.poll(async () => (await one(0).get<{ open_drift: number }>('/v1/summary')).open_drift, EVENTUALLY).toBe(0);
    one(2).pause();
    await expect.poll(async () => (await one(0).get<{ reasons: { code: string }[] }>('/v1/gate')).reasons.map(({ code }) => code), EVENTUALLY).toContain('writer_silent');
    expect(await one(0).get('/v1/gate')).toMatchObject({ verdict: 'unknown', action: 'hold' });
    await expect.poll(() => one(0).logged().some((line) => line['msg'] === 'this process holds the writing role now'), EVENTUALLY).toBe(true);
    expect(await one(2).resumeToEnd()).toBe(2);
    await expect.poll(async () => (await fetch(`${one(0).url}/readyz`).catch(() => null))?.status, EVENTUALLY).toBe(200);
    await one(1).start('/healthz');
    expect(await one(0).stop()).toBe(0);
    await expect.poll(async () => (await fetch(`${one(1).url}/readyz`).catch(() => null))?.status, EVENTUALLY).toBe(200);
    expect(await one(1).stop()).toBe(0);
    const machines = await state('SELECT id FROM lockstep.replicas WHERE alive_until > now()');
    expect(machines).toEqual([]);
  });
});
