import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresDatabase } from '../../../src/databases/postgres/database.ts';
import { rowsSql } from '../../../src/databases/postgres/rows-sql.ts';
import { Sessions } from '../../../src/databases/postgres/session.ts';
import { LockstepError } from '../../../src/domain/errors.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import { encodeValues, keyId } from '../../../src/domain/row.ts';
import type { RowKey } from '../../../src/domain/row.ts';
import type { KeyRange, RowDigest } from '../../../src/verify/ports.ts';
import type { PostgresPair } from '../../stack/postgres-server.ts';
import { startPostgresPair } from '../../stack/postgres-server.ts';
import { pairOf } from './pairs.ts';

const SCHEMA = `
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'glad');
CREATE TABLE public.by_int (id bigint PRIMARY KEY, note text, amount numeric(30,4), at timestamptz, doc jsonb, tags text[]);
CREATE TABLE public.by_uuid (id uuid PRIMARY KEY, v int);
CREATE TABLE public.by_text (id text PRIMARY KEY, v int);
CREATE TABLE public.by_both (tenant int, "order" bigint, mood public.mood, v char(4), PRIMARY KEY (tenant, "order"));
CREATE TABLE public.by_mood (mood public.mood PRIMARY KEY, v int);
CREATE TABLE public.no_key (v int);
CREATE TABLE public.wide (id int PRIMARY KEY);
CREATE VIEW public.a_view AS SELECT 1 AS v;
CREATE TABLE public.parted (id int, day date, v int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE public.parted_1 PARTITION OF public.parted FOR VALUES FROM ('2024-01-01') TO ('2024-06-01');
CREATE TABLE public.parted_2 PARTITION OF public.parted DEFAULT;
CREATE TABLE public.twice (id numeric PRIMARY KEY, v int);
CREATE ROLE reader LOGIN;
INSERT INTO public.by_int SELECT i, CASE WHEN i % 5 = 0 THEN NULL ELSE 'note ' || i END, i * 1.5, timestamptz '2024-01-01 00:00:00.000001+00' + (i % 100000) * interval '1 min', jsonb_build_object('i', i), ARRAY['a', NULL, 'b' || i]
  FROM (SELECT generate_series(1, 20000) UNION ALL SELECT generate_series(9007199254740990, 9007199254741000)) s(i);
INSERT INTO public.by_uuid SELECT md5(i::text)::uuid, i FROM generate_series(1, 5000) i;
INSERT INTO public.by_text SELECT CASE WHEN i % 2 = 0 THEN 'a' ELSE 'B' END || '_é-' || i, i FROM generate_series(1, 5000) i;
INSERT INTO public.by_both SELECT i % 7, 9007199254740990 + i, (ARRAY['sad','ok','glad']::public.mood[])[1 + i % 3], 'x' || i % 5 FROM generate_series(1, 5000) i;
INSERT INTO public.parted SELECT i, date '2024-01-01' + i, i FROM generate_series(1, 300) i;
INSERT INTO public.by_mood VALUES ('sad', 1), ('glad', 2);
ANALYZE;`;

const FOREVER = new AbortController().signal;
const ALL: KeyRange = { from: null, to: null };
const path = 'portable';

let servers: PostgresPair;
let old: PostgresDatabase;
let neu: PostgresDatabase;

beforeAll(async () => {
  servers = await startPostgresPair({ database: 'app' });
  await servers.old.query(SCHEMA);
  await servers.new.query(SCHEMA);
  await servers.new.query('ALTER TABLE public.wide ALTER id TYPE bigint; INSERT INTO public.wide VALUES (5), (5000000000)');
  old = new PostgresDatabase({ side: 'old', url: servers.old.url(), pool: 3 });
  neu = new PostgresDatabase({ side: 'new', url: servers.new.url(), pool: 3 });
});
afterAll(async () => {
  await Promise.allSettled([old?.close(), neu?.close()]);
  await servers?.stop();
});

async function readOne(pair: Pair, key: RowKey): Promise<readonly (string | null)[] | null> {
  const read = await old.readRows(pair, [key], FOREVER);
  return read.rows.get(keyId(key))?.row ?? null;
}

