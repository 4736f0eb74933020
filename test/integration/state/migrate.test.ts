import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { migrateState, readMigrations } from '../../../src/state/migrate.ts';
import { startPostgres } from '../../stack/postgres-server.ts';
import type { OnePostgres } from '../../stack/postgres-server.ts';
import { CATALOGUE_SQL } from './catalogue.ts';

const GOLDEN = join(import.meta.dirname, 'schema.golden.sql');

let server: OnePostgres;
let database = 0;
let url = '';

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => {
  await server?.stop();
});
beforeEach(async () => {
  database++;
  await server.server.createDatabase(`state${database}`);
  url = server.url(`state${database}`);
});

async function catalogue(): Promise<string> {
  const rows = await server.server.query<{ line: string }>(CATALOGUE_SQL, `state${database}`);
  return `${rows.map((row) => row.line).join('\n')}\n`;
}

test('an empty database gets the schema of the golden file, once', async () => {
  const known = await readMigrations();
  expect(await migrateState(url)).toEqual({ applied: known.map((migration) => migration.name), total: known.length });
  const found = await catalogue();
  if (process.env['LOCKSTEP_UPDATE_GOLDEN'] === '1') await writeFile(GOLDEN, found);
  expect(found, 'after a new migration: LOCKSTEP_UPDATE_GOLDEN=1 npx vitest run test/integration/state/migrate.test.ts').toBe(
    await readFile(GOLDEN, 'utf8'),
  );
  expect(await migrateState(url)).toEqual({ applied: [], total: known.length });
  expect(await catalogue()).toBe(found);
});

test('several at once: one applies, the others find it done', async () => {
  const results = await Promise.all(Array.from({ length: 4 }, () => migrateState(url)));
  expect(results.filter((result) => result.applied.length > 0).length).toBe(1);
});

test('a store of a newer build is refused and not touched', async () => {
  const known = await readMigrations();
  const newer = { name: '000099_future.sql', sha256: 'x', sql: 'CREATE TABLE lockstep.future ()' };
  await migrateState(url, [...known, newer]);
  const before = await catalogue();
  await expect(migrateState(url)).rejects.toMatchObject({ code: 'state_schema_newer', retry: 'final' });
  expect(await catalogue()).toBe(before);
});

test('a changed file is refused', async () => {
  const known = await readMigrations();
  await migrateState(url);
  const changed = known.map((migration) => ({ ...migration, sha256: 'other' }));
  await expect(migrateState(url, changed)).rejects.toMatchObject({ code: 'state_schema_changed' });
});

test('a migration that fails leaves nothing behind', async () => {
  const known = await readMigrations();
  const bad = { name: '000099_bad.sql', sha256: 'x', sql: 'CREATE TABLE lockstep.half (); SELECT 1/0;' };
  await expect(migrateState(url, [...known, bad])).rejects.toMatchObject({ code: 'state_failed' });
  expect(await catalogue()).not.toContain('half');
  expect((await migrateState(url)).applied).toEqual([]);
});

test('a user without rights and an absent database are told so', async () => {
  await server.server.query(`DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN`, 'postgres');
  const asReader = new URL(url);
  asReader.username = 'reader';
  await expect(migrateState(asReader.href)).rejects.toMatchObject({ code: 'state_refused' });
  await expect(migrateState(server.url('absent'))).rejects.toMatchObject({ code: 'state_refused' });
});
