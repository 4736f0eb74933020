import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { orderId, paymentId } from './schema.ts';

const SEEDED = 1_000;
/** Keys that every writer comes back to. */
const HOT_KEYS = 5;
/** Fresh keys of one writer; no two writers of one test file share any. */
const KEYS_PER_WRITER = 1_000_000;
let writersBefore = 0;

export interface Load {
  readonly committed: () => number;
  stop(): Promise<void>;
}

/**
 * Mixed transactions against one database until stopped: hot keys, inserts, updates,
 * deletes and re-inserts, key changes, several rows at once, rollbacks.
 */
export function startLoad(url: string, transactionsPerSecond: number, writers = 3): Load {
  let stopped = false;
  let committed = 0;
  const first = writersBefore;
  writersBefore += writers;
  const write = async (writer: number): Promise<void> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    let next = Date.now();
    let serial = 0;
    while (!stopped) {
      next += (1000 * writers) / transactionsPerSecond;
      await delay(Math.max(0, next - Date.now()));
      await client.query('BEGIN');
      try {
        await change(client, 10_000 + (first + writer) * KEYS_PER_WRITER + serial++);
        await client.query(Math.random() < 0.05 ? 'ROLLBACK' : 'COMMIT');
        committed++;
      } catch (error) {
        await client.query('ROLLBACK');
        // Writers meet on hot keys; a deadlock is part of the load, anything else is not.
        if ((error as { code?: string }).code !== '40P01') throw error;
      }
    }
    await client.end();
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

async function change(client: pg.Client, fresh: number): Promise<void> {
  const some = 1 + Math.floor(Math.random() * (SEEDED - 100));
  switch (Math.floor(Math.random() * 10)) {
    case 0:
      await client.query(`INSERT INTO customers VALUES ($1, 'x', 'n', 'GB', true, clock_timestamp(), now(), '1990-01-01', '{"b": 2}', 1.5, 0.5, 0.25, '{}', NULL)`, [fresh]);
      break;
    case 1:
    case 2:
      await client.query('UPDATE customers SET balance = balance + 0.0001, updated_at = clock_timestamp() WHERE id = $1', [1 + (fresh % HOT_KEYS)]);
      break;
    case 3:
      await client.query('UPDATE customers SET notes = $2, rating = random(), score = random() WHERE id = $1', [some, fresh % 4 === 0 ? null : `note ${fresh}`]);
      break;
    case 4:
      await client.query('UPDATE orders SET total = total + 1, status = $2 WHERE order_id = $1', [orderId(some), fresh % 2 === 0 ? 'paid' : 'shipped']);
      break;
    case 5:
      await client.query('DELETE FROM payments WHERE id = $1', [paymentId(some)]);
      await client.query(`INSERT INTO payments VALUES ($1, $2, 0.10, now(), 'again', 2)`, [paymentId(some), `${fresh}.5000`]);
      break;
    case 6:
      await client.query('UPDATE payments SET amount = amount + 1 WHERE id = $1', [paymentId(some)]);
      await client.query('UPDATE payments SET n = n + 1 WHERE id = $1', [paymentId(some)]);
      break;
    case 7:
      await client.query(`INSERT INTO orders VALUES (9, $1, 'made', 1, now(), '{"q": 1}')`, [fresh]);
      await client.query('UPDATE orders SET order_id = $1 WHERE tenant_id = 9 AND order_id = $2', [fresh + 500_000, fresh]);
      break;
    case 8:
      await client.query('DELETE FROM customers WHERE id = $1', [10_000 + Math.floor(Math.random() * 1000)]);
      break;
    default:
      for (let row = 0; row < 5; row++) await client.query('UPDATE orders SET total = total + 0.01 WHERE order_id = $1', [orderId(1 + row)]);
  }
}
