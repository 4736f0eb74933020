import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, closeSync, existsSync, linkSync, mkdirSync, mkdtempSync, openSync, readFileSync, realpathSync, renameSync, rmdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { LockstepError } from '../domain/errors.ts';
import { findBinaries, reachableFor, serverUser } from './embedded-binaries.ts';
import type { PostgresBinaries, ServerUser } from './embedded-binaries.ts';
import { commandLine, identityOf, isRunning, stillRuns } from './process-identity.ts';
import type { ProcessIdentity } from './process-identity.ts';

export interface EmbeddedPostgres {
  /** Connection URL with its password: a secret. */
  readonly url: string;
  /** The server's own process. */
  readonly pid: number;
  /** Stops the server, its data kept, and gives the folder free. */
  stop(): Promise<void>;
}

/** Where the server's folder is when its user may not enter the data folder. */
const SYSTEM_HOME = '/var/lib/lockstep';

const USER = 'lockstep';
const DATABASE = 'postgres';

/** Recovery after a crash replays at most `max_wal_size`; a busy machine may take this long. */
const START_TIMEOUT_MS = 120_000;
/** A fast shutdown writes one checkpoint. */
const FAST_STOP_MS = 30_000;
const IMMEDIATE_STOP_MS = 10_000;
const INITDB_TIMEOUT_MS = 120_000;
const POLL_MS = 25;
const CONNECT_TIMEOUT_MS = 2_000;

/** Above every system's largest process number. */
const NO_PROCESS = '999999999';

/** What a later attempt may not meet: a port taken since we asked, children of a killed server that are still ending. */
const PASSING = /could not bind|still in use/u;
const START_ATTEMPTS = 10;
const START_PAUSE_MS = 500;

/** Two starts at once may both clear away a dead owner's mark. */
const OWNER_ATTEMPTS = 5;

/** What we show of a program's output when it fails. */
const OUTPUT_TAIL_CHARS = 600;

/** Small, and durable: drift must survive a power cut. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '20',
  shared_buffers: '32MB',
  max_wal_size: '256MB',
  wal_level: 'minimal',
  max_wal_senders: '0',
  jit: 'off',
  log_min_messages: 'warning',
  log_checkpoints: 'off',
  timezone: 'UTC',
};

/**
 * Starts the state store that runs when no URL is configured: PostgreSQL from
 * npm's binaries, on loopback, with its data under `dataDir`.
 * Throws `data_dir_in_use`, `data_dir_unreachable`, `embedded_missing`,
 * `embedded_incomplete`, `embedded_failed`, `no_server_user`.
 */
export async function startEmbeddedPostgres(options: { readonly dataDir: string }): Promise<EmbeddedPostgres> {
  const user = serverUser();
  const home = prepareFolder(options.dataDir, user);
  const release = takeOwnership(join(home, 'owner.json'), options.dataDir);
  try {
    const data = join(home, 'data');
    const password = readOrMakePassword(home, user);
    await stopLeftover(data);
    const binaries = await findBinaries(user, home);
    if (!existsSync(join(data, 'PG_VERSION'))) await initialise(binaries, home, data, user);
    const server = await startServer(binaries, home, data, password, user);
    let stopping: Promise<void> | null = null;
    return {
      url: server.url,
      pid: server.process.pid,
      stop: () => (stopping ??= stopProcess(server.process).then(release)),
    };
  } catch (error) {
    release();
    throw error;
  }
}

/** The server's own folder under `dataDir`, made if it is missing; its real path. */
function prepareFolder(dataDir: string, user: ServerUser | null): string {
  const place = join(resolve(dataDir), 'postgres');
  try {
    // The server's user must be able to pass through; the server's folder itself is closed to others.
    mkdirSync(dataDir, { recursive: true, mode: 0o755 });
    if (!existsSync(place)) makeHome(dataDir, place, user);
    const home = realpathSync(place);
    if (user !== null) chownSync(home, user.uid, user.gid);
    if (reachableFor(user, home)) return home;
  } catch (error) {
    if (error instanceof LockstepError) throw error;
    throw new LockstepError('data_dir_unwritable', `the data folder ${dataDir} cannot be made or written`, {
      cause: error,
      about: { file: dataDir },
      hint: 'set data_dir to a folder that we may write',
    });
  }
  throw unreachable(dataDir, user);
}

