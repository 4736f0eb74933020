import { deadLetterId, type DeadLetter, type DeadLetterPlace } from '../domain/dead-letter.ts';
import { LockstepError } from '../domain/errors.ts';
import type { Checkpointer } from './checkpointer.ts';
import type { LateChanges } from './late-changes.ts';
import type { PendingChecks } from './pending-checks.ts';
import type { Clock, DeadLetterSelection, DeadLetterShelf, RecordRetry, RetriedLetter } from './ports.ts';
import type { Proofs } from './proofs.ts';

/** A retry of several ends after so long, with what it has done: its caller waits for an answer. */
const SEVERAL_LIMIT_MS = 15_000;
/** Decoded again and not yet written down. */
const UNWRITTEN_MAX = 1_000;
const FULL_WAIT_MS = 20;
const FULL_LIMIT_MS = 10_000;

/** What came of retrying a dead letter. */
export type RetryOutcome =
  | { readonly kind: 'retried'; readonly letter: DeadLetter }
  | { readonly kind: 'unknown' }
  /** A sweep or an operator discharged it, and nothing is left to account for. */
  | { readonly kind: 'already_discharged' }
  | { readonly kind: 'under_way' }
  | { readonly kind: 'undecodable'; readonly reason: string; readonly message: string }
  | { readonly kind: 'gone' | 'not_retryable'; readonly message: string };

/** What came of retrying several. */
export interface RetryCounts {
  readonly retried: number;
  readonly undecodable: number;
  readonly gone: number;
  readonly notRetryable: number;
  /** Open dead letters of the selection that this call did not come to. */
  readonly isCut: boolean;
}

export interface DeadLetterRetriesParts {
  readonly shelf: DeadLetterShelf;
  readonly records: RecordRetry;
  readonly late: LateChanges;
  readonly pending: PendingChecks;
  readonly proofs: Proofs;
  readonly checkpointer: Pick<Checkpointer, 'written'>;
  readonly clock: Clock;
  readonly pendingMax: number;
  readonly signal: AbortSignal;
}

type Attempt = { readonly kind: 'applied'; readonly letter: DeadLetter; readonly atMs: number } | Exclude<RetryOutcome, { kind: 'retried' }> | { readonly kind: 'retried'; readonly letter: DeadLetter };

/** Decodes dead letters again and hands what they say to verification. */
export class DeadLetterRetries {
  private readonly parts: DeadLetterRetriesParts;
  private readonly underWay = new Set<string>();
  /** Decoded, and in no checkpoint yet: the store says that they are open. */
  private readonly unwritten = new Set<string>();
  private waiting: RetriedLetter[] = [];

  constructor(parts: DeadLetterRetriesParts) {
    this.parts = parts;
  }

  /**
   * Retries one; resolves when what came of it is written down.
   * Rejects with an error to retry when Kafka, a schema registry or the state store is out of reach.
   */
  async retry(place: DeadLetterPlace): Promise<RetryOutcome> {
    return await this.alone<RetryOutcome>(place, async () => {
      const attempt = await this.attempt(place);
      if (attempt.kind !== 'applied') return attempt;
      await this.parts.checkpointer.written();
      return { kind: 'retried', letter: discharged(attempt.letter, attempt.atMs) };
    });
  }

  /** Retries up to `limit`, those first that were tried least. Rejects as `retry` does; what was done by then stays. */
  async retrySeveral(selection: DeadLetterSelection, limit: number): Promise<RetryCounts> {
    const { shelf, clock, checkpointer, signal } = this.parts;
    const places = await shelf.lettersToRetry(selection, limit + 1);
    const counts = { retried: 0, undecodable: 0, gone: 0, notRetryable: 0 };
    const held: string[] = [];
    const untilMs = clock.nowMs() + SEVERAL_LIMIT_MS;
    let done = 0;
    try {
      for (const place of places.slice(0, limit)) {
        if (signal.aborted || clock.nowMs() >= untilMs || held.length >= UNWRITTEN_MAX) break;
        done++;
        const id = deadLetterId(place);
        if (this.isUnderWay(id)) continue;
        this.underWay.add(id);
        held.push(id);
        const { kind } = await this.attempt(place);
        if (kind === 'applied' || kind === 'retried') counts.retried++;
        else if (kind === 'undecodable') counts.undecodable++;
        else if (kind === 'gone') counts.gone++;
        else if (kind === 'not_retryable') counts.notRetryable++;
      }
      if (counts.retried > 0) await checkpointer.written();
    } finally {
      for (const id of held) this.underWay.delete(id);
    }
    return { ...counts, isCut: done < places.length };
  }

