import { createRequire } from 'node:module';
import net from 'node:net';
import tls from 'node:tls';
import kafkajs from 'kafkajs';
import type { ISocketFactory, Kafka, KafkaConfig, SASLOptions } from 'kafkajs';
import { LockstepError, rootMessage } from '../../domain/errors.ts';
import { registerCodecs } from './codecs.ts';

/** Attempts of one request before its error is told; with kafkajs's backoff about ten seconds. */
const REQUEST_RETRIES = 5;
const INITIAL_RETRY_MS = 300;
const MAX_RETRY_MS = 5_000;
const CONNECTION_TIMEOUT_MS = 5_000;
/**
 * A connection over which nothing has come or gone for so long is given up: after a request that timed out kafkajs would ask
 * again over the same one, though its other end may be gone without a word. One that is merely idle is made anew when needed.
 */
const SILENCE_MS = 15_000;
const KEEP_ALIVE_MS = 10_000;

export type KafkaLogLevel = 'error' | 'warn' | 'info' | 'debug';

/** Takes what the Kafka client has to say; never row values. */
export type KafkaLog = (level: KafkaLogLevel, message: string, details: Readonly<Record<string, unknown>>) => void;

export interface KafkaTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Only for tests and throw-away clusters. */
  readonly rejectUnauthorized?: boolean;
}

export interface KafkaSasl {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  readonly password: string;
}

export interface KafkaClientOptions {
  readonly brokers: readonly string[];
  /** `lockstep` by default. */
  readonly clientId?: string;
  readonly ssl?: boolean | KafkaTls;
  readonly sasl?: KafkaSasl;
  readonly log?: KafkaLog;
}

/** A client with the brokers that it was made for, as errors name them. */
export interface KafkaClient {
  readonly kafka: Kafka;
  readonly brokers: readonly string[];
  readonly log: KafkaLog;
}

/** Makes a client; connects to nothing yet and prints nothing. */
export function createKafkaClient(options: KafkaClientOptions): KafkaClient {
  registerCodecs();
  quietRequestQueue();
  const log = options.log ?? (() => undefined);
  const config: KafkaConfig = {
    clientId: options.clientId ?? 'lockstep',
    brokers: [...options.brokers],
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    socketFactory: attentiveSocket,
    retry: { retries: REQUEST_RETRIES, initialRetryTime: INITIAL_RETRY_MS, maxRetryTime: MAX_RETRY_MS },
    logLevel: kafkajs.logLevel.WARN,
    logCreator: () => (entry) => {
      const { message, timestamp: _timestamp, logger: _logger, stack: _stack, ...details } = entry.log;
      log(levelName(entry.level), entry.namespace ? `${entry.namespace}: ${message}` : message, details);
    },
    ...(options.ssl === undefined || options.ssl === false ? {} : { ssl: options.ssl }),
    ...(options.sasl === undefined ? {} : { sasl: options.sasl as SASLOptions }),
  };
  return { kafka: new kafkajs.Kafka(config), brokers: options.brokers, log };
}

/** As kafkajs makes them, and each tells when its other end has been silent. */
const attentiveSocket: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  // The types do not say that there may be none.
  const secured = ssl as tls.ConnectionOptions | null | undefined;
  const socket = secured ? tls.connect({ host, port, ...(net.isIP(host) === 0 ? { servername: host } : {}), ...secured }, onConnect) : net.connect({ host, port }, onConnect);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  socket.setTimeout(SILENCE_MS);
  return socket;
};

function levelName(level: number): KafkaLogLevel {
  if (level === kafkajs.logLevel.ERROR) return 'error';
  if (level === kafkajs.logLevel.WARN) return 'warn';
  return level === kafkajs.logLevel.INFO ? 'info' : 'debug';
}

const REFUSALS: ReadonlySet<string> = new Set([
  'SASL_AUTHENTICATION_FAILED',
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'UNSUPPORTED_SASL_MECHANISM',
  'ILLEGAL_SASL_STATE',
]);

/**
 * What went wrong with Kafka: `kafka_refused` (final) where the brokers turned us
 * away, else `kafka_unreachable` (retry). kafkajs hides the reason in `cause`.
 */
export function kafkaError(error: unknown, brokers: readonly string[], doing: string): LockstepError {
  if (error instanceof LockstepError) return error;
  const names = brokers.join(', ');
  if (refused(error)) {
    return new LockstepError('kafka_refused', `Kafka refused ${doing}: ${rootMessage(error)}`, {
      cause: error,
      about: { brokers: names },
      hint: 'check events.kafka.sasl and the ACLs of its user: read on topics and group, describe on the cluster',
    });
  }
  return new LockstepError('kafka_unreachable', `Kafka failed ${doing}: ${rootMessage(error)}`, {
    retry: 'retry',
    cause: error,
    about: { brokers: names },
    hint: `check that the brokers run and can be reached from here: ${names} (events.kafka.brokers)`,
  });
}

function refused(error: unknown): boolean {
  let current: unknown = error;
  for (let depth = 0; depth < 8 && current instanceof Error; depth++) {
    if (current.name === 'KafkaJSSASLAuthenticationError') return true;
    if ('type' in current && typeof current.type === 'string' && REFUSALS.has(current.type)) return true;
    current = current.cause;
  }
  return false;
}

interface RequestQueue {
  pending: readonly unknown[];
  throttledUntil: number;
  scheduleCheckPendingRequests: (this: RequestQueue) => void;
}

let quieted = false;

/**
 * kafkajs 2.2.4 schedules the next look at an empty request queue in the past;
 * Node makes that 1 ms, and warns: an idle connection wakes a thousand times a
 * second. Nothing is lost by not looking while nothing waits: each new request and
 * each answer looks by itself.
 */
function quietRequestQueue(): void {
  if (quieted) return;
  quieted = true;
  const queue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as { prototype?: RequestQueue };
  const prototype = queue.prototype;
  if (prototype === undefined || !('scheduleCheckPendingRequests' in prototype)) return;
  const { scheduleCheckPendingRequests: schedule } = prototype;
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this);
  };
}
