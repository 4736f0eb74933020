import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { Pool, PoolClient } from 'pg';
import { partitionId, type StreamPartition } from '../domain/change.ts';
import type { DeadLetter, DeadLetterPlace } from '../domain/dead-letter.ts';
import type { Drift, DriftEvent } from '../domain/drift.ts';
import { LockstepError } from '../domain/errors.ts';
import type { Checkpoint, ChunkBoard, DeadLetterSelection, DeadLetterShelf, DeadLetterStates, KeptLetter, LeaseDesk, RestoredState, StoredSweep, VerifyStore } from '../verify/ports.ts';
import { appendAudit, listAudit } from './audit.ts';
import type { AuditEntry } from './audit.ts';
import { writeCheckpoint } from './checkpoint.ts';
import { dischargeDeadLetter, listDeadLetters, listLettersToRetry, noteAttempt, readKeptLetter } from './dead-letters.ts';
import type { DeadLetterFilter } from './dead-letters.ts';
import type { DriftGroup } from '../domain/causes/groups.ts';
import { groupStoredDrift } from './drift-groups.ts';
import { ignoreDrift, listDrift, readDrift } from './drift.ts';
import type { DriftFilter, Page } from './drift.ts';
import { sqlState, stateFailure } from './failure.ts';
import { holdPartitions, takePartitions, type PartitionEpochs } from './partitions.ts';
import { readPublished, writePublished, type PublishedText } from './published.ts';
import { claimRole, writeReplica } from './replicas.ts';
import type { Claim, Replica } from './replicas.ts';
import { readDeadLetterStates, readState } from './restore.ts';
import { clearChunks, finishChunk, giveBackChunk, leaseChunks, lookAtChunks, offerChunk, readSuspects, removeChunk, renewLeases, takeBackChunk, writeSuspects } from './sweep-chunks.ts';
import { listSweeps, readUnfinishedSweep, writeSweep } from './sweeps.ts';

export interface StateStoreOptions {
  /** A migrated store's database. */
  readonly url: string;
  /** The migration's name: several may share a store. */
  readonly migration: string;
  /** Connections at most. */
  readonly pool?: number;
  /** The time that ages are counted from; the process's clock by default. */
  readonly nowMs?: () => number;
}

/** One for checkpoints, the others for REST. */
const DEFAULT_POOL = 4;

const CONNECT_TIMEOUT_MS = 5_000;

/** No statement of ours takes longer on a healthy server; a stuck one must not hold up the checkpoints. */
const STATEMENT_TIMEOUT_MS = 30_000;

/** A server that does not answer at all, its connection open, is given up a little later than it would have given up the statement. */
const SILENCE_MS = 5_000;

/** A session that stops in a transaction (our machine gone, our process frozen) holds the writer's row: no longer than until its process counts as dead. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;

/** The largest checkpoint, or reading all that is stored, takes some seconds a statement: beyond this it is stuck. */
const TRANSACTION_LIMIT_MS = 120_000;

/** Saying that this process lives is worth nothing once others may take it for dead. */
const RENEW_LIMIT_MS = 5_000;

/** Connections that are told to end on a silent road do not. */
const CLOSE_LIMIT_MS = 5_000;

/** Items of a page at most, whatever is asked for. */
const MAX_PAGE = 500;

/** The state store in PostgreSQL: what must survive a restart, and what REST reads. */
export class PostgresStateStore implements VerifyStore, DeadLetterShelf {
  readonly #pool: Pool;
  readonly #migration: string;
  readonly #nowMs: () => number;
  #epoch: string | null = null;
  /** The epoch with which this process holds the writing role already. */
  #claimed: string | null = null;
  /** This process in what it owns. */
  #self: string = randomUUID();
  /** The epochs under which it writes of the partitions. */
  #partitions: PartitionEpochs = new Map();

