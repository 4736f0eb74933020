import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'lossless-json';
import { stringify } from 'yaml';
import { freePort } from '../../test/stack/ports.ts';
import type { ServerProcess } from '../../test/stack/processes.ts';
import type { Stack } from '../../test/stack/stack.ts';
import type { DriftGroupJson, DriftJson } from '../domain/drift-json.ts';
import { LockstepError } from '../domain/errors.ts';
import type { KeyText, ReportedDrift } from './ledger.ts';
import type { DemoPipeline } from './pipelines.ts';
import { DEMO_TABLES } from './schema.ts';

const POLL_MS = 100;
const READY_MS = 120_000;
const REQUEST_MS = 10_000;
const PAGE = 500;
/** Pages of drift that are read; more than this is no demo any more. */
const PAGES_MAX = 40;

export interface ServiceOptions {
  readonly database: string;
  readonly lagBudgetMs: number;
  readonly settleMs: number;
}

/** As much of `/v1/summary` as the demo looks at. */
export interface ServiceSummary {
  readonly verified_through: string | null;
  readonly verified_lag_ms: number | null;
  readonly open_drift: number;
  readonly pipeline: readonly { readonly finding: string; readonly since: string; readonly message: string }[];
  readonly gate: { readonly verdict: string; readonly action: string };
  readonly tables: readonly {
    readonly table: string;
    readonly verified_through: string | null;
    readonly held_by: string | null;
    readonly pending: number;
    readonly drift: number;
    readonly rows: { readonly old: number | null; readonly new: number | null };
    readonly lag_p99_ms: number | null;
    readonly unverifiable: number;
    readonly dead_letters: number;
  }[];
}

export interface ServiceLag {
  readonly table: string;
  readonly p50_ms: number | null;
  readonly p95_ms: number | null;
  readonly p99_ms: number | null;
  readonly samples: number;
  readonly exact_ratio: number | null;
  readonly breaches: number;
}

export interface ServiceSweep {
  readonly id: string;
  readonly status: string;
  readonly started_at: string;
  readonly ended_at: string | null;
  readonly tables: readonly {
    readonly table: string;
    readonly status: string;
    readonly strategy: string;
    readonly rows: { readonly old: number; readonly new: number };
    readonly started_at: string;
    readonly ended_at: string | null;
    readonly error: string | null;
  }[];
}

interface Page<Item> {
  readonly items: readonly Item[];
  readonly next_cursor: string | null;
}

/** `lockstep run` as a process of its own, and what it answers. */
export class DemoService {
  readonly url: string;
  readonly configFile: string;
  readonly #process: ServerProcess;

  private constructor(url: string, configFile: string, process: ServerProcess) {
    this.url = url;
    this.configFile = configFile;
    this.#process = process;
  }

