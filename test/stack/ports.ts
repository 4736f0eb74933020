import { createServer } from 'node:net';
import { LockstepError } from '../../src/domain/errors.ts';

/** Below the ranges that Linux and macOS hand out for outgoing connections, so that no client takes a port between finding and using it. */
const LOWEST_PORT = 20_000;
const HIGHEST_PORT = 32_000;
/** Far more than a machine with a few stacks needs. */
const TRIES_PER_PORT = 200;

/** `count` different TCP ports on 127.0.0.1 that nobody listens on. @throws LockstepError `no_free_port` */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  for (let tries = 0; tries < count * TRIES_PER_PORT && found.size < count; tries++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
    if (!found.has(port) && (await isFree(port))) found.add(port);
  }
  if (found.size < count) throw new LockstepError('no_free_port', `no ${count} free ports between ${LOWEST_PORT} and ${HIGHEST_PORT} on 127.0.0.1`);
  return [...found];
}

/** One free TCP port on 127.0.0.1. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new LockstepError('no_free_port', 'no free port on 127.0.0.1');
  return port;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
