import pg from 'pg';
import { LockstepError } from '../../domain/errors.ts';
import { withoutPageHeader } from '../../domain/log-position.ts';
import type { PipelineOffsets } from '../../verify/ports.ts';

export interface PostgresPipelineOffsetsOptions {
  /** The primary. */
  readonly url: string;
  /** The slot whose stream these are the offsets of. */
  readonly slot: string;
  /** Slots on the primary that the replica's subscriptions use. */
  readonly subscriptionSlots: (signal: AbortSignal) => Promise<readonly string[]>;
}

const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 10_000;

/**
 * How far the primary's log reaches, and how far native logical replication into
 * the replica has applied it, as log positions.
 */
export class PostgresPipelineOffsets implements PipelineOffsets {
  readonly #options: PostgresPipelineOffsetsOptions;
  readonly #partition: string;
  readonly #pool: pg.Pool;

  constructor(options: PostgresPipelineOffsetsOptions) {
    this.#options = options;
    this.#partition = `postgres:${options.slot}/0`;
    this.#pool = new pg.Pool({
      connectionString: options.url,
      max: 1,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      application_name: 'lockstep-offsets',
    });
    this.#pool.on('error', () => {
      // An idle connection ended; the next query opens another.
    });
  }

  /** The log's end, less a page header that no record has followed yet: a reader does not get past that. */
  async endOffsets(signal: AbortSignal): Promise<ReadonlyMap<string, bigint>> {
    signal.throwIfAborted();
    const { rows } = await this.#query<{ lsn: string; page: string }>(
      `SELECT (pg_current_wal_insert_lsn() - '0/0')::text AS lsn, current_setting('wal_block_size') AS page`,
      [],
    );
    const row = rows[0];
    if (row === undefined) return new Map();
    return new Map([[this.#partition, withoutPageHeader(BigInt(row.lsn), BigInt(row.page))]]);
  }

  /** Absent where the replica has no subscription, or one whose slot is not on this primary. */
  async appliedOffsets(signal: AbortSignal): Promise<ReadonlyMap<string, bigint>> {
    signal.throwIfAborted();
    const slots = await this.#options.subscriptionSlots(signal);
    if (slots.length === 0) return new Map();
    const { rows } = await this.#query<{ lsn: string | null; known: string }>(
      `SELECT (min(confirmed_flush_lsn) - '0/0')::text AS lsn, count(confirmed_flush_lsn) AS known
       FROM pg_replication_slots WHERE slot_name = ANY ($1::text[])`,
      [slots],
    );
    const row = rows[0];
    if (row === undefined || row.lsn === null || Number(row.known) !== slots.length) return new Map();
    return new Map([[this.#partition, BigInt(row.lsn)]]);
  }

  /** What applies has no consumer group. */
  readonly sinkMembers = null;

  /** Logical replication says itself how far it has come. */
  heartbeatEnds(): Promise<ReadonlyMap<string, bigint>> {
    return Promise.resolve(new Map());
  }

  async close(): Promise<void> {
    if (!this.#pool.ended) await this.#pool.end();
  }

  async #query<Row extends pg.QueryResultRow>(sql: string, values: readonly unknown[]): Promise<pg.QueryResult<Row>> {
    try {
      return await this.#pool.query<Row>(sql, [...values]);
    } catch (error) {
      throw new LockstepError('primary_unreachable', 'the primary does not tell its log position', { retry: 'retry', cause: error });
    }
  }
}
