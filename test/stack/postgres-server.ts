import { chownSync, existsSync } from 'node:fs';
import { appendFile, chmod, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { findPostgres } from './postgres-binaries.ts';
import { freePort } from './ports.ts';
import { ServerProcess, Workspace, runToEnd } from './processes.ts';

/** A server on a busy machine takes a few seconds. */
const READY_MS = 120_000;
const CONNECT_MS = 5_000;

/** Safe against the end of a process, not of the machine: these servers live as long as a test. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: "'127.0.0.1'",
  unix_socket_directories: "''",
  wal_level: 'logical',
  track_commit_timestamp: 'on',
  max_replication_slots: '20',
  max_wal_senders: '20',
  max_worker_processes: '16',
  max_connections: '150',
  shared_buffers: '128MB',
  max_wal_size: '1GB',
  fsync: 'off',
  full_page_writes: 'off',
  timezone: "'UTC'",
  log_timezone: "'UTC'",
};

export interface PostgresOptions {
  /** Database to create beside `postgres`; none when absent. */
  readonly database?: string;
  /** Further lines of postgresql.conf, or other values for these. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** How a server is asked to end: `fast` ends sessions, `immediate` leaves recovery for the next start. */
export type StopMode = 'fast' | 'immediate';

/** One real PostgreSQL on 127.0.0.1, user `postgres`, no password. */
export class PostgresServer {
  readonly name: string;
  readonly port: number;
  readonly folder: string;
  readonly logFile: string;
  readonly major: number;
  readonly #workspace: Workspace;
  readonly #binaries: PostgresBinaries;
  readonly #database: string;
  #process: ServerProcess | null = null;

  private constructor(workspace: Workspace, binaries: PostgresBinaries, name: string, port: number, database: string) {
    this.name = name;
    this.port = port;
    this.folder = join(workspace.folder, name);
    this.logFile = join(workspace.folder, `${name}.log`);
    this.major = binaries.major;
    this.#workspace = workspace;
    this.#binaries = binaries;
    this.#database = database;
  }

  /** Makes a cluster in the workspace's folder, or takes the one that is there, starts it and creates `options.database`. */
  static async create(workspace: Workspace, name: string, options: PostgresOptions = {}, signal?: AbortSignal): Promise<PostgresServer> {
    const binaries = findPostgres(workspace.folder);
    const server = new PostgresServer(workspace, binaries, name, await freePort(), options.database ?? 'postgres');
    const kept = existsSync(join(server.folder, 'PG_VERSION'));
    if (!kept) await server.#initialise(signal);
    await server.#configure({ ...SETTINGS, ...options.settings });
    await server.start(signal);
    if (kept) return server;
    if (options.database !== undefined && options.database !== 'postgres') await server.createDatabase(options.database);
    return server;
  }

  /** Connection URL of `database`; by default of the one made at the start. */
  url(database: string = this.#database): string {
    return `postgres://postgres@127.0.0.1:${this.port}/${encodeURIComponent(database)}`;
  }

  /** Pid of the postmaster; 0 while stopped. */
  get pid(): number {
    return this.#process?.running ? this.#process.pid : 0;
  }

  /** Starts it (again) and waits until it answers. */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#process?.running) return;
    const server = await ServerProcess.start(this.#workspace, {
      name: `PostgreSQL ${this.name}`,
      command: join(this.#binaries.bin, 'postgres'),
      args: ['-D', this.folder],
      user: this.#binaries.user,
      env: { LC_ALL: 'C' },
      logFile: this.logFile,
    });
    this.#process = server;
    await server.until(() => this.#answers(), READY_MS, signal);
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    this.#process?.signalAll('SIGCONT');
    await this.#process?.stop(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Ends the postmaster and all its backends without a word; `start()` recovers. */
  async kill9(): Promise<void> {
    this.#process?.signalAll('SIGKILL');
    await this.#process?.ended();
  }

  /** Freezes it with all its backends: connections stay open and nothing answers. */
  pause(): void {
    this.#process?.signalAll('SIGSTOP');
  }

  resume(): void {
    this.#process?.signalAll('SIGCONT');
  }

  async createDatabase(name: string): Promise<void> {
    await this.query(`CREATE DATABASE "${name.replaceAll('"', '""')}"`, 'postgres');
  }

  /** Runs SQL on a connection of its own and answers the (last) statement's rows. */
  async query<Row extends pg.QueryResultRow = pg.QueryResultRow>(sql: string, database: string = this.#database): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.url(database), connectionTimeoutMillis: CONNECT_MS });
    client.on('error', () => undefined);
    await client.connect();
    try {
      // Several statements in one text answer with a list, which the types leave out.
      const answered: pg.QueryResult<Row> | pg.QueryResult<Row>[] = await client.query<Row>(sql);
      const last = Array.isArray(answered) ? answered.at(-1) : answered;
      return last?.rows ?? [];
    } finally {
      await client.end();
    }
  }

  async #initialise(signal?: AbortSignal): Promise<void> {
    const { user, bin, major } = this.#binaries;
    await mkdir(this.folder, { mode: 0o700, recursive: true });
    await chmod(this.folder, 0o700);
    await (await open(this.logFile, 'a', 0o644)).close();
    if (user !== null) {
      chownSync(this.folder, user.uid, user.gid);
      chownSync(this.logFile, user.uid, user.gid);
    }
    // Before version 17 C.UTF-8 is the operating system's, and not every system has it.
    const locale = major >= 17 ? ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : [process.platform === 'linux' ? '--locale=C.UTF-8' : '--locale=C'];
    await runToEnd(
      this.#workspace,
      {
        name: `initdb of ${this.name}`,
        command: join(bin, 'initdb'),
        args: ['-D', this.folder, '-A', 'trust', '-U', 'postgres', '-E', 'UTF8', '--no-sync', '--no-instructions', ...locale],
        user,
        logFile: join(this.#workspace.folder, `${this.name}-initdb.log`),
      },
      signal,
    );
  }

  /** Adds settings; of a setting that is there already, the last line counts. */
  async #configure(settings: Readonly<Record<string, string>>): Promise<void> {
    const lines = Object.entries({ ...settings, port: String(this.port) }).map(([key, value]) => `${key} = ${value}`);
    await appendFile(join(this.folder, 'postgresql.conf'), `\n${lines.join('\n')}\n`);
  }

  async #answers(): Promise<boolean> {
    try {
      await this.query('SELECT 1', 'postgres');
      return true;
    } catch {
      return false;
    }
  }
}

