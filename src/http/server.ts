import type { AddressInfo } from 'node:net';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import underPressure from '@fastify/under-pressure';
import { Ajv } from 'ajv';
import type { FormatsPlugin } from 'ajv-formats';
import addFormatsModule from 'ajv-formats';
import Fastify, { LogController } from 'fastify';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { LockstepError } from '../domain/errors.ts';
import type { Tokens } from './access.ts';
import { guardAccess, hasTokens, isLoopback } from './access.ts';
import { parseExactJson } from './exact-json.ts';
import type { ServiceView } from './ports.ts';
import { answerProblems, Problem } from './problem.ts';
import { checkRoutes } from './routes/checks.ts';
import { deadLetterRoutes } from './routes/dead-letters.ts';
import { driftRoutes } from './routes/drift.ts';
import { gateRoutes } from './routes/gate.ts';
import { healthRoutes } from './routes/health.ts';
import { statusRoutes } from './routes/status.ts';
import { sweepRoutes } from './routes/sweeps.ts';
import { COMPONENTS } from './schemas.ts';

export interface HttpOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tokens: Tokens;
  readonly version: string;
  readonly nowMs: () => number;
  /** Without one, nothing is logged. */
  readonly logger?: FastifyBaseLogger;
}

/** For a request to arrive, headers and body; a slower client only holds a socket. */
const REQUEST_TIMEOUT_MS = 15_000;
/** For an answer: reads by key on both databases fit in, a hung one does not hold the client for ever. */
const HANDLER_TIMEOUT_MS = 30_000;
/** Longer than usual load balancers keep a connection (60 s), so that they close first. */
const KEEP_ALIVE_MS = 65_000;
/** No body but that of checks needs more. */
const BODY_BYTES = 65_536;
/** Table names may be long once percent-encoded. */
const MAX_PARAM_LENGTH = 1_024;
/** Mean over a second. At this delay answers are late enough to make clients retry, which would make it worse. */
const MAX_EVENT_LOOP_DELAY_MS = 1_000;
const RETRY_AFTER_SECONDS = 5;
/** For requests under way when stopping; an export that is read slowly must not hold the process. */
const STOP_GRACE_MS = 5_000;

// Its types describe the ESM default export as the module object.
const addFormats = addFormatsModule as unknown as FormatsPlugin;

class Overloaded extends Problem {
  constructor() {
    super(503, 'overloaded', 'The service is busy; try again soon.');
  }
}

/** All routes on a Fastify instance that does not listen yet. */
export async function buildServer(view: ServiceView, options: HttpOptions): Promise<FastifyInstance> {
  const app = Fastify({
    ...(options.logger === undefined ? { logger: false } : { loggerInstance: options.logger }),
    // A URL may hold keys, which are personal data: requests are not logged.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    handlerTimeout: HANDLER_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
  });
  validateRequests(app);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, async (_request: unknown, body: string) =>
    body.trim() === '' ? undefined : parseExactJson(body, 'The body'),
  );
  answerProblems(app);
  guardAccess(app, options.tokens);
  for (const schema of COMPONENTS) app.addSchema(schema);

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Lockstep',
        version: options.version,
        description: 'Whether an old and a new database hold the same rows, continuously.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: ['status', 'drift', 'dead-letters', 'checks', 'sweeps', 'gate', 'health'].map((name) => ({ name })),
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      ...(hasTokens(options.tokens) ? { security: [{ token: [] }] } : {}),
    },
    refResolver: { buildLocalReference: (json, _baseUri, _fragment, index) => (typeof json.$id === 'string' ? json.$id : `schema${index}`) },
  });
  await app.register(swaggerUi, { routePrefix: '/documentation' });

  await app.register(async (scope) => {
    healthRoutes(scope, view);
    gateRoutes(scope, view, options.nowMs);
  });
  // A scope of its own: overload must refuse neither probes, nor the scrape, nor the gate.
  await app.register(
    async (scope) => {
      await scope.register(underPressure, {
        maxEventLoopDelay: MAX_EVENT_LOOP_DELAY_MS,
        retryAfter: RETRY_AFTER_SECONDS,
        customError: Overloaded,
      });
      statusRoutes(scope, view);
      driftRoutes(scope, view, options.nowMs);
      deadLetterRoutes(scope, view, options.nowMs);
      checkRoutes(scope, view);
      sweepRoutes(scope, view, options.nowMs);
    },
    { prefix: '/v1' },
  );
  return app;
}

/** Query strings are text and are converted; bodies must be of the right type as they are. */
function validateRequests(app: FastifyInstance): void {
  const shared = { allErrors: false, allowUnionTypes: true, useDefaults: true, removeAdditional: false } as const;
  const strict = addFormats(new Ajv({ ...shared, coerceTypes: false }));
  const converting = addFormats(new Ajv({ ...shared, coerceTypes: true }));
  app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? strict : converting).compile(schema as object));
}

/** The service's HTTP interface. */
export class HttpServer {
  readonly #view: ServiceView;
  readonly #options: HttpOptions;
  #app: FastifyInstance | null = null;

  constructor(view: ServiceView, options: HttpOptions) {
    this.#view = view;
    this.#options = options;
  }

  /**
   * Listens and resolves to the base URL. Rejects with `http_needs_tokens` when
   * asked to listen to more than this machine without tokens, and with
   * `http_listen` when the address cannot be had.
   */
  async start(): Promise<string> {
    const { host, port, tokens } = this.#options;
    if (!hasTokens(tokens) && !isLoopback(host)) {
      throw new LockstepError('http_needs_tokens', `http.host is ${host}, which others can reach, and there are no tokens`, {
        about: { host },
        hint: 'set http.tokens.read_file and http.tokens.operate_file, or http.host: 127.0.0.1',
      });
    }
    const app = await buildServer(this.#view, this.#options);
    try {
      await app.listen({ host, port });
    } catch (error) {
      await app.close();
      throw new LockstepError('http_listen', `cannot listen on ${host}:${port}`, {
        cause: error,
        about: { host, port },
        hint: 'choose another http.port, or stop what uses this one',
      });
    }
    this.#app = app;
    const bound = app.server.address() as AddressInfo;
    return `http://${host.includes(':') ? `[${host}]` : host}:${bound.port}`;
  }

  /** Lets requests under way finish for a few seconds, then closes. */
  async stop(): Promise<void> {
    const app = this.#app;
    if (app === null) return;
    this.#app = null;
    const overdue = setTimeout(() => app.server.closeAllConnections(), STOP_GRACE_MS);
    try {
      await app.close();
    } finally {
      clearTimeout(overdue);
    }
  }
}
