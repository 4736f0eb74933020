import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Random } from '../fuzz/random.ts';
import { LOADED_ROWS, type TableName, keyOf } from './schema.ts';

/** Keys that every writer comes back to. */
const HOT_KEYS = 5;
const RECONNECT_MS = 300;
const STATEMENT_MS = 20_000;
/** Numbers of new rows: no two writers share any, and no seeded or planted row has one. */
const FRESH_FROM = 2_000_000;
const FRESH_PER_WRITER = 1_000_000;

export interface Load {
  readonly committed: () => number;
  stop(): Promise<void>;
}

type Counts = Map<TableName, { creates: number; updates: number; deletes: number }>;

/** Mixed transactions on old until stopped, whatever happens to old; each tells the ledger what it wrote. */
export function startLoad(url: string, transactionsPerSecond: number, random: Random, writers = 3, firstWriter = 0): Load {
  let stopped = false;
  let committed = 0;
  const write = async (writer: number): Promise<void> => {
    let client: pg.Client | null = null;
    let next = performance.now();
    let serial = 0;
    while (!stopped) {
      next = Math.max(next + (1000 * writers) / transactionsPerSecond, performance.now() - 1_000);
      await delay(Math.max(0, next - performance.now()));
      try {
        client ??= await connect(url);
        await client.query('BEGIN');
        const counts: Counts = new Map();
        await change(client, random, counts, FRESH_FROM + (firstWriter + writer) * FRESH_PER_WRITER + serial++);
        for (const [table, { creates, updates, deletes }] of counts) {
          await client.query('INSERT INTO ledger (table_name, creates, updates, deletes) VALUES ($1, $2, $3, $4)', [table, creates, updates, deletes]);
        }
        await client.query(random.chance(0.05) ? 'ROLLBACK' : 'COMMIT');
        committed++;
      } catch (error) {
        // Writers meet on hot keys: a deadlock is part of the load, and so is an old that goes away.
        const isDeadlock = (error as { code?: string }).code === '40P01';
        if (isDeadlock && client !== null) await client.query('ROLLBACK').catch(() => undefined);
        else {
          await client?.end().catch(() => undefined);
          client = null;
          await delay(RECONNECT_MS);
        }
      }
    }
    await client?.end().catch(() => undefined);
  };
  const all = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  return {
    committed: () => committed,
    stop: async () => {
      stopped = true;
      await all;
    },
  };
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 3_000, query_timeout: STATEMENT_MS });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function change(client: pg.Client, random: Random, counts: Counts, fresh: number): Promise<void> {
  const run = async (table: TableName, op: 'creates' | 'updates' | 'deletes' | 'moves', sql: string, values: readonly unknown[] = []): Promise<void> => {
    const written = (await client.query(sql, [...values])).rowCount ?? 0;
    if (written === 0) return;
    const known = counts.get(table) ?? { creates: 0, updates: 0, deletes: 0 };
    counts.set(table, known);
    if (op === 'moves') {
      known.creates += written;
      known.deletes += written;
    } else known[op] += written;
  };
  const some = (table: TableName): string => keyOf(table, 1 + random.below(LOADED_ROWS[table])).where;
  switch (random.below(10)) {
    case 0:
      await run('customers', 'creates', `INSERT INTO customers VALUES ($1, 'x', true, clock_timestamp(), now(), '1990-01-01', '{"b": 2}', 1.5, 0.5, 0.25, NULL)`, [fresh]);
      break;
    case 1:
    case 2:
      await run('customers', 'updates', 'UPDATE customers SET balance = balance + 0.0001, updated_at = clock_timestamp() WHERE id = $1', [1 + random.below(HOT_KEYS)]);
      break;
    case 3:
      await run('customers', 'updates', `UPDATE customers SET notes = $1, rating = random(), score = random() WHERE ${some('customers')}`, [fresh % 4 === 0 ? null : `note ${fresh}`]);
      break;
    case 4:
      // A status that comes back: a row may look like one of its earlier versions.
      await run('orders', 'updates', `UPDATE orders SET status = $1 WHERE ${some('orders')}`, [fresh % 2 === 0 ? 'paid' : 'shipped']);
      break;
    case 5: {
      const where = some('payments');
      const id = where.slice("id = '".length, -1);
      await run('payments', 'deletes', `DELETE FROM payments WHERE ${where}`);
      await run('payments', 'creates', `INSERT INTO payments VALUES ($1, $2, 0.10, now(), 'again', 2) ON CONFLICT DO NOTHING`, [id, `${fresh}.5000`]);
      break;
    }
    case 6: {
      const where = some('payments');
      await run('payments', 'updates', `UPDATE payments SET amount = amount + 1 WHERE ${where}`);
      await run('payments', 'updates', `UPDATE payments SET n = n + 1 WHERE ${where}`);
      break;
    }
    case 7:
      await run('orders', 'creates', `INSERT INTO orders VALUES (9, $1, 'made', 1, now(), '{"q": 1}')`, [fresh]);
      await run('orders', 'moves', 'UPDATE orders SET order_id = $1 WHERE tenant_id = 9 AND order_id = $2', [fresh + FRESH_PER_WRITER / 2, fresh]);
      break;
    case 8:
      await run('customers', 'deletes', `DELETE FROM customers WHERE ${some('customers')} AND id > ${HOT_KEYS}`);
      break;
    default:
      for (let row = 1; row <= 5; row++) await run('orders', 'updates', `UPDATE orders SET total = total + 0.01 WHERE ${keyOf('orders', row).where}`);
  }
}
