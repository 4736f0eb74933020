/** A table of the demo. */
export interface DemoTable {
  /** Qualified name, the same on both sides. */
  readonly name: string;
  readonly key: readonly string[];
  /** Inserts one row that nothing else touches: when it is on new, all before it is. `$1` is a number that makes it unique. */
  readonly marker: string;
  /** What tells such rows from others. */
  readonly marked: string;
}

export const DEMO_TABLES: readonly DemoTable[] = [
  {
    name: 'public.customers',
    key: ['id'],
    marker: `INSERT INTO customers (id, email, name, created_at) VALUES (900000 + $1, 'marker', 'marker', now())`, marked: `email = 'marker'`,
  },
  {
    name: 'public.orders',
    key: ['tenant_id', 'order_id'],
    marker: `INSERT INTO orders (tenant_id, order_id, customer_id, total, placed_at) VALUES (9000, $1, 0, 0, now())`, marked: 'tenant_id = 9000',
  },
  {
    name: 'public.payments',
    key: ['id'],
    marker: `INSERT INTO payments (id, tenant_id, order_id, amount) VALUES (md5('marker' || $1)::uuid, 9000, 0, 0)`, marked: 'tenant_id = 9000',
  },
  {
    name: 'public.outbox',
    key: ['id'],
    marker: `INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload, created_at) VALUES (md5('marker' || $1)::uuid, 'marker', '', '', '{}', now())`, marked: `aggregate_type = 'marker'`,
  },
  { name: 'public.plans', key: ['id'], marker: `INSERT INTO plans (id, name, price) VALUES (9000 + $1, 'marker', 0)`, marked: `name = 'marker'`, },
  {
    name: 'public.risk_scores',
    key: ['customer_id'],
    marker: `INSERT INTO risk_scores (customer_id, score, scored_at) VALUES (900000 + $1, 0, now())`, marked: 'customer_id >= 900000',
  },
];

/** Both sides; no foreign keys, as a replica that is filled table by table has none. */
export const SCHEMA_SQL = `
CREATE TYPE order_status AS ENUM ('new', 'paid', 'shipped', 'cancelled');
CREATE TYPE payment_status AS ENUM ('pending', 'authorised', 'settled', 'refunded');

CREATE TABLE customers (
  id bigint PRIMARY KEY,
  email text NOT NULL,
  name varchar(80) NOT NULL,
  country char(2) NOT NULL DEFAULT 'GB',
  vip boolean NOT NULL DEFAULT false,
  balance numeric(20,4) NOT NULL DEFAULT 0,
  preferences jsonb NOT NULL DEFAULT '{}',
  tags text[],
  born date,
  rating double precision,
  notes text,
  created_at timestamptz NOT NULL,
  updated_at timestamp
);
CREATE TABLE orders (
  tenant_id int NOT NULL,
  order_id bigint NOT NULL,
  customer_id bigint NOT NULL,
  status order_status NOT NULL DEFAULT 'new',
  total numeric(12,2) NOT NULL,
  placed_at timestamptz(3) NOT NULL,
  lines jsonb,
  PRIMARY KEY (tenant_id, order_id)
);
ALTER TABLE orders REPLICA IDENTITY FULL;
CREATE TABLE payments (
  id uuid PRIMARY KEY,
  tenant_id int NOT NULL,
  order_id bigint NOT NULL,
  amount numeric(20,4) NOT NULL,
  fee numeric,
  status payment_status NOT NULL DEFAULT 'pending',
  paid_at timestamptz,
  local_time timestamp,
  details jsonb,
  labels text[],
  installments int[],
  fingerprint bytea,
  attempt bigint,
  receipt text
);
CREATE TABLE outbox (
  id uuid PRIMARY KEY,
  aggregate_type varchar(40) NOT NULL,
  aggregate_id text NOT NULL,
  type varchar(40) NOT NULL,
  payload jsonb NOT NULL,
  created_at timestamptz NOT NULL
);
CREATE TABLE plans (
  id int PRIMARY KEY,
  name text NOT NULL,
  period interval,
  price numeric(10,2) NOT NULL
);
CREATE TABLE risk_scores (
  customer_id bigint PRIMARY KEY,
  score double precision,
  model real,
  scored_at timestamptz NOT NULL
);
`;

export const CUSTOMERS = 2000;
export const ORDERS = 3000;
export const OUTBOX = 400;
export const RISK_SCORES = 300;
/** Payments whose receipt is stored apart from the row, so that an update's event leaves it out. */
export const LARGE_RECEIPTS = 40;
/** Risk scores that are not a number. */
export const NAN_SCORES = 12;
/** Beyond what a double holds exactly: an order's key must survive as it is. */
export const FIRST_ORDER_ID = 9_007_199_254_740_993n;
export const TENANTS = 4;

