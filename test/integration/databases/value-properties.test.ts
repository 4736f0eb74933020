import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresDatabase } from '../../../src/databases/postgres/database.ts';
import { PINNED_SETTINGS, startupOptions } from '../../../src/databases/postgres/session.ts';
import type { PairColumn } from '../../../src/domain/pair.ts';
import { chooseClass } from '../../../src/domain/values/choose.ts';
import { valuesOf } from '../../../src/domain/values/column-values.ts';
import { rowHashChainSql } from '../../../src/domain/values/hash-sql.ts';
import pg from 'pg';
import type { OnePostgres } from '../../stack/postgres-server.ts';
import { startPostgres } from '../../stack/postgres-server.ts';
import { TYPE_ARBITRARIES } from './value-arbitraries.ts';

const PAIRS_PER_TYPE = 500;
/** Fixed, so that a run can be told from the next; other seeds are tried by hand. */
const seed = Number(process.env['LOCKSTEP_SEED'] ?? 1);

let server: OnePostgres;
let client: pg.Client;
let database: PostgresDatabase;

beforeAll(async () => {
  server = await startPostgres({ database: 'app' });
  await server.server.query('CREATE EXTENSION hstore; CREATE TYPE public.composed AS (one text, other text)');
  client = new pg.Client({ connectionString: server.url(), options: startupOptions({ ...PINNED_SETTINGS, search_path: 'public' }) });
  await client.connect();
  database = new PostgresDatabase({ side: 'old', url: server.url(), pool: 2 });
});
afterAll(async () => {
  await database?.close();
  await client?.end();
  await server?.stop();
});

async function selfColumn(table: string): Promise<PairColumn> {
  const described = await database.describeTable({ schema: 'public', name: table });
  const column = described?.columns[1];
  if (column === undefined) throw new Error('not described');
  const choice = chooseClass(column.type, column.type);
  if (choice.kind === 'incompatible') throw new Error(choice.reason);
  return { name: 'a', old: column, new: column, ...choice, sensitive: false };
}

interface AnsweredRow {
  readonly a: string;
  readonly b: string;
  readonly out: string;
  readonly digest_a: string;
  readonly digest_b: string;
  readonly hash_a: string;
  readonly hash_b: string;
  readonly is_distinct: boolean;
}

describe(`values of any kind (LOCKSTEP_SEED=${seed})`, () => {
  for (const [number, { type, near, distinct }] of TYPE_ARBITRARIES.entries()) {
    it(`${type} (${number}): two values have two forms, one has one, and no digest hides a difference`, async () => {
      const table = `p${number}`;
      const samples = fc.sample(near, { numRuns: PAIRS_PER_TYPE, seed: seed + number });
      await client.query(`CREATE TABLE public.${table} (id int PRIMARY KEY, a ${type}, b ${type})`);
      await client.query(`INSERT INTO public.${table} SELECT n, x::${type}, y::${type} FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(x, y, n)`, [
        samples.map(([one]) => one),
        samples.map(([, other]) => other),
      ]);
      const column = await selfColumn(table);
      const { fromText, fromEventText, digestSql } = valuesOf(column, 'old');
      const hashOf = (reference: string): string => `(${rowHashChainSql([column], 'old', () => reference)})::text`;
      const { rows } = await client.query<AnsweredRow>(
        `SELECT a::text, b::text, format('%s', a) AS out, ${digestSql('r.a')} AS digest_a, ${digestSql('r.b')} AS digest_b, ${hashOf('r.a')} AS hash_a, ${hashOf('r.b')} AS hash_b, (${distinct}) AS is_distinct FROM public.${table} r ORDER BY id`,
      );
      expect(rows).toHaveLength(samples.length);
      let equal = 0;
      for (const { a, b, out, digest_a: digestA, digest_b: digestB, hash_a: hashA, hash_b: hashB, is_distinct: isDistinct } of rows) {
        const canonical = fromText(a);
        expect({ a, b, differ: canonical !== fromText(b) }).toEqual({ a, b, differ: isDistinct });
        expect(fromText(canonical)).toBe(canonical);
        expect(fromEventText(out)).toBe(canonical);
        if (digestA === digestB || hashA === hashB) expect({ a, b, isDistinct }).toEqual({ a, b, isDistinct: false });
        if (!isDistinct) equal++;
      }
      // Neither only equal values nor only different ones would test anything.
      expect(equal).toBeGreaterThan(0);
      expect(equal).toBeLessThan(rows.length);
    });
  }
});
