import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockstepError } from '../../src/domain/errors.ts';

/** How long a server may take to end by itself before it is killed. */
const STOP_MS = 20_000;
/** How often an ending or starting server is looked at. */
export const POLL_MS = 50;
/** Lines of a server's log that an error quotes. */
const QUOTED_LOG_LINES = 15;

/**
 * Outlives the process that starts the servers: reads `add PID`, `remove PID`, `folder PATH` and `done` from its
 * standard input, and when that ends without `done` (the parent died, however) stops what is left and removes the
 * folder. Ending the parent by SIGKILL is the case that no exit handler sees.
 */
const WATCHDOG = `
trap '' INT TERM HUP QUIT PIPE
pids=' '; folder=''
while IFS=' ' read -r verb arg; do
  case $verb in
    add) pids="$pids$arg ";;
    remove) left=' '; for p in $pids; do [ "$p" = "$arg" ] || left="$left$p "; done; pids=$left;;
    folder) folder=$arg;;
    done) exit 0;;
  esac
done
alive() { for p in $all; do kill -0 "$p" 2>/dev/null && return 0; done; return 1; }
# A server's own children are not told to end, but must not outlive it.
all=$(ps -A -o pid=,ppid= | awk -v roots="$pids" '
  { parent[$1] = $2 }
  END {
    count = split(roots, list, " "); for (i = 1; i <= count; i++) if (list[i] in parent) found[list[i]] = 1
    do { more = 0; for (p in parent) if (!(p in found) && (parent[p] in found)) { found[p] = 1; more = 1 } } while (more)
    for (p in found) print p
  }')
for p in $all; do kill -CONT "$p" 2>/dev/null; done
for p in $pids; do kill -INT "$p" 2>/dev/null; done
i=0; while alive && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
for p in $all; do kill -KILL "$p" 2>/dev/null; done
i=0; while alive && [ $i -lt 20 ]; do sleep 0.1; i=$((i + 1)); done
case $folder in */lockstep-*) for disk in "$folder"/*; do umount -l "$disk" 2>/dev/null; done; rm -rf "$folder"; sleep 1; rm -rf "$folder";; esac
`;

/** A temporary folder and the servers in it; nothing of it survives this process. */
export class Workspace {
  readonly folder: string;
  readonly #watchdog: ChildProcess;
  readonly #keep: boolean;
  readonly #servers = new Set<ServerProcess>();

  private constructor(folder: string, keep: boolean) {
    this.folder = folder;
    this.#keep = keep;
    this.#watchdog = spawn('sh', ['-c', WATCHDOG], { stdio: ['pipe', 'ignore', 'ignore'], detached: true, cwd: '/' });
    this.#watchdog.unref();
    this.#watchdog.on('error', () => undefined);
    const pipe = this.#watchdog.stdin;
    pipe?.on('error', () => undefined);
    if (pipe !== null && 'unref' in pipe && typeof pipe.unref === 'function') pipe.unref();
    if (!keep) this.#tell(`folder ${folder}`);
  }

  /** Makes `lockstep-NAME-…` in the system's temporary folder; `keep` leaves it there at the end. */
  static async create(name: string, keep = false): Promise<Workspace> {
    const folder = await mkdtemp(join(tmpdir(), `lockstep-${name}-`));
    // Servers that refuse to run as root run as another user, who must get through.
    await chmod(folder, 0o711);
    return new Workspace(folder, keep);
  }

  /** Makes `folder`, or takes it as an earlier process left it; it stays there at the end. */
  static async open(folder: string): Promise<Workspace> {
    await mkdir(folder, { recursive: true });
    await chmod(folder, 0o711);
    return new Workspace(folder, true);
  }

  /** Guards a server: it ends when this process does. */
  guard(server: ServerProcess): void {
    this.#servers.add(server);
    this.#tell(`add ${server.pid}`);
  }

  /** The server has ended. */
  release(server: ServerProcess): void {
    this.#servers.delete(server);
    this.#tell(`remove ${server.pid}`);
  }

