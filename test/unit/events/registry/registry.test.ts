import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { LockstepError } from '../../../../src/domain/errors.ts';
import { parseAvroSchema } from '../../../../src/events/avro/schema.ts';
import type { AvroType } from '../../../../src/events/avro/schema.ts';
import { RegistryClient } from '../../../../src/events/registry/client.ts';
import { RegistrySchemas } from '../../../../src/events/registry/schemas.ts';

type Answer = { readonly status?: number; readonly body: unknown };

const servers: Server[] = [];
const requests: IncomingMessage[] = [];

afterEach(async () => {
  requests.length = 0;
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** A registry that answers by path. */
async function serve(answers: Readonly<Record<string, Answer>>): Promise<string> {
  const server = createServer((request, response) => {
    requests.push(request);
    const { status = 200, body } = answers[request.url ?? ''] ?? { status: 404, body: { error_code: 40403 } };
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const ID = { kind: 'content', id: '7' } as const;

describe('the registry’s client', () => {
  it('reads a schema, with those it refers to, and logs in', async () => {
    const schema = JSON.stringify({ type: 'record', name: 'R', fields: [{ name: 'a', type: 'x.Part' }] });
    const part = JSON.stringify({ type: 'record', name: 'Part', namespace: 'x', fields: [] });
    const origin = await serve({
      '/base/schemas/ids/7': { body: { schema, references: [{ name: 'x.Part', subject: 'x/part', version: 3 }] } },
      '/base/subjects/x%2Fpart/versions/3': { body: { subject: 'x/part', version: 3, id: 2, schema: part } },
    });
    const url = new URL(`${origin}/base/`);
    url.username = 'someone';
    url.password = 'p%40ss';
    await expect(new RegistryClient({ url: url.href }).schema(ID)).resolves.toMatchObject({ kind: 'record', fields: [{ name: 'a', type: { name: 'x.Part' } }] });
    const expected = `Basic ${Buffer.from('someone:p@ss').toString('base64')}`;
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([expected, expected]);
  });

  it('reads Apicurio’s own ids where the URL is Apicurio’s', async () => {
    const origin = await serve({ '/apis/registry/v2/ids/globalIds/7': { body: '"int"' } });
    const id = { kind: 'global', id: '7' } as const;
    await expect(new RegistryClient({ url: `${origin}/apis/ccompat/v7` }).schema(id)).resolves.toMatchObject({ kind: 'int' });
    await expect(new RegistryClient({ url: origin }).schema(id)).rejects.toMatchObject({ code: 'unknown_schema' });
  });

  it.each([
    ['unknown_schema', { status: 404, body: {} }],
    ['registry_refused', { status: 401, body: {} }],
    ['registry_unreachable', { status: 503, body: {} }],
    ['bad_schema', { body: 'nonsense' }],
    ['bad_schema', { body: { schema: 'nonsense' } }],
    ['bad_schema', { body: { schema: '"Nobody"' } }],
    ['bad_schema', { body: { schema: '{}', schemaType: 'PROTOBUF' } }],
    ['bad_schema', { body: {} }],
  ] as const)('%s: names id and origin, and no password', async (code, answer) => {
    const origin = await serve({ '/schemas/ids/7': answer });
    const client = new RegistryClient({ url: origin.replace('//', '//someone:hidden@') });
    const error = await client.schema(ID).then(() => null, (failure: unknown) => failure as LockstepError);
    expect(error).toMatchObject({ code, retry: code === 'registry_unreachable' ? 'retry' : 'final' });
    expect(error?.message).toContain(`registry at ${origin}`);
    expect(error?.message).toContain('schema 7');
    expect(JSON.stringify([error?.message, error?.about, error?.hint])).not.toContain('hidden');
  });

  it('a registry that is down', async () => {
    const origin = await serve({});
    await new Promise((resolve) => servers.splice(0)[0]?.close(resolve));
    await expect(new RegistryClient({ url: origin }).schema(ID)).rejects.toMatchObject({ code: 'registry_unreachable', message: expect.stringContaining('ECONNREFUSED') as unknown });
  });
});

describe('schemas ahead of decoding', () => {
  const type = parseAvroSchema('int');
  const down = new LockstepError('registry_unreachable', 'down', { retry: 'retry' });
  const patience = { patienceMs: 30, retryMs: 1, pauseMs: 20 };

  function schemas(answer: (id: string) => AvroType | LockstepError): { readonly schemas: RegistrySchemas; readonly asked: string[] } {
    const asked: string[] = [];
    const client = {
      schema: ({ id }: { readonly id: string }): Promise<AvroType> => {
        asked.push(id);
        const answered = answer(id);
        return answered instanceof LockstepError ? Promise.reject(answered) : Promise.resolve(answered);
      },
    };
    // Time passes by being asked for: a busy machine changes nothing.
    let nowMs = 0;
    return { schemas: new RegistrySchemas({ client, patience, nowMs: () => nowMs++ }), asked };
  }

  it('asks for each once, however many wait for it', async () => {
    const { schemas: known, asked } = schemas(() => type);
    await Promise.all([known.load([ID]), known.load([ID])]);
    await known.load([ID]);
    expect(known.get(ID)).toBe(type);
    expect(asked).toEqual(['7']);
  });

  it('is patient with an outage that ends', async () => {
    let failures = 3;
    const { schemas: known, asked } = schemas(() => (failures-- > 0 ? down : type));
    await known.load([ID]);
    expect(known.get(ID)).toBe(type);
    expect(asked).toHaveLength(4);
  });

  it('gives up on one that lasts, then asks once a pause for all that wait, and recovers', async () => {
    let isDown = true;
    const { schemas: known, asked } = schemas(() => (isDown ? down : type));
    await known.load([ID]);
    expect(() => known.get(ID)).toThrow(down);
    const attempts = asked.length;
    expect(attempts).toBeGreaterThan(2);
    await known.load([ID, { kind: 'content', id: '8' }]);
    expect(asked.length - attempts).toBeLessThanOrEqual(2);
    expect(() => known.get({ kind: 'content', id: '8' })).toThrow(down);
    isDown = false;
    await known.load([ID]);
    expect(known.get(ID)).toBe(type);
  });

  it('remembers for a while what the registry does not know, unless asked afresh', async () => {
    let answer: AvroType | LockstepError = new LockstepError('unknown_schema', 'none');
    const { schemas: known, asked } = schemas(() => answer);
    await known.load([ID]);
    await known.load([ID]);
    expect(asked).toHaveLength(1);
    answer = type;
    await known.load([ID], true);
    expect(known.get(ID)).toBe(type);
  });

  it('what was never looked up is not known', () => {
    expect(() => schemas(() => type).schemas.get(ID)).toThrow(expect.objectContaining({ code: 'registry_unreachable' }));
  });
});
