import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { rootMessage } from '../domain/errors.ts';
import { CUSTOMERS, LARGE_RECEIPTS, NAN_SCORES, RISK_SCORES, TENANTS } from './schema.ts';

/** Enough to keep two cores of database busy; more only queue there. */
const CONNECTIONS = 6;
/** How often owed transactions are started. */
const TICK_MS = 10;
/** A database that falls behind is not made to catch up on more than this. */
const OWED_MAX_MS = 500;
/** Keys that a large share of the updates goes to. */
const HOT_CUSTOMERS = 5;
/** Customers that are deleted and come back; others keep to the rest. */
const RETURNING_CUSTOMERS = 200;
/** Customers that faults are planted on; the load leaves them alone. */
const KEPT_CUSTOMERS = 20;

export interface LoadFigures {
  readonly committed: number;
  readonly rolledBack: number;
  readonly rowChanges: number;
  readonly failed: number;
  readonly lastError: string | null;
  /** How long it has been or was on. */
  readonly durationMs: number;
}

interface Order {
  readonly tenant: number;
  readonly id: bigint;
}

type Work = (client: pg.PoolClient) => Promise<number>;

/** Customers that the load never touches: faults are planted there. */
export function keptCustomer(index: number): number {
  return CUSTOMERS - (index % KEPT_CUSTOMERS);
}

/** Mixed live load on old, as an application would make it: `rate` transactions a second until stopped. */
export class Load {
  /** When each payment with a large receipt was first updated without its receipt. */
  readonly receiptsTouched = new Map<string, number>();
  readonly #pool: pg.Pool;
  readonly #rate: number;
  readonly #random: () => number;
  readonly #mix: readonly (readonly [weight: number, work: Work])[];
  readonly #orders: Order[] = [];
  readonly #payments: string[] = [];
  readonly #events: string[] = [];
  readonly #stop = new AbortController();
  readonly #busy = new Set<Promise<void>>();
  #largeReceipts: readonly string[] = [];
  #nextId = 1_000_000;
  #committed = 0;
  #rolledBack = 0;
  #rowChanges = 0;
  #failed = 0;
  #lastError: string | null = null;
  #running: Promise<void> | null = null;
  #startedMs = Date.now();
  #endedMs: number | null = null;