  /** Removes the folder unless it is to be kept. Everything in it must have been stopped. */
  async remove(): Promise<void> {
    if (!this.#keep) await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    this.#tell('done');
    this.#watchdog.stdin?.end();
  }

  /** Something failed half-way: ends every server that was started here and removes the folder. */
  async abandon(): Promise<void> {
    await Promise.allSettled([...this.#servers].map((server) => server.stop('SIGINT')));
    await this.remove();
  }

  #tell(line: string): void {
    this.#watchdog.stdin?.write(`${line}\n`);
  }
}

export interface ServerCommand {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: RunAs | null;
  readonly logFile: string;
}

/** The user a server runs as. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

/** A server in the background: its output goes to a log file, it ends with its workspace. */
export class ServerProcess {
  readonly name: string;
  readonly logFile: string;
  readonly pid: number;
  readonly #ended: Promise<void>;
  #exit: number | NodeJS.Signals | null = null;

  private constructor(workspace: Workspace, command: ServerCommand, child: ChildProcess) {
    this.name = command.name;
    this.logFile = command.logFile;
    this.pid = child.pid ?? 0;
    this.#ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#exit = signal ?? code ?? 0;
        workspace.release(this);
        resolve();
      });
    });
  }

  /** Starts it. @throws LockstepError `server_not_started` */
  static start(workspace: Workspace, command: ServerCommand): Promise<ServerProcess> {
    const log = openSync(command.logFile, 'a', 0o644);
    const child = spawn(command.command, command.args, {
      cwd: workspace.folder,
      env: { ...process.env, ...command.env },
      stdio: ['ignore', log, log],
      detached: true,
      ...(command.user ? { uid: command.user.uid, gid: command.user.gid } : {}),
    });
    closeSync(log);
    return new Promise((resolve, reject) => {
      child.once('error', (cause) =>
        reject(new LockstepError('server_not_started', `${command.name} could not be started: ${cause.message}`, { cause })),
      );
      child.once('spawn', () => {
        const server = new ServerProcess(workspace, command, child);
        workspace.guard(server);
        child.unref();
        resolve(server);
      });
    });
  }

  get running(): boolean {
    return this.#exit === null;
  }

  /** How it ended: its exit code or the signal that ended it; null while it runs. */
  get exit(): number | NodeJS.Signals | null {
    return this.#exit;
  }

  /** Sends `signal`; TERM, unless told otherwise, then KILL when it takes too long. Resolves when it has ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', limitMs: number = STOP_MS): Promise<void> {
    if (!this.running) return;
    this.signal(signal);
    if (!(await this.#endsWithin(limitMs))) {
      for (const pid of [this.pid, ...childrenOf(this.pid)]) sendSignal(pid, 'SIGKILL');
      await this.#endsWithin(STOP_MS);
    }
  }

  /** Sends `signal` to the process alone. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) sendSignal(this.pid, signal);
  }

  /** Sends `signal` to the process and its children: PostgreSQL's backends each have a process group of their own. */
  signalAll(signal: NodeJS.Signals): void {
    if (!this.running) return;
    for (const pid of [this.pid, ...childrenOf(this.pid)]) sendSignal(pid, signal);
  }

  /** Waits until it has ended. */
  async ended(): Promise<void> {
    // The child is unreferenced so that it never holds this process up; a wait must.
    while (this.running) await Promise.race([this.#ended, sleep(POLL_MS)]);
  }

  /**
   * Polls `ready` until it is true.
   * @throws LockstepError `server_not_ready` with the end of the log when the server ends first or takes longer than `limitMs`
   */
  async until(ready: () => Promise<boolean>, limitMs: number, signal?: AbortSignal): Promise<void> {
    const end = Date.now() + limitMs;
    for (;;) {
      signal?.throwIfAborted();
      if (!this.running) throw this.#notReady(`ended (${this.#exit})`);
      if (await ready()) return;
      if (Date.now() > end) throw this.#notReady(`was not ready within ${limitMs / 1000} s`);
      await sleep(POLL_MS);
    }
  }

  /** The end of its log. */
  logEnd(): string {
    return logEnd(this.logFile);
  }

  #notReady(what: string): LockstepError {
    return new LockstepError('server_not_ready', `${this.name} ${what}; its log ends with:\n${this.logEnd()}`);
  }

  async #endsWithin(limitMs: number): Promise<boolean> {
    const end = Date.now() + limitMs;
    while (this.running && Date.now() < end) await Promise.race([this.#ended, sleep(POLL_MS)]);
    return !this.running;
  }
}

/**
 * Runs a command to its end with its output in a log file; it ends with its workspace.
 * @throws LockstepError `server_not_started` or `command_failed` with the end of the log
 */
export async function runToEnd(workspace: Workspace, command: ServerCommand, signal?: AbortSignal): Promise<void> {
  const child = await ServerProcess.start(workspace, command);
  const abort = (): void => child.signal('SIGTERM');
  signal?.addEventListener('abort', abort, { once: true });
  await child.ended();
  signal?.removeEventListener('abort', abort);
  signal?.throwIfAborted();
  if (child.exit !== 0) throw new LockstepError('command_failed', `${command.name} failed (${child.exit}); its log ends with:\n${child.logEnd()}`);
}

/** Pids of a process's direct children. */
export function childrenOf(pid: number): number[] {
  const listed = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const children: number[] = [];
  for (const line of (listed.stdout ?? '').split('\n')) {
    const [child, parent] = line.trim().split(/\s+/).map(Number);
    if (parent === pid && child !== undefined) children.push(child);
  }
  return children;
}

/** The last lines of a log file; empty when there is none. */
export function logEnd(file: string): string {
  if (!existsSync(file)) return '';
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-QUOTED_LOG_LINES).join('\n');
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended in the meantime.
  }
}
