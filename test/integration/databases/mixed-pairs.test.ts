import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresDatabase } from '../../../src/databases/postgres/database.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import type { ColumnPairRules } from '../../../src/domain/pairing-rules.ts';
import { alignedTo, differingColumns } from '../../../src/domain/row.ts';
import type { Row } from '../../../src/domain/row.ts';
import type { PostgresPair } from '../../stack/postgres-server.ts';
import { startPostgresPair } from '../../stack/postgres-server.ts';
import { pairOf } from './pairs.ts';

const FOREVER = new AbortController().signal;
const PATHS = ['portable', 'fast', 'client'] as const;

interface MixedCase {
  readonly old: string;
  readonly new: string;
  readonly rules?: ColumnPairRules;
  /** SQL values on old and new that are one value. */
  readonly equal: readonly (readonly [string, string])[];
  /** And that are two. */
  readonly different: readonly (readonly [string, string])[];
  /** Equal rows of which the digests may differ: they are read and compared. */
  readonly finer?: readonly number[];
}

const CASES: readonly MixedCase[] = [
  { old: 'int4', new: 'int8', equal: [['5', '5'], ['-2147483648', '-2147483648']], different: [['5', '6'], ['1', '4294967297'], ['0', 'NULL']] },
  { old: 'int8', new: 'numeric(22,2)', equal: [['9223372036854775807', '9223372036854775807.00']], different: [['5', '5.01'], ['9007199254740993', '9007199254740992']] },
  { old: 'numeric(20,4)', new: 'numeric', equal: [['1.5', '1.50000'], [`'NaN'`, `'NaN'`], ['0', '-0.0']], different: [['1.5', '1.50001'], ['1', '-1'], [`'NaN'`, 'NULL']] },
  { old: 'numeric(20,4)', new: 'numeric(12,2)', equal: [['1.25', '1.25']], different: [['1.2345', '1.23']] },
  { old: 'int8', new: 'text', equal: [['7', `'7'`], ['-3', `'-3'`], ['7', `'7.00'`]], different: [['7', `'007'`], ['7', `'+7'`], ['7', `' 7'`], ['0', `'-0'`], ['0', `''`], ['7', `'7e0'`], ['9007199254740993', `'9007199254740992'`]] },
  { old: 'numeric', new: 'varchar(60)', equal: [['1.50', `'1.5'`], ['1.5', `'1.50'`], [`'NaN'`, `'NaN'`], ['-0.5', `'-0.5'`]], different: [['1.5', `'1.51'`], ['0.5', `'.5'`], ['1000', `'1e3'`], ['0', `'-0.00'`], ['0', `'zero'`]] },
  { old: 'numeric', new: 'float8', equal: [['0.1', '0.1'], ['1e20', '1e20'], [`'NaN'`, `'NaN'`], [`'-Infinity'`, `'-Infinity'`], ['0', `'-0'`], ['1e-300', '1e-300']], different: [['12345678901234567890.123456789', '12345678901234567890.123456789'], ['0.1', '0.10000000000000002']] },
  { old: 'float4', new: 'float8', equal: [['0.1', '0.1'], ['0.1', '0.1::float4::float8'], [`'NaN'`, `'NaN'`], [`'1e-45'`, `'1e-45'::float4::float8`], [`'-0'`, `'-0'`], [`'Infinity'`, `'Infinity'`]], different: [['0.1', '0.10000000000000002'], ['16777216', '16777217'], ['0', `'5e-324'`], [`'3.4028235e38'`, `'1e300'`], ['0', `'-0'`]] },
  { old: 'money', new: 'numeric', equal: [['1234567.5', '1234567.50'], ['-0.05', '-0.05']], different: [['1', '1.01']] },
  { old: 'timestamp', new: 'timestamptz', equal: [[`'2024-01-01 12:00'`, `'2024-01-01 14:00+02'`], [`'infinity'`, `'infinity'`], [`'0044-03-15 BC'`, `'0044-03-15 00:00+00 BC'`]], different: [[`'2024-01-01 12:00'`, `'2024-01-01 12:00+02'`]] },
  { old: 'timestamp', new: 'timestamptz', rules: { zone: 'Europe/Berlin' }, equal: [[`'2024-01-01 12:00'`, `'2024-01-01 11:00+00'`], [`'2024-07-01 12:00'`, `'2024-07-01 10:00+00'`]], different: [[`'2024-01-01 12:00'`, `'2024-01-01 12:00+00'`]] },
  { old: 'date', new: 'timestamp', equal: [[`'2024-02-29'`, `'2024-02-29'`], [`'infinity'`, `'infinity'`], [`'0044-03-15 BC'`, `'0044-03-15 BC'`]], different: [[`'2024-02-29'`, `'2024-02-29 00:00:00.000001'`], [`'5874897-12-31'`, `'infinity'`]] },
  { old: 'date', new: 'timestamptz', equal: [[`'2024-02-29'`, `'2024-02-29 00:00+00'`]], different: [[`'2024-02-29'`, `'2024-02-29 00:00+01'`], [`'5874897-12-31'`, `'infinity'`]] },
  { old: 'timestamptz', new: 'timestamptz(3)', equal: [[`'2024-01-01 00:00:00.123'`, `'2024-01-01 00:00:00.123'`]], different: [[`'2024-01-01 00:00:00.123456'`, `'2024-01-01 00:00:00.123456'`]] },
  { old: 'timestamptz', new: 'timestamptz(3)', rules: { precision: 'ms' }, equal: [[`'2024-01-01 00:00:00.1235'`, `'2024-01-01 00:00:00.1235'`], [`'2024-01-01 00:00:00.1239'`, `'2024-01-01 00:00:00.123'`], [`'infinity'`, `'infinity'`]], different: [[`'2024-01-01 00:00:00.1239'`, `'2024-01-01 00:00:00.122'`], [`'infinity'`, `'2024-01-01'`]], finer: [1] },
  { old: 'timestamp', new: 'timestamp', rules: { precision: 's' }, equal: [[`'2024-01-01 00:00:00.9'`, `'2024-01-01 00:00:00.1'`], [`'1969-12-31 23:59:59.9'`, `'1969-12-31 23:59:59'`], [`'2024-01-01 00:00:01.1'`, `'2024-01-01 00:00:00.9'`]], different: [[`'2024-01-01 00:00:01'`, `'2024-01-01 00:00:00'`]], finer: [2] },
  { old: 'time', new: 'time(3)', rules: { precision: 'ms' }, equal: [[`'12:00:00.1234'`, `'12:00:00.123'`], [`'24:00'`, `'24:00'`]], different: [[`'12:00:00.125'`, `'12:00:00.123'`]] },
  { old: 'time', new: 'time', rules: { precision: 'ms' }, equal: [[`'12:00:00.1239'`, `'12:00:00.1231'`]], different: [[`'12:00:00.124'`, `'12:00:00.123'`], [`'00:00'`, `'24:00'`]] },
  { old: 'public.mood', new: 'text', equal: [[`'sad'`, `'sad'`]], different: [[`'sad'`, `'SAD'`], [`'ok'`, `'ok '`]] },
  { old: 'public.mood', new: 'public.feeling', equal: [[`'sad'`, `'sad'`], [`'ok'`, `'ok'`]], different: [[`'sad'`, `'ok'`]] },
  { old: 'json', new: 'jsonb', equal: [[`'{"b":1, "a":2}'`, `'{"a":2,"b":1}'`], [`'[1.0]'`, `'[1]'`]], different: [[`'{"a":-5}'`, `'{"a":5}'`], [`'{"a":null}'`, `'{}'`], [`'[1,2]'`, `'[2,1]'`]], finer: [1] },
  { old: 'jsonb', new: 'text', equal: [[`'{"b":1,"a":2}'`, `'{"b": 1, "a": 2}'`]], different: [[`'{"a":1}'`, `'{"a":2}'`], [`'{"a":1}'`, `'{"a":1'`], [`'{}'`, `''`]], finer: [0] },
  { old: 'json', new: 'json', rules: { asText: true }, equal: [[`'{"a":1}'`, `'{"a":1}'`]], different: [[`'{"a":1}'`, `'{"a": 1}'`], [`'[1.0]'`, `'[1]'`]] },
  { old: 'char(4)', new: 'text', equal: [[`'GB'`, `'GB'`], [`'GB'`, `'GB  '`]], different: [[`'GB'`, `' GB'`], [`'GB'`, `E'GB\\t'`]] },
  { old: 'bool', new: 'bit(1)', equal: [['true', `B'1'`], ['false', `B'0'`]], different: [['true', `B'0'`], ['false', 'NULL']] },
  { old: 'bool', new: 'int2', equal: [['true', '1'], ['false', '0']], different: [['true', '2'], ['true', '0'], ['true', '-1']] },
  { old: 'bit(1)', new: 'int4', equal: [[`B'1'`, '1']], different: [[`B'1'`, '0'], [`B'0'`, '10']] },
  { old: 'bool', new: 'text', equal: [['true', `'true'`], ['false', `'f'`]], different: [['true', `'yes'`], ['true', `'TRUE'`]], finer: [1] },
  { old: 'uuid', new: 'text', equal: [[`'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`, `'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'`]], different: [[`'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`, `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'`], [`'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`, `'none'`]], finer: [0] },
  { old: 'inet', new: 'text', equal: [[`'10.0.0.1'`, `'10.0.0.1'`], [`'10.0.0.0/8'`, `'10.0.0.0/8'`]], different: [[`'10.0.0.1'`, `'10.0.0.2'`]], finer: [0] },
  { old: 'inet', new: 'cidr', equal: [[`'10.0.0.0/8'`, `'10.0.0.0/8'`], [`'10.0.0.1'`, `'10.0.0.1'`]], different: [[`'10.0.0.1/8'`, `'10.0.0.0/8'`]] },
  { old: 'int4range', new: 'text', equal: [[`'[1,3)'`, `'[1,3)'`]], different: [[`'[1,3)'`, `'[1,4)'`]] },
  { old: 'numrange', new: 'numrange', equal: [[`'[1.50,2)'`, `'[1.5,2.0)'`]], different: [[`'[1.5,2)'`, `'[1.5,2]'`], [`'[1,)'`, `'[1,infinity)'`]], finer: [0] },
  { old: 'xml', new: 'text', equal: [[`'<a/>'`, `'<a/>'`]], different: [[`'<a/>'`, `'<a></a>'`]] },
  { old: 'tsvector', new: 'text', equal: [[`'b a'`, `'''a'' ''b'''`]], different: [[`'b a'`, `'''b'' ''a'''`]] },
  { old: 'interval', new: 'text', equal: [[`'1 day'`, `'1 day'`], [`'1 day'`, `'P1D'`]], different: [[`'1 day'`, `'24:00:00'`]], finer: [1] },
  { old: 'interval', new: 'interval', equal: [[`'14 mons'`, `'1 year 2 mons'`]], different: [[`'1 day'`, `'24:00'`], [`'1 mon'`, `'30 days'`]] },
  { old: 'timestamptz', new: 'text', equal: [[`'2024-01-01 00:00+00'`, `'2024-01-01T01:00:00+01:00'`]], different: [[`'2024-01-01 00:00+00'`, `'2024-01-01T00:00:00+01:00'`], [`'2024-01-01 00:00+00'`, `'soon'`]], finer: [0] },
  { old: 'int4[]', new: 'int8[]', equal: [[`'{1,NULL}'`, `'{1,NULL}'`]], different: [[`'{1,2}'`, `'{{1,2}}'`], [`'{1,NULL}'`, `'{1}'`], [`'{}'`, 'NULL']] },
  { old: 'numeric(10,2)[]', new: 'float8[]', equal: [[`'{1.50,NULL}'`, `'{1.5,NULL}'`]], different: [[`'{1.5}'`, `'{1.6}'`]] },
  { old: 'public.mood[]', new: 'text[]', equal: [[`'{sad,NULL}'`, `'{sad,NULL}'`]], different: [[`'{sad,NULL}'`, `'{sad,"NULL"}'`]] },
  { old: 'int4[]', new: 'text', equal: [[`'{1,2}'`, `'{1,2}'`]], different: [[`'{1,2}'`, `'{2,1}'`]] },
  { old: 'public.hstore', new: 'jsonb', equal: [[`'a=>1,bb=>NULL'`, `'{"bb":null,"a":"1"}'`]], different: [[`'a=>1'`, `'{"a":1}'`], [`'a=>NULL'`, `'{}'`]], finer: [0] },
  { old: 'public.two', new: 'public.two', equal: [[`ROW(1.50,'x')`, `ROW(1.5,'x')`]], different: [[`ROW(1.5,NULL)`, `ROW(1.5,'')`]], finer: [0] },
  { old: 'bytea', new: 'bytea', equal: [[`'\\x00ff'`, `'\\x00ff'`]], different: [[`'\\x'`, 'NULL'], [`'\\x00'`, `'\\x0000'`]] },
  { old: 'text', new: 'text', rules: { foldCase: true, trim: true }, equal: [[`'Ann@X.com'`, `' ann@x.COM '`], [`'ÉCOLE'`, `'école'`], [`'GROẞE Straße'`, `'grosse STRASSE'`], [`''`, `'  '`]], different: [[`'ann'`, `'anne'`], [`'a b'`, `'ab'`], [`''`, 'NULL']], finer: [1, 2] },
  { old: 'public.citext', new: 'text', equal: [[`'Abc'`, `'Abc'`]], different: [[`'Abc'`, `'abc'`]] },
  { old: 'float8', new: 'float8', rules: { tolerance: '1e-9' }, equal: [['1', '1.0000000005'], [`'NaN'`, `'NaN'`], ['-1e-10', '1e-10'], [`'Infinity'`, `'Infinity'`]], different: [['1', '1.00000001'], [`'NaN'`, '1'], ['1', '-1'], ['0.9e-9', '-0.9e-9'], ['1e300', '1.0000000000000002e300']], finer: [2] },
  { old: 'numeric', new: 'float4', rules: { tolerance: '0.01' }, equal: [['1.234', '1.234'], ['1.23456789', '1.2345679'], ['1.999', '2.001']], different: [['1.2', '1.22'], ['0.009', '-0.009']], finer: [2] },
  { old: 'money', new: 'numeric', rules: { tolerance: '0.01' }, equal: [['1.00', '1.01']], different: [['1.00', '1.02']], finer: [0] },
  { old: 'int4', new: 'int4', rules: { tolerance: '0' }, equal: [['1', '1']], different: [['1', '2']] },
];