/** Old, before the pipeline starts. Large order ids, exact decimals, text that is stored apart, intervals, NaN. */
export const SEED_SQL = `
INSERT INTO customers
SELECT i, 'user' || i || '@example.com', CASE WHEN i % 17 = 0 THEN 'Zoë 🙂 ' || i ELSE 'Customer ' || i END,
  (ARRAY['GB','DE','FR','US'])[1 + i % 4], i % 5 = 0, i * 1.2345, jsonb_build_object('lang', 'en', 'n', i, 'rate', 1.50, 'nested', jsonb_build_object('b', 2, 'a', null)),
  CASE WHEN i % 3 = 0 THEN NULL ELSE ARRAY['t' || i, NULL, 'x,"y"'] END, date '1950-01-01' + i * 9, i / 3.0,
  CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'note ' || i END,
  timestamptz '2024-01-01 00:00:00.123456+00' + i * interval '1 hour 1 microsecond', timestamp '2024-06-01 12:34:56.654321' + i * interval '1 day'
FROM generate_series(1, ${CUSTOMERS}) i;
INSERT INTO orders
SELECT i % ${TENANTS}, ${FIRST_ORDER_ID} + i, 1 + i % ${CUSTOMERS}, (ARRAY['new','paid','shipped','cancelled']::order_status[])[1 + i % 4], i * 9.99,
  timestamptz '2025-03-30 00:59:59.999+00' + i * interval '13 minutes', jsonb_build_array(jsonb_build_object('sku', 'S' || i, 'qty', i % 5))
FROM generate_series(1, ${ORDERS}) i;
INSERT INTO payments
SELECT md5('payment' || i)::uuid, i % ${TENANTS}, ${FIRST_ORDER_ID} + i, i * 100.0001,
  CASE i % 4 WHEN 0 THEN 1.10 WHEN 1 THEN 12345678901234567890.123456789 WHEN 2 THEN -0.5 ELSE NULL END,
  (ARRAY['pending','authorised','settled','refunded']::payment_status[])[1 + i % 4],
  timestamptz '2024-10-27 00:30:00.000001+00' + i * interval '15 minutes', timestamp '2024-10-27 01:30:00.999999' + i * interval '15 minutes',
  jsonb_build_object('z', 1, 'list', jsonb_build_array(1, 2.0, null, 's'), 'big', 12345678901234567890), ARRAY['a', 'b "q"', NULL, 'c,d'], ARRAY[1, NULL, -i],
  decode(lpad(to_hex(i), 8, '0') || 'ff00', 'hex'), 9223372036854775807 - i, 'receipt ' || i
FROM generate_series(1, ${ORDERS}) i;
INSERT INTO payments (id, tenant_id, order_id, amount, receipt)
SELECT md5('large' || i)::uuid, 7, i, i * 10, (SELECT string_agg(md5(i || ':' || g), '') FROM generate_series(1, 300) g)
FROM generate_series(1, ${LARGE_RECEIPTS}) i;
INSERT INTO payments (id, tenant_id, order_id, amount, status, receipt)
SELECT md5('kept' || i)::uuid, 8, i, 1000 + i * 0.25, 'authorised', 'kept ' || i FROM generate_series(1, 10) i;
INSERT INTO outbox
SELECT md5('event' || i)::uuid, (ARRAY['order', 'payment'])[1 + i % 2], 'agg-' || i % 7, 'Created', jsonb_build_object('i', i, 'amount', i * 1.5), now()
FROM generate_series(1, ${OUTBOX}) i;
INSERT INTO plans VALUES
  (1, 'monthly', '1 mon', 9.99), (2, 'quarterly', '3 mons', 27.00), (3, 'yearly', '1 year', 99.00),
  (4, 'trial', '2 mons', 0), (5, 'odd', '1 year 2 mons 3 days 04:05:06.789', 1.25), (6, 'open end', NULL, 4.50);
INSERT INTO risk_scores
SELECT i, CASE WHEN i <= ${NAN_SCORES} THEN CASE i % 3 WHEN 0 THEN 'Infinity'::float8 ELSE 'NaN'::float8 END ELSE 1.0 / (i + 1) END, (i / 7.0)::real, timestamptz '2025-01-01+00' + i * interval '1 second'
FROM generate_series(1, ${RISK_SCORES}) i;
`;

/**
 * New only: swallows the write of a row whose table and key stand in `lockstep_demo.faults`, as a lost message would.
 * ENABLE ALWAYS: a subscription's worker fires no other triggers.
 */
export const FAULT_SQL = `
CREATE SCHEMA lockstep_demo;
CREATE TABLE lockstep_demo.faults (table_name text, op text, key text, PRIMARY KEY (table_name, op, key));
CREATE TABLE lockstep_demo.swallowed (table_name text, op text, key text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION lockstep_demo.swallow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  row_key text := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ->> 'id' ELSE to_jsonb(NEW) ->> 'id' END;
BEGIN
  IF EXISTS (SELECT 1 FROM lockstep_demo.faults f WHERE f.table_name = TG_TABLE_NAME AND f.op = TG_OP AND f.key = row_key) THEN
    INSERT INTO lockstep_demo.swallowed VALUES (TG_TABLE_NAME, TG_OP, row_key);
    RETURN NULL;
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER swallow BEFORE INSERT OR UPDATE OR DELETE ON payments FOR EACH ROW EXECUTE FUNCTION lockstep_demo.swallow();
CREATE TRIGGER swallow BEFORE INSERT OR UPDATE OR DELETE ON customers FOR EACH ROW EXECUTE FUNCTION lockstep_demo.swallow();
ALTER TABLE payments ENABLE ALWAYS TRIGGER swallow;
ALTER TABLE customers ENABLE ALWAYS TRIGGER swallow;
`;
