import pg from 'pg';
import { partitionId } from '../../domain/change.ts';
import type { SourceRecord, StreamPartition } from '../../domain/change.ts';
import { LockstepError } from '../../domain/errors.ts';
import type { Pair, Side } from '../../domain/pair.ts';
import type { ChangeSource, SourceListener } from '../../verify/ports.ts';
import { BatchQueue } from './batch-queue.ts';
import { ChangeDecoder } from './changes.ts';
import type { OpenTransaction } from './changes.ts';
import { streamFailure } from './failure.ts';
import { formatLsn } from './lsn.ts';
import { parsePgoutput } from './pgoutput.ts';
import { prepareStream } from './setup.ts';
import type { SlotState } from './setup.ts';
import { Walsender } from './walsender.ts';

export interface PgoutputChangeSourceOptions {
  /** The primary; the user needs REPLICATION. */
  readonly url: string;
  readonly slot: string;
  readonly publication: string;
  readonly pairs: readonly Pair[];
  /** Which side the primary is. */
  readonly side: Side;
  readonly applicationName?: string;
}

/** Records of one batch: a transaction that has more comes in parts. */
const MAX_BATCH_RECORDS = 2_000;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

/** What a record and a batch cost in memory beside the values. */
const RECORD_OVERHEAD_BYTES = 256;
const BATCH_OVERHEAD_BYTES = 1024;

/** Decoded batches that wait for the listener; reading goes on when half of them are gone. */
const MAX_QUEUED_BYTES = 16 * 1024 * 1024;

/** How often we tell the server how far we are and ask how far it is: the granularity of progress while idle. */
const STATUS_MS = 200;

/** A server that answers none of our requests for so long is gone, though the connection does not say so. */
const SILENCE_LIMIT_MS = 30_000;

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * The change stream straight from the primary: logical replication by pgoutput.
 * One partition, one batch a transaction; the offset is the log position behind
 * the last commit that is delivered whole. Delivery is at least once.
 */
export class PgoutputChangeSource implements ChangeSource {
  readonly slotName: string;
  readonly #options: PgoutputChangeSourceOptions;
  readonly #partition: StreamPartition;
  #session: Session | null = null;

  constructor(options: PgoutputChangeSourceOptions) {
    this.#options = options;
    this.slotName = options.slot;
    this.#partition = { topic: `postgres:${options.slot}`, partition: 0 };
  }

  partitionsOf(_pair: Pair, side: Side): readonly StreamPartition[] {
    return side === this.#options.side ? [this.#partition] : [];
  }

