import { LockstepError, rootMessage } from '../domain/errors.ts';
import type { DriftBook } from './drift-book.ts';
import type { Health } from './health.ts';
import type { DeadLetterQueue } from './dead-letter-queue.ts';
import type { DeadLetterRetries } from './dead-letter-retries.ts';
import type { PendingChecks } from './pending-checks.ts';
import type { ChangeSource, Clock, DeadLetterState, VerifyStore } from './ports.ts';
import type { Proofs } from './proofs.ts';
import type { Stream } from './stream.ts';
import type { TouchedKeys } from './touched-keys.ts';
import { partitionId } from '../domain/change.ts';
import type { DeadLetterPlace } from '../domain/dead-letter.ts';

/** Checkpoints are this far apart; what was confirmed or resolved is written at once. */
const CHECKPOINT_MS = 1_000;
const URGENT_MS = 50;
const STORE_AWAY_WAIT_MS = 1_000;
/** A checkpoint that takes longer is as good as none: the store may hang. */
const LATE_MS = 5_000;
/** Who waits for a checkpoint is told after so long that the state store is away. */
const WRITTEN_LIMIT_MS = 10_000;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly sinceMs: number;
}

export interface CheckpointerParts {
  readonly store: VerifyStore;
  readonly stream: Stream | null;
  readonly source: Pick<ChangeSource, 'acknowledge'> | null;
  readonly pending: PendingChecks;
  readonly book: DriftBook;
  readonly proofs: Proofs;
  readonly deadLetters: DeadLetterQueue;
  readonly touched: TouchedKeys;
  readonly health: Health;
  readonly clock: Clock;
}

/**
 * Writes offsets together with the checks, drift and dead letters that account for
 * them. Everything for one checkpoint is taken in one step of the event loop, so
 * that nothing consumed can fall between two.
 */
export class Checkpointer {
  private readonly parts: CheckpointerParts;
  private retries: DeadLetterRetries | null = null;
  private wake: (() => void) | null = null;
  private isUrgent = false;
  private waiting: Waiter[] = [];
  private ended: Error | null = null;
  /** Dead letters were discharged: which is the oldest now, and how much is kept of them, only the store knows. */
  private isStale = false;
  private discharges = { begun: 0, ended: 0 };
  /** Offsets that are stored and that the source is to be told of, and whether it is being told. */
  private unacknowledged = new Map<string, string>();
  private isAcknowledging = false;

  constructor(parts: CheckpointerParts) {
    this.parts = parts;
    parts.book.onChange(() => this.hurry());
  }

  /** Whose retried dead letters each checkpoint has. */
  accountFor(retries: DeadLetterRetries): void {
    this.retries = retries;
  }

  /** Asks for a checkpoint before its time. */
  readonly hurry = (): void => {
    this.isUrgent = true;
    this.wake?.();
  };

  /** Resolves when all that was taken note of before this call is written. Rejects with an error to retry when that takes too long. */
  async written(): Promise<void> {
    if (this.ended !== null) throw this.ended;
    const written = new Promise<void>((resolve, reject) => {
      this.waiting.push({ resolve, reject, sinceMs: this.parts.clock.nowMs() });
    });
    this.hurry();
    await written;
  }

  /** Runs what discharges dead letters in the store beside the checkpoints, and counts them off. */
  async discharging<Result>(work: () => Promise<Result>): Promise<Result> {
    this.discharges.begun++;
    try {
      return await work();
    } finally {
      this.discharges.ended++;
      this.isStale = true;
    }
  }

  /** Writes checkpoints until the signal aborts, and a last one then. Rejects when another process has taken over. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.pause(signal);
      try {
        await this.noticed(this.write());
        await this.noticed(this.refreshDeadLetters());
        this.parts.health.clear('state_store_unreachable');
      } catch (error) {
        if (error instanceof LockstepError && error.retry === 'final') {
          this.end(error);
          throw error;
        }
        this.parts.health.raise('state_store_unreachable', rootMessage(error));
        this.giveUpLate(error);
        await this.parts.clock.sleep(STORE_AWAY_WAIT_MS, signal);
      }
    }
    try {
      await this.write();
    } finally {
      this.end(new LockstepError('stopping', 'the service is stopping', { retry: 'retry' }));
    }
  }

  /** One checkpoint. */
  async write(): Promise<void> {
    const { stream, pending, book, proofs, store, source } = this.parts;
    const offsets = stream?.drainChanges() ?? { partitions: [], deadLetters: [], undo: () => undefined };
    const checks = pending.drainChanges();
    const drift = book.drainChanges();
    const tables = proofs.drainChanges();
    const touched = this.parts.touched.drainChanges();
    const letters = this.retries?.drainChanges() ?? { retried: [], done: () => undefined, undo: () => undefined };
    const waiting = this.waiting;
    this.waiting = [];
    try {
      await store.write({
        partitions: offsets.partitions,
        checks: checks.checks,
        settledChecks: checks.settled,
        drift: drift.writes,
        deadLetters: offsets.deadLetters,
        discharged: tables.discharged,
        covered: tables.covered,
        retried: letters.retried,
        touched: touched.touched,
        tables: tables.tables,
      });
    } catch (error) {
      for (const undone of [offsets, checks, drift, tables, touched, letters]) undone.undo();
      this.waiting = [...waiting, ...this.waiting];
      throw error;
    }
    letters.done();
    tables.done();
    for (const waiter of waiting) waiter.resolve();
    if (letters.retried.length > 0 || tables.discharged.length > 0) this.isStale = true;
    const accounted = new Map(offsets.partitions.map((stored) => [partitionId(stored), stored.nextOffset]));
    for (const [id, offset] of accounted) this.unacknowledged.set(id, offset);
    if (source !== null && !this.isAcknowledging) void this.acknowledge(source);
  }

