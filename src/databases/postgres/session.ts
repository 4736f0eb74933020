import { setMaxListeners } from 'node:events';
import pLimit from 'p-limit';
import type { LimitFunction } from 'p-limit';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { LockstepError } from '../../domain/errors.ts';
import type { Side } from '../../domain/pair.ts';
import { databaseFailure } from './failure.ts';

/** A statement that runs longer than this is cancelled, unless told otherwise. */
const STATEMENT_TIMEOUT_MS = 60_000;
/** Reads wait for no lock longer than this: somebody is altering the table. */
const LOCK_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** A connection with nothing to do is given back after this. */
const IDLE_MS = 30_000;
/** Statements that may wait for a connection; more means that the callers' own limits are broken. */
const WAITING_MAX = 1000;
/** Two for each statement of either side that is under way or waits: more than Node takes for a leak. */
const SIGNAL_LISTENERS_MAX = 4 * WAITING_MAX;
const APPLICATION_NAME = 'lockstep';
/** Compiling an expression of many columns takes longer than a chunk's rows do; servers before 11 know no such setting. */
const WITHOUT_JIT_SQL = "SELECT set_config(name, 'off', false) FROM pg_catalog.pg_settings WHERE name = 'jit'";

export interface SessionOptions {
  readonly side: Side;
  /** Connection URL with its password, TLS by its `sslmode`. A secret. */
  readonly url: string;
  /** Most connections held at once. */
  readonly pool: number;
  readonly statementTimeoutMs?: number;
  readonly lockTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  /** Told about trouble with idle connections; without secrets. */
  readonly onWarning?: (message: string, about: Readonly<Record<string, string>>) => void;
}

/**
 * Settings under which PostgreSQL prints every value in one way, whatever the server's, the database's and
 * the role's defaults are. Sessions that carry rows by other ways (logical replication) pin them too.
 */
export const PINNED_SETTINGS: Readonly<Record<string, string>> = {
  DateStyle: 'ISO, YMD',
  TimeZone: 'UTC',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  lc_monetary: 'C',
  client_encoding: 'UTF8',
  search_path: 'pg_catalog',
  standard_conforming_strings: 'on',
};