describe('how a database is doing', () => {
  it('counts those who wait because of our reads, and no others', async () => {
    const sessions = ['lockstep', 'app', 'app'].map((application_name) => new pg.Client({ connectionString: servers.old.url(), application_name }));
    const [ours, altering, reading] = sessions as [pg.Client, pg.Client, pg.Client];
    await Promise.all(sessions.map((session) => session.connect()));
    try {
      await ours.query('BEGIN; SELECT count(*) FROM public.by_uuid');
      expect(await old.pressure(FOREVER)).toEqual({ lockWaits: 0, activeSessions: 0, standbyLagMs: 0 });
      const alter = altering.query('ALTER TABLE public.by_uuid ADD COLUMN IF NOT EXISTS v int');
      await expect.poll(() => old.pressure(FOREVER)).toMatchObject({ lockWaits: 1, activeSessions: 1 });
      const read = reading.query('SELECT count(*) FROM public.by_uuid');
      await expect.poll(() => old.pressure(FOREVER)).toMatchObject({ activeSessions: 2 });
      expect((await old.pressure(FOREVER)).lockWaits).toBe(1);
      await ours.query('COMMIT');
      await Promise.all([alter, read]);
      expect(await old.pressure(FOREVER)).toMatchObject({ lockWaits: 0, activeSessions: 0 });
      await altering.query('BEGIN; LOCK TABLE public.by_uuid');
      const beside = reading.query('SELECT count(*) FROM public.by_uuid');
      await expect.poll(() => old.pressure(FOREVER)).toMatchObject({ activeSessions: 1 });
      expect((await old.pressure(FOREVER)).lockWaits).toBe(0);
      await altering.query('COMMIT');
      await beside;
    } finally {
      await Promise.all(sessions.map((session) => session.end()));
    }
  });
});

