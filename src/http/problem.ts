import { STATUS_CODES } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { LockstepError } from '../domain/errors.ts';

/** An answer other than success, in the terms of RFC 9457. */
export class Problem extends Error {
  readonly statusCode: number;
  /** Stable; clients decide by it. */
  readonly code: string;

  constructor(statusCode: number, code: string, detail: string) {
    super(detail);
    this.name = 'Problem';
    this.statusCode = statusCode;
    this.code = code;
  }
}

/** Codes of Fastify's own refusals, in our words. */
const FRAMEWORK_CODES: Readonly<Record<string, { readonly status: number; readonly code: string; readonly detail: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { status: 413, code: 'body_too_large', detail: 'The body is larger than this route takes.' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { status: 415, code: 'unsupported_media_type', detail: 'The body must be application/json.' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { status: 400, code: 'bad_request', detail: 'The body is not as long as Content-Length says.' },
  FST_ERR_BAD_URL: { status: 400, code: 'bad_request', detail: 'The path is not a valid URL.' },
  FST_ERR_HANDLER_TIMEOUT: { status: 503, code: 'timeout', detail: 'The answer took too long; try again.' },
};

/** Answers every error and every unknown route with `application/problem+json`. */
export function answerProblems(app: FastifyInstance): void {
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply));
  app.setNotFoundHandler((request, reply) => sendProblem(new Problem(404, 'no_route', 'There is no such route.'), request, reply));
}

/** Sends `error` as a problem; whatever is not meant for the client is logged and answered as 500 without its message. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, code, detail } = describe(error);
  if (status >= 500) request.log.error({ err: error, route: request.routeOptions.url }, 'request failed');
  if (status === 401) reply.header('www-authenticate', 'Bearer realm="lockstep"');
  return reply
    .status(status)
    .type('application/problem+json')
    .send({
      type: `urn:lockstep:problem:${code}`,
      title: STATUS_CODES[status] ?? 'Error',
      status,
      detail,
      code,
      instance: pathOf(request),
    });
}

function describe(error: unknown): { status: number; code: string; detail: string } {
  if (error instanceof Problem) return { status: error.statusCode, code: error.code, detail: error.message };
  if (error instanceof LockstepError) {
    if (error.code === 'bad_cursor') return { status: 400, code: error.code, detail: 'The cursor is not one that this list gave.' };
    if (error.code === 'standby') return { status: 503, code: error.code, detail: 'Another process holds the writing role: ask that one.' };
    return error.retry === 'retry'
      ? { status: 503, code: error.code, detail: 'A part that is needed for the answer is out of reach; try again.' }
      : { status: 500, code: error.code, detail: 'The answer could not be given; the log says why.' };
  }
  if (error instanceof Error) {
    const { code, validation, statusCode } = error as Error & { code?: string; validation?: unknown; statusCode?: number };
    if (validation !== undefined) return { status: 400, code: 'bad_request', detail: error.message };
    const known = code === undefined ? undefined : FRAMEWORK_CODES[code];
    if (known !== undefined) return known;
    if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
      return { status: statusCode, code: 'bad_request', detail: 'The request is not valid.' };
    }
  }
  return { status: 500, code: 'internal', detail: 'Something went wrong; the log says what.' };
}

/** The path without the query, which may hold keys. */
function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] as string;
}
