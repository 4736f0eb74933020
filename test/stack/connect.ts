import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockstepError, rootMessage } from '../../src/domain/errors.ts';
import type { Jars } from './jars.ts';
import { loggingOption, propertiesText } from './kafka.ts';
import { freePort } from './ports.ts';
import { POLL_MS, ServerProcess, type Workspace, logEnd } from './processes.ts';

const READY_MS = 180_000;
const REQUEST_MS = 30_000;
/** A connector with its task: schema checks, slot and snapshot set-up on a busy machine. */
const CONNECTOR_READY_MS = 90_000;
/** A restarted task shows its old failure for a moment. */
const FAILURE_STANDS_MS = 2_000;

export type ConnectorConfig = Readonly<Record<string, string>>;

export type ConnectorState = 'RUNNING' | 'PAUSED' | 'STOPPED' | 'FAILED' | 'UNASSIGNED' | 'RESTARTING';

export interface ConnectorStatus {
  readonly connector: ConnectorState;
  readonly tasks: readonly { readonly id: number; readonly state: ConnectorState; readonly cause: string | null }[];
}

/** One Kafka Connect worker with the Debezium plugins, and its REST interface. */
export class ConnectWorker {
  readonly url: string;
  readonly logFile: string;
  readonly #workspace: Workspace;
  readonly #java: string;
  readonly #jars: Jars;
  readonly #settings: string;
  #process: ServerProcess | null = null;

  private constructor(workspace: Workspace, java: string, jars: Jars, port: number) {
    this.url = `http://127.0.0.1:${port}`;
    this.logFile = join(workspace.folder, 'connect.log');
    this.#workspace = workspace;
    this.#java = java;
    this.#jars = jars;
    this.#settings = join(workspace.folder, 'connect.properties');
  }

