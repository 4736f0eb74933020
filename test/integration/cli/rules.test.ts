import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '../../stack/ports.ts';
import { type PostgresPair, startPostgresPair } from '../../stack/postgres-server.ts';
import { endCommands, lockstep, startLockstep } from './command.ts';

const EVENTUALLY = { timeout: 60_000, interval: 100 };

let pair: PostgresPair;
let folder = '';
let file = '';
let url = '';

/** A row as the pipeline of these tests carries it over: renamed, narrowed, rounded, recoded. */
const CARRIED = (id: number): string => `
  INSERT INTO billing.payments
  SELECT id, (amount * 100)::int8, paid_at AT TIME ZONE 'UTC', score + 3e-10, upper(email) || ' ', state::text, (flag::int)::int2, doc::text::json, 'never compared'
  FROM (VALUES ${ROW(id)}) r(id, amount, paid_at, score, email, state, flag, doc)
  ON CONFLICT (code) DO UPDATE SET amount_minor = excluded.amount_minor, paid_on = excluded.paid_on, score = excluded.score, email = excluded.email, state = excluded.state, flag = excluded.flag, doc = excluded.doc`;

const ROW = (id: number): string =>
  `('${id}', ${id}.25::numeric, timestamptz '2026-03-29 01:30:00.1234+00' + ${id} * interval '1 hour', ${id} / 7.0::float8, 'Ann${id}@Example.com', 'new', ${id % 2 === 0}, '{"b": 1, "a": [1.50]}'::jsonb)`;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-rules-'));
  chmodSync(folder, 0o755);
  pair = await startPostgresPair({ database: 'app' });
  await pair.old.query(`
    CREATE TYPE state AS ENUM ('new', 'paid');
    CREATE TABLE payments (id bigint PRIMARY KEY, amount numeric(20,4), paid_at timestamptz, score float8, email text, state state, flag boolean, doc jsonb, region text DEFAULT 'eu', secret text);`);
  await pair.new.query(`
    CREATE SCHEMA billing;
    CREATE TABLE billing.payments (code text PRIMARY KEY, amount_minor bigint, paid_on timestamp(3), score float8, email text, state text, flag int2, doc json, more text);`);
  for (let id = 1; id <= 50; id++) await write(id);
  // A row of another region, which the filter leaves out.
  await pair.old.query(`INSERT INTO payments (id, region) VALUES (1000, 'us')`);
  await pair.new.createDatabase('state');
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  file = join(folder, 'lockstep.yaml');
  writeFileSync(
    file,
    `migration: rules
databases:
  old: { url: "${pair.old.url()}" }
  new: { url: "${pair.new.url()}" }
events: { postgres: {} }
state: { url: "${pair.new.url('state')}" }
slo: { settle: 1s }
samples: { values: full }
http: { port: ${port} }
tables:
  - old: public.payments
    new: billing.payments
    where: { old: "region = 'eu'" }
    columns:
      id: { new: code }
      amount: { new: amount_minor, sql: { old: "amount * 100", new: "amount_minor" } }
      paid_at: { new: paid_on, precision: ms }
      score: { tolerance: 1e-9 }
      email: { case: insensitive, trim: true }
      region: { ignore: true }
      secret: { ignore: true }
`,
  );
});
afterAll(async () => {
  await endCommands();
  await pair?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Writes a row on old, and on new as it should arrive there. */
async function write(id: number): Promise<void> {
  await pair.old.query(`INSERT INTO payments SELECT id::bigint, amount, paid_at, score, email, state::state, flag, doc FROM (VALUES ${ROW(id)}) r(id, amount, paid_at, score, email, state, flag, doc)`);
  await pair.new.query(CARRIED(id));
}

interface Report {
  readonly verdict: string;
  readonly tables: readonly { readonly findings: readonly { readonly severity: string; readonly message: string }[]; readonly rows: unknown }[];
  readonly drift: readonly { readonly key: unknown; readonly kind: string; readonly columns: readonly string[] }[];
}

async function check(): Promise<Report> {
  const { stdout, stderr } = await lockstep(['check', '-c', file, '--format', 'json']);
  expect(stderr).toBe('');
  return JSON.parse(stdout) as Report;
}

it('rows are equal under their rules, and the findings say what that rests on', async () => {
  const report = await check();
  expect(report).toMatchObject({ verdict: 'match', drift: [], tables: [{ rows: { old: 50, new: 50 } }] });
  const findings = report.tables[0]?.findings.map(({ severity, message }) => `${severity}: ${message}`) ?? [];
  expect(findings).toEqual(expect.arrayContaining([expect.stringMatching(/^warning: .*"paid_at" is timestamp with time zone on old and timestamp\(3\) without time zone on new, compared as instant: the side without a time zone is taken as UTC/)]));
  expect(findings.join('\n')).toMatch(/info: .*"id" is bigint on old and text on new, compared as decimal/);
});

it('what goes beyond a rule is found, with the column', async () => {
  await pair.new.query(`
    UPDATE billing.payments SET amount_minor = amount_minor + 1 WHERE code = '7';
    UPDATE billing.payments SET paid_on = paid_on + interval '2 milliseconds' WHERE code = '8';
    UPDATE billing.payments SET score = score + 2e-9 WHERE code = '9';
    UPDATE billing.payments SET email = 'ann@example.com' WHERE code = '10';
    UPDATE billing.payments SET state = 'NEW' WHERE code = '11';
    UPDATE billing.payments SET flag = 2 WHERE code = '12';
    UPDATE billing.payments SET doc = '{"b": 1, "a": [1.51]}' WHERE code = '13';
    DELETE FROM billing.payments WHERE code = '14';
    INSERT INTO billing.payments (code) VALUES ('1000')`);
  const report = await check();
  const found = report.drift.map(({ key, kind, columns }) => ({ key, kind, columns: kind === 'different' ? columns : [] }));
  expect(found).toHaveLength(9);
  expect(found).toEqual(
    expect.arrayContaining([
      { key: { id: '7' }, kind: 'different', columns: ['amount'] },
      { key: { id: '8' }, kind: 'different', columns: ['paid_at'] },
      { key: { id: '9' }, kind: 'different', columns: ['score'] },
      { key: { id: '10' }, kind: 'different', columns: ['email'] },
      { key: { id: '11' }, kind: 'different', columns: ['state'] },
      { key: { id: '12' }, kind: 'different', columns: ['flag'] },
      { key: { id: '13' }, kind: 'different', columns: ['doc'] },
      { key: { id: '14' }, kind: 'missing', columns: [] },
      { key: { id: '1000' }, kind: 'extra', columns: [] },
    ]),
  );
  await pair.new.query(`DELETE FROM billing.payments WHERE code = '1000'`);
  for (let id = 7; id <= 14; id++) await pair.new.query(CARRIED(id));
  expect(await check()).toMatchObject({ verdict: 'match' });
});

interface TableJson {
  readonly verified_through: string | null;
  readonly pending: number;
  readonly drift: number;
}

it('changes are followed under the rules: read again where the event cannot tell', async () => {
  const service = startLockstep(['run', '-c', file]);
  await expect.poll(() => service.output.stderr, EVENTUALLY).toContain('"msg":"ready"');
  const table = async (): Promise<TableJson> => (await (await fetch(`${url}/v1/tables/public.payments`)).json()) as TableJson;
  await expect.poll(async () => (await table()).verified_through, EVENTUALLY).not.toBeNull();
  for (let id = 51; id <= 80; id++) await write(id);
  const writtenAt = new Date().toISOString();
  await expect.poll(async () => ((await table()).verified_through ?? '') > writtenAt, EVENTUALLY).toBe(true);
  expect(await table()).toMatchObject({ pending: 0, drift: 0 });
  // Lost on the way: a cent, and a change into and out of the filter.
  await pair.old.query('UPDATE payments SET amount = amount + 0.01 WHERE id = 60');
  await pair.old.query(`UPDATE payments SET region = 'us' WHERE id = 61`);
  await expect.poll(async () => (await table()).drift, EVENTUALLY).toBe(2);
  const { items } = (await (await fetch(`${url}/v1/drift?status=open`)).json()) as { items: { key: unknown; columns: string[]; kind: string }[] };
  expect(items.find(({ kind }) => kind === 'extra')).toMatchObject({ key: { id: '61' } });
  expect(items.find(({ kind }) => kind !== 'extra')).toMatchObject({ key: { id: '60' }, columns: ['amount'] });
  service.child.kill('SIGTERM');
  expect((await service.ended).code).toBe(0);
});