  /** The state store has the offsets; telling the source is for others to see, and may fail or take long: no checkpoint waits for it. */
  private async acknowledge(source: Pick<ChangeSource, 'acknowledge'>): Promise<void> {
    this.isAcknowledging = true;
    while (this.unacknowledged.size > 0) {
      const offsets = this.unacknowledged;
      this.unacknowledged = new Map();
      await source.acknowledge(offsets).catch((error: unknown) => this.parts.health.raise('stream_unreachable', rootMessage(error)));
    }
    this.isAcknowledging = false;
  }

  /** Says that the store does not answer while `work` takes long. */
  private async noticed(work: Promise<void>): Promise<void> {
    const { clock, health } = this.parts;
    const done = new AbortController();
    void clock.sleep(LATE_MS, done.signal).then(() => {
      if (!done.signal.aborted) health.raise('state_store_unreachable', `the state store has not answered for ${LATE_MS / 1000} s`);
    });
    try {
      await work;
    } finally {
      done.abort();
    }
  }

  private async pause(signal: AbortSignal): Promise<void> {
    const { clock } = this.parts;
    if (!this.isUrgent) {
      const woken = new AbortController();
      this.wake = () => woken.abort();
      await clock.sleep(CHECKPOINT_MS, AbortSignal.any([signal, woken.signal]));
      this.wake = null;
    }
    // More of what is urgent may follow in a moment; who waits for it has all that it waits for.
    if (this.isUrgent && this.waiting.length === 0 && !signal.aborted) await clock.sleep(URGENT_MS, signal);
    this.isUrgent = false;
  }

  /** Brings counts and places of dead letters up to what the store has, and those that wait to be written. */
  private async refreshDeadLetters(): Promise<void> {
    const { store, proofs, deadLetters } = this.parts;
    const { begun, ended } = this.discharges;
    if (!this.isStale || begun !== ended) return;
    const stored = await store.deadLetterStates();
    // What was discharged meanwhile may or may not be in the answer: the next time, then.
    if (this.discharges.begun !== begun || this.retries?.hasUnwritten === true || proofs.hasUnwrittenDischarges) return;
    this.isStale = false;
    deadLetters.saved(stored.keptBytes);
    const states = new Map(stored.byTable);
    for (const { table, position, gapUs } of deadLetters.all()) {
      if (table !== null) states.set(table, withLetter(states.get(table) ?? NO_LETTERS, position, gapUs));
    }
    for (const { table } of proofs.all()) proofs.restoreDeadLetters(table, states.get(table) ?? NO_LETTERS);
  }

  private giveUpLate(error: unknown): void {
    const nowMs = this.parts.clock.nowMs();
    const late = this.waiting.filter(({ sinceMs }) => nowMs - sinceMs >= WRITTEN_LIMIT_MS);
    if (late.length === 0) return;
    this.waiting = this.waiting.filter((waiter) => !late.includes(waiter));
    for (const waiter of late) waiter.reject(error);
  }

  private end(error: Error): void {
    this.ended = error;
    for (const waiter of this.waiting) waiter.reject(error);
    this.waiting = [];
  }
}

const NO_LETTERS: DeadLetterState = { open: 0, oldest: null, gaps: 0, newestGapUs: null };

function withLetter(state: DeadLetterState, place: DeadLetterPlace, gapUs: bigint): DeadLetterState {
  const newestGapUs = state.newestGapUs === null || gapUs > state.newestGapUs ? gapUs : state.newestGapUs;
  return { open: state.open + 1, oldest: state.oldest ?? place, gaps: state.gaps + 1, newestGapUs };
}