/** As root the server runs as another user, who may not be able to enter `dataDir`: then the folder is elsewhere, with a link to it. */
function makeHome(dataDir: string, place: string, user: ServerUser | null): void {
  if (reachableFor(user, resolve(dataDir))) {
    mkdirSync(place, { recursive: true, mode: 0o700 });
    return;
  }
  let home: string;
  try {
    mkdirSync(SYSTEM_HOME, { recursive: true, mode: 0o755 });
    home = mkdtempSync(join(SYSTEM_HOME, 'postgres-'));
  } catch (error) {
    throw unreachable(dataDir, user, error);
  }
  rmSync(place, { force: true });
  try {
    symlinkSync(home, place);
  } catch (error) {
    rmdirSync(home);
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function unreachable(dataDir: string, user: ServerUser | null, cause?: unknown): LockstepError {
  return new LockstepError('data_dir_unreachable', `as root we run PostgreSQL as user ${user?.name}, who may not enter ${dataDir}`, {
    ...(cause === undefined ? {} : { cause }),
    about: { file: dataDir },
    hint: 'set data_dir to a folder outside closed home folders, run as another user, or set state.url',
  });
}

/** Marks the folder as ours; the mark of a process that is gone is cleared away. Returns what takes the mark off again. */
function takeOwnership(file: string, dataDir: string): () => void {
  const mine = JSON.stringify(identityOf(process.pid));
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  for (let attempt = 0; attempt < OWNER_ATTEMPTS; attempt++) {
    writeFileSync(draft, mine, { mode: 0o600 });
    try {
      linkSync(draft, file);
      return () => {
        if (readIfThere(file) === mine) rmSync(file, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      unlinkSync(draft);
    }
    const present = readIfThere(file);
    if (present === null) continue;
    const owner = parseIdentity(present);
    if (owner !== null && stillRuns(owner)) {
      throw new LockstepError('data_dir_in_use', `the data folder ${dataDir} is used by process ${owner.pid}`, {
        about: { file: dataDir, pid: owner.pid },
        hint: 'stop that process, or give this one another data_dir',
      });
    }
    clearAway(file, present);
  }
  throw new LockstepError('data_dir_in_use', `the data folder ${dataDir} is being taken by another process`, {
    retry: 'retry',
    about: { file: dataDir },
  });
}

/** Removes a dead owner's mark, and not one that another process made since. */
function clearAway(file: string, expected: string): void {
  const aside = `${file}.${process.pid}.stale`;
  try {
    renameSync(file, aside);
    if (readIfThere(aside) !== expected) linkSync(aside, file);
  } catch {
    // Another process was quicker; the next attempt sees what it made.
  } finally {
    rmSync(aside, { force: true });
  }
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function parseIdentity(json: string): ProcessIdentity | null {
  try {
    const value = JSON.parse(json) as Partial<ProcessIdentity>;
    return typeof value.pid === 'number' ? { pid: value.pid, started: value.started ?? null } : null;
  } catch {
    return null;
  }
}

function readOrMakePassword(home: string, user: ServerUser | null): string {
  const file = join(home, 'password');
  const present = readIfThere(file)?.trim();
  if (present !== undefined && present !== '') return present;
  const password = randomBytes(24).toString('base64url');
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  if (user !== null) chownSync(file, user.uid, user.gid);
  return password;
}

/** A server may have outlived the process that started it (kill -9): it is stopped, if it is ours. */
async function stopLeftover(data: string): Promise<void> {
  const file = join(data, 'postmaster.pid');
  const lines = readIfThere(file)?.split('\n');
  if (lines === undefined) return;
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 1) return;
  const ours = isRunning(pid) && (commandLine(pid)?.includes(data) ?? true);
  if (ours) await stopProcess(identityOf(pid));
  // An orderly stop removes the file; one that was killed while we looked leaves it. The number may belong to another
  // program now, or to a dead one that nobody waits for: PostgreSQL would take both for a live server. The file's other
  // lines let it see whether parts of the old server still run.
  if (existsSync(file)) writeFileSync(file, [NO_PROCESS, ...lines.slice(1)].join('\n'));
}

async function stopProcess(identity: ProcessIdentity): Promise<void> {
  const { pid } = identity;
  for (const [signal, patienceMs] of [
    ['SIGINT', FAST_STOP_MS],
    ['SIGQUIT', IMMEDIATE_STOP_MS],
  ] as const) {
    if (!stillRuns(identity)) return;
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
      throw new LockstepError('embedded_failed', `the embedded PostgreSQL (process ${pid}) cannot be stopped`, { cause: error, about: { pid } });
    }
    for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += POLL_MS) {
      if (!stillRuns(identity)) return;
      await sleep(POLL_MS);
    }
  }
  throw new LockstepError('embedded_failed', `the embedded PostgreSQL (process ${pid}) does not stop`, { about: { pid } });
}

function serverEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { LC_ALL: 'C', TZ: 'UTC' };
  for (const name of ['PATH', 'SystemRoot', 'TMPDIR', 'TEMP']) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}

function spawnOptions(user: ServerUser | null, home: string): { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
  return { cwd: home, env: serverEnvironment(), ...(user === null ? {} : { uid: user.uid, gid: user.gid }) };
}

async function initialise(binaries: PostgresBinaries, home: string, data: string, user: ServerUser | null): Promise<void> {
  const unfinished = `${data}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  const log = join(home, 'initdb.log');
  const output = openSync(log, 'w', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(
      binaries.initdb,
      [
        `--pgdata=${unfinished}`,
        `--username=${USER}`,
        `--pwfile=${join(home, 'password')}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--no-sync',
        '--no-instructions',
      ],
      { ...spawnOptions(user, home), stdio: ['ignore', output, output], timeout: INITDB_TIMEOUT_MS },
    );
  } finally {
    closeSync(output);
  }
  const failure = await new Promise<string | null>((settle) => {
    child.once('error', (error) => settle(error.message));
    child.once('exit', (code, signal) => settle(code === 0 ? null : `it ended with ${code ?? signal}`));
  });
  if (failure !== null) throw failed('initdb failed', failure, log);
  // A folder that is there is whole: an initdb that was interrupted leaves only the other name.
  renameSync(unfinished, data);
}

