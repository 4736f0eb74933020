import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresDatabase } from '../../../src/databases/postgres/database.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import { keyId, type RowKey } from '../../../src/domain/row.ts';
import type { DigestPath } from '../../../src/domain/status.ts';
import type { Digest, KeyRange } from '../../../src/verify/ports.ts';
import { planChunks } from '../../../src/verify/sweep-plan.ts';
import type { PostgresPair } from '../../stack/postgres-server.ts';
import { startPostgresPair } from '../../stack/postgres-server.ts';
import { pairOf } from './pairs.ts';

const FOREVER = new AbortController().signal;
const ALL: KeyRange = { from: null, to: null };
const PATHS: readonly DigestPath[] = ['fast', 'client', 'portable'];

let servers: PostgresPair;
let old: PostgresDatabase;
let neu: PostgresDatabase;

beforeAll(async () => {
  servers = await startPostgresPair({ database: 'app' });
  // Labels and other types of one's own get other numbers on the two servers.
  await servers.new.query('CREATE TYPE public.unused AS ENUM (); CREATE TABLE public.unused_too (v int)');
  for (const server of [servers.old, servers.new]) await server.query(`CREATE TYPE public.mood AS ENUM ('sad', 'ok')`);
  old = new PostgresDatabase({ side: 'old', url: servers.old.url(), pool: 2 });
  neu = new PostgresDatabase({ side: 'new', url: servers.new.url(), pool: 2 });
});
afterAll(async () => {
  await Promise.allSettled([old?.close(), neu?.close()]);
  await servers?.stop();
});

let tables = 0;

/** Two tables of one shape with these rows, and their pair. */
async function twoTables(columns: string, oldRows: readonly string[], newRows: readonly string[]): Promise<Pair> {
  const table = `digested_${tables++}`;
  for (const [server, rows] of [[servers.old, oldRows], [servers.new, newRows]] as const) {
    await server.query(`CREATE TABLE public.${table} (${columns})`);
    for (const row of rows) await server.query(`INSERT INTO public.${table} VALUES (${row})`);
  }
  return pairOf(old, neu, table);
}

function sameDigest(left: Digest, right: Digest): boolean {
  return left.rows === right.rows && left.sum === right.sum;
}

/** On which paths the whole tables' digests are the same. */
async function equalOn(pair: Pair): Promise<DigestPath[]> {
  const equal: DigestPath[] = [];
  for (const path of PATHS) if (sameDigest(await old.digest(pair, ALL, path, FOREVER), await neu.digest(pair, ALL, path, FOREVER))) equal.push(path);
  return equal;
}

/** A key's value that no row has, of the same type. */
function another(value: string): string {
  if (/^[-0-9a-f]{36}$/.test(value)) return value.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
  return /^-?[0-9]+$/.test(value) ? `77${value.replace('-', '')}` : `${value}9`;
}

const COUNTED = 'id int PRIMARY KEY, a int, b int';
const DOUBLES = 'id int PRIMARY KEY, a float8, b float8';

