import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from './problem.ts';

/** Who may call a route: anyone, or the bearer of a token with this scope. `operate` includes `read`. */
export type Access = 'open' | 'read' | 'operate';

/** Bearer tokens by scope; with both empty the service is open, to this machine only. */
export interface Tokens {
  readonly read: readonly string[];
  readonly operate: readonly string[];
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `read` where a route does not say. */
    access?: Access;
  }
  interface FastifyRequest {
    /** Who calls, as the audit trail names it. */
    actor: string;
  }
}

/** How many digits of a token's hash name it in the audit trail: enough to tell tokens apart, far too few to find one. */
const ACTOR_HASH_DIGITS = 8;

interface KnownToken {
  readonly hash: Buffer;
  readonly scope: 'read' | 'operate';
}

export function hasTokens(tokens: Tokens): boolean {
  return tokens.read.length + tokens.operate.length > 0;
}

/** Whether a server bound to `host`, or a client at this address, is on this machine alone. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  return bare === 'localhost' || bare === '::1' || /^(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(bare);
}

/** Refuses every request that its route's access does not allow, before the body is read. */
export function guardAccess(app: FastifyInstance, tokens: Tokens): void {
  const known: readonly KnownToken[] = [
    ...tokens.operate.map((token): KnownToken => ({ hash: hashOf(token), scope: 'operate' })),
    ...tokens.read.map((token): KnownToken => ({ hash: hashOf(token), scope: 'read' })),
  ];
  app.decorateRequest('actor', '');
  app.addHook('onRequest', async (request) => {
    const access = accessOf(request);
    if (access === 'open') return;
    if (known.length === 0) guardLoopback(request);
    else guardToken(request, access, known);
  });
}

function accessOf(request: FastifyRequest): Access {
  const { url, config } = request.routeOptions;
  if (url === undefined) return 'open';
  if (config.access !== undefined) return config.access;
  return url === '/documentation' || url.startsWith('/documentation/') ? 'open' : 'read';
}

/** Without tokens the caller's place is the only credential: it must not be a page of some web site in a local browser. */
function guardLoopback(request: FastifyRequest): void {
  if (!isLoopback(request.socket.remoteAddress ?? '')) {
    throw new Problem(403, 'loopback_only', 'Without tokens only this machine is answered; configure http.tokens.');
  }
  if (!isLoopback(request.hostname)) {
    throw new Problem(403, 'loopback_only', 'Without tokens only requests to a loopback name are answered; configure http.tokens.');
  }
  const { origin } = request.headers;
  if (origin !== undefined && origin !== `${request.protocol}://${request.host}`) {
    throw new Problem(403, 'cross_origin', 'Requests from pages of another origin are not answered.');
  }
  request.actor = 'loopback';
}

function guardToken(request: FastifyRequest, access: 'read' | 'operate', known: readonly KnownToken[]): void {
  const given = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
  if (given === undefined) throw new Problem(401, 'token_required', 'This route needs a bearer token.');
  const hash = hashOf(given);
  let scope: 'read' | 'operate' | null = null;
  for (const token of known) {
    if (timingSafeEqual(token.hash, hash)) scope ??= token.scope;
  }
  if (scope === null) throw new Problem(401, 'bad_token', 'The bearer token is not known.');
  if (access === 'operate' && scope !== 'operate') {
    throw new Problem(403, 'scope_required', 'This route needs a token of scope operate.');
  }
  request.actor = `token:${hash.toString('hex').slice(0, ACTOR_HASH_DIGITS)}`;
}

/** Equal lengths, so that the comparison takes the same time whatever was sent. */
function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