  constructor(options: StateStoreOptions) {
    this.#migration = options.migration;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#pool = new pg.Pool({
      connectionString: options.url,
      max: options.pool ?? DEFAULT_POOL,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: STATEMENT_TIMEOUT_MS + SILENCE_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
      application_name: 'lockstep-state',
      keepAlive: true,
    });
    this.#pool.on('error', () => {
      // An idle connection ended; the next query opens another or says why it cannot.
    });
  }

  /** Takes the writing role and reads what the last holder left; an earlier holder's writes are refused from here on. */
  async restore(): Promise<RestoredState> {
    const { epoch, state, partitions } = await this.#transaction('taking over', async (client) => {
      const { rows } =
        this.#claimed === null
          ? await client.query<{ epoch: string }>(
              `INSERT INTO lockstep.writers AS w (migration, epoch) VALUES ($1, 1)
               ON CONFLICT (migration) DO UPDATE SET epoch = w.epoch + 1, holder = NULL, taken_at = now() RETURNING epoch`,
              [this.#migration],
            )
          : await client.query<{ epoch: string }>('SELECT epoch FROM lockstep.writers WHERE migration = $1 AND epoch = $2 FOR UPDATE', [this.#migration, this.#claimed]);
      if (rows.length === 0) throw this.#fenced();
      // Our row lock keeps an earlier holder's checkpoint out until this is read and committed.
      const state = await readState(client, this.#migration);
      return { epoch: rows[0]?.epoch ?? null, state, partitions: await takePartitions(client, this.#migration, this.#self, state.partitions) };
    });
    this.#epoch = epoch;
    this.#partitions = partitions;
    return state;
  }

  /** Takes the writing role unless a process that lives holds it; `restore` then reads on with it. */
  async claim(self: Replica): Promise<Claim> {
    const claim = await this.#transaction('taking over', (client) => claimRole(client, this.#migration, self));
    if (claim.kind === 'taken') {
      this.#claimed = claim.epoch;
      this.#self = self.id;
    }
    return claim;
  }

  /** Says that this process lives; with leases of chunks, prolongs them and tells which it still holds. */
  async renew(self: Replica, helps: boolean): Promise<ReadonlySet<string>> {
    return await this.#transaction('renewing', async (client) => {
      await writeReplica(client, this.#migration, self, helps);
      return await renewLeases(client, this.#migration, self.id);
    }, RENEW_LIMIT_MS);
  }

  /** This process ends: another may take its place at once. */
  async leave(self: Replica): Promise<void> {
    await this.#read('leaving', () => this.#pool.query('DELETE FROM lockstep.replicas WHERE migration = $1 AND id = $2', [this.#migration, self.id]));
  }

  /** The board on which the writer's chunks are offered to others. @param fingerprints what others must compare alike, by table */
  chunkBoard(self: Replica, fingerprints: ReadonlyMap<string, string>): ChunkBoard {
    const migration = this.#migration;
    const ask = async <T>(work: (client: PoolClient, epoch: string) => Promise<T>): Promise<T> =>
      await this.#asWriter('sharing a sweep', (client) => work(client, this.#epoch as string));
    return {
      look: () => ask((client, epoch) => lookAtChunks(client, migration, epoch, self.id)),
      offer: (chunk) => ask((client, epoch) => offerChunk(client, migration, epoch, fingerprints.get(chunk.table) ?? '', chunk)),
      suspects: (seq, page) => ask((client, epoch) => readSuspects(client, migration, epoch, seq, page)),
      remove: (seq) => ask((client, epoch) => removeChunk(client, migration, epoch, seq)),
      takeBack: () => ask((client, epoch) => takeBackChunk(client, migration, epoch)),
      clear: () => ask((client) => clearChunks(client, migration)),
    };
  }

  /** Where a helper leases the writer's chunks. */
  leaseDesk(self: Replica): LeaseDesk {
    const migration = this.#migration;
    const ask = async <T>(work: (client: PoolClient) => Promise<T>): Promise<T> => await this.#transaction('helping with a sweep', work);
    return {
      lease: (tables, limit) => ask((client) => leaseChunks(client, migration, self.id, tables, limit)),
      renew: () => this.renew(self, true),
      writeSuspects: (lease, page, keys) => ask((client) => writeSuspects(client, migration, self.id, lease, page, keys)),
      finish: (lease, counts) => ask((client) => finishChunk(client, migration, self.id, lease, counts)),
      giveBack: (lease, refused) => ask((client) => giveBackChunk(client, migration, self.id, lease, refused)),
    };
  }

  /** Writes all of a checkpoint or nothing. Rejects with `fenced` when another process has taken over, or has taken one of its partitions. */
  async write(checkpoint: Checkpoint): Promise<void> {
    const added = await this.#asWriter('writing a checkpoint', async (client) => {
      const isHeld = (partition: StreamPartition): boolean => this.#partitions.has(partitionId(partition));
      const [lost] = await holdPartitions(client, this.#migration, this.#partitions, checkpoint.partitions.filter(isHeld));
      if (lost !== undefined) throw this.#fenced(lost);
      const taken = await takePartitions(client, this.#migration, this.#self, checkpoint.partitions.filter((partition) => !isHeld(partition)));
      await writeCheckpoint(client, this.#migration, checkpoint);
      return taken;
    });
    if (added.size > 0) this.#partitions = new Map([...this.#partitions, ...added]);
  }

  /** Says how the whole migration stands, for other processes to answer with. Rejects with `fenced` when another one has taken over. */
  async publish(body: string): Promise<void> {
    await this.#asWriter('publishing', (client) => writePublished(client, this.#migration, this.#epoch as string, body));
  }

  /** What the writer said last; null before it said anything. */
  async published(): Promise<PublishedText | null> {
    return await this.#read('reading what the writer says', () => readPublished(this.#pool, this.#migration));
  }

  async saveSweep(sweep: StoredSweep): Promise<void> {
    await this.#asWriter('saving a sweep', (client) => writeSweep(client, this.#migration, sweep));
  }

  async unfinishedSweep(): Promise<StoredSweep | null> {
    return await this.#read('reading sweeps', () => readUnfinishedSweep(this.#pool, this.#migration));
  }

  /** Drift, newest first by confirmation. Throws `bad_cursor`. */
  async listDrift(filter: DriftFilter, cursor: string | null, limit: number): Promise<Page<Drift>> {
    return await this.#read('listing drift', () =>
      listDrift(this.#pool, this.#migration, filter, cursor, pageSize(limit), this.#nowMs()),
    );
  }

  /** Drift by table, column, cause and kind, most rows first. */
  async groupDrift(filter: DriftFilter, limit: number): Promise<readonly DriftGroup[]> {
    return await this.#read('grouping drift', () => groupStoredDrift(this.#pool, this.#migration, filter, pageSize(limit), this.#nowMs()));
  }

  /** One drift with its history, oldest first; null when there is none of that id. */
  async drift(id: string): Promise<{ readonly drift: Drift; readonly events: readonly DriftEvent[] } | null> {
    return await this.#read('reading a drift', () => readDrift(this.#pool, this.#migration, id));
  }

  /** Sets an open drift aside; the drift as it is then, null when there is none of that id. */
  async setDriftIgnored(id: string, reason: string, atMs: number): Promise<Drift | null> {
    return await this.#transaction('ignoring a drift', (client) => ignoreDrift(client, this.#migration, id, reason, atMs));
  }

  /** Sweeps, newest first. Throws `bad_cursor`. */
  async listSweeps(cursor: string | null, limit: number): Promise<Page<StoredSweep>> {
    return await this.#read('listing sweeps', () => listSweeps(this.#pool, this.#migration, cursor, pageSize(limit)));
  }

  /** Undischarged dead letters, newest first, without their raw bytes. Throws `bad_cursor`. */
  async listDeadLetters(filter: DeadLetterFilter, cursor: string | null, limit: number): Promise<Page<DeadLetter>> {
    return await this.#read('listing dead letters', () =>
      listDeadLetters(this.#pool, this.#migration, filter, cursor, pageSize(limit)),
    );
  }

  /**
   * Discharges one dead letter; a second time changes nothing. Rejects with `fenced` when another process has taken over.
   * @returns the dead letter as it is then, and whether this call changed it; null when there is none at that place
   */
  async dischargeDeadLetter(place: DeadLetterPlace, atMs: number): Promise<{ readonly letter: DeadLetter; readonly changed: boolean } | null> {
    return await this.#asWriter('discharging a dead letter', (client) => dischargeDeadLetter(client, this.#migration, place, atMs));
  }

  async deadLetterStates(): Promise<DeadLetterStates> {
    return await this.#read('counting dead letters', () => readDeadLetterStates(this.#pool, this.#migration));
  }

  async keptLetter(place: DeadLetterPlace): Promise<KeptLetter | null> {
    return await this.#read('reading a dead letter', () => readKeptLetter(this.#pool, this.#migration, place));
  }

  async lettersToRetry(selection: DeadLetterSelection, limit: number): Promise<readonly DeadLetterPlace[]> {
    return await this.#read('listing dead letters', () => listLettersToRetry(this.#pool, this.#migration, selection, limit));
  }

  /** Rejects with `fenced` when another process has taken over. */
  async noteAttempt(place: DeadLetterPlace, reason: string, message: string, atMs: number): Promise<DeadLetter | null> {
    return await this.#asWriter('noting a retry', (client) => noteAttempt(client, this.#migration, place, reason, message, atMs));
  }

  async appendAudit(entry: AuditEntry): Promise<void> {
    await this.#read('writing the audit trail', () => appendAudit(this.#pool, this.#migration, entry));
  }

  /** The audit trail, newest first. Throws `bad_cursor`. */
  async listAudit(cursor: string | null, limit: number): Promise<Page<AuditEntry>> {
    return await this.#read('listing the audit trail', () => listAudit(this.#pool, this.#migration, cursor, pageSize(limit)));
  }

  /** Resolves when the store answers; rejects with `state_unreachable` and the like. */
  async ping(): Promise<void> {
    await this.#read('asking whether it answers', () => this.#pool.query('SELECT 1'));
  }

  /** Ends all connections, after what is under way; not later than in some seconds. */
  async close(): Promise<void> {
    if (this.#pool.ended) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_LIMIT_MS)));
    try {
      await Promise.race([this.#pool.end(), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #asWriter<T>(doing: string, work: (client: PoolClient) => Promise<T>): Promise<T> {
    const epoch = this.#epoch;
    if (epoch === null) throw new LockstepError('not_restored', 'the state store is written to before its state was restored');
    return await this.#transaction(doing, async (client) => {
      const { rowCount } = await client.query('SELECT 1 FROM lockstep.writers WHERE migration = $1 AND epoch = $2 FOR SHARE', [
        this.#migration,
        epoch,
      ]);
      if (rowCount !== 1) throw this.#fenced();
      return await work(client);
    });
  }

  /** @param partition the one that another process has taken; absent: the writing role */
  #fenced(partition?: string): LockstepError {
    const what = partition === undefined ? `migration ${this.#migration}` : `partition ${partition} of migration ${this.#migration}`;
    return new LockstepError('fenced', `another process has taken over ${what}`, {
      about: { migration: this.#migration, ...(partition === undefined ? {} : { partition }) },
      hint: 'this one must stop; started again, it stands by',
    });
  }

  /** @param limitMs the connection is given up when the transaction takes longer */
  async #transaction<T>(doing: string, work: (client: PoolClient) => Promise<T>, limitMs: number = TRANSACTION_LIMIT_MS): Promise<T> {
    let client: PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (error) {
      throw stateFailure(error, doing);
    }
    // A connection that ends while checked out tells so here too; the query under way rejects with it.
    const ended = (): void => undefined;
    client.on('error', ended);
    let broken: Error | undefined;
    const limit = setTimeout(() => giveUp(client), limitMs);
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      if (sqlState(error) === null && !(error instanceof LockstepError)) broken = error as Error;
      else await client.query('ROLLBACK').catch((failure: Error) => (broken = failure));
      throw stateFailure(error, doing);
    } finally {
      clearTimeout(limit);
      client.removeListener('error', ended);
      client.release(broken);
    }
  }

  async #read<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw stateFailure(error, doing);
    }
  }
}

/** Breaks a connection whose other end is silent: what waits for it rejects. */
function giveUp(client: PoolClient): void {
  const { connection } = client as unknown as { readonly connection?: { readonly stream?: { destroy(): void } } };
  connection?.stream?.destroy();
}

function pageSize(limit: number): number {
  return Math.min(Math.max(Math.trunc(limit), 1), MAX_PAGE);
}
