import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { LockstepError } from '../../src/domain/errors.ts';
import { freePort } from './ports.ts';
import { ServerProcess, Workspace, runToEnd } from './processes.ts';

const READY_MS = 120_000;
/** Debian keeps servers out of an ordinary user's PATH. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/usr/local/sbin'];

export type MariaDbFound = { readonly ok: true; readonly server: string; readonly client: string; readonly install: string } | { readonly ok: false; readonly reason: string };

/** Looks for MariaDB's server, client and installer (Debian: mariadb-server-core, mariadb-client-core). */
export function detectMariaDb(): MariaDbFound {
  const [server, client, install] = ['mariadbd', 'mariadb', 'mariadb-install-db'].map(found);
  if (server === null || server === undefined) return { ok: false, reason: 'no MariaDB server (mariadbd) found' };
  if (client === null || client === undefined) return { ok: false, reason: 'no MariaDB client (mariadb) found' };
  if (install === null || install === undefined) return { ok: false, reason: 'no mariadb-install-db found' };
  return spawnSync(server, ['--no-defaults', '--version']).status === 0 ? { ok: true, server, client, install } : { ok: false, reason: `${server} does not run` };
}

function found(name: string): string | null {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_FOLDERS]) {
    const file = join(folder, name);
    if (folder !== '' && existsSync(file)) return file;
  }
  return null;
}

/** One real MariaDB on 127.0.0.1, user `root`, no password, row-based binary log. */
export class MariaDbServer {
  readonly port: number;
  readonly #workspace: Workspace;
  readonly #binaries: MariaDbFound & { readonly ok: true };
  readonly #process: ServerProcess;

  private constructor(workspace: Workspace, binaries: MariaDbFound & { readonly ok: true }, port: number, process: ServerProcess) {
    this.#workspace = workspace;
    this.#binaries = binaries;
    this.port = port;
    this.#process = process;
  }

  /** Makes a data folder in a workspace of its own and starts the server. @throws LockstepError `no_mariadb`, `server_not_ready` */
  static async create(): Promise<MariaDbServer> {
    const binaries = detectMariaDb();
    if (!binaries.ok) throw new LockstepError('no_mariadb', binaries.reason, { hint: 'install mariadb-server-core and mariadb-client-core' });
    const workspace = await Workspace.create('mariadb');
    try {
      const folder = join(workspace.folder, 'mariadb');
      await mkdir(folder, { mode: 0o700 });
      // As root the server only runs where it is told to.
      const user = process.getuid?.() === 0 ? ['--user=root'] : [];
      await runToEnd(workspace, {
        name: 'mariadb-install-db',
        command: binaries.install,
        args: ['--no-defaults', `--datadir=${folder}`, '--auth-root-authentication-method=normal', '--skip-test-db', ...user],
        logFile: join(workspace.folder, 'mariadb-install.log'),
      });
      const port = await freePort();
      const server = await ServerProcess.start(workspace, {
        name: 'MariaDB',
        command: binaries.server,
        args: [
          '--no-defaults',
          `--datadir=${folder}`,
          `--port=${port}`,
          '--bind-address=127.0.0.1',
          `--socket=${join(workspace.folder, 'm.sock')}`,
          '--server-id=7',
          '--log-bin=binlog',
          '--binlog-format=ROW',
          '--binlog-row-image=FULL',
          '--binlog-row-metadata=FULL',
          '--innodb-flush-log-at-trx-commit=0',
          ...user,
        ],
        logFile: join(workspace.folder, 'mariadb.log'),
      });
      const started = new MariaDbServer(workspace, binaries, port, server);
      await server.until(() => started.run('SELECT 1').then(() => true, () => false), READY_MS);
      return started;
    } catch (error) {
      await workspace.abandon();
      throw error;
    }
  }

  /** Runs SQL in one session of the client and answers what it prints: rows of tab-separated values, NULL as `NULL`. */
  run(sql: string): Promise<string[][]> {
    const args = ['--no-defaults', '--host=127.0.0.1', `--port=${this.port}`, '--user=root', '--default-character-set=utf8mb4', '--batch', '--skip-column-names'];
    return new Promise((resolve, reject) => {
      const client = spawn(this.#binaries.client, args, { stdio: ['pipe', 'pipe', 'pipe'], cwd: this.#workspace.folder });
      let [printed, failed] = ['', ''];
      client.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
      client.stderr.setEncoding('utf8').on('data', (text: string) => (failed += text));
      client.once('error', reject);
      client.once('close', (code) => {
        if (code === 0) resolve(printed.split('\n').slice(0, -1).map((line) => line.split('\t')));
        else reject(new LockstepError('query_failed', `the MariaDB client ended with ${code}: ${failed.trim()}`));
      });
      client.stdin.on('error', () => undefined);
      client.stdin.end(sql);
    });
  }

  /** Ends it and removes its folder. */
  async stop(): Promise<void> {
    await this.#process.stop('SIGKILL');
    await this.#workspace.remove();
  }
}
