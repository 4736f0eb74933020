import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { LockstepError } from '../domain/errors.ts';
import { sqlState, stateFailure } from './failure.ts';

/** One numbered file of `sql/`. */
export interface StateMigration {
  readonly name: string;
  readonly sha256: string;
  readonly sql: string;
}

export interface MigrateResult {
  /** Names of the files applied now, in order. */
  readonly applied: readonly string[];
  /** How many the store has altogether. */
  readonly total: number;
}

/** Identifies our advisory lock among the database's others ("lockstep" in ASCII). */
const MIGRATE_LOCK = '7813573191660758384';

/** How long to wait for another process that is migrating the same store. */
const MIGRATE_LOCK_TIMEOUT_MS = 60_000;

const CONNECT_TIMEOUT_MS = 10_000;

/** Folders to go up at most in search of package.json: dist/src/state is three deep. */
const MAX_FOLDERS_UP = 8;

/** The package's `sql` folder, both from the sources and from the build. Throws `sql_missing`. */
export function sqlFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let up = 0; up < MAX_FOLDERS_UP; up++) {
    if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'sql'))) return join(folder, 'sql');
    folder = dirname(folder);
  }
  throw new LockstepError('sql_missing', 'the folder sql/ with the state store\'s migrations is not beside package.json', {
    hint: 'the installation is incomplete: install Lockstep again',
  });
}

/** Reads the numbered files of `folder` in order. Throws `sql_misnumbered` when a number is missing or taken twice. */
export async function readMigrations(folder: string = sqlFolder()): Promise<readonly StateMigration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{6}_[a-z0-9_]+\.sql$/u.test(name)).toSorted();
  const migrations: StateMigration[] = [];
  for (const [index, name] of names.entries()) {
    if (Number(name.slice(0, 6)) !== index + 1) {
      throw new LockstepError('sql_misnumbered', `${name} should have number ${index + 1}`, { about: { file: name } });
    }
    const sql = await readFile(join(folder, name), 'utf8');
    migrations.push({ name, sql, sha256: createHash('sha256').update(sql.replaceAll('\r\n', '\n')).digest('hex') });
  }
  return migrations;
}

/**
 * Brings the state store's schema up to date; several processes may do so at once.
 * @param url the store's database; everything is made in its schema `lockstep`
 * Throws `state_schema_newer`, `state_schema_changed`, `state_locked`, `state_unreachable`, `state_refused`.
 */
export async function migrateState(url: string, migrations?: readonly StateMigration[]): Promise<MigrateResult> {
  const known = migrations ?? (await readMigrations());
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'lockstep-migrate',
  });
  client.on('error', () => {
    // The query under way rejects with the same error.
  });
  try {
    await client.connect();
    return await migrateWith(client, known);
  } catch (error) {
    if (sqlState(error) === '55P03') {
      throw new LockstepError('state_locked', 'another process has been migrating the state store for too long', {
        retry: 'retry',
        cause: error,
      });
    }
    throw stateFailure(error, 'migrating');
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function migrateWith(client: pg.Client, known: readonly StateMigration[]): Promise<MigrateResult> {
  await client.query(`SET lock_timeout = ${MIGRATE_LOCK_TIMEOUT_MS}`);
  await client.query(`SET client_min_messages = warning`);
  await client.query(`SELECT pg_advisory_lock(${MIGRATE_LOCK})`);
  // The lock goes with the session, which ends with this call.
  const schema = await client.query("SELECT to_regnamespace('lockstep') IS NOT NULL AS present");
  // Even IF NOT EXISTS asks for the right to create, which a prepared schema makes needless.
  if (schema.rows[0]?.present !== true) await client.query('CREATE SCHEMA lockstep');
  await client.query(`CREATE TABLE IF NOT EXISTS lockstep.schema_migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
  )`);
  const { rows } = await client.query<{ name: string; sha256: string }>(
    'SELECT name, sha256 FROM lockstep.schema_migrations ORDER BY name COLLATE "C"',
  );
  const present = new Map(rows.map((row) => [row.name, row.sha256]));
  const knownNames = new Set(known.map((migration) => migration.name));
  const unknown = rows.filter((row) => !knownNames.has(row.name)).map((row) => row.name);
  if (unknown.length > 0) {
    throw new LockstepError('state_schema_newer', `the state store has migrations that this build does not know: ${unknown.join(', ')}`, {
      about: { file: unknown[0] as string },
      hint: 'use the newer Lockstep that migrated it, or another state store',
    });
  }
  for (const migration of known) {
    const sha256 = present.get(migration.name);
    if (sha256 !== undefined && sha256 !== migration.sha256) {
      throw new LockstepError('state_schema_changed', `${migration.name} is not what the state store was migrated with`, {
        about: { file: migration.name },
        hint: 'migrations are append-only: restore the file and add a new one',
      });
    }
  }
  const applied: string[] = [];
  for (const migration of known) {
    if (present.has(migration.name)) continue;
    await client.query('BEGIN');
    try {
      await client.query(migration.sql);
      await client.query('INSERT INTO lockstep.schema_migrations (name, sha256) VALUES ($1, $2)', [migration.name, migration.sha256]);
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
    applied.push(migration.name);
  }
  return { applied, total: known.length };
}