/** A server with a workspace of its own. */
export interface OnePostgres {
  readonly server: PostgresServer;
  url(database?: string): string;
  stop(): Promise<void>;
}

/** Starts one PostgreSQL in a temporary folder; `stop()` ends it and removes the folder. */
export async function startPostgres(options: PostgresOptions = {}): Promise<OnePostgres> {
  const workspace = await Workspace.create('postgres');
  try {
    const server = await PostgresServer.create(workspace, 'postgres', options);
    return { server, url: (database) => server.url(database), stop: () => stopAll(workspace, [server]) };
  } catch (error) {
    await workspace.abandon();
    throw error;
  }
}

/** Old and new, and nothing between them. */
export interface PostgresPair {
  readonly old: PostgresServer;
  readonly new: PostgresServer;
  stop(): Promise<void>;
}

/** Starts two PostgreSQLs in a temporary folder, `options` on both; `stop()` ends them and removes the folder. */
export async function startPostgresPair(options: PostgresOptions = {}): Promise<PostgresPair> {
  const workspace = await Workspace.create('pair');
  try {
    const [old, replica] = await Promise.all([PostgresServer.create(workspace, 'old', options), PostgresServer.create(workspace, 'new', options)]);
    return { old, new: replica, stop: () => stopAll(workspace, [old, replica]) };
  } catch (error) {
    await workspace.abandon();
    throw error;
  }
}

async function stopAll(workspace: Workspace, servers: readonly PostgresServer[]): Promise<void> {
  await Promise.allSettled(servers.map((server) => server.stop('immediate')));
  await workspace.remove();
}