/** Settings as the `options` of a connection start. */
export function startupOptions(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replace(/[\\ ]/g, '\\$&')}`)
    .join(' ');
}

/** Takes `options` out of a connection URL, so that ours can follow them. */
function splitOptions(url: string): { url: string; options: string } {
  try {
    const parsed = new URL(url);
    const options = parsed.searchParams.get('options') ?? '';
    parsed.searchParams.delete('options');
    return { url: parsed.toString(), options };
  } catch {
    return { url, options: '' };
  }
}

export type SqlParameter = string | number | readonly (string | null)[] | null;

/** Values as the server prints them, of whatever type. */
const AS_TEXT: pg.CustomTypesConfig = { getTypeParser: () => (text: string) => text };

/** One answer row: columns by position, all text. */
export type TextRow = readonly (string | null)[];

/** Read-only sessions on one database, at most `pool` at a time. */
export class Sessions {
  readonly side: Side;
  private readonly pool: pg.Pool;
  private readonly slots: LimitFunction;

  constructor(options: SessionOptions) {
    this.side = options.side;
    const { url, options: asked } = splitOptions(options.url);
    const statementTimeoutMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS;
    const settings = {
      ...PINNED_SETTINGS,
      default_transaction_read_only: 'on',
      // Seeing a part of the rows would look like drift, or like none: fail instead.
      row_security: 'off',
      statement_timeout: String(statementTimeoutMs),
      lock_timeout: String(options.lockTimeoutMs ?? LOCK_TIMEOUT_MS),
      idle_in_transaction_session_timeout: String(statementTimeoutMs),
      // How much is asked at once is our own limit to keep; for a chunk, workers cost more than they save.
      max_parallel_workers_per_gather: '0',
    };
    this.pool = new pg.Pool({
      connectionString: url,
      options: `${asked} ${startupOptions(settings)}`.trim(),
      application_name: APPLICATION_NAME,
      max: options.pool,
      connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      idleTimeoutMillis: IDLE_MS,
      // The server cancels after statement_timeout; a server that does not answer at all is given up a little later.
      query_timeout: statementTimeoutMs + (options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS),
      keepAlive: true,
    });
    this.pool.on('connect', (client) => {
      // It will show in the next statement if this connection is of no use.
      client.query(WITHOUT_JIT_SQL).catch(() => undefined);
    });
    this.pool.on('error', (error) => options.onWarning?.(databaseFailure(error, { side: this.side, table: null }).message, { side: this.side }));
    // Waiting for a free connection must not count as an unreachable database: the pool is never asked for more than it has.
    this.slots = pLimit(options.pool);
  }

  /** Runs one statement; `table` is for the error. Rejects with the signal's reason once it aborts. */
  async query(sql: string, parameters: readonly SqlParameter[], table: string | null, signal?: AbortSignal): Promise<TextRow[]> {
    return (await this.ask(sql, parameters, table, signal)).rows;
  }

  /** The types of a statement's result columns. */
  async resultTypes(sql: string, table: string | null, signal?: AbortSignal): Promise<{ readonly typeId: number; readonly modifier: number }[]> {
    const { fields } = await this.ask(sql, [], table, signal);
    return fields.map(({ dataTypeID, dataTypeModifier }) => ({ typeId: dataTypeID, modifier: dataTypeModifier }));
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  /** Runs a `COPY … TO STDOUT` and hands over its data in pieces; what `onData` throws ends it. */
  async copyOut(sql: string, onData: (piece: Buffer) => void, table: string | null, signal?: AbortSignal): Promise<void> {
    await this.hold(table, signal, async (client) => {
      const stream = client.query(copyTo(sql));
      for await (const piece of stream) onData(piece as Buffer);
    });
  }

  private ask(sql: string, parameters: readonly SqlParameter[], table: string | null, signal: AbortSignal | undefined): Promise<pg.QueryArrayResult<(string | null)[]>> {
    return this.hold(table, signal, (client) => client.query<(string | null)[]>({ text: sql, values: [...parameters], rowMode: 'array', types: AS_TEXT }));
  }

  /** Does some work on a connection; `table` is for the error. */
  private async hold<T>(table: string | null, signal: AbortSignal | undefined, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    if (signal !== undefined) setMaxListeners(SIGNAL_LISTENERS_MAX, signal);
    if (this.slots.pendingCount >= WAITING_MAX) {
      throw new LockstepError('database_busy', `${this.side}: ${WAITING_MAX} statements wait for a connection`, {
        retry: 'retry',
        about: { side: this.side },
        hint: `raise databases.${this.side}.pool`,
      });
    }
    const running = this.slots(() => this.run(work, signal));
    try {
      return await abortable(running, signal);
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw databaseFailure(error, { side: this.side, table });
    }
  }

  private async run<T>(work: (client: pg.PoolClient) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    signal?.throwIfAborted();
    const client = await this.pool.connect();
    const pid = 'processID' in client && typeof client.processID === 'number' ? client.processID : null;
    let broken = false;
    const abort = (): void => {
      broken = true;
      client.release(true);
      // Else the server would go on with a statement that nobody waits for.
      if (pid !== null) this.pool.query('SELECT pg_cancel_backend($1)', [pid]).catch(() => undefined);
    };
    signal?.addEventListener('abort', abort, { once: true });
    // While it is ours the pool does not listen: a connection that is reset would end the process. The statement under way rejects with it.
    client.on('error', ignore);
    try {
      return await work(client);
    } catch (error) {
      if (!broken && !(error instanceof pg.DatabaseError && error.severity !== 'FATAL')) {
        broken = true;
        client.release(true);
      }
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
      if (!broken) {
        client.removeListener('error', ignore);
        client.release();
      }
    }
  }
}

function ignore(): void {
  // See where it is put.
}

/** Settles with `promise`, or rejects as soon as the signal aborts. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let abort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(new Error('aborted'));
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (abort !== undefined) signal.removeEventListener('abort', abort);
  }
}
