import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCheck } from '../../../src/app/one-off-check.ts';
import { loadConfig } from '../../../src/config/load.ts';
import type { PauseReason } from '../../../src/domain/sweep-pause.ts';
import type { PostgresPair } from '../../stack/postgres-server.ts';
import { startPostgresPair } from '../../stack/postgres-server.ts';

const ROWS = 1_000;

let servers: PostgresPair;
let folder = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-pause-'));
  servers = await startPostgresPair({ database: 'app', settings: { autovacuum: 'off' } });
  for (const server of [servers.old, servers.new]) await server.query(`CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items SELECT i, 'v' FROM generate_series(1, ${ROWS}) i`);
});
afterAll(async () => {
  await servers?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What each of our sessions does. */
async function ourSessions(): Promise<readonly { state: string; holds: boolean }[]> {
  const asked = `SELECT state, xact_start IS NOT NULL OR backend_xmin IS NOT NULL AS holds FROM pg_stat_activity WHERE application_name LIKE 'lockstep%'`;
  return (await Promise.all([servers.old, servers.new].map((server) => server.query<{ state: string; holds: boolean }>(asked)))).flat();
}

it('holds no snapshot between chunks: a sweep that stands still keeps no vacuum from its work', async () => {
  const file = join(folder, 'lockstep.yaml');
  writeFileSync(
    file,
    `migration: pause
databases: { old: { url: "${servers.old.url()}" }, new: { url: "${servers.new.url()}" } }
slo: { settle: 1s }
sweep: { chunk_rows: 100, concurrency: 1, max_rows_per_second: 200, pause: { active_sessions: 1 } }
tables: [{ old: public.items }]
`,
  );
  const config = loadConfig({ file, env: {}, flags: {} });
  const busy: Promise<unknown>[] = [];
  let pausedBy: PauseReason | null = null;
  let rows = 0n;
  const checked = runCheck(config, {
    tables: [],
    strategy: 'auto',
    signal: new AbortController().signal,
    logger: pino({ level: 'silent' }),
    onProgress: (progress) => {
      ({ pausedBy, rows } = progress);
      if (rows > 0n) while (busy.length < 2) busy.push(servers.old.query('SELECT pg_sleep(600) /* somebody else */').catch(() => undefined));
    },
    onDrift: () => undefined,
    drained: () => Promise.resolve(),
  });
  await expect.poll(() => pausedBy, { timeout: 30_000 }).toBe('active_sessions');
  expect(rows).toBeLessThan(BigInt(ROWS));
  // The brake itself asks how the databases do, once a second, for a moment.
  await expect.poll(ourSessions, { timeout: 30_000 }).toSatisfy((sessions: Awaited<ReturnType<typeof ourSessions>>) => sessions.length > 1 && sessions.every(({ state, holds }) => state === 'idle' && !holds));
  expect(pausedBy).toBe('active_sessions');
  await servers.old.query(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%somebody else */' AND pid <> pg_backend_pid()`);
  await Promise.all(busy);
  expect(await checked).toMatchObject({ verdict: 'match', tables: [{ rows: { old: String(ROWS), new: String(ROWS) } }] });
}, 120_000);