let servers: PostgresPair;
let databases: { readonly old: PostgresDatabase; readonly new: PostgresDatabase };

beforeAll(async () => {
  servers = await startPostgresPair({ database: 'app' });
  for (const side of ['old', 'new'] as const) {
    // Labels get other numbers on the two servers, and feeling sorts otherwise than mood.
    if (side === 'new') await servers.new.query(`CREATE TYPE public.before AS ENUM ('x')`);
    await servers[side].query(
      `CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE TYPE public.mood AS ENUM ('sad', 'ok'); CREATE TYPE public.feeling AS ENUM ('ok', 'sad'); CREATE TYPE public.two AS (a numeric, b text)`,
    );
  }
  databases = {
    old: new PostgresDatabase({ side: 'old', url: servers.old.url(), pool: 2 }),
    new: new PostgresDatabase({ side: 'new', url: servers.new.url(), pool: 2 }),
  };
});
afterAll(async () => {
  await Promise.allSettled([databases?.old.close(), databases?.new.close()]);
  await servers?.stop();
});

interface DigestedRow {
  readonly row: Row;
  readonly digests: Readonly<Record<(typeof PATHS)[number], string>>;
}

async function rowsOf(pair: Pair, side: 'old' | 'new', count: number): Promise<readonly DigestedRow[]> {
  const keys = Array.from({ length: count }, (_, index) => [String(index)]);
  const { rows } = await databases[side].readRows(pair, keys, FOREVER);
  const digestsOn = async (path: (typeof PATHS)[number]): Promise<Map<string | undefined, string>> => {
    const digests = await databases[side].rowDigests(pair, { from: null, to: null }, 1000, path, FOREVER);
    return new Map(digests.map(({ key, digest }) => [key[0], digest]));
  };
  const [portable, fast, client] = [await digestsOn('portable'), await digestsOn('fast'), await digestsOn('client')];
  return keys.map(([key = '']) => ({ row: rows.get(key)?.row ?? [], digests: { portable: portable.get(key) ?? '', fast: fast.get(key) ?? '', client: client.get(key) ?? '' } }));
}

