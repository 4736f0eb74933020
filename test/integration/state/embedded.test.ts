import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '../../../src/state/embedded.ts';
import type { EmbeddedPostgres } from '../../../src/state/embedded.ts';
import { migrateState } from '../../../src/state/migrate.ts';

const root = join(import.meta.dirname, '../../..');
let built = '';
let folder = '';
let servers: EmbeddedPostgres[] = [];
let children: ChildProcess[] = [];

/** Other processes run the built form: Node 20 does not read TypeScript. */
beforeAll(() => {
  mkdirSync(join(root, 'node_modules/.lockstep-test'), { recursive: true });
  built = mkdtempSync(join(root, 'node_modules/.lockstep-test/embedded-'));
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const project = join(built, 'tsconfig.json');
  writeFileSync(
    project,
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: { noEmit: false, noCheck: true, outDir: built, rootDir: root, typeRoots: [join(root, 'node_modules/@types')] },
      files: [join(root, 'src/state/embedded.ts')],
      include: [],
    }),
  );
  const done = spawnSync(process.execPath, [compiler, '-p', project], { encoding: 'utf8' });
  if (!existsSync(join(built, 'src/state/embedded.js'))) throw new Error(`cannot build: ${done.stdout}${done.stderr}`);
});
afterAll(() => {
  rmSync(built, { recursive: true, force: true });
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-embedded-'));
  chmodSync(folder, 0o755);
});
afterEach(async () => {
  for (const child of children) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
  children = [];
  const leftover = join(folder, 'postgres/data/postmaster.pid');
  for (const server of servers) await server.stop();
  servers = [];
  if (existsSync(leftover)) await (await startEmbeddedPostgres({ dataDir: folder })).stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir: folder });
  servers.push(server);
  return server;
}

/** Starts the embedded store in another process, which waits there. */
async function startElsewhere(): Promise<{ child: ChildProcess; url: string; pid: number }> {
  const program = `
    import { startEmbeddedPostgres } from ${JSON.stringify(join(built, 'src/state/embedded.js'))};
    const server = await startEmbeddedPostgres({ dataDir: ${JSON.stringify(folder)} });
    console.log(JSON.stringify({ url: server.url, pid: server.pid }));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    return { child, ...(JSON.parse(line) as { url: string; pid: number }) };
  }
  throw new Error('the other process ended');
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

test('starts, keeps its data over a restart, and closes its secrets', async () => {
  const first = await start();
  await migrateState(first.url);
  await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  expect(new URL(first.url).hostname).toBe('127.0.0.1');
  await expect(query(first.url.replace(/:[^:@]+@/u, ':wrong@'), 'SELECT 1')).rejects.toThrow(/password/u);
  expect(statSync(join(folder, 'postgres/password')).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, 'postgres')).mode & 0o077).toBe(0);
  await first.stop();
  expect(existsSync(join(folder, 'postgres/data/postmaster.pid'))).toBe(false);
  const second = await start();
  expect(await query(second.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  expect((await migrateState(second.url)).applied).toEqual([]);
});

test('a second start on the folder is refused, from this process and from another', async () => {
  const { child, url } = await startElsewhere();
  await expect(start()).rejects.toMatchObject({ code: 'data_dir_in_use' });
  expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await start();
  await expect(startEmbeddedPostgres({ dataDir: folder })).rejects.toMatchObject({ code: 'data_dir_in_use' });
});

test('after kill -9 of us, the server that was left is stopped and its data kept', async () => {
  const { child, url, pid } = await startElsewhere();
  await query(url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await query(url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  const next = await start();
  expect(next.pid).not.toBe(pid);
  expect(await query(next.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
});

test('after kill -9 of us and of the server, it recovers', async () => {
  const { child, url, pid } = await startElsewhere();
  await query(url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  child.kill('SIGKILL');
  process.kill(pid, 'SIGKILL');
  await once(child, 'exit');
  const next = await start();
  expect(await query(next.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
});

test('a stale postmaster.pid whose number is another program now is no obstacle, and that program is left alone', async () => {
  const first = await start();
  await first.stop();
  const bystander = spawn('sleep', ['600']);
  children.push(bystander);
  writeFileSync(join(folder, 'postgres/data/postmaster.pid'), `${bystander.pid}\n${folder}/postgres/data\n1700000000\n5432\n\n127.0.0.1\n\nready\n`);
  const second = await start();
  expect(await query(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(bystander.exitCode).toBeNull();
  expect(bystander.signalCode).toBeNull();
});

test('an initdb that was interrupted is done again', async () => {
  mkdirSync(join(folder, 'postgres/data.unfinished/base'), { recursive: true });
  writeFileSync(join(folder, 'postgres/data.unfinished/PG_VERSION'), '18\n');
  const server = await start();
  expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

test('a server that cannot start says why', async () => {
  await (await start()).stop();
  const version = join(folder, 'postgres/data/PG_VERSION');
  writeFileSync(version, '12\n');
  await expect(start()).rejects.toMatchObject({ code: 'embedded_failed', message: expect.stringMatching(/version 12/u) });
  expect(readFileSync(version, 'utf8')).toBe('12\n');
  expect(existsSync(join(folder, 'postgres/owner.json'))).toBe(false);
});

test.runIf(process.getuid?.() === 0)('as root, the data of a folder that the server may not enter is elsewhere, with a link', async () => {
  chmodSync(folder, 0o700);
  const first = await start();
  const home = realpathSync(join(folder, 'postgres'));
  try {
    expect(home).toMatch(/^\/var\/lib\/lockstep\/postgres-/u);
    await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await expect(startEmbeddedPostgres({ dataDir: folder })).rejects.toMatchObject({ code: 'data_dir_in_use' });
    await first.stop();
    const second = await start();
    expect(await query(second.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
    await second.stop();
  } finally {
    rmSync(home, { recursive: true, force: true });
    if (readdirSync(dirname(home)).length === 0) rmdirSync(dirname(home));
  }
});

test('a data folder that cannot be made is named', async () => {
  writeFileSync(join(folder, 'file'), '');
  await expect(startEmbeddedPostgres({ dataDir: join(folder, 'file', 'below') })).rejects.toMatchObject({ code: 'data_dir_unwritable' });
});