  /** Some are decoded and no checkpoint has them. */
  get hasUnwritten(): boolean {
    return this.waiting.length > 0;
  }

  /** Those decoded since the last call, for one checkpoint. */
  drainChanges(): { retried: RetriedLetter[]; done: () => void; undo: () => void } {
    const retried = this.waiting;
    this.waiting = [];
    return {
      retried,
      done: () => {
        for (const { place } of retried) this.unwritten.delete(deadLetterId(place));
      },
      undo: () => {
        this.waiting = [...retried, ...this.waiting];
      },
    };
  }

  /** Does something else about a dead letter, while no retry does. Rejects with `retry_under_way`, to try again. */
  async meanwhile<Result>(place: DeadLetterPlace, work: () => Promise<Result>): Promise<Result> {
    const result = await this.alone(place, async () => ({ done: await work() }));
    if ('done' in result) return result.done;
    throw new LockstepError('retry_under_way', 'the dead letter is being retried', { retry: 'retry' });
  }

  private async alone<Result>(place: DeadLetterPlace, work: () => Promise<Result>): Promise<Result | { readonly kind: 'under_way' }> {
    const id = deadLetterId(place);
    if (this.isUnderWay(id)) return { kind: 'under_way' };
    this.underWay.add(id);
    try {
      return await work();
    } finally {
      this.underWay.delete(id);
    }
  }

  private isUnderWay(id: string): boolean {
    return this.underWay.has(id) || this.unwritten.has(id);
  }

  private async attempt(place: DeadLetterPlace): Promise<Attempt> {
    const { shelf, records, clock, signal } = this.parts;
    const kept = await shelf.keptLetter(place);
    if (kept === null) return { kind: 'unknown' };
    const { letter } = kept;
    if (letter.dischargedBy === 'retry') return { kind: 'retried', letter };
    if (letter.dischargedAtMs !== null && !this.isGap(letter, kept.gapUs)) return { kind: 'already_discharged' };
    const again = await records.decodeAgain(place, kept.record, signal);
    if (again.kind !== 'record') {
      await shelf.noteAttempt(place, letter.reason, letter.message, clock.nowMs());
      return again;
    }
    const { record } = again;
    if (record.type === 'undecodable') {
      await shelf.noteAttempt(place, record.reason, record.message, clock.nowMs());
      return { kind: 'undecodable', reason: record.reason, message: record.message };
    }
    await this.room();
    const atMs = clock.nowMs();
    // From here to the end in one step: a checkpoint has all of it or nothing.
    const isGap = this.isGap(letter, kept.gapUs);
    this.parts.late.apply(record, isGap ? kept.gapUs : null);
    if (letter.table !== null) {
      if (isGap) this.parts.proofs.gapClosed(letter.table);
      if (letter.dischargedAtMs === null) this.parts.proofs.deadLetterDischarged(letter.table, letter.atMs, place);
    }
    this.waiting.push({ place, atMs });
    this.unwritten.add(deadLetterId(place));
    return { kind: 'applied', letter, atMs };
  }

  private isGap({ table }: DeadLetter, gapUs: bigint | null): boolean {
    return table !== null && this.parts.proofs.isGap(table, gapUs);
  }

  /** Waits until one more check may be added. */
  private async room(): Promise<void> {
    const { pending, pendingMax, clock, signal } = this.parts;
    const untilMs = clock.nowMs() + FULL_LIMIT_MS;
    while (pending.size >= pendingMax && clock.nowMs() < untilMs && !signal.aborted) await clock.sleep(FULL_WAIT_MS, signal);
    if (signal.aborted) throw new LockstepError('stopping', 'the service is stopping', { retry: 'retry' });
    if (pending.size >= pendingMax) throw new LockstepError('checks_full', 'as many checks are pending as there may be', { retry: 'retry' });
  }
}

function discharged(letter: DeadLetter, atMs: number): DeadLetter {
  return { ...letter, dischargedAtMs: letter.dischargedAtMs ?? atMs, dischargedBy: 'retry' };
}