function failed(what: string, why: string, log: string): LockstepError {
  const tail = (readIfThere(log) ?? '').trim().slice(-OUTPUT_TAIL_CHARS);
  return new LockstepError('embedded_failed', `the embedded PostgreSQL: ${what} (${why})${tail === '' ? '' : `: ${tail}`}`, {
    about: { file: log },
    hint: 'see the log named above, or set state.url to a PostgreSQL of yours',
  });
}

async function freePort(): Promise<number> {
  return await new Promise((settle, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => settle(port));
    });
  });
}

async function startServer(
  binaries: PostgresBinaries,
  home: string,
  data: string,
  password: string,
  user: ServerUser | null,
): Promise<{ readonly url: string; readonly process: ProcessIdentity }> {
  const log = join(home, 'server.log');
  let why = 'no free port';
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt++) {
    const port = await freePort();
    const output = openSync(log, 'w', 0o600);
    let child: ChildProcess;
    try {
      child = spawn(
        binaries.postgres,
        ['-D', data, '-p', String(port), ...Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
        // In a session of its own: Ctrl-C must reach us alone, who still have a checkpoint to write.
        { ...spawnOptions(user, home), stdio: ['ignore', output, output], detached: true },
      );
    } finally {
      closeSync(output);
    }
    let ended: string | null = null;
    child.once('error', (error) => (ended = error.message));
    child.once('exit', (code, signal) => (ended = `it ended with ${code ?? signal}`));
    child.unref();
    const url = `postgres://${USER}:${password}@127.0.0.1:${port}/${DATABASE}`;
    const answers = await untilAnswers(url, () => ended !== null);
    if (answers && child.pid !== undefined) return { url, process: identityOf(child.pid) };
    if (ended === null) {
      if (child.pid !== undefined) await stopProcess(identityOf(child.pid));
      throw failed('the server does not answer', `waited ${START_TIMEOUT_MS} ms`, log);
    }
    why = ended;
    if (!PASSING.test(readIfThere(log) ?? '')) break;
    await sleep(START_PAUSE_MS);
  }
  throw failed('the server does not start', why, log);
}

async function untilAnswers(url: string, hasEnded: () => boolean): Promise<boolean> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline && !hasEnded()) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return true;
    } catch {
      await sleep(POLL_MS);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  return false;
}
