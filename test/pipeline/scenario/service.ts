import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const ROOT = packageRoot(import.meta.dirname);
const STARTS_WITHIN_MS = 60_000;

/** The folder with package.json, from the sources as from what is built of them. */
function packageRoot(from: string): string {
  return existsSync(join(from, 'package.json')) ? from : packageRoot(dirname(from));
}

/** `lockstep run` as a process of its own. */
export class Service {
  readonly url: string;
  readonly logFile: string;
  private readonly configFile: string;
  private child: ChildProcess | null = null;

  constructor(options: { configFile: string; port: number; logFile: string }) {
    this.configFile = options.configFile;
    this.url = `http://127.0.0.1:${options.port}`;
    this.logFile = options.logFile;
  }

  /** Starts it and waits until it says that it is ready; one that is to stand by, that it lives. */
  async start(probe: '/readyz' | '/healthz' = '/readyz'): Promise<void> {
    const log = openSync(this.logFile, 'a');
    const child = spawn(process.execPath, [join(ROOT, 'dist', 'src', 'main.js'), 'run', '-c', this.configFile], { stdio: ['ignore', log, log] });
    closeSync(log);
    this.child = child;
    const until = Date.now() + STARTS_WITHIN_MS;
    while (Date.now() < until) {
      if (child.exitCode !== null) throw new Error(`lockstep ended with ${child.exitCode}:\n${this.log()}`);
      const ready = await fetch(`${this.url}${probe}`).then(
        (response) => response.ok,
        () => false,
      );
      if (ready) return;
      await delay(100);
    }
    throw new Error(`lockstep is not ready:\n${this.log()}`);
  }

  /** The running process; null when it is not running. */
  get pid(): number | null {
    return this.child?.pid ?? null;
  }

  async stop(): Promise<number | null> {
    return this.end('SIGTERM');
  }

  async kill9(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** Freezes it, as a machine that hangs would. */
  pause(): void {
    this.child?.kill('SIGSTOP');
  }

  /** Lets it go on, until it ends by itself. @returns its exit code */
  async resumeToEnd(): Promise<number | null> {
    const { child } = this;
    this.child = null;
    if (child === null) return null;
    const exited = once(child, 'exit');
    child.kill('SIGCONT');
    await exited;
    return child.exitCode;
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8').slice(-4_000);
  }

  /** All lines of its log. */
  logged(): Record<string, unknown>[] {
    return readFileSync(this.logFile, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async get<Answer>(path: string): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Answer;
  }

  async post<Answer>(path: string, body: unknown): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Answer;
  }

  async metrics(): Promise<string> {
    return (await fetch(`${this.url}/metrics`)).text();
  }

  private async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const { child } = this;
    this.child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    return child.exitCode;
  }
}