  /** Lets the primary forget its log up to the offset; never before. */
  async acknowledge(offsets: ReadonlyMap<string, string>): Promise<void> {
    const offset = offsets.get(partitionId(this.#partition));
    if (offset !== undefined) this.#session?.acknowledge(BigInt(offset));
  }

  /**
   * Makes slot and publication if they are missing and streams until the signal aborts.
   * Rejects with the codes of `streamFailure` and `prepareStream`, with
   * `stream_history`, or with what the listener threw.
   */
  async run(listener: SourceListener, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { url, slot, publication, pairs, side } = this.#options;
    const partition = this.#partition;
    let walsender: Walsender | null = null;
    let assigned = false;
    try {
      const state = await this.#prepare(signal);
      if (state === null || signal.aborted) return;
      const stored = listener.resumeFrom([partition]).get(partitionId(partition));
      const fromLsn = startOf(state, stored === undefined ? null : BigInt(stored), slot);
      if (stored !== undefined && fromLsn > BigInt(stored)) listener.onGap(partition, stored, fromLsn.toString());
      walsender = await Walsender.connect(url, this.#options.applicationName ?? 'lockstep-stream');
      const session = new Session(walsender, partition, new ChangeDecoder(side, partition.topic, pairs), fromLsn);
      this.#session = session;
      listener.onAssigned([partition]);
      assigned = true;
      await session.run(listener, slot, publication, signal);
    } catch (error) {
      if (error instanceof ListenerFailure) throw error.error;
      if (!signal.aborted) throw streamFailure(error, this.#options);
    } finally {
      this.#session = null;
      await walsender?.close();
      if (assigned) listener.onRevoked([partition]);
    }
  }

  async #prepare(signal: AbortSignal): Promise<SlotState | null> {
    const client = new pg.Client({
      connectionString: this.#options.url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      application_name: this.#options.applicationName ?? 'lockstep-stream',
    });
    client.on('error', () => {
      // The query under way rejects with the same error.
    });
    const end = (): void => {
      void client.end().catch(() => undefined);
    };
    // Making a slot waits for all transactions that are open: only the end of the connection ends that.
    signal.addEventListener('abort', end, { once: true });
    try {
      await client.connect();
      return await prepareStream(client, this.#options);
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    } finally {
      signal.removeEventListener('abort', end);
      await client.end().catch(() => undefined);
    }
  }
}

/** Where to begin: where we were, or where the slot begins if that is later. */
function startOf(state: SlotState, storedLsn: bigint | null, slot: string): bigint {
  if (storedLsn === null) return state.confirmedLsn;
  if (storedLsn > state.endLsn) {
    throw new LockstepError(
      'stream_history',
      `the primary's log ends at ${formatLsn(state.endLsn)}, before position ${formatLsn(storedLsn)} that was consumed: it is another server, or was restored from a backup`,
      { about: { slot }, hint: 'point at the right server, or begin this migration anew with an empty state store' },
    );
  }
  return storedLsn > state.confirmedLsn ? storedLsn : state.confirmedLsn;
}

/** An error of the listener, told apart from those of the connection. */
class ListenerFailure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

interface Transaction extends OpenTransaction {
  /** Delivered before the start: told again because the server goes by what was acknowledged. */
  readonly skipped: boolean;
  records: SourceRecord[];
  bytes: number;
  lastChangeLsn: bigint;
}

/** One connection's worth of the stream. */
class Session {
  readonly #walsender: Walsender;
  readonly #partition: StreamPartition;
  readonly #decoder: ChangeDecoder;
  readonly #fromLsn: bigint;
  readonly #queue = new BatchQueue();
  #transaction: Transaction | null = null;
  /** Behind the last commit, or the server's own progress, that is in the queue. */
  #offset: bigint;
  /** The server's progress between transactions. */
  #idleLsn: bigint;
  #receivedLsn: bigint;
  #acknowledgedLsn: bigint;
  #announced = false;
  #progressAtMs = -Infinity;
  #heardAtMs = performance.now();

  constructor(walsender: Walsender, partition: StreamPartition, decoder: ChangeDecoder, fromLsn: bigint) {
    this.#walsender = walsender;
    this.#partition = partition;
    this.#decoder = decoder;
    this.#fromLsn = fromLsn;
    this.#offset = fromLsn;
    this.#idleLsn = fromLsn;
    this.#receivedLsn = fromLsn;
    this.#acknowledgedLsn = fromLsn;
  }

  acknowledge(lsn: bigint): void {
    if (lsn <= this.#acknowledgedLsn) return;
    this.#acknowledgedLsn = lsn;
    this.#sendStatus(false);
  }

  async run(listener: SourceListener, slot: string, publication: string, signal: AbortSignal): Promise<void> {
    const { ended } = await this.#walsender.stream(slot, publication, this.#fromLsn, {
      onMessage: (lsn, message) => {
        this.#onMessage(lsn, message);
      },
      onKeepalive: (sentLsn, replyRequested) => {
        this.#onKeepalive(sentLsn, replyRequested);
      },
    });
    ended.catch((error: unknown) => {
      this.#queue.close(error);
    });
    const stop = (): void => {
      this.#queue.close(null);
    };
    signal.addEventListener('abort', stop, { once: true });
    const timer = setInterval(() => {
      this.#onTimer(slot);
    }, STATUS_MS);
    try {
      if (signal.aborted) return;
      this.#sendStatus(true);
      await this.#deliver(listener);
    } finally {
      clearInterval(timer);
      signal.removeEventListener('abort', stop);
    }
  }

  async #deliver(listener: SourceListener): Promise<void> {
    for (;;) {
      const batch = await this.#queue.next();
      if (batch === null) return;
      try {
        await listener.onBatch(batch);
      } catch (error) {
        throw new ListenerFailure(error);
      }
      this.#queue.delivered();
      if (this.#walsender.paused && this.#queue.bytes <= MAX_QUEUED_BYTES / 2) {
        this.#heardAtMs = performance.now();
        this.#walsender.resume();
      }
    }
  }

  #onMessage(lsn: bigint, raw: Buffer): void {
    this.#heardAtMs = performance.now();
    if (lsn > this.#receivedLsn) this.#receivedLsn = lsn;
    const message = parsePgoutput(raw);
    switch (message.type) {
      case 'begin': {
        const { commitLsn, committedAtUs, xid } = message;
        const skipped = commitLsn < this.#fromLsn;
        this.#transaction = { commitLsn, committedAtUs, txId: String(xid), skipped, records: [], bytes: 0, lastChangeLsn: 0n };
        break;
      }
      case 'commit': {
        const transaction = this.#open();
        this.#transaction = null;
        if (message.endLsn > this.#receivedLsn) this.#receivedLsn = message.endLsn;
        if (transaction.skipped) break;
        this.#offset = message.endLsn;
        this.#enqueue(transaction.records, transaction.bytes, message.endLsn);
        break;
      }
      case 'relation':
        this.#decoder.relation(message);
        break;
      case 'insert':
      case 'update':
      case 'delete':
      case 'truncate': {
        const transaction = this.#open();
        if (transaction.skipped) break;
        // Rows of one COPY share a log record; the record is longer than they are many.
        const changeLsn = lsn > transaction.lastChangeLsn ? lsn : transaction.lastChangeLsn + 1n;
        transaction.lastChangeLsn = changeLsn;
        const records = this.#decoder.decode(message, transaction, changeLsn, raw);
        if (records.length === 0) break;
        transaction.records.push(...records);
        transaction.bytes += raw.length + records.length * RECORD_OVERHEAD_BYTES;
        if (transaction.records.length >= MAX_BATCH_RECORDS || transaction.bytes >= MAX_BATCH_BYTES) {
          this.#enqueue(transaction.records, transaction.bytes, null);
          transaction.records = [];
          transaction.bytes = 0;
        }
        break;
      }
      case 'type':
      case 'origin':
      case 'message':
        break;
    }
  }

  #open(): Transaction {
    if (this.#transaction === null) throw new LockstepError('bad_pgoutput', 'a change came outside of a transaction');
    return this.#transaction;
  }

  #onKeepalive(sentLsn: bigint, replyRequested: boolean): void {
    this.#heardAtMs = performance.now();
    if (this.#transaction === null) {
      if (sentLsn > this.#receivedLsn) this.#receivedLsn = sentLsn;
      if (sentLsn > this.#idleLsn) this.#idleLsn = sentLsn;
      this.#announceProgress();
    }
    if (replyRequested) this.#sendStatus(false);
  }

  /** Whatever was committed before the server's own position has been sent: an idle stream moves on by that. */
  #announceProgress(): void {
    if (this.#transaction !== null) return;
    if (this.#announced && this.#idleLsn <= this.#offset) return;
    const nowMs = performance.now();
    if (nowMs - this.#progressAtMs < STATUS_MS) return;
    this.#progressAtMs = nowMs;
    this.#announced = true;
    if (this.#idleLsn > this.#offset) this.#offset = this.#idleLsn;
    this.#enqueue([], 0, this.#offset);
  }

  #enqueue(records: readonly SourceRecord[], bytes: number, completeThroughLsn: bigint | null): void {
    const nextOffset = (completeThroughLsn ?? this.#offset).toString();
    this.#queue.push({ partition: this.#partition, records, nextOffset, endOffset: null, completeThroughLsn }, bytes + BATCH_OVERHEAD_BYTES);
    if (this.#queue.bytes >= MAX_QUEUED_BYTES && !this.#walsender.paused) this.#walsender.pause();
  }

  #onTimer(slot: string): void {
    this.#announceProgress();
    if (!this.#walsender.paused && performance.now() - this.#heardAtMs > SILENCE_LIMIT_MS) {
      this.#queue.close(
        new LockstepError('stream_lost', `the primary has been silent for ${SILENCE_LIMIT_MS / 1000} s`, { retry: 'retry', about: { slot } }),
      );
      return;
    }
    this.#sendStatus(!this.#walsender.paused);
  }

  #sendStatus(replyRequested: boolean): void {
    this.#walsender.sendStatus(
      { receivedLsn: this.#receivedLsn, flushedLsn: this.#acknowledgedLsn, replyRequested },
      Date.now(),
    );
  }
}