  constructor(url: string, rate: number, seed = 1) {
    this.#pool = new pg.Pool({ connectionString: url, max: CONNECTIONS, application_name: 'demo load' });
    this.#pool.on('error', () => undefined);
    this.#rate = rate;
    this.#random = mulberry32(seed);
    this.#mix = [
      [22, (client) => this.#placeOrder(client)],
      [20, (client) => this.#settlePayment(client)],
      [14, (client) => this.#touchHotCustomer(client)],
      [10, (client) => this.#updateCustomer(client)],
      [10, (client) => this.#shipOrder(client)],
      [8, (client) => this.#consumeEvents(client)],
      [4, (client) => this.#replaceCustomer(client)],
      [3, (client) => this.#moveOrder(client)],
      [3, (client) => this.#dropPayment(client)],
      [4, (client) => this.#giveUp(client)],
      [1, (client) => this.#scoreRisk(client)],
      [1, (client) => this.#touchLargeReceipt(client)],
    ];
  }

  get figures(): LoadFigures {
    return { committed: this.#committed, rolledBack: this.#rolledBack, rowChanges: this.#rowChanges, failed: this.#failed, lastError: this.#lastError, durationMs: (this.#endedMs ?? Date.now()) - this.#startedMs };
  }

  /** Reads the keys there are, then keeps going in the background. */
  async start(): Promise<void> {
    const orders = await this.#pool.query<{ tenant_id: number; order_id: string }>(`SELECT tenant_id, order_id FROM orders WHERE tenant_id < ${TENANTS}`);
    for (const row of orders.rows) this.#orders.push({ tenant: row.tenant_id, id: BigInt(row.order_id) });
    const payments = await this.#pool.query<{ id: string }>(`SELECT id FROM payments WHERE tenant_id < ${TENANTS}`);
    this.#payments.push(...payments.rows.map((row) => row.id));
    const events = await this.#pool.query<{ id: string }>('SELECT id FROM outbox');
    this.#events.push(...events.rows.map((row) => row.id));
    const large = await this.#pool.query<{ id: string }>(`SELECT id FROM payments WHERE tenant_id = 7 LIMIT ${LARGE_RECEIPTS}`);
    this.#largeReceipts = large.rows.map((row) => row.id);
    this.#startedMs = Date.now();
    this.#running = this.#run();
  }

  /** Ends the load and waits for the transactions that are under way. */
  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    await this.#running;
    await Promise.all(this.#busy);
    this.#endedMs = Date.now();
    await this.#pool.end();
  }

  async #run(): Promise<void> {
    let owedSince = performance.now();
    let started = 0;
    while (!this.#stop.signal.aborted) {
      const now = performance.now();
      let owed = Math.floor(((now - owedSince) * this.#rate) / 1000) - started;
      if (owed > (OWED_MAX_MS * this.#rate) / 1000) {
        owedSince = now;
        started = 0;
        owed = 0;
      }
      for (; owed > 0 && this.#busy.size < CONNECTIONS; owed--, started++) {
        const work = this.#transaction(this.#pick()).finally(() => this.#busy.delete(work));
        this.#busy.add(work);
      }
      await sleep(TICK_MS);
    }
  }

  #pick(): Work {
    const total = this.#mix.reduce((sum, [weight]) => sum + weight, 0);
    let at = this.#random() * total;
    for (const [weight, work] of this.#mix) {
      at -= weight;
      if (at < 0) return work;
    }
    return (client) => this.#placeOrder(client);
  }

  async #transaction(work: Work): Promise<void> {
    let client: pg.PoolClient | null = null;
    try {
      client = await this.#pool.connect();
      await client.query('BEGIN');
      const changes = await work(client);
      // A transaction that was given up has ended by itself.
      if (changes < 0) this.#rolledBack++;
      else {
        await client.query('COMMIT');
        this.#committed++;
        this.#rowChanges += changes;
      }
      client.release();
    } catch (error) {
      this.#failed++;
      this.#lastError = rootMessage(error);
      client?.release(true);
    }
  }

  /** An order, its payment and the event about it, all or nothing. */
  async #placeOrder(client: pg.PoolClient): Promise<number> {
    const number = this.#nextId++;
    const order: Order = { tenant: this.#below(TENANTS), id: BigInt(number) };
    const amount = this.#amount();
    await client.query({
      name: 'place-order',
      text: `INSERT INTO orders VALUES ($1, $2, $3, 'new', $4, now(), $5)`,
      values: [order.tenant, order.id.toString(), 1 + this.#below(CUSTOMERS), amount, JSON.stringify([{ sku: `S${number}`, qty: this.#below(9) }])],
    });
    const payment = await client.query<{ id: string }>({
      name: 'place-payment',
      text: `INSERT INTO payments VALUES (gen_random_uuid(), $1, $2, $3, $4, 'pending', NULL, now()::timestamp, $5, $6, $7, decode(md5($8), 'hex'), $9, $8) RETURNING id`,
      values: [
        order.tenant,
        order.id.toString(),
        amount,
        this.#below(2) === 0 ? null : '0.30',
        JSON.stringify({ channel: 'web', risk: this.#below(100) / 100, note: 'línea' }),
        ['card', this.#below(2) === 0 ? null : 'eu, "intra"'],
        [this.#below(12), null],
        `receipt ${number}`,
        (9_223_372_036_854_775_807n - BigInt(number)).toString(),
      ],
    });
    const event = await this.#addEvent(client, 'order', `${order.tenant}/${order.id}`, 'Placed');
    this.#orders.push(order);
    this.#payments.push(...payment.rows.map((row) => row.id));
    this.#events.push(event);
    return 3;
  }

  async #settlePayment(client: pg.PoolClient): Promise<number> {
    const id = this.#payments[this.#below(this.#payments.length)];
    const changed = await client.query({
      name: 'settle-payment',
      text: `UPDATE payments SET status = CASE status WHEN 'pending' THEN 'authorised' WHEN 'authorised' THEN 'settled' ELSE 'refunded' END::payment_status, amount = amount + $2, paid_at = now() WHERE id = $1`,
      values: [id, `0.${this.#below(10_000).toString().padStart(4, '0')}`],
    });
    this.#events.push(await this.#addEvent(client, 'payment', id ?? '', 'Settled'));
    return (changed.rowCount ?? 0) + 1;
  }

  async #touchHotCustomer(client: pg.PoolClient): Promise<number> {
    const changed = await client.query({
      name: 'touch-customer',
      text: 'UPDATE customers SET balance = balance + 0.0001, updated_at = now()::timestamp WHERE id = $1',
      values: [1 + this.#below(HOT_CUSTOMERS)],
    });
    return changed.rowCount ?? 0;
  }

  async #updateCustomer(client: pg.PoolClient): Promise<number> {
    const changed = await client.query({
      name: 'update-customer',
      text: `UPDATE customers SET preferences = preferences || $2::jsonb, vip = NOT vip, rating = $3, notes = $4 WHERE id = $1`,
      values: [this.#customer(), JSON.stringify({ seen: this.#below(1000) }), this.#random() * 5, this.#below(3) === 0 ? null : 'called'],
    });
    return changed.rowCount ?? 0;
  }

  async #shipOrder(client: pg.PoolClient): Promise<number> {
    const order = this.#orders[this.#below(this.#orders.length)];
    const changed = await client.query({
      name: 'ship-order',
      text: `UPDATE orders SET status = 'shipped', total = total + 0.01 WHERE tenant_id = $1 AND order_id = $2`,
      values: [order?.tenant, order?.id.toString()],
    });
    return changed.rowCount ?? 0;
  }

  /** The outbox is read and emptied. */
  async #consumeEvents(client: pg.PoolClient): Promise<number> {
    const ids = this.#events.splice(0, 4);
    const changed = await client.query({ name: 'consume-events', text: 'DELETE FROM outbox WHERE id = ANY($1::uuid[])', values: [ids] });
    return changed.rowCount ?? 0;
  }

  /** Deletes a row and inserts its key again, in the same transaction. */
  async #replaceCustomer(client: pg.PoolClient): Promise<number> {
    const id = CUSTOMERS - KEPT_CUSTOMERS - this.#below(RETURNING_CUSTOMERS);
    const gone = await client.query({ name: 'delete-customer', text: 'DELETE FROM customers WHERE id = $1', values: [id] });
    // Every other time it stays away until its turn comes again.
    if (this.#below(2) === 0) return gone.rowCount ?? 0;
    await client.query({
      name: 'insert-customer',
      text: `INSERT INTO customers (id, email, name, born, created_at) VALUES ($1, $2, 'Returned', '2000-02-29', now()) ON CONFLICT DO NOTHING`,
      values: [id, `again${this.#below(1000)}@example.com`],
    });
    return (gone.rowCount ?? 0) + 1;
  }

  /** Changes a primary key. */
  async #moveOrder(client: pg.PoolClient): Promise<number> {
    const order = this.#take(this.#orders);
    if (order === null) return 0;
    const moved: Order = { tenant: order.tenant, id: BigInt(this.#nextId++) };
    const changed = await client.query({
      name: 'move-order',
      text: 'UPDATE orders SET order_id = $3 WHERE tenant_id = $1 AND order_id = $2',
      values: [order.tenant, order.id.toString(), moved.id.toString()],
    });
    this.#orders.push(moved);
    return changed.rowCount ?? 0;
  }

  async #dropPayment(client: pg.PoolClient): Promise<number> {
    const id = this.#take(this.#payments);
    const changed = await client.query({ name: 'drop-payment', text: 'DELETE FROM payments WHERE id = $1', values: [id] });
    return changed.rowCount ?? 0;
  }

  /** Changes much and takes it all back. */
  async #giveUp(client: pg.PoolClient): Promise<number> {
    await client.query({ name: 'give-up', text: 'UPDATE customers SET balance = -1 WHERE id BETWEEN $1 AND $1 + 3', values: [10 + this.#below(1000)] });
    await this.#addEvent(client, 'customer', 'none', 'NeverHappened');
    await client.query('ROLLBACK');
    return -1;
  }

  async #scoreRisk(client: pg.PoolClient): Promise<number> {
    const id = 1 + this.#below(RISK_SCORES);
    // What is not a number stays so: the difference that the JDBC sink makes of it is there to the end.
    const score = id <= NAN_SCORES ? 'NaN' : String(this.#random());
    const changed = await client.query({
      name: 'score-risk',
      text: 'UPDATE risk_scores SET score = $2, scored_at = now() WHERE customer_id = $1',
      values: [id, score],
    });
    return changed.rowCount ?? 0;
  }

  /** An update whose event leaves the large receipt out. */
  async #touchLargeReceipt(client: pg.PoolClient): Promise<number> {
    const id = this.#largeReceipts[this.#below(this.#largeReceipts.length)];
    if (id === undefined) return 0;
    const changed = await client.query({
      name: 'touch-receipt',
      text: `UPDATE payments SET amount = amount + 1, paid_at = now() WHERE id = $1`,
      values: [id],
    });
    if (!this.receiptsTouched.has(id)) this.receiptsTouched.set(id, Date.now());
    return changed.rowCount ?? 0;
  }

  async #addEvent(client: pg.PoolClient, aggregate: string, id: string, type: string): Promise<string> {
    const added = await client.query<{ id: string }>({
      name: 'add-event',
      text: `INSERT INTO outbox VALUES (gen_random_uuid(), $1, $2, $3, $4, clock_timestamp()) RETURNING id`,
      values: [aggregate, id, type, JSON.stringify({ id, at: this.#nextId })],
    });
    return added.rows[0]?.id ?? '';
  }

  #customer(): number {
    return 1 + HOT_CUSTOMERS + this.#below(CUSTOMERS - RETURNING_CUSTOMERS - KEPT_CUSTOMERS - HOT_CUSTOMERS);
  }

  #amount(): string {
    return `${this.#below(5000)}.${this.#below(100).toString().padStart(2, '0')}`;
  }

  #take<T>(list: T[]): T | null {
    const index = this.#below(list.length);
    const taken = list[index];
    const last = list.pop();
    if (taken === undefined || last === undefined) return null;
    if (index < list.length) list[index] = last;
    return taken;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

/** A small seeded generator, so that two runs make the same load. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
