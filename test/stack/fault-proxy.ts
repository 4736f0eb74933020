import { once } from 'node:events';
import net from 'node:net';

/** Bytes that wait in one direction of a connection before no more are taken in. */
const WAITING_MAX_BYTES = 4 * 1024 * 1024;

/** What a network does to those who use it. */
type Road =
  /** Everything goes through. */
  | 'open'
  /** Connections are reset, and so is each new one. */
  | 'cut'
  /** Connections stay as they are and nothing comes through, in neither direction; new ones are accepted and lead nowhere. */
  | 'silent';

/** A TCP road to a server on 127.0.0.1 whose faults are made at will. */
export class FaultProxy {
  readonly port: number;
  readonly #server: net.Server;
  readonly #connections = new Set<Connection>();
  #road: Road = 'open';
  #delayMs = 0;
  #bytesPerSecond = Number.POSITIVE_INFINITY;

  private constructor(server: net.Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** Opens `port` on 127.0.0.1, by default any free one, that leads to `targetPort`. */
  static async open(targetPort: number, options: { readonly port?: number; readonly delayMs?: number } = {}): Promise<FaultProxy> {
    const server = net.createServer({ allowHalfOpen: true });
    server.listen(options.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new FaultProxy(server, (server.address() as net.AddressInfo).port);
    proxy.#delayMs = options.delayMs ?? 0;
    server.on('connection', (near) => proxy.#accept(near, targetPort));
    return proxy;
  }

  /** Resets all connections, and each new one until `mend`. */
  cut(): void {
    this.#road = 'cut';
    this.reset();
  }

  /** Resets all connections once. */
  reset(): void {
    for (const connection of this.#connections) connection.reset();
  }

  /**
   * Lets nothing through any more and closes nothing: what a machine or a firewall that vanishes looks like. New
   * connections are accepted and lead nowhere, until `mend`.
   */
  silence(): void {
    this.#road = 'silent';
    for (const connection of this.#connections) connection.isDead = true;
  }

  /** New connections go through again, at full speed. Those that were silent stay so for ever: only the ends can find out. */
  mend(): void {
    this.#road = 'open';
    this.#delayMs = 0;
    this.#bytesPerSecond = Number.POSITIVE_INFINITY;
  }

  /** What comes back is `delayMs` late, in order, and comes no faster than `bytesPerSecond` on each connection. */
  slow(delayMs: number, bytesPerSecond = Number.POSITIVE_INFINITY): void {
    this.#delayMs = delayMs;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Connections that are open on the near side. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Ends it with all its connections. */
  async close(): Promise<void> {
    this.reset();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(near: net.Socket, targetPort: number): void {
    if (this.#road === 'cut') {
      near.on('error', () => undefined);
      near.resetAndDestroy();
      return;
    }
    const far = this.#road === 'silent' ? null : net.connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
    const connection = new Connection(near, far, () => this.#connections.delete(connection));
    connection.isDead = far === null;
    this.#connections.add(connection);
    near.on('data', (piece: Buffer) => connection.carry(near, far, piece, 0, 0));
    far?.on('data', (piece: Buffer) => connection.carry(far, near, piece, this.#delayMs, (piece.length / this.#bytesPerSecond) * 1000));
  }
}

/** The two ends of a connection through the proxy. */
class Connection {
  /** Nothing goes through any more, and neither end is told of it. */
  isDead = false;
  readonly #near: net.Socket;
  readonly #far: net.Socket | null;
  readonly #waiting = new Map<net.Socket, { bytes: number; freeAtMs: number; last: Promise<void> }>();

  constructor(near: net.Socket, far: net.Socket | null, onClosed: () => void) {
    this.#near = near;
    this.#far = far;
    near.on('error', () => undefined);
    far?.on('error', () => undefined);
    near.on('end', () => this.#end(far));
    far?.on('end', () => this.#end(near));
    near.on('close', () => {
      onClosed();
      far?.destroy();
    });
    far?.on('close', () => {
      if (!this.isDead) near.destroy();
    });
  }

  /** Brings a piece from one end to the other, `delayMs` after it has taken its `sendingMs`, behind what was there before it. */
  carry(from: net.Socket, to: net.Socket | null, piece: Buffer, delayMs: number, sendingMs: number): void {
    if (this.isDead || to === null) return;
    const way = this.#way(to);
    if (delayMs === 0 && sendingMs === 0 && way.bytes === 0) {
      if (!to.write(piece)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
      return;
    }
    way.bytes += piece.length;
    if (way.bytes > WAITING_MAX_BYTES) from.pause();
    const nowMs = performance.now();
    way.freeAtMs = Math.max(nowMs, way.freeAtMs) + sendingMs;
    const arrived = new Promise<void>((resolve) => setTimeout(resolve, way.freeAtMs + delayMs - nowMs).unref());
    way.last = Promise.all([way.last, arrived]).then(() => {
      way.bytes -= piece.length;
      if (way.bytes <= WAITING_MAX_BYTES) from.resume();
      if (!this.isDead && to.writable) to.write(piece);
    });
  }

  reset(): void {
    this.isDead = true;
    this.#near.resetAndDestroy();
    this.#far?.resetAndDestroy();
  }

  #end(to: net.Socket | null): void {
    if (this.isDead || to === null) return;
    void this.#way(to).last.then(() => {
      if (!this.isDead) to.end();
    });
  }

  #way(to: net.Socket): { bytes: number; freeAtMs: number; last: Promise<void> } {
    let way = this.#waiting.get(to);
    if (way === undefined) {
      way = { bytes: 0, freeAtMs: 0, last: Promise.resolve() };
      this.#waiting.set(to, way);
    }
    return way;
  }
}
