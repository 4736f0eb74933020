import { once } from 'node:events';
import net from 'node:net';

/** A TCP road to a server whose answers arrive late: what a pipeline with constant lag looks like. */
export class DelayedLink {
  readonly port: number;
  private readonly server: net.Server;
  private readonly sockets: Set<net.Socket>;

  private constructor(server: net.Server, port: number, sockets: Set<net.Socket>) {
    this.server = server;
    this.port = port;
    this.sockets = sockets;
  }

  /** Opens a port on 127.0.0.1 that leads to `targetPort`. What comes back is `delayMs` late, in order. */
  static async open(targetPort: number, delayMs: number): Promise<DelayedLink> {
    const sockets = new Set<net.Socket>();
    const server = net.createServer((near) => {
      const far = net.connect(targetPort, '127.0.0.1');
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far);
      // Timers of one length fire in the order they were set.
      far.on('data', (piece: Buffer) => setTimeout(() => near.write(piece), delayMs));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new DelayedLink(server, (server.address() as net.AddressInfo).port, sockets);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}
