import { afterAll, beforeAll, expect, it } from 'vitest';
import { compareDatabases } from '../../../src/demo/comparison.ts';
import { DEMO_TABLES, FAULT_SQL, SCHEMA_SQL, SEED_SQL } from '../../../src/demo/schema.ts';
import { type PostgresPair, startPostgresPair } from '../../stack/postgres-server.ts';

let pair: PostgresPair;
beforeAll(async () => {
  pair = await startPostgresPair({ database: 'app' });
  await pair.old.query(`${SCHEMA_SQL}${SEED_SQL}`);
  await pair.new.query(`${SCHEMA_SQL}${FAULT_SQL}${SEED_SQL}`);
  // The one column that the seed fills from the clock.
  for (const server of [pair.old, pair.new]) await server.query(`UPDATE outbox SET created_at = '2025-01-01'`);
});
afterAll(() => pair.stop());

const compare = () => compareDatabases(pair.old.url(), pair.new.url(), DEMO_TABLES);

it('finds nothing between equal databases, however their values are written', async () => {
  await pair.new.query(`UPDATE payments SET fee = 1.1000 WHERE fee = 1.10`);
  await pair.new.query(`UPDATE customers SET preferences = jsonb_set(preferences, '{rate}', '1.5') WHERE id = 3`);
  expect(await compare()).toEqual([]);
});

it('finds every kind of difference with its columns', async () => {
  await pair.new.query(`UPDATE customers SET notes = '' WHERE id = 4`);
  await pair.new.query(`UPDATE customers SET preferences = jsonb_set(preferences, '{rate}', '15') WHERE id = 5`);
  await pair.new.query(`UPDATE plans SET period = '14 mons' WHERE id = 3`);
  await pair.new.query(`UPDATE risk_scores SET score = 0 WHERE customer_id = 1`);
  await pair.new.query(`DELETE FROM orders WHERE order_id = 9007199254740994`);
  await pair.new.query(`INSERT INTO orders SELECT tenant_id, 1, customer_id, status, total, placed_at FROM orders LIMIT 1`);
  const [tenant] = await pair.new.query<{ tenant_id: number }>('SELECT tenant_id FROM orders WHERE order_id = 1');
  const found = await compare();
  expect(found).toHaveLength(6);
  expect(found).toEqual(
    expect.arrayContaining([
      { table: 'public.customers', key: { id: '4' }, kind: 'different', columns: ['notes'] },
      { table: 'public.customers', key: { id: '5' }, kind: 'different', columns: ['preferences'] },
      { table: 'public.plans', key: { id: '3' }, kind: 'different', columns: ['period'] },
      { table: 'public.risk_scores', key: { customer_id: '1' }, kind: 'different', columns: ['score'] },
      { table: 'public.orders', key: { tenant_id: '1', order_id: '9007199254740994' }, kind: 'missing', columns: [] },
      { table: 'public.orders', key: { tenant_id: String(tenant?.tenant_id), order_id: '1' }, kind: 'extra', columns: [] },
    ]),
  );
});
