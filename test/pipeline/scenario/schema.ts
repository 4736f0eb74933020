/** A small shop: single, composite and uuid keys; the types of a payments system. */
export const SCHEMA_SQL = `
CREATE TABLE customers (
  id bigint PRIMARY KEY, email text NOT NULL, name varchar(80), country char(4), vip boolean, created_at timestamptz,
  updated_at timestamp, birth date, prefs jsonb, balance numeric(20,4), score real, rating double precision, tags text[], notes text);
CREATE TABLE orders (
  tenant_id int, order_id bigint, status text, total numeric(12,2), placed_at timestamptz(3), lines jsonb, PRIMARY KEY (tenant_id, order_id));
CREATE TABLE payments (
  id uuid PRIMARY KEY, amount numeric(20,4), fee numeric, paid_at timestamptz, long_text text, n int);
`;

/** Swallows writes of rows named in \`swallowed\`, whoever makes them: a lost update or delete. */
export const FAULTS_SQL = `
CREATE TABLE swallowed (relation text, key text, PRIMARY KEY (relation, key));
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM public.swallowed s WHERE s.relation = TG_TABLE_NAME AND s.key =
      CASE TG_TABLE_NAME WHEN 'orders' THEN (to_jsonb(OLD)->>'tenant_id') || '/' || (to_jsonb(OLD)->>'order_id') ELSE to_jsonb(OLD)->>'id' END)
    THEN RETURN NULL; END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER swallow_customers BEFORE UPDATE OR DELETE ON customers FOR EACH ROW EXECUTE FUNCTION swallow();
CREATE TRIGGER swallow_orders BEFORE UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION swallow();
CREATE TRIGGER swallow_payments BEFORE UPDATE OR DELETE ON payments FOR EACH ROW EXECUTE FUNCTION swallow();
ALTER TABLE customers ENABLE ALWAYS TRIGGER swallow_customers;
ALTER TABLE orders ENABLE ALWAYS TRIGGER swallow_orders;
ALTER TABLE payments ENABLE ALWAYS TRIGGER swallow_payments;
`;

/** Rows that are there before anything starts; keys of \`orders\` lie beyond 2^53. */
export const SEED_SQL = `
INSERT INTO customers SELECT i, 'u' || i || '@example.com', 'Zoë ' || i, 'GB', i % 2 = 0, timestamptz '2024-01-01 00:00:00.123456+00' + i * interval '1 hour',
  timestamp '2024-06-01 12:34:56.654321', date '1980-01-01' + i, '{"n": 1.50, "a": [1, null]}', i * 1.2345, i / 7.0, i / 3.0, ARRAY['a', NULL, 'b,"c'], NULL
  FROM generate_series(1, 1000) i;
INSERT INTO orders SELECT i % 4, 9007199254740990 + i, 'new', i * 9.99, timestamptz '2025-03-30 00:59:59.999+00', '[]' FROM generate_series(1, 1000) i;
INSERT INTO payments SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, i * 100.0001, i / 3.0, now(), 'short', 1 FROM generate_series(1, 1000) i;
`;

export const TABLES = ['public.customers', 'public.orders', 'public.payments'] as const;

/** The uuid of a seeded payment. */
export function paymentId(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
}

/** The order id of a seeded order, as decimal text. */
export function orderId(n: number): string {
  return (9007199254740990n + BigInt(n)).toString();
}
