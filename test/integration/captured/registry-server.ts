import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fixtureText } from '../../unit/events/debezium/support.ts';

/** A small schema registry with the schemas of the captured Avro messages, over the Confluent-compatible API. */
export interface RegistryServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts it on a free port of 127.0.0.1. */
export async function startRegistry(): Promise<RegistryServer> {
  const schemas = JSON.parse(fixtureText('g-avro-schemas.json')) as Readonly<Record<string, unknown>>;
  const server = createServer((request, response) => {
    const id = /^\/schemas\/ids\/(\d+)$/.exec(request.url ?? '')?.[1];
    const schema = id === undefined ? undefined : schemas[id];
    if (schema === undefined) response.writeHead(404).end(JSON.stringify({ error_code: 40403, message: 'Schema not found' }));
    else response.writeHead(200, { 'content-type': 'application/vnd.schemaregistry.v1+json' }).end(JSON.stringify({ schema: JSON.stringify(schema) }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
