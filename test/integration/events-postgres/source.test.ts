import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { canonicalFromText } from '../../../src/domain/values/classes.ts';
import { formatLsn, parseLsn } from '../../../src/events/postgres/lsn.ts';
import { PostgresPipelineOffsets } from '../../../src/events/postgres/offsets.ts';
import { PgoutputChangeSource } from '../../../src/events/postgres/source.ts';
import { startPostgres } from '../../stack/postgres-server.ts';
import type { OnePostgres } from '../../stack/postgres-server.ts';
import { Listening, columnOf, pairOf, run } from './listening.ts';
import type { Running } from './listening.ts';

let server: OnePostgres;
let number = 0;
let database = '';
let running: Running[] = [];

const items = pairOf('items', [columnOf('id', 'bigint', 'integer', 'int8'), columnOf('name', 'text', 'text'), columnOf('big', 'text', 'text')]);

beforeAll(async () => {
  server = await startPostgres({ settings: { max_replication_slots: '60', max_wal_senders: '60' } });
});
afterAll(async () => {
  await server?.stop();
});
beforeEach(async () => {
  database = `d${++number}`;
  await server.server.createDatabase(database);
  await sql('CREATE TABLE items (id bigint PRIMARY KEY, name text, big text)');
});
afterEach(async () => {
  for (const one of running) await one.stop().catch(() => undefined);
  running = [];
});

async function sql(text: string): Promise<Record<string, unknown>[]> {
  return await server.server.query(text, database);
}

function make(pairs = [items]): PgoutputChangeSource {
  return new PgoutputChangeSource({ url: server.url(database), slot: `s_${database}`, publication: 'lockstep', pairs, side: 'old' });
}

/** Starts a source and waits until it streams. */
async function start(listening = new Listening(), source = make()): Promise<Running> {
  const one = run(source, listening);
  running.push(one);
  const before = listening.batches.length;
  await expect.poll(() => listening.batches.length, { timeout: 60_000 }).toBeGreaterThan(before);
  return one;
}

async function until(listening: Listening, changes: number): Promise<void> {
  await expect.poll(() => listening.records.length, { timeout: 60_000 }).toBeGreaterThanOrEqual(changes);
}

async function position(): Promise<bigint> {
  return parseLsn(String((await sql('SELECT pg_current_wal_lsn()::text AS lsn'))[0]?.['lsn']));
}

async function confirmed(): Promise<bigint> {
  const rows = await sql(`SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = 's_${database}'`);
  return parseLsn(String(rows[0]?.['lsn']));
}

