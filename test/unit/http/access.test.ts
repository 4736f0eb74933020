import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isLoopback } from '../../../src/http/access.ts';
import { HttpServer } from '../../../src/http/server.ts';
import { Client } from './client.ts';
import { drift, MemoryView } from './view.ts';

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

let client: Client;

afterEach(async () => {
  await client.close();
});

describe('with tokens', () => {
  beforeEach(async () => {
    client = await Client.open({ tokens: { read: ['reader', 'reader-2'], operate: ['operator'] } });
    client.view.drifts = [drift('d1')];
  });

  it('leaves probes and documentation open', async () => {
    expect((await client.get('/healthz')).statusCode).toBe(200);
    expect((await client.get('/readyz')).statusCode).toBe(200);
    expect((await client.app.inject('/documentation/json')).statusCode).toBe(200);
  });

  it.each(['/metrics', '/v1/summary', '/v1/tables', '/v1/drift', '/v1/drift/d1', '/v1/dead-letters', '/v1/lag', '/v1/sweeps', '/v1/gate', '/v1/phase'])('%s needs read', async (url) => {
    const without = await client.get(url);
    expect(without.json()).toMatchObject({ status: 401, code: 'token_required' });
    expect(without.headers['www-authenticate']).toContain('Bearer');
    expect((await client.get(url, bearer('wrong'))).json()).toMatchObject({ status: 401, code: 'bad_token' });
    expect((await client.get(url, { authorization: 'Basic cmVhZGVy' })).statusCode).toBe(401);
    for (const token of ['reader', 'reader-2', 'operator']) expect((await client.get(url, bearer(token))).statusCode, token).toBe(200);
  });

  it.each(['/v1/drift/d1/recheck', '/v1/sweeps', '/v1/sweeps/s1/cancel'])('POST %s needs operate', async (url) => {
    expect((await client.post(url)).statusCode).toBe(401);
    expect((await client.post(url, undefined, bearer('reader'))).json()).toMatchObject({ status: 403, code: 'scope_required' });
    expect(client.view.audited).toEqual([]);
    expect((await client.post(url, undefined, bearer('operator'))).statusCode).not.toBe(403);
    expect(client.view.audited).toHaveLength(1);
  });

  it('POST /v1/dead-letters/{id}/discharge needs operate', async () => {
    const url = '/v1/dead-letters/t:0:1/discharge';
    expect((await client.post(url, { reason: 'x' })).statusCode).toBe(401);
    expect((await client.post(url, { reason: 'x' }, bearer('reader'))).json()).toMatchObject({ status: 403, code: 'scope_required' });
    expect(client.view.audited).toEqual([]);
    expect((await client.post(url, { reason: 'x' }, bearer('operator'))).statusCode).toBe(404);
  });

  it('refuses before the body is looked at', async () => {
    expect((await client.send({ method: 'POST', url: '/v1/drift/d1/ignore', headers: { 'content-type': 'application/json' }, payload: '{' })).statusCode).toBe(401);
  });

  it('lets a reader check rows', async () => {
    expect((await client.post('/v1/checks', { table: 'public.payments', keys: [{ id: 1 }] }, bearer('reader'))).statusCode).toBe(200);
  });

  it('names the token in the audit trail without giving it away', async () => {
    await client.post('/v1/sweeps', undefined, bearer('operator'));
    expect(client.view.audited[0]?.actor).toMatch(/^token:[0-9a-f]{8}$/);
  });

  it('answers other machines', async () => {
    expect((await client.send({ method: 'GET', url: '/v1/gate', headers: { ...bearer('reader'), host: 'lockstep.example' }, remoteAddress: '10.1.2.3' })).statusCode).toBe(200);
  });
});

describe('without tokens', () => {
  beforeEach(async () => {
    client = await Client.open();
  });

  it('answers this machine only', async () => {
    expect((await client.get('/v1/gate')).statusCode).toBe(200);
    expect((await client.send({ method: 'GET', url: '/v1/gate', remoteAddress: '::1', headers: { host: '[::1]:8080' } })).statusCode).toBe(200);
    expect((await client.send({ method: 'GET', url: '/v1/gate', remoteAddress: '10.1.2.3' })).json()).toMatchObject({ status: 403, code: 'loopback_only' });
    expect((await client.send({ method: 'GET', url: '/healthz', remoteAddress: '10.1.2.3' })).statusCode).toBe(200);
  });

  it('does not answer a web page that reaches it through a browser', async () => {
    expect((await client.get('/v1/gate', { host: 'attacker.example' })).json()).toMatchObject({ status: 403, code: 'loopback_only' });
    expect((await client.post('/v1/sweeps', undefined, { host: '127.0.0.1:8080', origin: 'https://attacker.example' })).json()).toMatchObject({ status: 403, code: 'cross_origin' });
    expect((await client.post('/v1/sweeps', undefined, { host: '127.0.0.1:8080', origin: 'http://127.0.0.1:8080' })).statusCode).toBe(202);
  });

  it('does not listen where others could reach it', async () => {
    const server = new HttpServer(new MemoryView(), { host: '0.0.0.0', port: 0, tokens: { read: [], operate: [] }, version: '1', nowMs: () => 0 });
    await expect(server.start()).rejects.toMatchObject({ code: 'http_needs_tokens', hint: expect.stringContaining('tokens') });
  });

  it('listens, answers, says when the port is taken, and stops', async () => {
    const options = { host: '127.0.0.1', port: 0, tokens: { read: [], operate: [] }, version: '1', nowMs: () => 0 };
    const server = new HttpServer(new MemoryView(), options);
    const url = await server.start();
    try {
      expect(await (await fetch(`${url}/healthz`)).json()).toEqual({ status: 'live' });
      const second = new HttpServer(new MemoryView(), { ...options, port: Number(new URL(url).port) });
      await expect(second.start()).rejects.toMatchObject({ code: 'http_listen' });
    } finally {
      await server.stop();
    }
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });
});

describe('isLoopback', () => {
  beforeEach(async () => {
    client = await Client.open();
  });

  it.each([
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['::1', true],
    ['[::1]', true],
    ['::ffff:127.0.0.1', true],
    ['localhost', true],
    ['LOCALHOST', true],
    ['0.0.0.0', false],
    ['::', false],
    ['10.0.0.1', false],
    ['127.0.0.1.example', false],
    ['localhost.example', false],
    ['', false],
  ])('%s: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected);
  });
});
