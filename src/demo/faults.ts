import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '../../test/stack/postgres-server.ts';
import { LockstepError } from '../domain/errors.ts';
import type { Difference, LedgerEntry } from './ledger.ts';
import { keptCustomer } from './load.ts';

const POLL_MS = 50;
/** A pipeline that carries a write no faster than this is broken. */
const ARRIVES_MS = 60_000;

/** Plants every fault; the ledger says what was done where. */
export async function plantFaults(old: PostgresServer, replica: PostgresServer, signal: AbortSignal): Promise<LedgerEntry[]> {
  return [
    await loseUpdate(old, replica, signal),
    await loseDelete(old, replica, signal),
    await loseInsert(old, replica, signal),
    await writeBehind(replica),
    await changeDigit(replica),
  ];
}

async function loseUpdate(old: PostgresServer, replica: PostgresServer, signal: AbortSignal): Promise<LedgerEntry> {
  const id = await keptPayment(old, 1);
  // One that arrives first: what stays on new is then a version that was once right.
  await old.query(`UPDATE payments SET amount = amount + 1 WHERE id = '${id}'`);
  const [before] = await old.query<{ amount: string }>(`SELECT amount FROM payments WHERE id = '${id}'`);
  await until(async () => (await replica.query(`SELECT 1 FROM payments WHERE id = '${id}' AND amount = ${before?.amount}`)).length > 0, signal);
  await arm(replica, 'payments', 'UPDATE', id);
  await old.query(`UPDATE payments SET amount = amount + 49.75, status = 'settled' WHERE id = '${id}'`);
  const atMs = Date.now();
  await swallowed(replica, 'payments', 'UPDATE', id, signal);
  return { table: 'public.payments', key: { id }, what: 'lost update', origin: 'planted', kinds: ['stale'], columns: ['amount', 'status'], atMs };
}

async function loseDelete(old: PostgresServer, replica: PostgresServer, signal: AbortSignal): Promise<LedgerEntry> {
  const id = String(keptCustomer(1));
  await arm(replica, 'customers', 'DELETE', id);
  await old.query(`DELETE FROM customers WHERE id = ${id}`);
  const atMs = Date.now();
  await swallowed(replica, 'customers', 'DELETE', id, signal);
  return { table: 'public.customers', key: { id }, what: 'lost delete', origin: 'planted', kinds: ['extra'], columns: null, atMs };
}

async function loseInsert(old: PostgresServer, replica: PostgresServer, signal: AbortSignal): Promise<LedgerEntry> {
  const id = '10570000-0000-4000-8000-000000000001';
  await arm(replica, 'payments', 'INSERT', id);
  await old.query(`INSERT INTO payments (id, tenant_id, order_id, amount) VALUES ('${id}', 8, 1, 12.50)`);
  const atMs = Date.now();
  await swallowed(replica, 'payments', 'INSERT', id, signal);
  return { table: 'public.payments', key: { id }, what: 'lost insert', origin: 'planted', kinds: ['missing'], columns: null, atMs };
}

async function writeBehind(replica: PostgresServer): Promise<LedgerEntry> {
  await replica.query(`INSERT INTO orders (tenant_id, order_id, customer_id, total, placed_at) VALUES (8000, 1, 1, 666, now())`);
  return {
    table: 'public.orders',
    key: { tenant_id: '8000', order_id: '1' },
    what: "row written behind the pipeline's back",
    origin: 'planted',
    kinds: ['extra'],
    columns: null,
    atMs: Date.now(),
  };
}

async function changeDigit(replica: PostgresServer): Promise<LedgerEntry> {
  const id = await keptPayment(replica, 2);
  await replica.query(`UPDATE payments SET amount = amount + 0.0001 WHERE id = '${id}'`);
  return { table: 'public.payments', key: { id }, what: 'value off by one digit', origin: 'planted', kinds: ['different'], columns: ['amount'], atMs: Date.now() };
}

/** Explains a difference that nobody planted by what the JDBC sink is known to do. */
export function explainBySink(receiptsTouched: ReadonlyMap<string, number>): (difference: Difference) => { what: string; atMs: number | null } {
  return (difference) => {
    const has = (table: string, column: string): boolean => difference.table === table && difference.columns.includes(column);
    if (has('public.payments', 'receipt')) {
      return { what: 'the sink wrote the unavailable-value literal over a large text', atMs: receiptsTouched.get(difference.key['id'] ?? '') ?? null };
    }
    if (has('public.plans', 'period')) return { what: 'the sink turned an interval into hours', atMs: null };
    if (has('public.risk_scores', 'score')) return { what: 'the sink turned NaN or Infinity into 0', atMs: null };
    return { what: 'the pipeline made the rows differ', atMs: null };
  };
}

async function keptPayment(server: PostgresServer, index: number): Promise<string> {
  const [row] = await server.query<{ id: string }>(`SELECT md5('kept' || ${index})::uuid AS id`);
  if (row === undefined) throw new LockstepError('demo_failed', 'the payments that faults are planted on are gone');
  return row.id;
}

async function arm(replica: PostgresServer, table: string, op: string, id: string): Promise<void> {
  await replica.query(`INSERT INTO lockstep_demo.faults VALUES ('${table}', '${op}', '${id}')`);
}

async function swallowed(replica: PostgresServer, table: string, op: string, id: string, signal: AbortSignal): Promise<void> {
  await until(
    async () => (await replica.query(`SELECT 1 FROM lockstep_demo.swallowed WHERE table_name = '${table}' AND op = '${op}' AND key = '${id}'`)).length > 0,
    signal,
  );
}

async function until(done: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  const end = Date.now() + ARRIVES_MS;
  while (!(await done())) {
    signal.throwIfAborted();
    if (Date.now() > end) throw new LockstepError('demo_failed', `the pipeline did not carry a write to new within ${ARRIVES_MS / 1000} s`);
    await sleep(POLL_MS);
  }
}
