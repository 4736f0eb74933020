import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresDatabase } from '../../../src/databases/postgres/database.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import type { DigestPath } from '../../../src/domain/status.ts';
import { locate, digestBoth, type Comparison } from '../../../src/verify/sweep-compare.ts';
import { compareKeys, touchedParts } from '../../../src/verify/touched-compare.ts';
import { TouchedKeys, type TouchedScope } from '../../../src/verify/touched-keys.ts';
import type { PostgresPair } from '../../stack/postgres-server.ts';
import { startPostgresPair } from '../../stack/postgres-server.ts';
import { pairOf } from './pairs.ts';

const FOREVER = new AbortController().signal;
const PATHS: readonly DigestPath[] = ['fast', 'client', 'portable'];
const MIN = '-9223372036854775808';
const MAX = '9223372036854775807';
/** So few that touched keys soon become ranges. */
const KEYS_MAX = 20;

let servers: PostgresPair;
let old: PostgresDatabase;
let neu: PostgresDatabase;

beforeAll(async () => {
  servers = await startPostgresPair({ database: 'app' });
  old = new PostgresDatabase({ side: 'old', url: servers.old.url(), pool: 2 });
  neu = new PostgresDatabase({ side: 'new', url: servers.new.url(), pool: 2 });
});
afterAll(async () => {
  await Promise.allSettled([old?.close(), neu?.close()]);
  await servers?.stop();
});

/** What is left to compare after these keys were touched. */
function touch(pair: Pair, keys: readonly (readonly string[])[], keysMax = KEYS_MAX): TouchedScope {
  const touched = new TouchedKeys([pair], () => '', { keys: keysMax, chars: 1_000_000 });
  touched.ended(pair.id, 'full', touched.begin(pair.id, 'full', '').epoch);
  for (const key of keys) touched.touch(pair, key);
  expect(touched.needsFull(pair.id)).toBeNull();
  return touched.scope(pair.id);
}

/** Keys that a comparison of the scope suspects, and how many rows it read of each side. */
async function compare(pair: Pair, scope: TouchedScope, path: DigestPath): Promise<{ suspects: string[]; rows: [bigint, bigint] }> {
  const comparison: Comparison = { sides: { old, new: neu }, pair, path, signal: FOREVER };
  const suspects: string[] = [];
  const rows: [bigint, bigint] = [0n, 0n];
  for await (const part of touchedParts(scope, old, pair, () => 7, FOREVER)) {
    const findings = part.kind === 'keys' ? compareKeys(comparison, part.keys) : locate(comparison, part.range, await digestBoth(comparison, part.range));
    for await (const found of findings) {
      suspects.push(...found.suspects.map((key) => key.join('/')));
      rows[0] += found.rows[0];
      rows[1] += found.rows[1];
    }
  }
  return { suspects: suspects.sort(), rows };
}

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, index) => String(from + index));

describe('touched keys and ranges, compared on real databases', () => {
  it.each(PATHS)('find what differs of touched rows, whatever the side that lacks it, and read no others (%s)', async (path) => {
    const table = `touched_${path}`;
    for (const server of [servers.old, servers.new]) {
      await server.query(`CREATE TABLE ${table} (id int8 PRIMARY KEY, v text); INSERT INTO ${table} SELECT i, 'v' FROM generate_series(-100000, 100000) i`);
    }
    const pair = await pairOf(old, neu, table);
    await servers.new.query(`UPDATE ${table} SET v = 'w' WHERE id IN (-64, 0, 63, 50000); DELETE FROM ${table} WHERE id = 17`);
    await servers.old.query(`DELETE FROM ${table} WHERE id = 21`);
    const keys = numbers(-70, 70).map((key) => [key]);
    const differing = ['-64', '0', '17', '21', '63'];
    const byRange = touch(pair, keys);
    expect(byRange.keys).toEqual([]);
    expect(byRange.ranges).toEqual([{ from: ['-128'], to: ['128'] }]);
    expect(await compare(pair, byRange, path)).toEqual({ suspects: differing, rows: [255n, 255n] });
    const byKey = touch(pair, keys, keys.length);
    expect(byKey.keys).toHaveLength(keys.length);
    expect(await compare(pair, byKey, path)).toEqual({ suspects: differing, rows: [140n, 140n] });
  });

  it('reach to the ends of whole numbers, and on a side whose numbers are narrower', async () => {
    await servers.old.query(`CREATE TABLE ends (id int8 PRIMARY KEY, v int); INSERT INTO ends SELECT i, 1 FROM generate_series(${MIN}, ${MIN} + 40) i; INSERT INTO ends SELECT ${MAX} - i, 1 FROM generate_series(0, 40) i`);
    await servers.new.query(`CREATE TABLE ends (id int8 PRIMARY KEY, v int); INSERT INTO ends SELECT i, 1 FROM generate_series(${MIN}, ${MIN} + 40) i WHERE i <> ${MIN}; INSERT INTO ends SELECT ${MAX} - i, CASE i WHEN 0 THEN 2 ELSE 1 END FROM generate_series(0, 40) i`);
    const ends = await pairOf(old, neu, 'ends');
    const endKeys = (await servers.old.query<{ id: string }>('SELECT id FROM ends')).map(({ id }) => [String(id)]);
    const { ranges } = touch(ends, endKeys);
    expect(ranges).toHaveLength(2);
    expect(await compare(ends, { keys: [], ranges }, 'fast')).toMatchObject({ suspects: [MAX, MIN].sort() });

    await servers.old.query(`CREATE TABLE widths (id int8 PRIMARY KEY, v int); INSERT INTO widths SELECT i, 1 FROM generate_series(32700, 32800) i`);
    await servers.new.query(`CREATE TABLE widths (id int2 PRIMARY KEY, v int); INSERT INTO widths SELECT i, 1 FROM generate_series(32701, 32767) i`);
    const widths = await pairOf(old, neu, 'widths');
    const scope = touch(widths, numbers(32_700, 32_800).map((key) => [key]));
    expect((await compare(widths, scope, 'fast')).suspects).toEqual(['32700', ...numbers(32_768, 32_800)]);
  });

  it('cover all rows of a composite key’s first value', async () => {
    for (const server of [servers.old, servers.new]) {
      await server.query(`CREATE TABLE tenants (tenant int, serial text, v int, PRIMARY KEY (tenant, serial)); INSERT INTO tenants SELECT t, 's' || s, 1 FROM generate_series(1, 300) t, generate_series(1, 20) s`);
    }
    await servers.new.query(`UPDATE tenants SET v = 2 WHERE (tenant, serial) IN ((65, 's1'), (66, 's20'), (300, 's1')); DELETE FROM tenants WHERE (tenant, serial) = (127, 's9')`);
    const pair = await pairOf(old, neu, 'tenants');
    const scope = touch(pair, numbers(64, 127).map((tenant) => [tenant, 's1']));
    expect(scope).toEqual({ keys: [], ranges: [{ from: ['64'], to: ['128'] }] });
    expect(await compare(pair, scope, 'fast')).toEqual({ suspects: ['127/s9', '65/s1', '66/s20'], rows: [1280n, 1279n] });
  });
});