describe('digests of any path', () => {
  it('both servers answer the probe alike', async () => {
    const fingerprint = await old.hashFingerprint(FOREVER);
    expect(fingerprint).toMatch(/^(?:-?\d+ ){50,}-?\d+$/);
    expect(await neu.hashFingerprint(FOREVER)).toBe(fingerprint);
  });

  it('are equal for equal rows, whatever their order and place', async () => {
    const rows = ['1, 1, 2', '2, NULL, 2', '3, 2, NULL'];
    expect(await equalOn(await twoTables(COUNTED, rows, rows.toReversed()))).toEqual(PATHS);
    const moods = [`1, 'sad', '{sad,ok}'`, `2, 'ok', NULL`];
    expect(await equalOn(await twoTables('id int PRIMARY KEY, v public.mood, w public.mood[]', moods, moods))).toEqual(PATHS);
  });

  it('of rows picked by key are equal where the rows are, on each path and for each kind of key', async () => {
    const pair = await twoTables('a text, b int, v numeric, PRIMARY KEY (a, b)', [`'x', 1, 1.5`, `'y', 1, 2`, `'z', 1, 3`], [`'x', 1, 1.5`, `'y', 1, 2.1`, `'w', 1, 1`]);
    const keys = [['x', '1'], ['y', '1'], ['z', '1'], ['w', '1'], ['none', '7'], ['x\0', '1'], ['x', '99999999999999999999']];
    for (const path of PATHS) {
      const [left, right] = [await old.keyDigests(pair, keys, path, FOREVER), await neu.keyDigests(pair, keys, path, FOREVER)];
      const differing = keys.filter((key) => left.get(keyId(key)) !== right.get(keyId(key)));
      expect(differing).toEqual([['y', '1'], ['z', '1'], ['w', '1']]);
      expect([left.size, right.size]).toEqual([3, 3]);
    }
  });

  it.each<[string, string, (i: string) => string, (i: number) => string[], KeyRange]>([
    ['whole numbers', 'id int8 PRIMARY KEY, v int', (i) => `${i} - 20`, (i) => [String(i - 20)], { from: ['-5'], to: ['12'] }],
    ['texts', 'id text PRIMARY KEY, v int', (i) => `'k' || ${i}`, (i) => [`k${i}`], { from: ['k15'], to: ['k30'] }],
    ['uuids', 'id uuid PRIMARY KEY, v int', (i) => `md5(${i}::text)::uuid`, () => [], { from: ['40000000-0000-0000-0000-000000000000'], to: ['c0000000-0000-0000-0000-000000000000'] }],
    ['labels', 'id public.mood, n int, v int, PRIMARY KEY (n, id)', (i) => `CASE WHEN ${i} % 2 = 0 THEN 'sad' ELSE 'ok' END::public.mood, ${i}`, (i) => [String(i), i % 2 === 0 ? 'sad' : 'ok'], { from: ['7'], to: ['30'] }],
    ['several columns, without an end', 'a int, b text, v int, PRIMARY KEY (a, b)', (i) => `${i} % 3, 'it''s ' || ${i}`, (i) => [String(i % 3), `it's ${i}`], { from: ['1', `it's 2`], to: null }],
  ])('with rows apart are those of the others and of each, for %s', async (_what, columns, keySql, keyOf, range) => {
    const pair = await twoTables(columns, [], []);
    for (const server of [servers.old, servers.new]) await server.query(`INSERT INTO public.${pair.old.name} SELECT ${keySql('i')}, i FROM generate_series(1, 40) i`);
    // Two rows differ, one of them is apart.
    await servers.new.query(`UPDATE public.${pair.old.name} SET v = -v WHERE v IN (20, 25)`);
    for (const path of PATHS) {
      const all = await old.rowDigests(pair, ALL, 100, path, FOREVER);
      const within = await old.rowDigests(pair, range, 100, path, FOREVER);
      expect([all.length, within.length > 3 && within.length < 40]).toEqual([40, true]);
      const digestOf = new Map(within.map(({ key, digest }) => [keyId(key), digest]));
      const known = keyOf(20).length > 0 ? [keyOf(20), keyOf(1), keyOf(40)] : [all[0]?.key, all[20]?.key, all[39]?.key].map((key) => key as RowKey);
      for (const keys of [known, [...known, ...known.map((key) => key.map(another))], all.map(({ key }) => key), []]) {
        const told = await old.digestApart(pair, range, keys, path, FOREVER);
        const inside = keys.map(keyId).filter((id) => digestOf.has(id));
        expect(told.apart).toEqual(new Map(inside.map((id) => [id, digestOf.get(id)])));
        expect(await old.keyDigests(pair, keys, path, FOREVER, range)).toEqual(told.apart);
        const whole = await old.digest(pair, range, path, FOREVER);
        const sum = [...told.apart.values()].reduce((total, digest) => total - BigInt(digest), BigInt(whole.sum));
        expect(told.rest).toEqual({ rows: whole.rows - BigInt(told.apart.size), sum: sum.toString() });
      }
      if (keyOf(20).length === 0) continue;
      const alike = async (keys: readonly RowKey[]): Promise<boolean> => {
        const [left, right] = [await old.digestApart(pair, range, keys, path, FOREVER), await neu.digestApart(pair, range, keys, path, FOREVER)];
        return sameDigest(left.rest, right.rest);
      };
      expect([path, await alike([keyOf(20)]), await alike([keyOf(25)]), await alike([keyOf(20), keyOf(25)])]).toEqual([path, false, false, true]);
    }
  });

  it('with rows apart see one moment of the rest and of those', async () => {
    const pair = await twoTables('id int PRIMARY KEY, v int', [], []);
    const name = `public.${pair.old.name}`;
    await servers.old.query(`INSERT INTO ${name} SELECT i, 0 FROM generate_series(1, 2000) i`);
    const writes = servers.old.query(`DO $$ BEGIN FOR n IN 1..150 LOOP UPDATE ${name} SET v = n WHERE id IN (7, 1500); COMMIT; END LOOP; END $$`);
    const rests = new Map<DigestPath, Digest>();
    for (let look = 0; look < 40; look++) {
      const path = PATHS[look % PATHS.length] as DigestPath;
      const { rest } = await old.digestApart(pair, ALL, [['7'], ['1500']], path, FOREVER);
      expect(rest).toEqual(rests.get(path) ?? rest);
      rests.set(path, rest);
    }
    await writes;
  });

  it('the shape of a table changes when it is altered, truncated or rewritten, and not when rows change', async () => {
    const pair = await twoTables(COUNTED, ['1, 1, 1'], []);
    const shapes = [await old.shape(pair, FOREVER)];
    await servers.old.query(`UPDATE public.${pair.old.name} SET a = 2`);
    expect(await old.shape(pair, FOREVER)).toBe(shapes[0]);
    for (const statement of ['ALTER TABLE # ADD c int', 'ALTER TABLE # ALTER c TYPE int8', 'TRUNCATE #']) {
      await servers.old.query(statement.replace('#', `public.${pair.old.name}`));
      shapes.push(await old.shape(pair, FOREVER));
    }
    expect(new Set(shapes).size).toBe(4);
  });

  it.each<[string, string, readonly string[], readonly string[]]>([
    ['values swapped between two rows', COUNTED, ['1, 10, 0', '2, 20, 0'], ['1, 20, 0', '2, 10, 0']],
    ['values swapped between two columns', COUNTED, ['1, 10, 20'], ['1, 20, 10']],
    ['values swapped between rows and columns', COUNTED, ['1, 10, 20', '2, 30, 40'], ['1, 40, 30', '2, 20, 10']],
    ['two rows that differ alike', COUNTED, ['1, 1, 1', '2, 1, 1'], ['1, 2, 2', '2, 2, 2']],
    ['a NULL in another column', COUNTED, ['1, NULL, 5'], ['1, 5, NULL']],
    ['NULL and 0', COUNTED, ['1, NULL, 5'], ['1, 0, 5']],
    ['NULL and an empty text', 'id int PRIMARY KEY, v text', ['1, NULL'], [`1, ''`]],
    ['NULL and an empty bytea', 'id int PRIMARY KEY, v bytea', ['1, NULL'], [`1, ''`]],
    ['NULL and false', 'id int PRIMARY KEY, v bool', ['1, NULL'], ['1, false']],
    ['NULL and the nil uuid', 'id int PRIMARY KEY, v uuid', ['1, NULL'], [`1, '00000000-0000-0000-0000-000000000000'`]],
    ['texts cut elsewhere', 'id int PRIMARY KEY, a text, b text', [`1, 'ab', 'c'`], [`1, 'a', 'bc'`]],
    ['a NULL array and an empty one', 'id int PRIMARY KEY, v int[]', ['1, NULL'], [`1, '{}'`]],
    ['shapes of an array', 'id int PRIMARY KEY, v int[]', [`1, '{{1,2},{3,4}}'`], [`1, '{1,2,3,4}'`]],
    ['lower bounds of an array', 'id int PRIMARY KEY, v int[]', [`1, '[0:1]={1,2}'`], [`1, '{1,2}'`]],
    ['int8 2^32 apart', 'id int PRIMARY KEY, v int8', ['1, 1'], ['1, 4294967296']],
    ['int8 of both signs', 'id int PRIMARY KEY, v int8', ['1, 4294967297'], ['1, -4294967297']],
    ['int8 and its complement', 'id int PRIMARY KEY, v int8', ['1, 5'], ['1, -6']],
    ['timestamps 2^32 µs apart', 'id int PRIMARY KEY, v timestamp', [`1, '2000-01-01 00:00:00.000001'`], [`1, '2000-01-01 01:11:34.967296'`]],
    ['instants 2^32 µs apart', 'id int PRIMARY KEY, v timestamptz', [`1, '2000-01-01 00:00:00.000001+00'`], [`1, '2000-01-01 01:11:34.967296+00'`]],
    ['times 2^32 µs apart', 'id int PRIMARY KEY, v time', [`1, '00:00:00.000001'`], [`1, '01:11:34.967296'`]],
    ['00:00 and 24:00', 'id int PRIMARY KEY, v time', [`1, '00:00'`], [`1, '24:00'`]],
    ['infinities of timestamps', 'id int PRIMARY KEY, v timestamp', [`1, 'infinity'`], [`1, '-infinity'`]],
    ['infinities of dates', 'id int PRIMARY KEY, v date', [`1, 'infinity'`], [`1, '-infinity'`]],
    ['signs of a numeric', 'id int PRIMARY KEY, v numeric', ['1, 1.5'], ['1, -1.5']],
    ['powers of ten thousand', 'id int PRIMARY KEY, v numeric', ['1, 1'], ['1, 10000']],
    ['NaN and infinity', 'id int PRIMARY KEY, v numeric', [`1, 'NaN'`], [`1, 'Infinity'`]],
    ['infinities of a numeric', 'id int PRIMARY KEY, v numeric', [`1, 'Infinity'`], [`1, '-Infinity'`]],
    ['0 and NaN', 'id int PRIMARY KEY, v numeric', ['1, 0'], [`1, 'NaN'`]],
    ['0 and NULL in a numeric', 'id int PRIMARY KEY, v numeric', ['1, 0'], ['1, NULL']],
    ['zeros of a double', 'id int PRIMARY KEY, v float8', ['1, 0'], [`1, '-0'`]],
    ['zeros of a real', 'id int PRIMARY KEY, v float4', ['1, 0'], [`1, '-0'`]],
    ['a zero swapped between two doubles', DOUBLES, ['1, 0, 5'], ['1, 5, 0']],
    ['the zeros swapped between two doubles', DOUBLES, [`1, 0, '-0'`], [`1, '-0', 0`]],
    ['a zero and NULL swapped between two doubles', DOUBLES, ['1, 0, NULL'], ['1, NULL, 0']],
    ['zeros of a double that is never NULL', 'id int PRIMARY KEY, v float8 NOT NULL', ['1, 0'], [`1, '-0'`]],
    ['0 and 1 in a double', DOUBLES, ['1, 0, 1'], ['1, 1, 1']],
    ['signs of a numeric of declared precision', 'id int PRIMARY KEY, v numeric(9,2) NOT NULL', ['1, 1.5'], ['1, -1.5']],
    ['0 and NaN in a numeric of declared precision', 'id int PRIMARY KEY, v numeric(9,2) NOT NULL', ['1, 0'], [`1, 'NaN'`]],
    ['NaN swapped between two numerics', 'id int PRIMARY KEY, a numeric(9,2), b numeric(9,2)', [`1, 'NaN', 5`], [`1, 5, 'NaN'`]],
    ['NaN and 0 swapped between two numerics', 'id int PRIMARY KEY, a numeric, b numeric', [`1, 'NaN', 0`], [`1, 0, 'NaN'`]],
    ['NaN and NULL', 'id int PRIMARY KEY, v float8', [`1, 'NaN'`], ['1, NULL']],
    ['jsonb of both signs', 'id int PRIMARY KEY, v jsonb', [`1, '{"a":5}'`], [`1, '{"a":-5}'`]],
    ['a day and 24 hours', 'id int PRIMARY KEY, v interval', [`1, '1 day'`], [`1, '24:00'`]],
    ['a month and 30 days', 'id int PRIMARY KEY, v interval', [`1, '1 mon'`], [`1, '30 days'`]],
    ['money 2^32 cents apart', 'id int PRIMARY KEY, v money', ['1, 0.01'], ['1, 42949672.96']],
    ['bit strings of two lengths', 'id int PRIMARY KEY, v varbit', [`1, B'01'`], [`1, B'1'`]],
    ['labels of an enum', 'id int PRIMARY KEY, v public.mood', [`1, 'sad'`], [`1, 'ok'`]],
    ['zones of a timetz', 'id int PRIMARY KEY, v timetz', [`1, '12:00+02'`], [`1, '10:00+00'`]],
    ['a row more that is empty', COUNTED, ['1, 1, 1'], ['1, 1, 1', '2, NULL, NULL']],
    ['points', 'id int PRIMARY KEY, v point', [`1, '(1,2)'`], [`1, '(2,1)'`]],
    ['texts equal under a loose collation', 'id int PRIMARY KEY, v text COLLATE loose', [`1, 'a'`], [`1, 'A'`]],
  ])('tell apart %s', async (what, columns, oldRows, newRows) => {
    if (what.includes('collation')) {
      for (const server of [servers.old, servers.new]) await server.query(`CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`);
    }
    expect(await equalOn(await twoTables(columns, oldRows, newRows))).toEqual([]);
  });

  it.each([
    ['1.0 and 1.00', 'id int PRIMARY KEY, v numeric', ['1, 1.0', '2, 0'], ['1, 1.00', '2, -0.000']],
    ['an instant in two zones', 'id int PRIMARY KEY, v timestamptz', [`1, '2024-01-01 00:00+00'`], [`1, '2024-01-01 02:00+02'`]],
    ['NaN however it came about', 'id int PRIMARY KEY, v float8', [`1, 'NaN'`], [`1, 'Infinity'::float8 - 'Infinity'::float8`]],
    ['char(n) with its blanks', 'id int PRIMARY KEY, v char(5)', [`1, 'a'`], [`1, 'a    '`]],
  ])('take for equal %s', async (_what, columns, oldRows, newRows) => {
    expect(await equalOn(await twoTables(columns, oldRows, newRows))).toEqual(PATHS);
  });

  it('take equal values for equal where new declares its columns more loosely, or more strictly', async () => {
    const values = [`1, 1.5, 0, '', 7, true`, `2, -3, '-0', 'x', -7, false`, `3, 'NaN', 'NaN', 'y', 0, true`];
    const declared = 'id int PRIMARY KEY, a numeric(9,2), b float8, c text, d int8, e bool';
    const { name } = (await twoTables(declared, values, values)).old;
    await servers.new.query(`ALTER TABLE public.${name} ALTER a TYPE numeric, ${['a', 'b', 'c', 'd', 'e'].map((column) => `ALTER ${column} SET NOT NULL`).join(', ')}`);
    expect(await equalOn(await pairOf(old, neu, name))).toEqual(PATHS);
  });

  it('tell apart characters that two encodings write with the same byte', async () => {
    const text: Readonly<Record<string, string>> = { LATIN1: `E'\\u0080'`, WIN1252: `'€'`, UTF8: `'€'` };
    const urls = new Map<string, string>();
    for (const [encoding, value] of Object.entries(text)) {
      await servers.old.query(`CREATE DATABASE ${encoding} ENCODING ${encoding} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`);
      const url = servers.old.url(encoding.toLowerCase());
      urls.set(encoding, url);
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(`CREATE TABLE public.signs (id int PRIMARY KEY, v text); INSERT INTO public.signs VALUES (1, ${value})`);
      await client.end();
    }
    const open = (side: 'old' | 'new', encoding: string): PostgresDatabase => new PostgresDatabase({ side, url: urls.get(encoding) ?? '', pool: 1 });
    const [latin, windows, utf] = [open('old', 'LATIN1'), open('new', 'WIN1252'), open('old', 'UTF8')];
    try {
      const digest = async (database: PostgresDatabase, path: DigestPath): Promise<string> => (await database.digest(await pairOf(utf, windows, 'signs'), ALL, path, FOREVER)).sum;
      for (const path of ['portable', 'client'] as const) {
        expect(await digest(latin, path)).not.toBe(await digest(windows, path));
        expect(await digest(utf, path)).toBe(await digest(windows, path));
      }
      // The servers' own hash functions see bytes: they are not trusted here.
      expect(await latin.hashFingerprint(FOREVER)).toBeNull();
      expect(await windows.hashFingerprint(FOREVER)).toBeNull();
    } finally {
      await Promise.all([latin, windows, utf].map((database) => database.close()));
    }
  });

  it('never let random swaps, flips and moves cancel', async () => {
    const shape = 'id int PRIMARY KEY, a int8, b numeric, c timestamptz, d text';
    const rows = `SELECT i, (i * 7919 % 1000)::int8, (i % 100) / 10.0, timestamptz '2024-01-01 00:00+00' + i * interval '1 s', 't' || i % 50 FROM generate_series(1, 400) i`;
    const pair = await twoTables(shape, [], []);
    const name = `public.${pair.old.name}`;
    for (const server of [servers.old, servers.new]) await server.query(`INSERT INTO ${name} ${rows}`);
    expect(await equalOn(pair)).toEqual(PATHS);
    const changes = [
      `UPDATE ${name} x SET a = y.a FROM ${name} y WHERE y.id = CASE WHEN x.id % 2 = 1 THEN x.id + 1 ELSE x.id - 1 END`,
      `UPDATE ${name} SET b = -b`,
      `UPDATE ${name} SET a = a # 1`,
      `UPDATE ${name} SET a = a + CASE WHEN id % 2 = 0 THEN 4294967296 ELSE -4294967296 END`,
      `UPDATE ${name} SET c = c + CASE WHEN id <= 200 THEN interval '1 us' ELSE interval '-1 us' END`,
      `UPDATE ${name} SET d = 't' || (id + 25) % 50`,
      `UPDATE ${name} SET id = 401 - id`,
    ];
    for (const change of changes) {
      await servers.new.query(`ALTER TABLE ${name} DROP CONSTRAINT ${pair.old.name}_pkey; ${change}; ALTER TABLE ${name} ADD PRIMARY KEY (id)`);
      expect({ change, equal: await equalOn(pair) }).toEqual({ change, equal: [] });
      await servers.new.query(`TRUNCATE ${name}; INSERT INTO ${name} ${rows}`);
    }
  });

  it('part a range into the same buckets on both sides, whose rows can be read alone', async () => {
    const pair = await twoTables('id text PRIMARY KEY, v int', [], []);
    const name = `public.${pair.old.name}`;
    for (const server of [servers.old, servers.new]) await server.query(`INSERT INTO ${name} SELECT 'k' || i, i FROM generate_series(1, 500) i`);
    await servers.new.query(`UPDATE ${name} SET v = 0 WHERE id = 'k77'`);
    for (const path of PATHS) {
      const [left, right] = [await old.bucketDigests(pair, ALL, 32, path, FOREVER), await neu.bucketDigests(pair, ALL, 32, path, FOREVER)];
      expect([...left.values()].reduce((sum, { rows }) => sum + rows, 0n)).toBe(500n);
      const differing = [...left.keys()].filter((bucket) => left.get(bucket)?.sum !== right.get(bucket)?.sum);
      expect(differing).toHaveLength(1);
      const [bucket = -1] = differing;
      const rows = await old.rowDigests(pair, ALL, 1000, path, FOREVER, { buckets: 32, chosen: [bucket] });
      expect(rows).toHaveLength(Number(left.get(bucket)?.rows));
      expect(rows.map(({ key }) => key[0])).toContain('k77');
      expect(rows.map(({ key }) => key[0] ?? '')).toEqual(rows.map(({ key }) => key[0] ?? '').toSorted());
    }
  });

  it('know from the statistics whether rows lie in the order of their keys', async () => {
    const pair = await twoTables(COUNTED, [], []);
    expect(await old.keysAreScattered(pair, FOREVER)).toBe(false);
    const name = `public.${pair.old.name}`;
    const { old: server } = servers;
    await server.query(`INSERT INTO ${name} SELECT i % 7 * 1000 + i / 7, i, i FROM generate_series(1, 6999) i`);
    await server.query(`ANALYZE ${name}`);
    expect(await old.keysAreScattered(pair, FOREVER)).toBe(true);
    await server.query(`CLUSTER ${name} USING ${pair.old.name}_pkey`);
    await server.query(`ANALYZE ${name}`);
    expect(await old.keysAreScattered(pair, FOREVER)).toBe(false);
  });

  it('tell many ranges at once what each comes to alone, where an index finds them', async () => {
    for (const [definition, values, isFound] of [
      ['id int8 PRIMARY KEY, v int', 'i * 3', true],
      ['id uuid PRIMARY KEY, v int', 'md5(i::text)::uuid', true],
      ['id text COLLATE "C" PRIMARY KEY, v int', `'k' || i`, true],
      ['id text COLLATE "en-x-icu" PRIMARY KEY, v int', `'k' || i`, false],
      ['id int8, tenant int, v int, PRIMARY KEY (tenant, id)', 'i, i % 3', true],
    ] as const) {
      const pair = await twoTables(definition, [], []);
      const name = `public.${pair.old.name}`;
      for (const server of [servers.old, servers.new]) await server.query(`INSERT INTO ${name} SELECT ${values}, i FROM generate_series(1, 5000) i; ANALYZE ${name}`);
      expect({ definition, isFound: await old.findsRanges(pair, FOREVER) }).toEqual({ definition, isFound });
      const keys = await old.keysEvery(pair, ALL, 700, FOREVER);
      expect(keys).toHaveLength(7);
      const bounds = [null, keys[0]?.slice(0, 1) ?? null, ...keys, null];
      const ranges: KeyRange[] = bounds.slice(1).map((to, place) => ({ from: bounds[place] ?? null, to }));
      for (const path of PATHS) {
        const told = await neu.rangeDigests(pair, ranges, path, FOREVER);
        const alone = await Promise.all(ranges.map((range) => neu.digest(pair, range, path, FOREVER)));
        expect({ definition, path, told }).toEqual({ definition, path, told: alone.map(({ rows, sum }) => ({ rows: Number(rows), sum })) });
        expect(told.reduce((sum, { rows }) => sum + rows, 0)).toBe(5000);
        const chosen = ranges.filter((_range, place) => place % 2 === 0);
        const rows = await neu.rangeRowDigests(pair, chosen, 10_000, path, FOREVER);
        const expected = (await Promise.all(chosen.map((range) => neu.rowDigests(pair, range, 10_000, path, FOREVER)))).flat();
        const sorted = (found: typeof rows): string[] => found.map(({ key, digest }) => `${key.join()} ${digest}`).toSorted();
        expect(sorted(rows)).toEqual(sorted(expected));
        expect((await neu.rangeRowDigests(pair, ranges.slice(2, -1), 100, path, FOREVER)).length).toBe(100);
      }
      await servers.old.query(`ALTER TABLE ${name} DROP CONSTRAINT ${pair.old.name}_pkey`);
      expect(await old.findsRanges(pair, FOREVER)).toBe(false);
    }
  });

  it('split a table by its statistics, at beginnings of keys where it has several', async () => {
    const pair = await twoTables('tenant int, no int8, v int, PRIMARY KEY (tenant, no)', [], []);
    const name = `public.${pair.old.name}`;
    await servers.old.query(`INSERT INTO ${name} SELECT i % 7, i, i FROM generate_series(1, 7000) i; ANALYZE ${name}`);
    const keys = await old.splitKeys(pair, null, FOREVER);
    expect(keys).toEqual(['0', '1', '2', '3', '4', '5', '6'].map((tenant) => [tenant]));
    expect(await old.splitKeys(pair, ['4', '9'], FOREVER)).toEqual([['5'], ['6']]);
    const bounds = [null, ...keys, null];
    let rows = 0n;
    for (let index = 0; index + 1 < bounds.length; index++) rows += (await old.digest(pair, { from: bounds[index] ?? null, to: bounds[index + 1] ?? null }, 'fast', FOREVER)).rows;
    expect(rows).toBe(7000n);
  });

  it('part text keys by bytes, however the database and the column sort them', async () => {
    const keys = `SELECT (ARRAY['a', 'A', 'ä', 'Z', 'z-', '_', ' ', 'é', 'ß', '😀'])[1 + i % 10] || i / 10 FROM generate_series(1, 400) i`;
    const locales: Readonly<Record<string, string>> = {
      by_bytes: `LC_COLLATE 'C' LC_CTYPE 'C'`,
      by_language: `LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LC_COLLATE 'C' LC_CTYPE 'C'`,
      ...(servers.old.major < 17 ? {} : { by_code_points: `LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'` }),
    };
    for (const [database, locale] of Object.entries(locales)) {
      await servers.old.query(`CREATE DATABASE ${database} TEMPLATE template0 ENCODING 'UTF8' ${locale}`);
      const sorting = new PostgresDatabase({ side: 'old', url: servers.old.url(database), pool: 1 });
      try {
        for (const collation of ['default', 'C', 'en-x-icu']) {
          const name = `sorted_${collation.replaceAll('-', '_').toLowerCase()}`;
          await servers.old.query(`CREATE TABLE public.${name} (id text COLLATE "${collation}" PRIMARY KEY); INSERT INTO public.${name} ${keys}; ANALYZE public.${name}`, database);
          const pair = await pairOf(sorting, sorting, name);
          const inOrder = (found: readonly RowKey[]): void => {
            const texts = found.map(([text]) => Buffer.from(text ?? ''));
            expect({ database, collation, keys: texts.map(String) }).toEqual({ database, collation, keys: texts.toSorted((left, right) => left.compare(right)).map(String) });
          };
          const splits = await sorting.splitKeys(pair, null, FOREVER);
          expect(splits.length).toBeGreaterThan(10);
          inOrder(splits);
          expect(await sorting.splitKeys(pair, splits[5] ?? null, FOREVER)).toEqual(splits.slice(6));
          const planned: KeyRange[] = [];
          for await (const range of planChunks({ side: sorting, pair, from: null, chunkRows: () => 30, estimatedRows: 400n, signal: FOREVER })) planned.push(range);
          const rows: RowKey[] = [];
          for (const range of planned) rows.push(...(await sorting.rowDigests(pair, range, 1000, 'portable', FOREVER)).map(({ key }) => key));
          expect(rows).toHaveLength(400);
          inOrder(rows);
        }
      } finally {
        await sorting.close();
      }
    }
  });

  it('count the rows of each hash where a table has no key', async () => {
    const table = `digested_${tables++}`;
    const rows = `SELECT i % 50, CASE WHEN i % 3 = 0 THEN NULL ELSE 't' || i % 7 END FROM generate_series(1, 1000) i`;
    for (const server of [servers.old, servers.new]) await server.query(`CREATE TABLE public.${table} (n int, v text); INSERT INTO public.${table} ${rows}`);
    const keyed = await pairOf(old, neu, table, { key: ['n'] });
    const pair: Pair = { ...keyed, key: [] };
    await servers.new.query(`DELETE FROM public.${table} WHERE ctid IN (SELECT ctid FROM public.${table} WHERE n = 7 AND v IS NULL LIMIT 2); INSERT INTO public.${table} VALUES (NULL, NULL), (NULL, '')`);
    const [left, right] = [await old.bagDigests(pair, 16, FOREVER), await neu.bagDigests(pair, 16, FOREVER)];
    expect([...left.values()].reduce((sum, digest) => sum + digest.rows, 0n)).toBe(1000n);
    const chosen = [...new Set([...left.keys(), ...right.keys()])].filter((bucket) => left.get(bucket)?.sum !== right.get(bucket)?.sum);
    const [before, after] = [await old.bagHashes(pair, { buckets: 16, chosen }, 1000, FOREVER), await neu.bagHashes(pair, { buckets: 16, chosen }, 1000, FOREVER)];
    const differing = [...new Set([...before.keys(), ...after.keys()])].filter((hash) => before.get(hash) !== after.get(hash));
    const changes = differing.map((hash) => (after.get(hash) ?? 0n) - (before.get(hash) ?? 0n));
    expect(changes.toSorted((one, other) => Number(one - other))).toEqual([-2n, 1n, 1n]);
    const read = await neu.readRows(pair, differing.map((hash) => [hash]), FOREVER);
    const copies = differing.reduce((most, hash) => ((after.get(hash) ?? 0n) > most ? (after.get(hash) as bigint) : most), 0n);
    expect([...read.rows.values()].map(({ row }) => JSON.stringify(row)).toSorted()).toEqual([`["7",null,"${copies}"]`, '[null,"","1"]', '[null,null,"1"]']);
    expect((await old.readRows(pair, [], FOREVER)).rows.size).toBe(0);
  });
});
