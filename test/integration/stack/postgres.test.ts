import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PostgresPair } from '../../stack/postgres-server.ts';
import { startPostgres, startPostgresPair } from '../../stack/postgres-server.ts';
import { childrenOf } from '../../stack/processes.ts';

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('a pair of PostgreSQLs', () => {
  let pair: PostgresPair;
  beforeAll(async () => {
    pair = await startPostgresPair({ database: 'app' });
  });
  afterAll(() => pair.stop());

  it('has what logical replication and exact lag need on both sides', async () => {
    for (const server of [pair.old, pair.new]) {
      const rows = await server.query<{ wal: string; commits: string; encoding: string }>(
        `SELECT current_setting('wal_level') AS wal, current_setting('track_commit_timestamp') AS commits, current_setting('server_encoding') AS encoding`,
      );
      expect(rows).toEqual([{ wal: 'logical', commits: 'on', encoding: 'UTF8' }]);
    }
    const [old, replica] = await Promise.all([pair.old, pair.new].map((server) => server.query('SELECT system_identifier::text FROM pg_control_system()')));
    expect(old).not.toEqual(replica);
  });

  it('keeps committed rows through a kill', async () => {
    await pair.old.query('CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1)');
    await pair.old.kill9();
    expect(pair.old.pid).toBe(0);
    await pair.old.start();
    expect(await pair.old.query('SELECT id FROM kept')).toEqual([{ id: 1 }]);
  });

  it('freezes with its backends and thaws', async () => {
    const client = new pg.Client({ connectionString: pair.new.url() });
    await client.connect();
    pair.new.pause();
    let answered = false;
    const answer = client.query('SELECT 1').then(() => (answered = true));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(answered).toBe(false);
    pair.new.resume();
    await answer;
    await client.end();
  });
});

describe('one PostgreSQL', () => {
  it('leaves neither a process nor a folder', async () => {
    const one = await startPostgres({ database: 'app' });
    const pids = [one.server.pid, ...childrenOf(one.server.pid)];
    expect(pids.length).toBeGreaterThan(1);
    await one.stop();
    expect(pids.filter(lives)).toEqual([]);
    expect(existsSync(dirname(one.server.folder))).toBe(false);
  });
});
