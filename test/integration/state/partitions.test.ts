import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { StreamPartition } from '../../../src/domain/change.ts';
import { migrateState } from '../../../src/state/migrate.ts';
import { holdPartitions, takePartitions, type PartitionEpochs } from '../../../src/state/partitions.ts';
import { PostgresStateStore } from '../../../src/state/store.ts';
import type { StoredPartition } from '../../../src/verify/ports.ts';
import { startPostgres, type OnePostgres } from '../../stack/postgres-server.ts';
import { check, drift, driftWrite, emptyCheckpoint } from './samples.ts';

let server: OnePostgres;
let pool: pg.Pool;
let stores: PostgresStateStore[] = [];
let migration = '';
let serial = 0;

beforeAll(async () => {
  server = await startPostgres({ database: 'state' });
  await migrateState(server.url());
  pool = new pg.Pool({ connectionString: server.url(), max: 6 });
});
afterAll(async () => {
  await Promise.all(stores.map((store) => store.close()));
  await pool?.end();
  await server?.stop();
});
beforeEach(() => {
  migration = `m${++serial}`;
});

function open(): PostgresStateStore {
  const store = new PostgresStateStore({ url: server.url(), migration });
  stores.push(store);
  return store;
}
const at = (partition: number): StreamPartition => ({ topic: 'shop.public.a', partition });
const stored = (partition: number, nextOffset: number): StoredPartition => ({ ...at(partition), nextOffset: String(nextOffset), watermarkUs: BigInt(nextOffset), snapshotInProgress: false });
const inTransaction = async <T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> => {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
};
const take = (partitions: readonly StreamPartition[]): Promise<PartitionEpochs> => inTransaction((client) => takePartitions(client, migration, 'another', partitions));
const kept = async (): Promise<unknown> => {
  const count = async (table: string): Promise<number> => (await pool.query<{ n: number }>(`SELECT count(*)::int AS n FROM lockstep.${table} WHERE migration = $1`, [migration])).rows[0]?.n ?? -1;
  const { rows } = await pool.query<{ next_offset: string }>('SELECT next_offset FROM lockstep.partitions WHERE migration = $1 ORDER BY partition', [migration]);
  return { offsets: rows.map((row) => row.next_offset), checks: await count('checks'), drift: await count('drift') };
};

describe('partitions of the stream', () => {
  test('that another process has taken are fenced: of that checkpoint nothing is written', async () => {
    const store = open();
    await store.restore();
    await store.write(emptyCheckpoint({ partitions: [stored(0, 5), stored(1, 5)], checks: [check(1)] }));
    await store.write(emptyCheckpoint({ partitions: [stored(0, 6), stored(1, 6)] }));
    await take([at(1)]);
    await store.write(emptyCheckpoint({ partitions: [stored(0, 7)] }));
    const late = emptyCheckpoint({ partitions: [stored(0, 8), stored(1, 8)], settledChecks: [check(1)], checks: [check(2), check(3)], drift: [driftWrite(drift('d1'))] });
    await expect(store.write(late)).rejects.toMatchObject({ code: 'fenced', about: { partition: 'shop.public.a/1' } });
    expect(await kept()).toEqual({ offsets: ['7', '6'], checks: 1, drift: 0 });
    // Whoever begins anew takes all of them.
    const next = open();
    await next.restore();
    await next.write(late);
    expect(await kept()).toEqual({ offsets: ['8', '8'], checks: 2, drift: 1 });
  });

  test('are taken only after a checkpoint under way is written, and a new one is taken with its first', async () => {
    await take([at(0)]);
    const store = open();
    await store.restore();
    await store.write(emptyCheckpoint({ partitions: [stored(0, 1)] }));
    const order: string[] = [];
    let taking: Promise<unknown> = Promise.resolve();
    await inTransaction(async (client) => {
      const { rows } = await client.query<{ epoch: string }>('SELECT epoch FROM lockstep.partition_owners WHERE migration = $1', [migration]);
      const held = new Map([['shop.public.a/0', (rows[0] as { epoch: string }).epoch]]);
      expect(await holdPartitions(client, migration, held, [at(0)])).toEqual([]);
      taking = take([at(0)]).then(() => order.push('taken'));
      await expect.poll(async () => (await pool.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%partition_owners%'`)).rowCount).toBe(1);
      order.push('written');
    });
    await taking;
    expect(order).toEqual(['written', 'taken']);
  });

  test('have one holder at a time, whoever takes and writes in whatever order', async () => {
    const step = fc.record({ who: fc.nat(2), does: fc.constantFrom('take' as const, 'write' as const), which: fc.subarray([0, 1, 2], { minLength: 1 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        migration = `m${++serial}`;
        const holders = new Map<number, number>();
        const epochs = [new Map<string, string>(), new Map<string, string>(), new Map<string, string>()];
        for (const { who, does, which } of steps) {
          const mine = epochs[who] as Map<string, string>;
          const partitions = which.map(at);
          if (does === 'take') {
            for (const [id, epoch] of await take([...partitions].reverse())) mine.set(id, epoch);
            for (const partition of which) holders.set(partition, who);
          } else {
            const lost = await inTransaction((client) => holdPartitions(client, migration, mine, partitions.filter(({ partition }) => mine.has(`shop.public.a/${partition}`))));
            expect(lost).toEqual(which.filter((one) => mine.has(`shop.public.a/${one}`) && holders.get(one) !== who).map((one) => `shop.public.a/${one}`));
          }
        }
      }),
      { numRuns: 20 },
    );
  });
});
