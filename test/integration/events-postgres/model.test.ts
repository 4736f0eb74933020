import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PgoutputChangeSource } from '../../../src/events/postgres/source.ts';
import { startPostgres } from '../../stack/postgres-server.ts';
import type { OnePostgres } from '../../stack/postgres-server.ts';
import { Listening, columnOf, pairOf, run } from './listening.ts';
import type { Running } from './listening.ts';

const WRITERS = 4;
const TRANSACTIONS = 200;
const KEYS = 40;
const INTERRUPTIONS = 6;
const LARGE_ROWS = 5_000;
const LARGE_ROUNDS = 12;

const rows = pairOf('rows', [columnOf('id', 'bigint', 'integer', 'int8'), columnOf('value', 'text', 'text')]);

let server: OnePostgres;
beforeAll(async () => {
  server = await startPostgres({ database: 'model' });
  await server.server.query('CREATE TABLE rows (id bigint PRIMARY KEY, value text)');
});
afterAll(async () => {
  await server?.stop();
});

/** A small generator of its own, so that a run can be repeated by its seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Transactions of several statements on few keys: updates, key changes, deletes and re-inserts, savepoints, rollbacks. */
async function write(seed: number): Promise<void> {
  const random = randomFrom(seed);
  const client = new pg.Client({ connectionString: server.url() });
  await client.connect();
  try {
    for (let transaction = 0; transaction < TRANSACTIONS; transaction++) {
      await client.query('BEGIN');
      try {
        for (let statement = random(5); statement >= 0; statement--) {
          const id = random(KEYS);
          const value = `${seed}-${transaction}-${statement}`;
          await client.query('SAVEPOINT s');
          switch (random(6)) {
            case 0:
              await client.query('DELETE FROM rows WHERE id = $1', [id]);
              break;
            case 1:
              await client.query('UPDATE rows SET id = $2 WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM rows WHERE id = $2)', [id, random(KEYS)]);
              break;
            case 2:
              await client.query('INSERT INTO rows VALUES ($1, $2) ON CONFLICT DO NOTHING', [id, value]);
              await client.query('ROLLBACK TO s');
              break;
            default:
              await client.query('INSERT INTO rows VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET value = EXCLUDED.value', [id, value]);
          }
        }
        await client.query(random(5) === 0 ? 'ROLLBACK' : 'COMMIT');
      } catch (error) {
        // Writers that deadlock or meet on a key are part of the load.
        if (!['40P01', '23505'].includes(String((error as { code?: unknown }).code))) throw error;
        await client.query('ROLLBACK');
      }
    }
  } finally {
    await client.end();
  }
}

test('under load, kills and restarts, the stream tells exactly what the table came to', { timeout: 300_000 }, async () => {
  const listening = new Listening();
  const source = new PgoutputChangeSource({ url: server.url(), slot: 'model', publication: 'model', pairs: [rows], side: 'old' });
  let running: Running = run(source, listening);
  await expect.poll(() => listening.batches.length, { timeout: 60_000 }).toBeGreaterThan(0);

  let writing = true;
  const load = Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer + 1))).finally(() => {
    writing = false;
  });
  const large = (async () => {
    for (let round = 0; writing && round < LARGE_ROUNDS; round++) {
      const from = 1_000_000 * (round + 1);
      await server.server.query(`INSERT INTO rows SELECT i, 'large' FROM generate_series(${from}, ${from + LARGE_ROWS}) i`);
    }
  })();
  for (let interruption = 0; interruption < INTERRUPTIONS; interruption++) {
    const seen = listening.batches.length;
    await expect.poll(() => listening.batches.length > seen + 20 || !writing, { timeout: 60_000 }).toBe(true);
    if (interruption % 2 === 0) {
      await server.server.query(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'model' AND active`);
      expect(await running.ended).toMatchObject({ retry: 'retry' });
    } else {
      if (listening.offset !== null) await source.acknowledge(new Map([['postgres:model/0', listening.offset]]));
      await running.stop();
    }
    running = run(source, listening);
  }
  await load;
  await large;
  await server.server.query(`INSERT INTO rows VALUES (-1, 'end')`);
  await expect.poll(() => listening.batches.at(-1)?.records.length === 0 && listening.changes.some((change) => change.key[0] === '-1'), { timeout: 60_000, interval: 500 }).toBe(true);
  await running.stop();
  expect(listening.gaps).toEqual([]);

  const told = new Map<string, string | null>();
  for (const change of listening.changes) {
    const [id] = change.key;
    if (change.image === null) told.delete(id as string);
    else told.set(id as string, change.image[1] ?? null);
  }
  const table = await server.server.query<{ id: string; value: string }>('SELECT id::text, value FROM rows');
  expect(told.size).toBe(table.length);
  for (const row of table) expect(told.get(row.id)).toBe(row.value);

  // A change is told again only with the whole of a large transaction that was cut off.
  const small = listening.changes.filter((change) => change.image?.[1] !== 'large').map((change) => `${change.position.txId}/${change.position.lsn}/${change.op}`);
  expect(new Set(small).size).toBe(small.length);
});