describe('rows by key', () => {
  it('reads integers beyond 2^53, and when they were committed', async () => {
    const pair = await pairOf(old, neu, 'by_int');
    const keys: RowKey[] = [['9007199254740993'], ['7'], ['123456789012']];
    const read = await old.readRows(pair, keys, FOREVER);
    expect([...read.rows.keys()].sort()).toEqual(['7', '9007199254740993']);
    expect(read.rows.get('9007199254740993')?.row.slice(0, 3)).toEqual(['9007199254740993', 'note 9007199254740993', '13510798882111489.5']);
    expect(read.rows.get('7')?.row).toEqual(['7', 'note 7', '10.5', '2024-01-01 00:07:00.000001+00', '{"i":7}', '{"a",NULL,"b7"}']);
    const { committedAtUs } = read.rows.get('7') ?? {};
    expect(committedAtUs).toBeTypeOf('bigint');
    expect(committedAtUs as bigint).toBeLessThan(read.readAtUs);
    expect((await old.clock(FOREVER)).databaseUs).toBeGreaterThan(read.readAtUs);
  });

  it('reads by uuid, text, composite and enum keys', async () => {
    const uuids = await pairOf(old, neu, 'by_uuid');
    expect(await readOne(uuids, ['c4ca4238-a0b9-2382-0dcc-509a6f75849b'])).toEqual(['c4ca4238-a0b9-2382-0dcc-509a6f75849b', '1']);
    expect(await readOne(await pairOf(old, neu, 'by_text'), ['a_é-4'])).toEqual(['a_é-4', '4']);
    expect(await readOne(await pairOf(old, neu, 'by_both'), ['1', '9007199254740991'])).toEqual(['1', '9007199254740991', 'ok', 'x1']);
    const moods = await pairOf(old, neu, 'by_mood');
    expect(await readOne(moods, ['glad'])).toEqual(['glad', '2']);
    expect(await readOne(moods, ['no such label'])).toBeNull();
  });

  it('finds nothing, and fails nothing, for a key that one side cannot hold', async () => {
    const pair = await pairOf(old, neu, 'wide');
    const keys: RowKey[] = [['5'], ['5000000000'], ['99999999999999999999']];
    expect((await old.readRows(pair, keys, FOREVER)).rows.size).toBe(0);
    expect((await neu.readRows(pair, keys, FOREVER)).rows.size).toBe(2);
  });

  it('reads partitioned tables, commit times included', async () => {
    const pair = await pairOf(old, neu, 'parted');
    const read = await old.readRows(pair, [['1', '2024-01-02'], ['300', '2024-10-27'], ['300', '2024-10-28']], FOREVER);
    expect([...read.rows.values()].map(({ row }) => row)).toEqual([['1', '2024-01-02', '1'], ['300', '2024-10-27', '300']]);
    expect([...read.rows.values()].every(({ committedAtUs }) => committedAtUs !== null)).toBe(true);
    expect(await neu.digest(pair, ALL, path, FOREVER)).toEqual(await old.digest(pair, ALL, path, FOREVER));
    expect((await old.readRows(pair, [], FOREVER)).rows.size).toBe(0);
  });

  it('reads frozen rows', async () => {
    await servers.old.query('VACUUM FREEZE public.by_both');
    expect(await readOne(await pairOf(old, neu, 'by_both'), ['1', '9007199254740991'])).toEqual(['1', '9007199254740991', 'ok', 'x1']);
  });

  it('reads an integer key that is numeric on the other side', async () => {
    await servers.new.query('INSERT INTO public.twice VALUES (1.50, 1), (2.00, 2)');
    await servers.old.query('ALTER TABLE public.twice ALTER id TYPE int; INSERT INTO public.twice VALUES (2, 2)');
    const pair = await pairOf(old, neu, 'twice');
    const keys: RowKey[] = [['1.5'], ['2']];
    expect([...(await old.readRows(pair, keys, FOREVER)).rows.values()].map(({ row }) => row)).toEqual([['2', '2']]);
    expect([...(await neu.readRows(pair, keys, FOREVER)).rows.values()].map(({ row }) => row)).toEqual([['1.5', '1'], ['2', '2']]);
    const range: KeyRange = { from: ['1.6'], to: null };
    expect(await old.digest(pair, range, path, FOREVER)).toEqual(await neu.digest(pair, range, path, FOREVER));
    expect((await neu.digest(pair, { from: null, to: ['1.6'] }, path, FOREVER)).rows).toBe(1n);
  });

  it('tells by marks alone which rows were changed, came or went', async () => {
    for (const server of [servers.old, servers.new]) await server.query(`CREATE TABLE public.marked (id int PRIMARY KEY, v text, w numeric); INSERT INTO public.marked SELECT i, 'v', i FROM generate_series(1, 5) i`);
    const pair = await pairOf(old, neu, 'marked');
    const keys: RowKey[] = ['1', '2', '3', '4', '5', '6'].map((id) => [id]);
    const before = await old.readMarks(pair, keys, FOREVER);
    const read = await old.readRows(pair, keys, FOREVER, true);
    expect(new Map([...read.rows].map(([id, { mark }]) => [id, mark]))).toEqual(before);
    expect((await old.readRows(pair, keys, FOREVER)).rows.get('1')?.mark).toBeNull();
    await servers.old.query(`UPDATE public.marked SET v = NULL WHERE id = 2; UPDATE public.marked SET w = -w WHERE id = 3; UPDATE public.marked SET v = 'v' WHERE id = 4;
      DELETE FROM public.marked WHERE id = 5; INSERT INTO public.marked VALUES (6)`);
    const after = await old.readMarks(pair, keys, FOREVER);
    expect(keys.filter(([id = '']) => after?.get(id) !== before?.get(id)).flat()).toEqual(['2', '3', '5', '6']);
    expect([...(after?.keys() ?? [])].toSorted()).toEqual(['1', '2', '3', '4', '6']);
    const near = await pairOf(old, neu, 'marked', { columns: { w: { tolerance: '0.1' } } });
    expect(await old.readMarks(near, keys, FOREVER)).toBeNull();
  });

  it('applies the row filter', async () => {
    const pair = await pairOf(old, neu, 'by_int', { where: { old: 'id % 2 = 0 -- even' } });
    const read = await old.readRows(pair, [['7'], ['8']], FOREVER);
    expect([...read.rows.keys()]).toEqual(['8']);
    expect((await old.digest(pair, ALL, path, FOREVER)).rows).toBe(10_006n);
  });

  it('uses the index for integers, uuids, text and composite keys', async () => {
    for (const name of ['by_int', 'by_uuid', 'by_text', 'by_both']) {
      const pair = await pairOf(old, neu, name);
      const arrays = pair.key.map((position) => (name === 'by_uuid' ? `ARRAY['c4ca4238-a0b9-2382-0dcc-509a6f75849b']` : `ARRAY['${position + 1}']`));
      const sql = arrays.reduceRight((text, array, index) => text.replace(`$${index + 1}::text[]`, `${array}::text[]`), rowsSql(pair, 'old', true, true));
      const plan = (await servers.old.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql}`)).map((row) => row['QUERY PLAN']).join('\n');
      expect(plan).toContain(`Index Scan using ${name}_pkey`);
      expect(plan).not.toContain('Seq Scan');
    }
  });
});

describe('digests', () => {
  it('agree while the rows do, and change with any value', async () => {
    for (const name of ['by_int', 'by_uuid', 'by_text', 'by_both', 'by_mood']) {
      const pair = await pairOf(old, neu, name);
      expect(await neu.digest(pair, ALL, path, FOREVER)).toEqual(await old.digest(pair, ALL, path, FOREVER));
    }
    const pair = await pairOf(old, neu, 'by_int');
    const before = await old.digest(pair, ALL, path, FOREVER);
    const sums = new Set([before.sum]);
    const changes = [`note = NULL`, `note = ''`, `note = '~'`, `amount = amount + 0.0001`, `at = at + interval '1 microsecond'`, `doc = '{"i": "9"}'`, `tags = '{}'`, `tags = NULL`];
    for (const change of changes) {
      await servers.new.query(`UPDATE public.by_int SET ${change} WHERE id = 9`);
      const after = await neu.digest(pair, ALL, path, FOREVER);
      expect(after.rows).toBe(before.rows);
      expect(sums.has(after.sum), change).toBe(false);
      sums.add(after.sum);
      await servers.new.query(`DELETE FROM public.by_int WHERE id = 9; INSERT INTO public.by_int SELECT 9, 'note 9', 13.5, timestamptz '2024-01-01 00:09:00.000001+00', '{"i":9}', ARRAY['a', NULL, 'b9']`);
      expect(await neu.digest(pair, ALL, path, FOREVER)).toEqual(before);
    }
  });

  it('do not cancel when two rows swap a value', async () => {
    const pair = await pairOf(old, neu, 'by_uuid');
    await servers.new.query('BEGIN; UPDATE public.by_uuid SET v = 3 - v WHERE v IN (1, 2); COMMIT');
    expect(await neu.digest(pair, ALL, path, FOREVER)).not.toEqual(await old.digest(pair, ALL, path, FOREVER));
    await servers.new.query('BEGIN; UPDATE public.by_uuid SET v = 3 - v WHERE v IN (1, 2); COMMIT');
  });

  it('cut into half-open chunks that miss no row and count none twice', async () => {
    for (const name of ['by_int', 'by_uuid', 'by_text', 'by_both', 'by_mood']) {
      const pair = await pairOf(old, neu, name);
      const whole = await old.digest(pair, ALL, path, FOREVER);
      let rows = 0n;
      let sum = 0n;
      let from: RowKey | null = null;
      const seen: RowDigest[] = [];
      do {
        const to: RowKey | null = await old.keyAfter(pair, { from, to: null }, 1777, FOREVER);
        for (const side of [old, neu]) {
          const digest = await side.digest(pair, { from, to }, path, FOREVER);
          if (side === old) {
            rows += digest.rows;
            sum += BigInt(digest.sum);
          }
          expect(digest).toEqual(await old.digest(pair, { from, to }, path, FOREVER));
        }
        seen.push(...(await old.rowDigests(pair, { from, to }, 2000, path, FOREVER)));
        from = to;
      } while (from !== null);
      expect({ rows, sum: sum.toString() }).toEqual({ rows: whole.rows, sum: whole.sum });
      expect(new Set(seen.map((row) => encodeValues(row.key))).size).toBe(Number(whole.rows));
      expect(seen.reduce((total, row) => total + BigInt(row.digest), 0n).toString()).toBe(whole.sum);
    }
  });

  it('take bounds that only the other side can hold', async () => {
    const pair = await pairOf(old, neu, 'wide');
    const range: KeyRange = { from: ['6'], to: ['5000000001'] };
    expect((await old.digest(pair, range, path, FOREVER)).rows).toBe(0n);
    expect((await neu.digest(pair, range, path, FOREVER)).rows).toBe(1n);
  });
});

describe('what a database says of itself', () => {
  it('describes tables: domains, arrays, modifiers, key order', async () => {
    const table = await old.describeTable({ schema: 'public', name: 'by_both' });
    expect(table?.primaryKey).toEqual(['tenant', 'order']);
    expect(table?.columns.map((column) => [column.name, column.type.formatted, column.type.base, column.type.kind, column.nullable])).toEqual([
      ['tenant', 'integer', 'int4', 'base', false],
      ['order', 'bigint', 'int8', 'base', false],
      ['mood', 'public.mood', 'mood', 'enum', true],
      ['v', 'character(4)', 'bpchar', 'base', true],
    ]);
    expect(table?.columns[3]?.type.length).toBe(4);
    const amounts = await old.describeTable({ schema: 'public', name: 'by_int' });
    expect(amounts?.columns[2]?.type).toMatchObject({ precision: 30, scale: 4, array: false });
    expect(amounts?.columns[5]?.type).toMatchObject({ formatted: 'text[]', base: 'text', array: true });
    expect(await old.describeTable({ schema: 'public', name: 'nowhere' })).toBeNull();
    await expect(old.describeTable({ schema: 'public', name: 'a_view' })).rejects.toMatchObject({ code: 'not_a_table' });
  });

  it('describes unique indexes of plain columns and whole tables, and which of them is the replica identity', async () => {
    await servers.old.query(`CREATE TABLE public.unique_ways (a int NOT NULL, b text NOT NULL, c int UNIQUE, d int UNIQUE DEFERRABLE, e int PRIMARY KEY);
      CREATE UNIQUE INDEX ways_both ON public.unique_ways (b, a) INCLUDE (c);
      CREATE UNIQUE INDEX ways_part ON public.unique_ways (a) WHERE a > 0;
      CREATE UNIQUE INDEX ways_lower ON public.unique_ways (lower(b));
      ALTER TABLE public.unique_ways REPLICA IDENTITY USING INDEX ways_both`);
    const table = await old.describeTable({ schema: 'public', name: 'unique_ways' });
    expect(table).toMatchObject({ primaryKey: ['e'], replicaIdentity: 'index' });
    expect(table?.uniqueIndexes).toEqual([
      { name: 'unique_ways_c_key', columns: ['c'], isReplicaIdentity: false },
      { name: 'ways_both', columns: ['b', 'a'], isReplicaIdentity: true },
    ]);
  });

  it('knows its clock, its log and its slots', async () => {
    expect((await old.serverVersion()).number).toBeGreaterThan(130_000);
    expect(await old.trackCommitTimestamp()).toBe(true);
    const clock = await old.clock(FOREVER);
    expect(clock.receivedUs - clock.sentUs).toBeGreaterThanOrEqual(0n);
    await servers.old.query(`SELECT pg_create_logical_replication_slot('one', 'pgoutput')`);
    const log = await old.logProgress(FOREVER);
    expect(log.slots).toEqual([expect.objectContaining({ name: 'one', plugin: 'pgoutput', active: false, readerPid: null })]);
    expect(log.insertLsn).toBeGreaterThanOrEqual(log.slots[0]?.confirmedFlushLsn ?? 0n);
    expect((await neu.logProgress(FOREVER)).slots).toEqual([]);
    expect(log.slots[0]).toMatchObject({ walStatus: 'reserved', safeWalBytes: null });
    expect(log.slots[0]?.restartLsn ?? 0n).toBeGreaterThan(0n);
    expect(log.slotWalLimitBytes).toBeNull();
    await servers.old.query(`ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'`);
    await servers.old.query('SELECT pg_reload_conf()');
    await expect.poll(async () => (await old.logProgress(FOREVER)).slotWalLimitBytes).toBe(67_108_864n);
    expect((await old.logProgress(FOREVER)).slots[0]?.safeWalBytes ?? 0n).toBeGreaterThan(0n);
    await servers.old.query('ALTER SYSTEM RESET max_slot_wal_keep_size');
    await servers.old.query('SELECT pg_reload_conf()');
    expect(await old.subscriptionSlots(FOREVER)).toEqual([]);
    await servers.new.query(`CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 dbname=none' PUBLICATION p WITH (connect = false, slot_name = 'fed')`);
    expect(await neu.subscriptionSlots(FOREVER)).toEqual(['fed']);
    await servers.new.query(`ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s`);
  });

  it('estimates rows', async () => {
    expect(await old.estimateRows(await pairOf(old, neu, 'by_int'), FOREVER)).toBe(20_011n);
  });
});

describe('sessions', () => {
  it('start no parallel workers and compile nothing, whatever the server does by default', async () => {
    const sessions = new Sessions({ side: 'old', url: servers.old.url(), pool: 1 });
    try {
      const settings = await sessions.query(`SELECT current_setting('max_parallel_workers_per_gather'), current_setting('jit'), current_setting('default_transaction_read_only')`, [], null);
      expect(settings).toEqual([['0', 'off', 'on']]);
    } finally {
      await sessions.close();
    }
  });
});

describe('when it cannot', () => {
  it('writes nothing', async () => {
    const pair = await pairOf(old, neu, 'by_mood', { where: { old: `set_config('x.y', nextval('public.nowhere')::text, false) IS NULL` } });
    await expect(old.digest(pair, ALL, path, FOREVER)).rejects.toBeInstanceOf(LockstepError);
    await servers.old.query('CREATE SEQUENCE public.s');
    const writing = await pairOf(old, neu, 'by_mood', { where: { old: `nextval('public.s') > 0` } });
    await expect(old.digest(writing, ALL, path, FOREVER)).rejects.toThrow(/read-only/);
  });

  it('says so with a code, the side and the table', async () => {
    const reader = new PostgresDatabase({ side: 'old', url: servers.old.url().replace('postgres@', 'reader@'), pool: 1 });
    const pair = await pairOf(old, neu, 'by_mood');
    await expect(reader.digest(pair, ALL, path, FOREVER)).rejects.toMatchObject({ code: 'permission_denied', retry: 'final', about: { side: 'old', table: 'public.by_mood' } });
    expect(await reader.subscriptionSlots(FOREVER)).toEqual([]);
    expect((await reader.logProgress(FOREVER)).insertLsn).toBeGreaterThan(0n);
    await reader.close();
    await servers.old.query('ALTER TABLE public.by_mood RENAME TO elsewhere');
    await expect(old.digest(pair, ALL, path, FOREVER)).rejects.toMatchObject({ code: 'table_missing' });
    await servers.old.query('ALTER TABLE public.elsewhere RENAME TO by_mood');
    const nowhere = new PostgresDatabase({ side: 'new', url: 'postgres://postgres:secret@127.0.0.1:1/app', pool: 1 });
    const failure = await nowhere.clock(FOREVER).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'database_unreachable', retry: 'retry' });
    expect(String(failure)).not.toContain('secret');
    await nowhere.close();
  });

  it('gives up slow statements, and aborted ones at once', async () => {
    const pair = await pairOf(old, neu, 'by_mood', { where: { old: 'pg_sleep(60) IS NOT NULL' } });
    const hasty = new PostgresDatabase({ side: 'old', url: servers.old.url(), pool: 2, statementTimeoutMs: 200 });
    await expect(hasty.digest(pair, ALL, path, FOREVER)).rejects.toMatchObject({ code: 'statement_timeout' });
    await hasty.close();
    const abort = new AbortController();
    const running = old.digest(pair, ALL, path, abort.signal);
    await expect.poll(async () => (await servers.old.query(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'lockstep' AND query LIKE '%pg_sleep(60)%'`)).length).toBe(1);
    abort.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    await expect
      .poll(async () => (await servers.old.query(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'lockstep' AND state = 'active' AND query LIKE '%pg_sleep(60)%'`)).length)
      .toBe(0);
  });

  it('reads on when commit times are no longer kept', async () => {
    const pair = await pairOf(old, neu, 'by_mood');
    expect((await neu.readRows(pair, [['sad']], FOREVER)).rows.get('sad')?.committedAtUs).toBeTypeOf('bigint');
    await servers.new.query('ALTER SYSTEM SET track_commit_timestamp = off');
    await servers.new.restart();
    await expect.poll(() => neu.clock(FOREVER).then(() => true, () => false)).toBe(true);
    expect((await neu.readRows(pair, [['sad']], FOREVER)).rows.get('sad')).toMatchObject({ row: ['sad', '1'], committedAtUs: null });
  });
});
