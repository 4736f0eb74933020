import { join } from 'node:path';
import { LockstepError } from '../../src/domain/errors.ts';
import { ConnectWorker } from './connect.ts';
import { fetchJars } from './jars.ts';
import { detectJava } from './java.ts';
import { KafkaServer } from './kafka.ts';
import { PostgresServer } from './postgres-server.ts';
import { type ServerCommand, ServerProcess, Workspace } from './processes.ts';

export interface StackOptions {
  /** Whether Kafka and Kafka Connect are started too. */
  readonly kafka: boolean;
  /** Database to create on both sides; `app` by default. */
  readonly database?: string;
  readonly onProgress?: (line: string) => void;
  /** Leaves the folder with data and logs behind. */
  readonly keepFolder?: boolean;
  /** Ends a start that is under way; what was started by then is stopped. */
  readonly signal?: AbortSignal;
}

/** Old and new, and between them what was asked for. */
export interface Stack {
  /** The temporary folder with data and logs. */
  readonly folder: string;
  readonly old: PostgresServer;
  readonly new: PostgresServer;
  readonly kafka: KafkaServer | null;
  readonly connect: ConnectWorker | null;
  /** Starts a further process that ends with the stack; its output goes to `NAME.log` in the folder. */
  run(command: Omit<ServerCommand, 'logFile'>): Promise<ServerProcess>;
  /** Stops everything and removes the folder; may be called again. */
  stop(): Promise<void>;
}

/**
 * Starts two PostgreSQLs and, with `kafka`, a broker and a Connect worker with the Debezium plugins, on free ports of
 * 127.0.0.1 in a temporary folder. Whatever ends this process, even SIGKILL, ends them and removes the folder.
 * @throws LockstepError `no_java`, `no_postgres`, `jars_not_fetched`, `jars_checksum`, `server_not_ready`
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { signal, onProgress = () => undefined } = options;
  const java = options.kafka ? detectJava() : null;
  if (java !== null && !java.ok) {
    throw new LockstepError('no_java', `Kafka cannot be started: ${java.reason}`, { hint: 'install Java 17 or newer and Maven' });
  }
  const workspace = await Workspace.create('stack', options.keepFolder);
  try {
    const database = options.database ?? 'app';
    const startPostgres = async (name: string): Promise<PostgresServer> => {
      const server = await PostgresServer.create(workspace, name, { database }, signal);
      onProgress(`PostgreSQL ${server.major} ${name} is up on port ${server.port}`);
      return server;
    };
    const startKafka = async (): Promise<{ kafka: KafkaServer; connect: ConnectWorker } | null> => {
      if (java === null) return null;
      const jars = await fetchJars(workspace, java.mvn, onProgress, signal);
      const kafka = await KafkaServer.create(workspace, java.java, jars, signal);
      onProgress(`Kafka is up on ${kafka.brokers.join(', ')}`);
      const connect = await ConnectWorker.create(workspace, java.java, jars, kafka.brokers, signal);
      onProgress(`Kafka Connect is up on ${connect.url}`);
      return { kafka, connect };
    };
    // All are waited for even when one fails, so that none is still being started while the rest is torn down.
    const started = await Promise.allSettled([startPostgres('old'), startPostgres('new'), startKafka()] as const);
    const failed = started.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    const [old, replica, pipeline] = started.map((one) => (one.status === 'fulfilled' ? one.value : null)) as [PostgresServer, PostgresServer, { kafka: KafkaServer; connect: ConnectWorker } | null];
    const others: ServerProcess[] = [];
    let stopped: Promise<void> | null = null;
    return {
      folder: workspace.folder,
      old,
      new: replica,
      kafka: pipeline?.kafka ?? null,
      connect: pipeline?.connect ?? null,
      run: async (command) => {
        const process = await ServerProcess.start(workspace, { ...command, logFile: join(workspace.folder, `${command.name}.log`) });
        others.push(process);
        return process;
      },
      stop: () => (stopped ??= stopAll(workspace, [old, replica], pipeline, others)),
    };
  } catch (error) {
    await workspace.abandon();
    throw error;
  }
}

async function stopAll(
  workspace: Workspace,
  databases: readonly PostgresServer[],
  pipeline: { kafka: KafkaServer; connect: ConnectWorker } | null,
  others: readonly ServerProcess[],
): Promise<void> {
  await Promise.allSettled(others.map((process) => process.stop()));
  // The data goes with the folder, so nothing has to be flushed: all at once, and no waiting for the worker's clean end.
  await Promise.allSettled([pipeline?.connect.kill9(), pipeline?.kafka.kill9(), ...databases.map((server) => server.stop('immediate'))]);
  await workspace.remove();
}
