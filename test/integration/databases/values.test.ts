import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PINNED_SETTINGS, startupOptions } from '../../../src/databases/postgres/session.ts';
import { PostgresDatabase } from '../../../src/databases/postgres/database.ts';
import type { PairColumn, SqlType } from '../../../src/domain/pair.ts';
import { chooseClass, isUnknownType } from '../../../src/domain/values/choose.ts';
import { valuesOf } from '../../../src/domain/values/column-values.ts';
import { float4Text, float8Text } from '../../../src/domain/values/float.ts';
import { intervalText } from '../../../src/domain/values/interval.ts';
import type { OnePostgres } from '../../stack/postgres-server.ts';
import { startPostgres } from '../../stack/postgres-server.ts';
import { SAMPLES, TYPES_SQL } from './samples.ts';

/** Types whose samples hold one value in two spellings. */
const REPEATED: ReadonlySet<string> = new Set(['numeric', 'char(5)', 'numeric[]']);
/** Types of PostgreSQL's own catalogues, which no table of a user has. */
const INTERNAL = ['gtsvector', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary', 'pg_dependencies', 'pg_mcv_list', 'pg_ndistinct', 'pg_node_tree'];

/** Types of extensions, which stand in public here. */
function nameInPublic(sqlType: string): string {
  return /^(?:hstore|citext)/.test(sqlType) ? `public.${sqlType}` : sqlType;
}

let server: OnePostgres;
let client: pg.Client;
let database: PostgresDatabase;

beforeAll(async () => {
  server = await startPostgres({ database: 'app', settings: { datestyle: `'SQL, DMY'`, timezone: `'Asia/Tokyo'`, intervalstyle: `'iso_8601'` } });
  await server.server.query(TYPES_SQL);
  client = new pg.Client({ connectionString: server.url(), options: startupOptions(PINNED_SETTINGS) });
  await client.connect();
  database = new PostgresDatabase({ side: 'old', url: server.url(), pool: 2 });
});
afterAll(async () => {
  await database?.close();
  await client?.end();
  await server?.stop();
});

/** A column compared with one of its own type. */
function selfColumn(type: SqlType): PairColumn {
  const choice = chooseClass(type, type);
  if (choice.kind === 'incompatible') throw new Error(choice.reason);
  const column = { name: 'v', type, nullable: true };
  return { name: 'v', old: column, new: column, ...choice, sensitive: false };
}

async function typeOf(table: string): Promise<SqlType> {
  const described = await database.describeTable({ schema: 'public', name: table });
  const type = described?.columns[1]?.type;
  if (type === undefined) throw new Error('not described');
  return type;
}

describe('values that PostgreSQL prints', () => {
  for (const [sqlType, samples] of Object.entries(SAMPLES)) {
    it(`${sqlType}: text, canonical form and digest agree`, async () => {
      const table = `t_${sqlType.replace(/\W/g, '_')}`;
      await client.query(`CREATE TABLE public.${table} (id int PRIMARY KEY, v ${sqlType.includes('.') || sqlType.startsWith('"') ? sqlType : nameInPublic(sqlType)})`);
      for (const [index, sample] of samples.entries()) await client.query(`SET search_path = public; INSERT INTO public.${table} VALUES (${index}, ${sample}); RESET search_path`);
      const { fromText, fromEventText, digestSql } = valuesOf(selfColumn(await typeOf(table)), 'old');
      const { rows } = await client.query<{ text: string; out: string; digest: string }>(
        `SELECT v::text AS text, format('%s', v) AS out, ${digestSql('r."v"')} AS digest FROM public.${table} r ORDER BY id`,
      );
      expect(rows).toHaveLength(samples.length);
      const byCanonical = new Map<string, string>();
      const byDigest = new Map<string, string>();
      for (const { text, out, digest } of rows) {
        const canonical = fromText(text);
        expect(fromText(canonical)).toBe(canonical);
        expect(fromEventText(out)).toBe(canonical);
        expect(fromText(digest)).toBe(canonical);
        expect(byCanonical.get(canonical) ?? digest).toBe(digest);
        expect(byDigest.get(digest) ?? canonical).toBe(canonical);
        byCanonical.set(canonical, digest);
        byDigest.set(digest, canonical);
      }
      if (!REPEATED.has(sqlType)) expect(byCanonical.size).toBe(samples.length);
    });
  }

  it('no type that a column can have is unknown', async () => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT typname AS name FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A' AND typname NOT LIKE '\\_%' ORDER BY 1`,
    );
    const types = await Promise.all(rows.map(async ({ name }) => ({ name, type: await database.describeExpression({ schema: 'pg_catalog', name: 'pg_class' }, `NULL::pg_catalog."${name}"`) })));
    expect(types.filter(({ type }) => isUnknownType(type)).map(({ name }) => name)).toEqual(INTERNAL);
  });

  it('floats of any bits print here as there', async () => {
    const bits = new DataView(new ArrayBuffer(8));
    const doubles: number[] = [];
    const floats: number[] = [];
    let state = 0x2545f491n;
    const next = (): bigint => {
      state ^= (state << 13n) & 0xffffffffffffffffn;
      state ^= state >> 7n;
      state ^= (state << 17n) & 0xffffffffffffffffn;
      return state;
    };
    for (let index = 0; index < 20_000; index++) {
      bits.setBigUint64(0, next());
      doubles.push(bits.getFloat64(0));
      floats.push(bits.getFloat32(0));
    }
    for (let exponent = -149; exponent < 128; exponent++) floats.push(2 ** exponent, Math.fround(2 ** exponent * (1 - 2 ** -24)), Math.fround(2 ** exponent * (1 + 2 ** -23)));
    for (let exponent = -1074; exponent < 1024; exponent++) doubles.push(2 ** exponent);
    for (let exponent = -10; exponent < 25; exponent++) {
      doubles.push(Number(`1e${exponent}`), Number(`-9.5e${exponent}`));
      floats.push(Math.fround(Number(`1e${exponent}`)), Math.fround(Number(`-9.5e${exponent}`)));
    }
    const { rows: eight } = await client.query<{ v: string }>('SELECT v::text FROM unnest($1::float8[]) WITH ORDINALITY AS u(v, n) ORDER BY n', [doubles.map(String)]);
    expect(doubles.map(float8Text).filter((text, index) => text !== eight[index]?.v)).toEqual([]);
    const { rows: four } = await client.query<{ v: string }>('SELECT v::text FROM unnest($1::float4[]) WITH ORDINALITY AS u(v, n) ORDER BY n', [floats.map(String)]);
    expect(floats.map(float4Text).filter((text, index) => text !== four[index]?.v)).toEqual([]);
  });

  it('dates and timestamps count days as PostgreSQL does', async () => {
    const { rows } = await client.query<{ d: string; days: number; ts: string; us: string }>(
      `SELECT (date '4714-11-24 BC' + n * 997)::text AS d, (date '4714-11-24 BC' + n * 997) - date '1970-01-01' AS days,
        (timestamp '4714-11-24 BC' + n * interval '997 days 1:02:03.000004')::text AS ts,
        (extract(epoch FROM timestamp '4714-11-24 BC' + n * interval '997 days 1:02:03.000004') * 1000000)::int8::text AS us FROM generate_series(0, 5000) n`,
    );
    const { dateText, timestampText, parseMoment, momentUs } = await import('../../../src/domain/values/calendar.ts');
    for (const row of rows) {
      expect(dateText(row.days)).toBe(row.d);
      expect(parseMoment(row.d)?.day).toBe(row.days);
      expect(timestampText(BigInt(row.us), '')).toBe(row.ts);
      const moment = parseMoment(row.ts);
      expect(moment === null ? null : momentUs(moment).toString()).toBe(row.us);
    }
  });

  it('ISO intervals print as PostgreSQL prints them', async () => {
    const isos = ['P1Y2M3DT4H5M6.789S', 'P0Y-1M2DT-3H0M0S', 'P178000000Y0M0DT0H0M0S', 'P0Y0M0DT0H0M0.000001S', 'P0Y0M0DT0H0M0S', 'P-1Y-13M-3DT25H61M-0.5S', 'P1M-1DT0.5S', 'PT-1S', 'P1DT-1S', 'P-1DT1S', 'P1Y-1M', 'P-2Y5DT1H'];
    for (const iso of isos) {
      const { rows } = await client.query<{ v: string }>('SELECT $1::interval::text AS v', [iso]);
      expect(intervalText(iso), iso).toBe(rows[0]?.v);
    }
  });
});
