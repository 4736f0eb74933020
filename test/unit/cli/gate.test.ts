import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Folder, MINIMAL } from '../config/fixtures.ts';
import { run } from './console.ts';

const folder = new Folder();
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => folder.remove());

/** A service that answers as `handle` says; its URL. */
async function service(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handle);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const reason = { code: 'open_drift', table: 'public.payments', message: '3 rows of open drift, at most 0', observed: 3, limit: 0 };

function answer(verdict: string): string {
  return JSON.stringify({
    verdict,
    action: verdict === 'pass' ? 'proceed' : 'hold',
    phase: 'canary',
    reasons: verdict === 'pass' ? [] : [reason],
    evaluated_at: '2026-01-01T00:00:00.000Z',
  });
}

describe('gate', () => {
  test.each([
    ['pass', 0, 'pass: proceed (phase canary)\n'],
    ['fail', 1, 'fail: hold (phase canary)\n  open_drift: public.payments: 3 rows of open drift, at most 0\n'],
    ['unknown', 3, 'unknown: hold (phase canary)\n  open_drift: public.payments: 3 rows of open drift, at most 0\n'],
  ])('%s', async (verdict, code, stdout) => {
    const url = await service((_request, response) => response.end(answer(verdict)));
    expect(await run(['gate', '--url', url])).toEqual({ code, stdout, stderr: '' });
    const json = await run(['gate', '--url', url, '--format', 'json']);
    expect(JSON.parse(json.stdout)).toEqual(JSON.parse(answer(verdict)));
  });

  test('asks for the phase, with the token of the environment, of a file, or of the configuration', async () => {
    const asked: string[] = [];
    const url = await service((request, response) => {
      asked.push(`${request.url} ${request.headers.authorization ?? 'none'}`);
      response.end(answer('pass'));
    });
    const tokenFile = folder.write('token', 'from-file\n');
    const config = folder.write(
      'lockstep.yaml',
      `${MINIMAL}http: { port: ${new URL(url).port}, tokens: { read: from-config } }\n`,
    );
    await run(['gate', '--url', url]);
    await run(['gate', '--url', `${url}/lockstep/`, '--phase', 'cutover'], {}, { env: { LOCKSTEP_TOKEN: 'from-env' } });
    await run(['gate', '--url', url, '--token-file', tokenFile]);
    await run(['gate', '-c', config]);
    expect(asked).toEqual([
      '/v1/gate none',
      '/lockstep/v1/gate?phase=cutover Bearer from-env',
      '/v1/gate Bearer from-file',
      '/v1/gate Bearer from-config',
    ]);
  });

  test('--wait asks again until it passes', async () => {
    let requests = 0;
    const url = await service((_request, response) => {
      requests++;
      if (requests === 1) response.writeHead(503).end('{}');
      else response.end(answer(requests === 2 ? 'unknown' : 'pass'));
    });
    expect(await run(['gate', '--url', url, '--wait', '1h'])).toMatchObject({ code: 0 });
    expect(requests).toBe(3);
  });

  test('--wait ends with the last verdict', async () => {
    const url = await service((_request, response) => response.end(answer('fail')));
    expect(await run(['gate', '--url', url, '--wait', '50ms'])).toMatchObject({ code: 1 });
  });

  test('interrupted while it waits: nothing is known', async () => {
    const stop = new AbortController();
    const url = await service((_request, response) => {
      response.end(answer('unknown'));
      setImmediate(() => stop.abort());
    });
    expect(await run(['gate', '--url', url, '--wait', '1h'], {}, { signal: stop.signal })).toEqual({ code: 3, stdout: '', stderr: 'interrupted: nothing is known\n' });
  });

  test('a service that is not there', async () => {
    const { code, stdout, stderr } = await run(['gate', '--url', 'http://127.0.0.1:9']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: the service does not answer: .* \(url http:\/\/127\.0\.0\.1:9\/v1\/gate\)\nhint: /);
  });

  test.each([
    [401, '{}', /refuses the token \(HTTP 401\)/],
    [404, '{"title":"Not Found","detail":"no such route"}', /answers HTTP 404: no such route/],
    [500, '', /answers HTTP 500: no body/],
    [200, '<html>', /answers HTTP 200: <html>/],
    [200, '{"verdict":"perhaps"}', /answers HTTP 200/],
  ])('an answer that is none: HTTP %d %s', async (status, body, message) => {
    const url = await service((_request, response) => response.writeHead(status).end(body));
    const { code, stdout, stderr } = await run(['gate', '--url', url]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });
});
