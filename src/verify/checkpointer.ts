import { LockstepError, rootMessage } from '../domain/errors.ts';
import type { DriftBook } from './drift-book.ts';
import type { Health } from './health.ts';
import type { PendingChecks } from './pending-checks.ts';
import type { ChangeSource, Clock, VerifyStore } from './ports.ts';
import type { Proofs } from './proofs.ts';
import type { Stream } from './stream.ts';
import { partitionId } from '../domain/change.ts';

/** Checkpoints are this far apart; what was confirmed or resolved is written at once. */
const CHECKPOINT_MS = 1_000;
const URGENT_MS = 50;
const STORE_AWAY_WAIT_MS = 1_000;

export interface CheckpointerParts {
  readonly store: VerifyStore;
  readonly stream: Stream | null;
  readonly source: Pick<ChangeSource, 'acknowledge'> | null;
  readonly pending: PendingChecks;
  readonly book: DriftBook;
  readonly proofs: Proofs;
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
  private urgent: (() => void) | null = null;

  constructor(parts: CheckpointerParts) {
    this.parts = parts;
    parts.book.onChange(() => this.urgent?.());
  }

  /** Writes checkpoints until the signal aborts, and a last one then. Rejects when another process has taken over. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.pause(signal);
      try {
        await this.write();
        this.parts.health.clear('state_store_unreachable');
      } catch (error) {
        if (error instanceof LockstepError && error.retry === 'final') throw error;
        this.parts.health.raise('state_store_unreachable', rootMessage(error));
        await this.parts.clock.sleep(STORE_AWAY_WAIT_MS, signal);
      }
    }
    await this.write();
  }

  /** One checkpoint. */
  async write(): Promise<void> {
    const { stream, pending, book, proofs, store, source } = this.parts;
    const offsets = stream?.drainChanges() ?? { partitions: [], deadLetters: [], undo: () => undefined };
    const checks = pending.drainChanges();
    const drift = book.drainChanges();
    const tables = proofs.drainChanges();
    try {
      await store.write({
        partitions: offsets.partitions,
        checks: checks.checks,
        settledChecks: checks.settled,
        drift: drift.writes,
        deadLetters: offsets.deadLetters,
        discharged: tables.discharged,
        tables: tables.tables,
      });
    } catch (error) {
      for (const undone of [offsets, checks, drift, tables]) undone.undo();
      throw error;
    }
    const accounted = new Map(offsets.partitions.map((stored) => [partitionId(stored), stored.nextOffset]));
    // The state store has the offsets; telling the source is for others to see and may fail.
    await source?.acknowledge(accounted).catch((error: unknown) => this.parts.health.raise('stream_unreachable', rootMessage(error)));
  }

  private async pause(signal: AbortSignal): Promise<void> {
    const { clock } = this.parts;
    const woken = new AbortController();
    this.urgent = () => woken.abort();
    await clock.sleep(CHECKPOINT_MS, AbortSignal.any([signal, woken.signal]));
    this.urgent = null;
    if (woken.signal.aborted && !signal.aborted) await clock.sleep(URGENT_MS, signal);
  }
}