  /** Writes a configuration, starts the service with it and waits until it is ready. */
  static async start(stack: Stack, pipeline: DemoPipeline, options: ServiceOptions, signal: AbortSignal): Promise<DemoService> {
    const port = await freePort();
    const configFile = join(stack.folder, 'lockstep.yaml');
    await writeFile(configFile, configText(stack, pipeline, options, port));
    const process_ = await stack.run({ name: 'lockstep', command: process.execPath, args: [executable(), 'run', '-c', configFile] });
    const service = new DemoService(`http://127.0.0.1:${port}`, configFile, process_);
    // Live is enough: ready may wait for what the demo is about to show.
    await process_.until(() => service.#lives(), READY_MS, signal);
    return service;
  }

  get running(): boolean {
    return this.#process.running;
  }

  /** The end of the service's log, for errors. */
  logEnd(): string {
    return this.#process.logEnd();
  }

  summary(): Promise<ServiceSummary> {
    return this.#get<ServiceSummary>('/v1/summary');
  }

  async lag(): Promise<readonly ServiceLag[]> {
    return (await this.#get<Page<ServiceLag>>('/v1/lag')).items;
  }

  async sweeps(): Promise<readonly ServiceSweep[]> {
    return (await this.#get<Page<ServiceSweep>>(`/v1/sweeps?limit=${PAGE}`)).items;
  }

  /** All drift, open and past. */
  async drift(): Promise<ReportedDrift[]> {
    const all: ReportedDrift[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < PAGES_MAX; page++) {
      const answer: Page<DriftJson> = await this.#get<Page<DriftJson>>(`/v1/drift?limit=${PAGE}${cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`}`);
      all.push(...answer.items.map(reported));
      cursor = answer.next_cursor;
      if (cursor === null) return all;
    }
    throw new LockstepError('demo_failed', `more than ${PAGE * PAGES_MAX} differences are reported`);
  }

  /** Open drift by table, column and cause, a sentence each. */
  async causes(): Promise<readonly string[]> {
    return (await this.#get<Page<DriftGroupJson>>('/v1/drift?status=open&group=cause')).items.map(({ sentence }) => sentence);
  }

  /** Asks for a sweep of all tables and answers its id. One that runs already is waited for: only a new one sees everything. */
  async sweep(signal: AbortSignal): Promise<string> {
    const end = Date.now() + READY_MS;
    for (;;) {
      signal.throwIfAborted();
      const response = await this.#request('POST', '/v1/sweeps', {});
      if (response.status < 300) return (JSON.parse(response.text) as { id: string }).id;
      if (response.status !== 409 || Date.now() > end) throw this.#refused('POST /v1/sweeps', response);
      await sleep(POLL_MS);
    }
  }

  /** Waits until a sweep has ended; false when that takes longer than `limitMs`. */
  async sweepEnds(id: string, limitMs: number, signal: AbortSignal): Promise<boolean> {
    const end = Date.now() + limitMs;
    for (;;) {
      signal.throwIfAborted();
      const sweep = (await this.sweeps()).find((one) => one.id === id);
      if (sweep !== undefined && sweep.ended_at !== null) return true;
      if (Date.now() > end) return false;
      await sleep(POLL_MS);
    }
  }

  /** The sum of a counter's series, of those with these labels where given. */
  async counter(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const { text } = await this.#request('GET', '/metrics');
    let sum = 0;
    for (const line of text.split('\n')) {
      if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
      if (!Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`))) continue;
      sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
    return sum;
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }

  async #lives(): Promise<boolean> {
    try {
      return (await this.#request('GET', '/v1/summary')).status === 200;
    } catch {
      return false;
    }
  }

  async #get<Answer>(path: string): Promise<Answer> {
    const response = await this.#request('GET', path);
    if (response.status !== 200) throw this.#refused(`GET ${path}`, response);
    return parse(response.text, undefined, (text) => (isExact(text) ? Number(text) : text)) as Answer;
  }

  async #request(method: string, path: string, body?: unknown): Promise<{ status: number; text: string }> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    return { status: response.status, text: await response.text() };
  }

  #refused(request: string, response: { status: number; text: string }): LockstepError {
    return new LockstepError('demo_failed', `Lockstep answers ${request} with ${response.status}: ${response.text}`);
  }
}

/** A number that a double holds as it is written; others stay text. */
function isExact(text: string): boolean {
  return !/^-?\d+$/.test(text) || Number.isSafeInteger(Number(text));
}

function reported(drift: DriftJson): ReportedDrift {
  const key: KeyText = Object.fromEntries(Object.entries(drift.key).map(([column, value]) => [column, String(value)]));
  return {
    id: drift.id,
    table: drift.table,
    key,
    kind: drift.kind,
    columns: drift.columns,
    status: drift.status,
    foundBy: drift.found_by,
    confirmedAtMs: Date.parse(drift.confirmed_at),
  };
}

function configText(stack: Stack, pipeline: DemoPipeline, options: ServiceOptions, port: number): string {
  return stringify({
    migration: 'demo',
    databases: { old: { url: stack.old.url(options.database) }, new: { url: stack.new.url(options.database) } },
    events: pipeline.events,
    data_dir: join(stack.folder, 'state'),
    slo: { lag: { budget: `${options.lagBudgetMs}ms` }, settle: `${options.settleMs}ms` },
    samples: { values: 'full' },
    http: { host: '127.0.0.1', port },
    tables: DEMO_TABLES.map(({ name }) => {
      const topic = pipeline.topic(name);
      return topic === null ? { old: name } : { old: name, topic: { old: topic } };
    }),
  });
}

/** The built executable, from the build as from the sources. */
function executable(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    for (const file of [join(folder, 'main.js'), join(folder, 'dist', 'src', 'main.js')]) if (existsSync(file)) return file;
  }
  throw new LockstepError('demo_failed', 'the built service is not there', { hint: 'run: npm run build' });
}