describe('what happened is told', () => {
  test('all operations, in commit order, one batch a transaction', async () => {
    const { listening } = await start();
    await sql(`INSERT INTO items VALUES (9223372036854775807, 'a', NULL), (-9223372036854775808, '', 'x')`);
    await sql(`UPDATE items SET name = 'b' WHERE id > 0`);
    await sql(`UPDATE items SET id = 7 WHERE id > 0`);
    await sql(`DELETE FROM items WHERE id = 7`);
    await sql('TRUNCATE items');
    await sql(`BEGIN; INSERT INTO items VALUES (1); SAVEPOINT s; INSERT INTO items VALUES (2); ROLLBACK TO s; INSERT INTO items VALUES (3); UPDATE items SET name = 'z' WHERE id = 1; COMMIT`);
    await sql('BEGIN; INSERT INTO items VALUES (4); ROLLBACK');
    await sql('INSERT INTO items VALUES (5)');
    await until(listening, 11);
    expect(listening.told).toEqual([
      'create 9223372036854775807',
      'create -9223372036854775808',
      'update 9223372036854775807',
      'delete 9223372036854775807',
      'create 7',
      'delete 7',
      'truncate',
      'create 1',
      'create 3',
      'update 1',
      'create 5',
    ]);
    const full = listening.batches.filter((batch) => batch.records.length > 0);
    expect(full.map((batch) => batch.records.length)).toEqual([2, 1, 2, 1, 1, 3, 1]);
    for (const batch of full) {
      expect(batch.completeThroughLsn).toBe(BigInt(batch.nextOffset));
      for (const record of batch.records) {
        expect(BigInt(record.position.offset)).toBeLessThan(BigInt(batch.nextOffset));
        expect(record.position.lsn).toBeLessThan(BigInt(record.position.offset));
      }
    }
    expect(listening.changes[0]?.image).toEqual(['9223372036854775807', 'a', null]);
    expect(listening.changes[1]?.image).toEqual(['-9223372036854775808', '', 'x']);
    expect(listening.assignments).toEqual([`+postgres:s_${database}/0`]);
  });

  test('commit times are the server\'s', async () => {
    const { listening } = await start();
    await sql('INSERT INTO items VALUES (1)');
    await until(listening, 1);
    const rows = await sql(`SELECT (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint::text AS us, xmin::text AS xid FROM items`);
    expect(String(listening.changes[0]?.committedAtUs)).toBe(rows[0]?.['us']);
    expect(listening.changes[0]?.position.txId).toBe(rows[0]?.['xid']);
  });

  test('a TOAST value that did not change is unknown, and known when the identity is the whole row', async () => {
    const { listening } = await start();
    const big = `(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i)`;
    await sql(`ALTER TABLE items ALTER big SET STORAGE EXTERNAL`);
    await sql(`INSERT INTO items VALUES (1, 'a', ${big})`);
    await sql(`UPDATE items SET name = 'b'`);
    await sql(`ALTER TABLE items REPLICA IDENTITY FULL`);
    await sql(`UPDATE items SET name = 'c'`);
    await sql(`DELETE FROM items`);
    await until(listening, 4);
    const [inserted, first, second, deleted] = listening.changes;
    const value = inserted?.image?.[2];
    expect(value?.length).toBe(32_000);
    expect(first?.image).toEqual(['1', 'b', undefined]);
    expect(first?.before).toBeNull();
    expect(second?.image).toEqual(['1', 'c', value]);
    expect(second?.before).toEqual(['1', 'b', value]);
    expect(deleted?.before).toEqual(['1', 'c', value]);
  });

  test('columns that come and go in mid-stream', async () => {
    const { listening } = await start();
    await sql(`INSERT INTO items VALUES (1, 'a', 'b')`);
    await sql(`ALTER TABLE items DROP COLUMN name; ALTER TABLE items ADD COLUMN other int DEFAULT 3; INSERT INTO items VALUES (2, 'b', 4)`);
    await sql(`ALTER TABLE items ADD COLUMN name text; INSERT INTO items (id, name) VALUES (3, 'n')`);
    await sql(`ALTER TABLE items RENAME id TO ident; INSERT INTO items VALUES (4)`);
    await until(listening, 4);
    expect(listening.changes.map((change) => change.image)).toEqual([
      ['1', 'a', 'b'],
      ['2', undefined, 'b'],
      ['3', 'n', null],
    ]);
    expect(listening.records[3]).toMatchObject({ type: 'undecodable', reason: 'no_key' });
  });

  test('a large transaction comes in parts, and its offset only with the last', async () => {
    const { listening } = await start();
    const before = listening.offset;
    await sql(`BEGIN; INSERT INTO items SELECT i, 'x' FROM generate_series(1, 4500) i; UPDATE items SET id = id + 10000; COMMIT`);
    await until(listening, 4500 * 3);
    const parts = listening.batches.filter((batch) => batch.records.length > 0);
    expect(parts.length).toBeGreaterThan(6);
    for (const part of parts.slice(0, -1)) {
      expect(BigInt(part.nextOffset)).toBeLessThan(BigInt(parts.at(-1)?.nextOffset ?? 0));
      expect(part.nextOffset).toBe(parts[0]?.nextOffset);
      expect(part.completeThroughLsn).toBeNull();
      expect(part.records.length).toBeLessThanOrEqual(2_001);
    }
    expect(BigInt(parts[0]?.nextOffset ?? 0)).toBeGreaterThanOrEqual(BigInt(before ?? 0));
    const keys = listening.told;
    expect(new Set(keys).size).toBe(4500 * 3);
  });

  test('rows of one COPY are told apart by position', async () => {
    const { listening } = await start();
    await sql(`INSERT INTO items SELECT i FROM generate_series(1, 50) i`);
    await until(listening, 50);
    expect(new Set(listening.changes.map((change) => change.position.lsn)).size).toBe(50);
  });

  test('values of many types come as the reader of the other side would have them', async () => {
    const values: [string, string, Parameters<typeof columnOf>[2], string][] = [
      ['numeric', 'decimal', 'decimal', '-12345678901234567890.12300'],
      ['double precision', 'float8', 'float8', '0.1'],
      ['real', 'float4', 'float4', '1e-10'],
      ['timestamp with time zone', 'timestamptz', 'instant', '2024-02-29 23:59:59.999999+05'],
      ['timestamp without time zone', 'timestamp', 'timestamp', '2024-02-29 23:59:59.1'],
      ['date', 'date', 'date', '0044-03-15 BC'],
      ['bytea', 'bytea', 'bytes', '\\x00ff'],
      ['boolean', 'bool', 'boolean', 'true'],
      ['uuid', 'uuid', 'uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'],
      ['jsonb', 'jsonb', 'json', '{"b":1.0,"a":[null]}'],
      ['interval', 'interval', 'interval', '1 year -2 days 03:00:00.5'],
      ['text[]', 'text', 'array', '{"a,b",NULL,"NULL"}'],
    ];
    // Roles and databases may set any of these: they must not reach the stream.
    await sql(`ALTER DATABASE ${database} SET datestyle = 'German'; ALTER DATABASE ${database} SET timezone = 'Asia/Tokyo';
      ALTER DATABASE ${database} SET bytea_output = 'escape'; ALTER DATABASE ${database} SET intervalstyle = 'iso_8601';
      ALTER DATABASE ${database} SET extra_float_digits = -5`);
    await sql(`CREATE TABLE kinds (id int PRIMARY KEY, ${values.map(([type], index) => `c${index} ${type}`).join(', ')})`);
    const columns = values.map(([type, base, valueClass], index) => columnOf(`c${index}`, type, valueClass, base, type.endsWith('[]')));
    const kinds = pairOf('kinds', [columnOf('id', 'integer', 'integer', 'int4'), ...columns]);
    const { listening } = await start(new Listening(), make([items, kinds]));
    await sql(`INSERT INTO kinds VALUES (1, ${values.map(([type, , , value]) => `'${value}'::${type}`).join(', ')})`);
    await until(listening, 1);
    const pinned = `SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET bytea_output = 'hex'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1;`;
    const read = await sql(`${pinned} SELECT ${values.map((_, index) => `c${index}::text AS c${index}`).join(', ')} FROM kinds`);
    const expected = columns.map((column) => canonicalFromText(column.valueClass, column.old.type, String(read[0]?.[column.name])));
    expect(listening.changes[0]?.image).toEqual(['1', ...expected]);
  });
});

