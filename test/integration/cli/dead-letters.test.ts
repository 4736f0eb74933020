import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { migrateState } from '../../../src/state/migrate.ts';
import { PostgresStateStore } from '../../../src/state/store.ts';
import { freePort } from '../../stack/ports.ts';
import { type PostgresPair, startPostgresPair } from '../../stack/postgres-server.ts';
import { KEPT, emptyCheckpoint } from '../state/samples.ts';
import { endCommands, lockstep, startLockstep } from './command.ts';

const EVENTUALLY = { timeout: 90_000, interval: 200 };

let pair: PostgresPair;
let folder = '';
let url = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-dead-letters-'));
  chmodSync(folder, 0o755);
  pair = await startPostgresPair({ database: 'app' });
  const rows = 'CREATE TABLE payments (id bigint PRIMARY KEY, amount numeric); INSERT INTO payments SELECT i, i FROM generate_series(1, 10) i';
  await pair.old.query(rows);
  await pair.new.query(rows);
  await pair.new.createDatabase('state');
  await migrateState(pair.new.url('state'));
  const store = new PostgresStateStore({ url: pair.new.url('state'), migration: 'payments' });
  await store.restore();
  const letter = (offset: string) => ({
    table: 'public.payments',
    position: { topic: 'postgres:lockstep', partition: 0, offset, lsn: null, txId: null },
    reason: 'bad_value',
    message: 'amount is not a number',
    rawKey: null,
    rawValue: Buffer.from('secret'),
    ...KEPT,
    atMs: Number(offset),
  });
  await store.write(emptyCheckpoint({ deadLetters: [letter('1'), letter('2')] }));
  await store.close();
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const file = join(folder, 'lockstep.yaml');
  writeFileSync(
    file,
    `migration: payments
databases:
  old: { url: "${pair.old.url()}" }
  new: { url: "${pair.new.url()}" }
events: { postgres: {} }
state: { url: "${pair.new.url('state')}" }
http: { port: ${port} }
tables:
  - old: public.payments
`,
  );
  const service = startLockstep(['run', '-c', file]);
  await vi.waitUntil(() => service.output.stderr.includes('"msg":"ready"'), EVENTUALLY);
});
afterAll(async () => {
  await endCommands();
  await pair?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Letter {
  readonly id: string;
  readonly attempts: number;
  readonly discharged_at: string | null;
}

async function letters(): Promise<readonly Letter[]> {
  const response = await fetch(`${url}/v1/dead-letters?table=public.payments`);
  const text = await response.text();
  expect(text).not.toContain('secret');
  return (JSON.parse(text) as { items: Letter[] }).items;
}

async function discharge(id: string): Promise<Letter> {
  const response = await fetch(`${url}/v1/dead-letters/${id}/discharge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"reason":"the producer is corrected"}',
  });
  expect(response.status).toBe(200);
  return (await response.json()) as Letter;
}

async function counted(): Promise<number> {
  return ((await (await fetch(`${url}/v1/tables/public.payments`)).json()) as { dead_letters: number }).dead_letters;
}

it('cannot have logical replication tell a change again, and names the way out', async () => {
  const response = await fetch(`${url}/v1/dead-letters/postgres:lockstep:0:1/retry`, { method: 'POST' });
  expect([response.status, await response.json()]).toMatchObject([409, { code: 'not_retryable', detail: expect.stringContaining('sweep the table') as string }]);
  const several = await fetch(`${url}/v1/dead-letters/retry`, { method: 'POST' });
  expect(await several.json()).toEqual({ retried: 0, undecodable: 0, gone: 0, not_retryable: 2, more: false });
  expect((await letters()).map(({ id, attempts }) => [id, attempts])).toEqual([['postgres:lockstep:0:2', 1], ['postgres:lockstep:0:1', 2]]);
});

it('keeps the gate from passing until each dead letter is discharged', async () => {
  await expect.poll(async () => (await lockstep(['gate', '--url', url])).stdout, EVENTUALLY).toMatch(/^unknown: hold \(phase shadow\)\n {2}dead_letters: [^\n]*\n$/);
  expect((await letters()).map(({ id }) => id)).toEqual(['postgres:lockstep:0:2', 'postgres:lockstep:0:1']);
  const once = await discharge('postgres:lockstep:0:2');
  expect(once.discharged_at).not.toBeNull();
  expect(await discharge('postgres:lockstep:0:2')).toEqual(once);
  expect(await counted()).toBe(1);
  expect((await letters()).map(({ id }) => id)).toEqual(['postgres:lockstep:0:1']);
  await discharge('postgres:lockstep:0:1');
  expect(await counted()).toBe(0);
  expect(await lockstep(['gate', '--url', url, '--wait', '30s'])).toMatchObject({ code: 0, stdout: 'pass: proceed (phase shadow)\n' });
  const audited = await pair.new.query<{ action: string; detail: { target: string; reason: string } }>('SELECT action, detail FROM lockstep.audit WHERE action = $$dead_letter.discharge$$ ORDER BY id', 'state');
  expect(audited.map(({ action, detail }) => [action, detail.target, detail.reason])).toEqual([
    ['dead_letter.discharge', 'postgres:lockstep:0:2', 'the producer is corrected'],
    ['dead_letter.discharge', 'postgres:lockstep:0:2', 'the producer is corrected'],
    ['dead_letter.discharge', 'postgres:lockstep:0:1', 'the producer is corrected'],
  ]);
});
