import { chownSync, cpSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PostgresDatabase } from '../../../src/databases/postgres/database.ts';
import { PostgresServer } from '../../stack/postgres-server.ts';
import { Workspace } from '../../stack/processes.ts';

const FOREVER = new AbortController().signal;
const DELAY_MS = 1_500;

let workspace: Workspace;
const servers: PostgresServer[] = [];
const databases: PostgresDatabase[] = [];

beforeAll(async () => {
  workspace = await Workspace.create('standby');
  const primary = await PostgresServer.create(workspace, 'primary', { database: 'app' });
  servers.push(primary);
  await primary.query('CREATE TABLE beats (n int)');
  await primary.stop();
  // A copy of a server that was stopped in order begins where that one goes on.
  const folder = join(workspace.folder, 'standby');
  cpSync(primary.folder, folder, { recursive: true, preserveTimestamps: true });
  writeFileSync(join(folder, 'standby.signal'), '');
  own(primary.folder, folder);
  await primary.start();
  const standby = await PostgresServer.create(workspace, 'standby', {
    database: 'app',
    settings: { primary_conninfo: `'host=127.0.0.1 port=${primary.port} user=postgres'`, recovery_min_apply_delay: `'${DELAY_MS}ms'`, hot_standby: 'on' },
  });
  servers.push(standby);
  for (const server of servers) databases.push(new PostgresDatabase({ side: 'old', url: server.url(), pool: 1 }));
}, 180_000);
afterAll(async () => {
  await Promise.allSettled(databases.map((database) => database.close()));
  await Promise.allSettled(servers.map((server) => server.stop('immediate')));
  await workspace?.remove();
});

function own(like: string, folder: string): void {
  const { uid, gid } = statSync(like);
  if (process.getuid?.() !== 0) return;
  const all = [folder];
  for (let path = all.pop(); path !== undefined; path = all.pop()) {
    chownSync(path, uid, gid);
    if (statSync(path).isDirectory()) for (const name of readdirSync(path)) all.push(join(path, name));
  }
}

it('tells a standby’s lag, on the primary and on the standby itself', async () => {
  const [primary, standby] = servers as [PostgresServer, PostgresServer];
  const [onPrimary, onStandby] = databases as [PostgresDatabase, PostgresDatabase];
  await expect.poll(() => primary.query('SELECT 1 FROM pg_stat_replication'), { timeout: 30_000 }).toHaveLength(1);
  const lags = { primary: 0, standby: 0 };
  await expect
    .poll(
      async () => {
        await primary.query('INSERT INTO beats VALUES (1)');
        lags.primary = Math.max(lags.primary, (await onPrimary.pressure(FOREVER)).standbyLagMs);
        lags.standby = Math.max(lags.standby, (await onStandby.pressure(FOREVER)).standbyLagMs);
        return Math.min(lags.primary, lags.standby);
      },
      { timeout: 60_000 },
    )
    .toBeGreaterThanOrEqual(DELAY_MS);
  await standby.stop();
  await expect.poll(() => onPrimary.pressure(FOREVER), { timeout: 30_000 }).toMatchObject({ standbyLagMs: 0 });
}, 180_000);
