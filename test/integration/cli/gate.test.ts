import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { freePort } from '../../stack/ports.ts';
import { type PostgresPair, startPostgresPair } from '../../stack/postgres-server.ts';
import { type RunningCommand, endCommands, lockstep, startLockstep } from './command.ts';

const EVENTUALLY = { timeout: 90_000, interval: 200 };

let pair: PostgresPair;
let folder = '';
let file = '';
let url = '';
let service: RunningCommand;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-gate-'));
  chmodSync(folder, 0o755);
  pair = await startPostgresPair({ database: 'app' });
  const schema = 'CREATE TABLE payments (id bigint PRIMARY KEY, amount numeric)';
  await pair.old.query(`${schema}; INSERT INTO payments SELECT i, i FROM generate_series(1, 1000) i; CREATE PUBLICATION pipeline FOR TABLE payments`);
  await pair.new.query(schema);
  // No more rights than the documents ask for.
  await pair.old.query(`CREATE ROLE reader LOGIN REPLICATION; GRANT SELECT ON payments TO reader; CREATE PUBLICATION lockstep FOR TABLE payments`);
  await pair.new.query('CREATE ROLE reader LOGIN; GRANT SELECT ON payments TO reader');
  await pair.new.createDatabase('state');
  await pair.new.query(`CREATE SUBSCRIPTION pipeline CONNECTION 'host=127.0.0.1 port=${pair.old.port} dbname=app user=postgres' PUBLICATION pipeline`);
  await vi.waitUntil(async () => (await pair.new.query('SELECT FROM payments')).length === 1000, EVENTUALLY);
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  file = join(folder, 'lockstep.yaml');
  writeFileSync(
    file,
    `migration: payments
databases:
  old: { url: "postgres://reader@127.0.0.1:${pair.old.port}/app" }
  new: { url: "postgres://reader@127.0.0.1:${pair.new.port}/app" }
events: { postgres: {} }
state: { url: "${pair.new.url('state')}" }
slo: { settle: 2s }
sweep: { chunk_rows: 100, max_rows_per_second: 60 }
http: { port: ${port} }
tables:
  - old: public.payments
`,
  );
});
afterAll(async () => {
  await endCommands();
  await pair?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const gate = (...args: string[]) => lockstep(['gate', '--url', url, ...args]);

it('ends with 2 where no service answers', async () => {
  expect(await gate()).toEqual({
    code: 2,
    stdout: '',
    stderr: `error: the service does not answer: connect ECONNREFUSED ${new URL(url).host} (url ${url}/v1/gate)\nhint: is \`lockstep run\` up, and is --url where it listens?\n`,
  });
});

it('ends with 3 while the first sweep is under way', async () => {
  service = startLockstep(['run', '-c', file]);
  await expect.poll(() => service.output.stderr, EVENTUALLY).toContain('"msg":"ready"');
  const result = await gate();
  expect(result).toMatchObject({ code: 3, stderr: '' });
  expect(result.stdout).toMatch(/^unknown: hold \(phase shadow\)\n {2}no_verified_through: public\.payments: .*\n {2}no_sweep: public\.payments: public\.payments has not been swept yet\n/);
});

it('waits until it passes, and ends with 0', async () => {
  expect(await gate('--phase', 'canary', '--wait', '2m')).toEqual({ code: 0, stdout: 'pass: proceed (phase canary)\n', stderr: '' });
  expect(await lockstep(['gate', '-c', file])).toMatchObject({ code: 0, stdout: 'pass: proceed (phase shadow)\n' });
});

it('ends with 1 while drift is open, and with 0 when it is repaired', async () => {
  await pair.new.query('DELETE FROM payments WHERE id = 2');
  expect((await fetch(`${url}/v1/sweeps`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })).ok).toBe(true);
  await expect.poll(async () => (await gate('--phase', 'canary')).code, EVENTUALLY).toBe(1);
  const failed = await gate('--phase', 'canary', '--format', 'json', '--wait', '2s');
  expect(failed).toMatchObject({ code: 1, stderr: '' });
  expect(JSON.parse(failed.stdout)).toMatchObject({
    verdict: 'fail',
    action: 'rollback',
    phase: 'canary',
    reasons: expect.arrayContaining([expect.objectContaining({ code: 'open_drift', table: 'public.payments', observed: 1, limit: 0 })]) as unknown,
  });
  await pair.new.query('INSERT INTO payments VALUES (2, 2)');
  expect(await gate('--phase', 'canary', '--wait', '2m')).toMatchObject({ code: 0 });
});

it('ends the service in order, and with 2 after it', async () => {
  service.child.kill('SIGTERM');
  expect((await service.ended).code).toBe(0);
  expect((await gate('--wait', '1s')).code).toBe(2);
});