describe('columns of two types', () => {
  for (const [number, { old, new: neu, rules, equal, different, finer = [] }] of CASES.entries()) {
    it(`${old} and ${neu}${rules === undefined ? '' : ` under ${JSON.stringify(rules)}`}`, async () => {
      const table = `mixed_${number}`;
      const values = [...equal, ...different];
      for (const [side, type, place] of [['old', old, 0], ['new', neu, 1]] as const) {
        const inserts = values.map((words, index) => `INSERT INTO public.${table} VALUES (${index}, ${words[place]});`);
        await servers[side].query(`CREATE TABLE public.${table} (id int PRIMARY KEY, v ${type}); ${inserts.join(' ')}`);
      }
      const pair = await pairOf(databases.old, databases.new, table, rules === undefined ? {} : { columns: { v: rules } });
      const left = await rowsOf(pair, 'old', values.length);
      const right = await rowsOf(pair, 'new', values.length);
      for (const [index, words] of values.entries()) {
        const [one, other] = [left[index], right[index]];
        if (one === undefined || other === undefined) throw new Error('not read');
        const differs = differingColumns(one.row, alignedTo(pair, one.row, other.row)).length > 0;
        const back = differingColumns(alignedTo(pair, other.row, one.row), other.row).length > 0;
        expect({ words, differs, back }).toEqual({ words, differs: index >= equal.length, back: index >= equal.length });
        for (const path of PATHS) {
          if (one.digests[path] === other.digests[path]) expect({ path, words, differs }).toEqual({ path, words, differs: false });
          else if (!differs) expect({ path, words, finer: finer.includes(index) }).toEqual({ path, words, finer: true });
        }
      }
    });
  }
});