  static async create(workspace: Workspace, java: string, jars: Jars, brokers: readonly string[], signal?: AbortSignal): Promise<ConnectWorker> {
    const port = await freePort();
    const worker = new ConnectWorker(workspace, java, jars, port);
    await writeFile(worker.#settings, propertiesText(settings(worker.url, jars.plugins, brokers)));
    await worker.start(signal);
    return worker;
  }

  /** Starts it (again), with the connectors it had, and waits until its REST interface answers. */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#process?.running) return;
    const server = await ServerProcess.start(this.#workspace, {
      name: 'Kafka Connect',
      command: this.#java,
      args: ['-Xms128m', '-Xmx1g', '-XX:+UseSerialGC', await loggingOption(this.#workspace), '-cp', join(this.#jars.lib, '*'), 'org.apache.kafka.connect.cli.ConnectDistributed', this.#settings],
      logFile: this.logFile,
    });
    this.#process = server;
    await server.until(() => this.#answers(), READY_MS, signal);
  }

  get pid(): number {
    return this.#process?.running ? this.#process.pid : 0;
  }

  async stop(): Promise<void> {
    this.#process?.signal('SIGCONT');
    await this.#process?.stop();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async kill9(): Promise<void> {
    this.#process?.signal('SIGKILL');
    await this.#process?.ended();
  }

  /**
   * Creates a connector or changes its configuration, and waits until it and its tasks run.
   * @throws LockstepError `connector_refused`, `connector_failed` with the task's cause, or `connector_not_running`
   */
  async putConnector(name: string, config: ConnectorConfig, signal?: AbortSignal): Promise<void> {
    await this.#request('PUT', `/connectors/${name}/config`, config);
    await this.waitFor(name, 'RUNNING', signal);
  }

  /** Stops the tasks' work, keeps the tasks. */
  async pause(name: string): Promise<void> {
    await this.#request('PUT', `/connectors/${name}/pause`);
    await this.waitFor(name, 'PAUSED');
  }

  /** Goes on after `pause` or `stopConnector`. */
  async resume(name: string): Promise<void> {
    await this.#request('PUT', `/connectors/${name}/resume`);
    await this.waitFor(name, 'RUNNING');
  }

  /** Ends the tasks, keeps configuration and offsets. */
  async stopConnector(name: string): Promise<void> {
    await this.#request('PUT', `/connectors/${name}/stop`);
    await this.waitFor(name, 'STOPPED');
  }

  async deleteConnector(name: string): Promise<void> {
    await this.#request('DELETE', `/connectors/${name}`);
  }

  /** Restarts the connector and all its tasks and waits until they run. */
  async restartTasks(name: string): Promise<void> {
    await this.#request('POST', `/connectors/${name}/restart?includeTasks=true&onlyFailed=false`);
    await this.waitFor(name, 'RUNNING');
  }

  /** Null where there is no such connector (yet). */
  async status(name: string): Promise<ConnectorStatus | null> {
    const response = await fetch(`${this.url}/connectors/${name}/status`, { signal: AbortSignal.timeout(REQUEST_MS) });
    if (!response.ok) return null;
    const body = (await response.json()) as { connector: { state: ConnectorState; trace?: string }; tasks: { id: number; state: ConnectorState; trace?: string }[] };
    const tasks = body.tasks.map((task) => ({ id: task.id, state: task.state, cause: task.trace === undefined ? null : causeOf(task.trace) }));
    if (body.connector.state === 'FAILED') tasks.push({ id: -1, state: 'FAILED', cause: causeOf(body.connector.trace ?? '') });
    return { connector: body.connector.state, tasks };
  }

  /** Waits until the connector and its tasks are in `state`. */
  async waitFor(name: string, state: 'RUNNING' | 'PAUSED' | 'STOPPED', signal?: AbortSignal): Promise<void> {
    const end = Date.now() + CONNECTOR_READY_MS;
    let seen = 'no status';
    let failedSince: number | null = null;
    while (Date.now() < end) {
      signal?.throwIfAborted();
      const status = await this.status(name).catch(() => null);
      if (status !== null) {
        const failed = status.tasks.find((task) => task.state === 'FAILED');
        failedSince = failed === undefined ? null : (failedSince ?? Date.now());
        if (failed !== undefined && failedSince !== null && Date.now() - failedSince >= FAILURE_STANDS_MS) {
          throw new LockstepError('connector_failed', `connector ${name} failed: ${failed.cause ?? 'without a cause'}`, { about: { connector: name, task: failed.id } });
        }
        const tasksReady = state === 'STOPPED' ? status.tasks.length === 0 : status.tasks.length > 0 && status.tasks.every((task) => task.state === state);
        if (status.connector === state && tasksReady) return;
        seen = `${status.connector}, tasks ${status.tasks.map((task) => task.state).join(' ') || 'none'}`;
      }
      await sleep(POLL_MS);
    }
    throw new LockstepError('connector_not_running', `connector ${name} is not ${state} after ${CONNECTOR_READY_MS / 1000} s (${seen}); the worker's log ends with:\n${logEnd(this.logFile)}`, {
      about: { connector: name },
    });
  }

  async #answers(): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}/connectors`, { signal: AbortSignal.timeout(REQUEST_MS) });
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  }

  /** One request; a worker that is just sharing out its work (409) or starting (503) is asked again. */
  async #request(method: string, path: string, body?: unknown): Promise<void> {
    const end = Date.now() + READY_MS;
    for (;;) {
      let answer: { status: number; text: string };
      try {
        const response = await fetch(`${this.url}${path}`, {
          method,
          ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
          signal: AbortSignal.timeout(REQUEST_MS),
        });
        answer = { status: response.status, text: await response.text() };
      } catch (cause) {
        throw new LockstepError('connector_refused', `Kafka Connect does not answer ${method} ${path}: ${rootMessage(cause)}`, { cause });
      }
      if (answer.status < 300) return;
      if ((answer.status !== 409 && answer.status !== 503) || Date.now() > end) {
        // A bad configuration can show as a bare NullPointerException; only the log has its reason.
        const log = answer.status === 500 ? `; the worker's log ends with:\n${logEnd(this.logFile)}` : '';
        throw new LockstepError('connector_refused', `Kafka Connect answers ${method} ${path} with ${answer.status}: ${answer.text}${log}`);
      }
      await sleep(POLL_MS);
    }
  }
}

/** The innermost cause of a Java stack trace, one line. */
function causeOf(trace: string): string {
  const lines = trace.split('\n');
  const causes = lines.filter((line) => line.startsWith('Caused by: '));
  return (causes.at(-1)?.slice('Caused by: '.length) ?? lines[0] ?? '').trim();
}

function settings(url: string, plugins: string, brokers: readonly string[]): Record<string, string | number | boolean> {
  return {
    'bootstrap.servers': brokers.join(','),
    'group.id': 'lockstep-connect',
    'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'config.storage.topic': '_connect_configs',
    'offset.storage.topic': '_connect_offsets',
    'status.storage.topic': '_connect_status',
    'config.storage.replication.factor': 1,
    'offset.storage.replication.factor': 1,
    'offset.storage.partitions': 1,
    'status.storage.replication.factor': 1,
    'status.storage.partitions': 1,
    'offset.flush.interval.ms': 1000,
    listeners: url,
    'rest.advertised.host.name': '127.0.0.1',
    'plugin.path': plugins,
    'plugin.discovery': 'service_load',
    'connector.client.config.override.policy': 'All',
    'scheduled.rebalance.max.delay.ms': 0,
    'producer.max.request.size': 20_971_520,
  };
}
