import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Sessions } from '../../../src/databases/postgres/session.ts';
import { migrateState } from '../../../src/state/migrate.ts';
import { thisReplica } from '../../../src/state/replicas.ts';
import { PostgresStateStore } from '../../../src/state/store.ts';
import { FaultProxy } from '../../stack/fault-proxy.ts';
import { type OnePostgres, startPostgres } from '../../stack/postgres-server.ts';

const EVENTUALLY = { timeout: 60_000, interval: 50 };

describe('connections that break', () => {
  let postgres: OnePostgres;
  let road: FaultProxy;
  const url = (): string => `postgres://postgres@127.0.0.1:${road.port}/state`;

  beforeAll(async () => {
    postgres = await startPostgres({ database: 'state' });
    await migrateState(postgres.url());
    road = await FaultProxy.open(postgres.server.port);
  });
  afterAll(async () => {
    await road?.close();
    await postgres?.stop();
  });

  const asleep = async (n: number): Promise<void> => {
    await expect.poll(async () => (await postgres.server.query<{ n: number }>(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'PgSleep'`))[0]?.n, EVENTUALLY).toBe(n);
  };

  it('reset under a statement of a side: it rejects, the process lives, the next one works', async () => {
    const sessions = new Sessions({ side: 'new', url: url(), pool: 2 });
    try {
      const running = sessions.query('SELECT pg_sleep(60)', [], null).catch((error: unknown) => error);
      await asleep(1);
      road.reset();
      expect(await running).toMatchObject({ code: 'database_unreachable', retry: 'retry' });
      road.cut();
      await expect(sessions.query('SELECT 1', [], null)).rejects.toMatchObject({ code: 'database_unreachable' });
      road.mend();
      expect(await sessions.query('SELECT 1', [], null)).toEqual([['1']]);
    } finally {
      await sessions.close();
    }
    await postgres.server.query(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'`);
  });

  it('silent on the road to the state store: saying that the process lives is given up while it still counts, and closing does not wait for ever', async () => {
    const store = new PostgresStateStore({ url: url(), migration: 'silent' });
    const self = thisReplica('silent-one');
    expect(await store.claim(self)).toMatchObject({ kind: 'taken' });
    await store.renew(self, false);
    road.silence();
    await expect(store.renew(self, false)).rejects.toMatchObject({ code: 'state_unreachable', retry: 'retry' });
    road.mend();
    await store.renew(self, false);
    road.silence();
    await store.close();
    road.mend();
  });

  it('of a process that is frozen within a transaction hold nobody up for longer than it counts as alive', async () => {
    const [frozen, other] = [new PostgresStateStore({ url: url(), migration: 'frozen' }), new PostgresStateStore({ url: postgres.url(), migration: 'frozen' })];
    try {
      await frozen.claim({ ...thisReplica('first'), machine: 'another machine' });
      await frozen.restore();
      // Its next transaction begins, takes the writer's row, and then nothing more comes from it.
      road.slow(30_000);
      const write = frozen.saveSweep({ id: 's', status: 'running', kind: 'full', startedAtMs: 0, endedAtMs: null, tables: [] }).catch((error: unknown) => error);
      await expect.poll(async () => (await other.claim({ ...thisReplica('second'), machine: 'a second machine' })).kind, EVENTUALLY).toBe('taken');
      road.reset();
      expect(await write).toMatchObject({ retry: 'retry' });
      road.mend();
      await expect(frozen.saveSweep({ id: 's', status: 'running', kind: 'full', startedAtMs: 0, endedAtMs: null, tables: [] })).rejects.toMatchObject({ code: 'fenced' });
    } finally {
      road.mend();
      await Promise.all([frozen.close(), other.close()]);
    }
  });
});
