import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { LockstepError } from '../../domain/errors.ts';
import { formatLsn } from './lsn.ts';

/** What pg's client keeps of its connection, as far as replication needs it: the types leave it out. */
interface RawConnection {
  on(event: 'copyData', listener: (message: { readonly chunk: Buffer }) => void): void;
  on(event: 'replicationStart', listener: () => void): void;
  sendCopyFromChunk(chunk: Buffer): void;
  end(): void;
  readonly stream: { pause(): unknown; resume(): unknown };
}

export interface WalsenderListener {
  /** @param lsn where the change stands in the log. `message` is only valid during the call. */
  onMessage(lsn: bigint, message: Buffer): void;
  /** The server has sent everything that was committed before this position. */
  onKeepalive(sentLsn: bigint, replyRequested: boolean): void;
}

export interface StandbyStatus {
  /** Everything before this has been received. */
  readonly receivedLsn: bigint;
  /** Everything before this is accounted for: the server may forget it. Zero: says nothing. */
  readonly flushedLsn: bigint;
  readonly replyRequested: boolean;
}

const CONNECT_TIMEOUT_MS = 10_000;

/** Worth waiting for the server to let go of the slot. */
const CLOSE_TIMEOUT_MS = 2_000;

/** Output as the decoder expects it, whatever the role, the database or the URL set. */
const SETTINGS = [
  `SET DateStyle = 'ISO, YMD'`,
  `SET TimeZone = 'UTC'`,
  `SET IntervalStyle = 'postgres'`,
  `SET bytea_output = 'hex'`,
  `SET extra_float_digits = 1`,
  `SET lc_monetary = 'C'`,
  `SET xmloption = 'content'`,
];

const XLOG_DATA = 0x77;
const KEEPALIVE = 0x6b;
const STATUS_UPDATE = 0x72;

/** The header of XLogData: tag, start, end, time. */
const XLOG_DATA_HEADER = 25;

/** Ms from 1970 to 2000, where PostgreSQL's clock begins. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** The replication connection of one slot ("Streaming Replication Protocol" in PostgreSQL's manual). */
export class Walsender {
  readonly #client: pg.Client;
  readonly #raw: RawConnection;
  readonly #gone: Promise<void>;
  #paused = false;
  #over = false;

  private constructor(client: pg.Client) {
    this.#client = client;
    this.#gone = new Promise((settle) => client.once('end', settle));
    this.#raw = (client as unknown as { readonly connection: RawConnection }).connection;
  }

  /** Connects; nothing is sent yet. */
  static async connect(url: string, applicationName: string): Promise<Walsender> {
    const config: pg.ClientConfig & { replication: string } = {
      connectionString: url,
      application_name: applicationName,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      replication: 'database',
    };
    const client = new pg.Client(config);
    client.on('error', () => {
      // The command under way rejects with the same error.
    });
    try {
      await client.connect();
      for (const setting of SETTINGS) await client.query(setting);
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    return new Walsender(client);
  }

  /** Streams from `fromLsn`; `ended` rejects when the server or the connection ends it. Resolves when it has begun. */
  async stream(
    slot: string,
    publication: string,
    fromLsn: bigint,
    listener: WalsenderListener,
  ): Promise<{ readonly ended: Promise<never> }> {
    const name = publication.replaceAll('"', '""').replaceAll(`'`, `''`);
    let began: () => void = () => undefined;
    const beginning = new Promise<void>((settle) => (began = settle));
    let fail: (error: unknown) => void = () => undefined;
    const ended = new Promise<never>((_, reject) => (fail = reject));
    ended.catch(() => undefined);
    this.#raw.on('replicationStart', began);
    this.#raw.on('copyData', ({ chunk }) => {
      if (this.#over) return;
      try {
        receive(chunk, listener);
      } catch (error) {
        this.#over = true;
        fail(error);
      }
    });
    this.#client
      .query(
        `START_REPLICATION SLOT ${pg.escapeIdentifier(slot)} LOGICAL ${formatLsn(fromLsn)} (proto_version '1', publication_names '"${name}"')`,
      )
      .then(
        () => fail(new LockstepError('stream_lost', `the server has ended the stream of replication slot ${slot}`, { retry: 'retry', about: { slot } })),
        fail,
      );
    await Promise.race([beginning, ended]);
    return { ended };
  }

  /** Whether reading is held up. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Stops reading from the socket: the server waits when its buffers are full. */
  pause(): void {
    this.#paused = true;
    this.#raw.stream.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#raw.stream.resume();
  }

  /** Tells the server how far we are. @param nowMs ms since 1970 */
  sendStatus(status: StandbyStatus, nowMs: number): void {
    if (this.#over) return;
    const message = Buffer.alloc(34);
    message.writeUInt8(STATUS_UPDATE, 0);
    message.writeBigUInt64BE(status.receivedLsn, 1);
    message.writeBigUInt64BE(status.flushedLsn, 9);
    message.writeBigUInt64BE(status.flushedLsn, 17);
    message.writeBigInt64BE(BigInt(Math.round(nowMs - POSTGRES_EPOCH_MS)) * 1000n, 25);
    message.writeUInt8(status.replyRequested ? 1 : 0, 33);
    this.#raw.sendCopyFromChunk(message);
  }

  /** Ends the connection. */
  async close(): Promise<void> {
    this.#over = true;
    // Whatever the server still sends must be read for the connection to end.
    if (this.#paused) this.resume();
    // Said politely, so that the slot is free at once; pg's own way with a command under way is to drop the connection.
    this.#raw.end();
    const patience = new AbortController();
    await Promise.race([this.#gone, sleep(CLOSE_TIMEOUT_MS, undefined, { signal: patience.signal }).catch(() => undefined)]);
    patience.abort();
    await this.#client.end().catch(() => undefined);
  }
}

function receive(chunk: Buffer, listener: WalsenderListener): void {
  const tag = chunk.readUInt8(0);
  if (tag === XLOG_DATA) listener.onMessage(chunk.readBigUInt64BE(1), chunk.subarray(XLOG_DATA_HEADER));
  else if (tag === KEEPALIVE) listener.onKeepalive(chunk.readBigUInt64BE(1), chunk.readUInt8(17) === 1);
  // Other tags are none of the protocol's today; a newer server may add some that ask for nothing.
}
