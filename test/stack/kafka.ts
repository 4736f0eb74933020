import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import type { Jars } from './jars.ts';
import { freePorts } from './ports.ts';
import { ServerProcess, type Workspace, runToEnd } from './processes.ts';

const READY_MS = 180_000;
const PROBE_MS = 1_000;

const LOGGING = `status = warn
appender.console.type = Console
appender.console.name = STDOUT
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = INFO
rootLogger.appenderRef.stdout.ref = STDOUT
logger.requests.name = org.apache.kafka.connect.runtime.rest.RestServer
logger.requests.level = WARN
logger.reflections.name = org.reflections
logger.reflections.level = ERROR
`;

/** A second way into a broker: it listens on `port` and tells those who come by it to come to `advertisedPort`. */
export interface Detour {
  readonly port: number;
  readonly advertisedPort: number;
}

/** One broker, its own controller (KRaft), on 127.0.0.1. */
export class KafkaServer {
  readonly brokers: readonly string[];
  readonly logFile: string;
  readonly #workspace: Workspace;
  readonly #java: string;
  readonly #jars: Jars;
  readonly #settings: string;
  #process: ServerProcess | null = null;

  private constructor(workspace: Workspace, java: string, jars: Jars, port: number) {
    this.brokers = [`127.0.0.1:${port}`];
    this.logFile = join(workspace.folder, 'kafka.log');
    this.#workspace = workspace;
    this.#java = java;
    this.#jars = jars;
    this.#settings = join(workspace.folder, 'kafka.properties');
  }

  /** Formats its storage in the workspace's folder and starts it; `detour` for clients that are to come through a proxy. */
  static async create(workspace: Workspace, java: string, jars: Jars, signal?: AbortSignal, detour?: Detour): Promise<KafkaServer> {
    const [port = 0, controller = 0] = await freePorts(2);
    const server = new KafkaServer(workspace, java, jars, port);
    const data = join(workspace.folder, 'kafka');
    await mkdir(data);
    await writeFile(server.#settings, propertiesText({ ...settings(port, controller, data), ...(detour === undefined ? {} : detourSettings(port, controller, detour)) }));
    const logging = await loggingOption(workspace);
    await runToEnd(
      workspace,
      {
        name: 'formatting of Kafka',
        command: java,
        args: ['-Xshare:auto', '-XX:TieredStopAtLevel=1', logging, '-cp', join(jars.lib, '*'), 'kafka.tools.StorageTool', 'format', '-t', clusterId(), '-c', server.#settings],
        logFile: join(workspace.folder, 'kafka-format.log'),
      },
      signal,
    );
    await server.start(signal);
    return server;
  }

  /** Starts it (again) and waits until it answers. */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#process?.running) return;
    const server = await ServerProcess.start(this.#workspace, {
      name: 'Kafka',
      command: this.#java,
      args: ['-Xms128m', '-Xmx768m', '-XX:+UseSerialGC', await loggingOption(this.#workspace), '-cp', join(this.#jars.lib, '*'), 'kafka.Kafka', this.#settings],
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

  /** Freezes it: connections stay open and nothing answers. */
  pause(): void {
    this.#process?.signal('SIGSTOP');
  }

  resume(): void {
    this.#process?.signal('SIGCONT');
  }

  async #answers(): Promise<boolean> {
    const kafka = new Kafka({
      clientId: 'lockstep-stack',
      brokers: [...this.brokers],
      logLevel: logLevel.NOTHING,
      connectionTimeout: PROBE_MS,
      requestTimeout: PROBE_MS,
      retry: { retries: 0 },
    });
    const admin = kafka.admin();
    try {
      await admin.connect();
      return (await admin.describeCluster()).brokers.length > 0;
    } catch {
      return false;
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }
}

/** Writes the logging configuration once and answers the JVM option that names it. */
export async function loggingOption(workspace: Workspace): Promise<string> {
  const file = join(workspace.folder, 'log4j2.properties');
  await writeFile(file, LOGGING);
  return `-Dlog4j2.configurationFile=file:${file}`;
}

/** Java's properties format. */
export function propertiesText(settings: Readonly<Record<string, string | number | boolean>>): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}=${String(value).replaceAll('\\', '\\\\')}\n`)
    .join('');
}

/** Kafka's tools take an id that begins with `-` for an option: the first bit, and so the first character, is kept low. */
export function clusterId(random: Buffer = randomBytes(16)): string {
  const bytes = Buffer.from(random);
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  return bytes.toString('base64url');
}

function detourSettings(port: number, controller: number, detour: Detour): Record<string, string> {
  return {
    listeners: `PLAINTEXT://127.0.0.1:${port},DETOUR://127.0.0.1:${detour.port},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port},DETOUR://127.0.0.1:${detour.advertisedPort}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT',
  };
}

function settings(port: number, controller: number, data: string): Record<string, string | number | boolean> {
  return {
    'node.id': 1,
    'process.roles': 'broker,controller',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': data,
    'num.partitions': 1,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 3,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 3,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 1,
    'group.initial.rebalance.delay.ms': 0,
    'auto.create.topics.enable': true,
    'message.max.bytes': 20_971_520,
  };
}