describe('going on', () => {
  test('after a stop nothing is lost and nothing repeated', async () => {
    const first = await start();
    await sql('INSERT INTO items VALUES (1)');
    await until(first.listening, 1);
    await sql('INSERT INTO items VALUES (2)');
    await until(first.listening, 2);
    await first.stop();
    await sql('INSERT INTO items VALUES (3)');
    const second = await start(new Listening(first.listening.offset));
    await sql('INSERT INTO items VALUES (4)');
    await until(second.listening, 2);
    expect(second.listening.told).toEqual(['create 3', 'create 4']);
    expect(second.listening.gaps).toEqual([]);
    expect(first.listening.assignments.at(-1)).toBe(`-postgres:s_${database}/0`);
  });

  test('what was not acknowledged is told again, what was is forgotten by the primary', async () => {
    const first = await start();
    await sql('INSERT INTO items VALUES (1)');
    await until(first.listening, 1);
    const afterFirst = first.listening.offset as string;
    await first.source.acknowledge(new Map([[`postgres:s_${database}/0`, afterFirst], ['other/0', '99999999999999']]));
    await expect.poll(confirmed).toBe(BigInt(afterFirst));
    await sql('INSERT INTO items VALUES (2)');
    await until(first.listening, 2);
    await first.stop();
    expect(await confirmed()).toBe(BigInt(afterFirst));
    const second = await start(new Listening(afterFirst));
    await until(second.listening, 1);
    expect(second.listening.told).toEqual(['create 2']);
    await second.stop();
    // A fresh reader begins where the slot is.
    const third = await start();
    await until(third.listening, 1);
    expect(third.listening.told).toEqual(['create 2']);
  });

  test('an idle stream makes progress, and so does one whose tables are idle', async () => {
    const { listening } = await start();
    await sql('CREATE TABLE elsewhere (id int); INSERT INTO elsewhere SELECT generate_series(1, 1000)');
    const reached = await position();
    await expect.poll(() => BigInt(listening.offset ?? 0), { timeout: 30_000 }).toBeGreaterThanOrEqual(reached);
    expect(listening.batches.every((batch) => batch.completeThroughLsn === BigInt(batch.nextOffset))).toBe(true);
    expect(listening.records).toEqual([]);
  });

  test('an open transaction holds progress at no change of it, and comes whole', async () => {
    const { listening } = await start();
    const { Client } = (await import('pg')).default;
    const client = new Client({ connectionString: server.url(database) });
    await client.connect();
    await client.query('BEGIN');
    await client.query('INSERT INTO items VALUES (1)');
    await sql('INSERT INTO items VALUES (2)');
    const reached = await position();
    await expect.poll(() => BigInt(listening.offset ?? 0), { timeout: 30_000 }).toBeGreaterThanOrEqual(reached);
    expect(listening.told).toEqual(['create 2']);
    await client.query('COMMIT');
    await client.end();
    await until(listening, 2);
    const change = listening.changes[1];
    expect(change?.key).toEqual(['1']);
    expect(BigInt(change?.position.offset ?? 0)).toBeGreaterThanOrEqual(reached);
  });

  test('the end of the server\'s process in mid-stream: run() says so, and the next goes on', async () => {
    const first = await start();
    await sql('INSERT INTO items VALUES (1)');
    await until(first.listening, 1);
    await sql(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 's_${database}'`);
    expect(await first.ended).toMatchObject({ code: 'stream_lost', retry: 'retry' });
    await sql('INSERT INTO items VALUES (2)');
    const second = await start(first.listening);
    await until(second.listening, 2);
    expect(second.listening.told).toEqual(['create 1', 'create 2']);
  });

  test('a crash and a restart of the server lose nothing', async () => {
    const first = await start();
    await sql('INSERT INTO items VALUES (1)');
    await until(first.listening, 1);
    await server.server.kill9();
    expect(await first.ended).toMatchObject({ retry: 'retry' });
    await server.server.start();
    await sql('INSERT INTO items VALUES (2)');
    const second = await start(first.listening);
    await until(second.listening, 2);
    expect(second.listening.told).toEqual(['create 1', 'create 2']);
  });

  test('a listener that waits holds the stream up, within bounds, and gets it all', async () => {
    const { listening, ended } = await start();
    let open: () => void = () => undefined;
    listening.gate = new Promise((settle) => (open = settle));
    const rows = 40;
    for (let id = 0; id < rows; id++) await sql(`INSERT INTO items VALUES (${id}, repeat('x', 2000000))`);
    const sent = async (): Promise<unknown> => (await sql(`SELECT sent_lsn::text AS lsn FROM pg_stat_replication WHERE application_name = 'lockstep-stream'`))[0]?.['lsn'];
    // The server stands still while the listener waits: it has not sent all.
    let before: unknown = null;
    await expect.poll(async () => {
      const now = await sent();
      const standing = now === before;
      before = now;
      return standing;
    }, { interval: 1500, timeout: 60_000 }).toBe(true);
    expect(parseLsn(String(before))).toBeLessThan(await position());
    listening.gate = null;
    open();
    await until(listening, rows);
    expect(listening.changes.map((change) => change.key[0])).toEqual(Array.from({ length: rows }, (_, id) => String(id)));
    expect(await Promise.race([ended, Promise.resolve('running')])).toBe('running');
  });

  test('a slot that was dropped is a gap', async () => {
    const first = await start();
    await sql('INSERT INTO items VALUES (1)');
    await until(first.listening, 1);
    await first.stop();
    const expected = first.listening.offset as string;
    await sql(`SELECT pg_drop_replication_slot('s_${database}'); INSERT INTO items VALUES (2)`);
    const second = await start(new Listening(expected));
    await sql('INSERT INTO items VALUES (3)');
    await until(second.listening, 1);
    expect(second.listening.told).toEqual(['create 3']);
    expect(second.listening.gaps.length).toBe(1);
    expect(second.listening.gaps[0]?.[0]).toBe(expected);
    expect(BigInt(second.listening.gaps[0]?.[1] ?? 0)).toBeGreaterThan(BigInt(expected));
  });

  test('a slot whose log was removed is made anew, and that is a gap', async () => {
    const first = await start();
    await first.stop();
    await sql(`ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'`);
    await sql('SELECT pg_reload_conf()');
    try {
      await expect
        .poll(async () => {
          await sql('CREATE TABLE IF NOT EXISTS noise (t text)');
          await sql(`INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 30000)`);
          await sql('SELECT pg_switch_wal()');
          await sql('CHECKPOINT');
          return (await sql(`SELECT wal_status FROM pg_replication_slots WHERE slot_name = 's_${database}'`))[0]?.['wal_status'];
        }, { timeout: 120_000 })
        .toBe('lost');
    } finally {
      await sql('ALTER SYSTEM RESET max_slot_wal_keep_size');
      await sql('SELECT pg_reload_conf()');
    }
    const second = await start(new Listening(first.listening.offset));
    expect(second.listening.gaps.length).toBe(1);
    await sql('INSERT INTO items VALUES (3)');
    await until(second.listening, 1);
  });

  test('a position beyond the end of the log is another server\'s', async () => {
    const { ended } = run(make(), new Listening(((await position()) + 1_000_000_000n).toString()));
    expect(await ended).toMatchObject({ code: 'stream_history', retry: 'final' });
  });

  test('an error of the listener ends the run with it', async () => {
    const listening = new Listening();
    listening.onBatch = () => Promise.reject(new Error('mine'));
    expect(await run(make(), listening).ended).toMatchObject({ message: 'mine' });
    // And the slot is free at once.
    await start();
  });
});

describe('refusals', () => {
  test('a slot in use', async () => {
    await start();
    expect(await run(make(), new Listening()).ended).toMatchObject({ code: 'slot_in_use', retry: 'retry' });
  });

  test('a slot of another kind', async () => {
    await sql(`SELECT pg_create_logical_replication_slot('s_${database}', 'test_decoding')`);
    expect(await run(make(), new Listening()).ended).toMatchObject({ code: 'slot_mismatch', retry: 'final' });
  });

  test('a publication that lacks a table, or an operation', async () => {
    await sql('CREATE TABLE more (id bigint PRIMARY KEY); CREATE PUBLICATION lockstep FOR TABLE more');
    const error = await run(make(), new Listening()).ended;
    expect(error).toMatchObject({ code: 'publication_incomplete', hint: expect.stringContaining('ADD TABLE "public"."items"') });
    expect(String(error)).toContain('public.items');
    await sql(`DROP PUBLICATION lockstep; CREATE PUBLICATION lockstep FOR ALL TABLES WITH (publish = 'insert')`);
    expect(await run(make(), new Listening()).ended).toMatchObject({ code: 'publication_incomplete' });
  });

  test('a publication that we may not make, and one made for all tables', async () => {
    await sql(`DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN REPLICATION; GRANT SELECT ON items TO reader`);
    const url = new URL(server.url(database));
    url.username = 'reader';
    const options = { url: url.href, slot: `s_${database}`, publication: 'lockstep', pairs: [items], side: 'old' } as const;
    const error = await run(new PgoutputChangeSource(options), new Listening()).ended;
    expect(error).toMatchObject({ code: 'publication_missing', hint: expect.stringContaining('CREATE PUBLICATION "lockstep" FOR TABLE "public"."items"') });
    await sql('CREATE PUBLICATION lockstep FOR ALL TABLES');
    const { listening } = await start(new Listening(), new PgoutputChangeSource(options));
    await sql('INSERT INTO items VALUES (1)');
    await until(listening, 1);
  });

  test('a user without REPLICATION, a server that is not there, a table that is not', async () => {
    await sql(`DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN; CREATE PUBLICATION lockstep FOR ALL TABLES`);
    const url = new URL(server.url(database));
    url.username = 'plain';
    const options = { slot: `s_${database}`, publication: 'lockstep', pairs: [items], side: 'old' } as const;
    expect(await run(new PgoutputChangeSource({ ...options, url: url.href }), new Listening()).ended).toMatchObject({ code: 'stream_refused' });
    expect(await run(new PgoutputChangeSource({ ...options, url: 'postgres://x@127.0.0.1:1/x' }), new Listening()).ended).toMatchObject({
      code: 'stream_lost',
      retry: 'retry',
    });
    expect(await run(make([pairOf('absent', items.columns)]), new Listening()).ended).toMatchObject({ code: 'table_missing' });
  });

  test('a table whose deletes would not tell the key is refused before its users are', async () => {
    await sql('CREATE TABLE loose (id bigint, name text, big text)');
    const error = await run(make([pairOf('loose', items.columns)]), new Listening()).ended;
    expect(error).toMatchObject({ code: 'no_replica_identity', hint: expect.stringContaining('REPLICA IDENTITY FULL') });
    expect(await sql('SELECT 1 FROM pg_publication')).toEqual([]);
    expect(await run(make([pairOf('items', items.columns, [1])]), new Listening()).ended).toMatchObject({ code: 'no_replica_identity' });
    await sql('ALTER TABLE loose REPLICA IDENTITY FULL');
    await start(new Listening(), make([pairOf('loose', items.columns)]));
  });

  test('a table without a key is published only where that leaves its users free to update it', async () => {
    await sql('CREATE TABLE loose (id bigint, name text, big text); CREATE TABLE full_rows (id bigint, name text, big text); ALTER TABLE full_rows REPLICA IDENTITY FULL');
    const { listening } = await start(new Listening(), make([items, pairOf('loose', items.columns, []), pairOf('full_rows', items.columns, [])]));
    expect(await sql('SELECT tablename FROM pg_publication_tables ORDER BY 1')).toEqual([{ tablename: 'full_rows' }, { tablename: 'items' }]);
    await sql(`INSERT INTO loose VALUES (1, 'a', NULL); UPDATE loose SET name = 'b'; INSERT INTO full_rows VALUES (1, 'a', NULL); UPDATE full_rows SET name = 'b'; DELETE FROM full_rows`);
    await until(listening, 3);
    expect(listening.records).toMatchObject(['create', 'update', 'delete'].map((op) => ({ type: 'row', op, key: [], pair: { id: 'public.full_rows' } })));
  });

  test('a signal that came before', async () => {
    await expect(make().run(new Listening(), AbortSignal.abort())).resolves.toBeUndefined();
  });

  test('a stop does not wait for the open transactions that a new slot waits for', async () => {
    const { Client } = (await import('pg')).default;
    const client = new Client({ connectionString: server.url(database) });
    await client.connect();
    await client.query('BEGIN');
    await client.query('INSERT INTO items VALUES (1)');
    const waiting = run(make(), new Listening());
    await expect.poll(async () => (await sql(`SELECT 1 FROM pg_stat_activity WHERE datname = '${database}' AND query LIKE '%pg_create_logical%' AND wait_event_type = 'Lock'`)).length, { timeout: 60_000 }).toBe(1);
    await waiting.stop();
    await client.query('COMMIT');
    await client.end();
  });
});

describe('offsets', () => {
  test('the log\'s end is reached by an idle stream, and subscriptions tell what is applied', async () => {
    const { listening } = await start();
    const slots: string[] = [];
    const offsets = new PostgresPipelineOffsets({ url: server.url(database), slot: `s_${database}`, subscriptionSlots: () => Promise.resolve(slots) });
    try {
      const { signal } = new AbortController();
      const id = `postgres:s_${database}/0`;
      await sql('INSERT INTO items VALUES (1)');
      const end = (await offsets.endOffsets(signal)).get(id) ?? 0n;
      expect(end).toBeGreaterThan(0n);
      await expect.poll(() => BigInt(listening.offset ?? 0), { timeout: 30_000 }).toBeGreaterThanOrEqual(end);
      expect((await offsets.appliedOffsets(signal)).size).toBe(0);
      await sql(`SELECT pg_create_logical_replication_slot('a_${database}', 'pgoutput')`);
      await sql('INSERT INTO items VALUES (2)');
      await sql(`SELECT pg_create_logical_replication_slot('b_${database}', 'pgoutput')`);
      slots.push(`b_${database}`, `a_${database}`);
      const rows = await sql(`SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = 'a_${database}'`);
      expect(formatLsn((await offsets.appliedOffsets(signal)).get(id) ?? 0n)).toBe(rows[0]?.['lsn']);
      slots.push('absent');
      expect((await offsets.appliedOffsets(signal)).size).toBe(0);
    } finally {
      await offsets.close();
    }
  });
});
