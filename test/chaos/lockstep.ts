import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const RESTART_MS = 1_000;
const ANSWERS_MS = 3_000;
/** Lines of its log that tell why a process ended. */
const QUOTED_LINES = 6;

/** One process of Lockstep from its start to its end. */
export interface Life {
  readonly replica: string;
  readonly number: number;
  readonly startedMs: number;
  /** It has said that it is ready. */
  wasReady: boolean;
  /** Ended by us, so. */
  endedBy: string | null;
  exit: string | null;
}

/** `lockstep run` as a process of its own, started again when it ends, as a supervisor would. */
export class LockstepReplica {
  readonly name: string;
  readonly url: string;
  readonly lives: Life[] = [];
  readonly logFile: string;
  readonly #root = packageRoot(import.meta.dirname);
  readonly #configFile: string;
  readonly #clockFile: string;
  #child: ChildProcess | null = null;
  #wanted = false;

  constructor(name: string, folder: string, configFile: string, port: number) {
    this.name = name;
    this.url = `http://127.0.0.1:${port}`;
    this.#configFile = configFile;
    this.logFile = join(folder, `lockstep-${name}.log`);
    this.#clockFile = join(folder, `clock-${name}`);
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  get life(): Life | undefined {
    return this.lives.at(-1);
  }

  /** Starts it, and again whenever it ends by itself. */
  start(): void {
    this.#wanted = true;
    if (this.#child === null) this.#spawn();
  }

  /** Ends it, and starts it no more. */
  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#wanted = false;
    const child = this.#child;
    if (child === null) return;
    if (this.life !== undefined) this.life.endedBy = signal;
    child.kill('SIGCONT');
    child.kill(signal);
    while (this.#child === child) await delay(20);
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal);
  }

  /** Sets its wall clock off by so much; 0: right again. */
  async shiftClock(shiftMs: number): Promise<void> {
    await writeFile(this.#clockFile, String(shiftMs));
  }

  /** The answer of a route; null where there is none in time. */
  async get<Answer>(path: string): Promise<Answer | null> {
    try {
      const response = await fetch(`${this.url}${path}`, { signal: AbortSignal.timeout(ANSWERS_MS) });
      const text = await response.text();
      return response.ok ? (JSON.parse(text) as Answer) : null;
    } catch {
      return null;
    }
  }

  async post(path: string): Promise<number | null> {
    try {
      const response = await fetch(`${this.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}', signal: AbortSignal.timeout(ANSWERS_MS) });
      await response.arrayBuffer();
      return response.status;
    } catch {
      return null;
    }
  }

  async metrics(): Promise<string | null> {
    try {
      return await (await fetch(`${this.url}/metrics`, { signal: AbortSignal.timeout(ANSWERS_MS) })).text();
    } catch {
      return null;
    }
  }

  #spawn(): void {
    const log = openSync(this.logFile, 'a');
    const clock = pathToFileURL(join(this.#root, 'dist', 'test', 'stack', 'shifted-clock.js'));
    clock.searchParams.set('path', this.#clockFile);
    const child = spawn(process.execPath, ['--import', clock.href, join(this.#root, 'dist', 'src', 'main.js'), 'run', '-c', this.#configFile], { stdio: ['ignore', log, log], env: { ...process.env, LOCKSTEP_DEBUG: '1' } });
    closeSync(log);
    this.#child = child;
    const life: Life = { replica: this.name, number: this.lives.length + 1, startedMs: Date.now(), wasReady: false, endedBy: null, exit: null };
    this.lives.push(life);
    void once(child, 'exit').then(async () => {
      const tail = readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-QUOTED_LINES);
      life.exit = `${child.exitCode ?? child.signalCode}: ${tail.filter((line) => !line.startsWith('{')).join(' / ')}`;
      this.#child = null;
      if (!this.#wanted) return;
      await delay(RESTART_MS);
      if (this.#wanted && this.#child === null) this.#spawn();
    });
  }
}

/** The folder with package.json, from the sources as from what is built of them. */
function packageRoot(from: string): string {
  return existsSync(join(from, 'package.json')) ? from : packageRoot(dirname(from));
}
