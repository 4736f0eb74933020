import { bagDifferenceKind, isBag } from '../domain/bag.ts';
import type { DriftKind } from '../domain/drift.ts';
import type { Pair } from '../domain/pair.ts';
import { differenceKind, hashText, type ConfirmReads, type RowHash } from '../domain/recheck.ts';
import type { Row } from '../domain/row.ts';
import type { BookedDrift, DriftBook } from './drift-book.ts';
import type { Health } from './health.ts';
import type { PendingChecks } from './pending-checks.ts';
import type { Clock } from './ports.ts';
import type { Proofs } from './proofs.ts';
import type { RowReads } from './row-reads.ts';
import type { VersionHistory } from './version-history.ts';

/** Open drift is looked at again this often, and less often the more of it there is. */
const DRIFT_RECHECK_MS = 1_500;
const DRIFT_RECHECK_PER_ROW_MS = 1;
const DRIFT_LOOP_MS = 250;
/** Where a bag's drift is open, its table rests for so many times as long as the last look took. */
const BAG_DRIFT_REST = 20;

export interface DriftRechecksParts {
  readonly book: DriftBook;
  readonly pending: PendingChecks;
  readonly proofs: Proofs;
  readonly history: VersionHistory;
  readonly reads: RowReads;
  readonly health: Health;
  readonly clock: Clock;
  readonly primaryIsOld: boolean;
}

/** Looks at the rows of open drift again, for as long as it is open. */
export class DriftRechecks {
  private readonly parts: DriftRechecksParts;

  constructor(parts: DriftRechecksParts) {
    this.parts = parts;
  }

  /** @param ofBags whether it is those of bags, which take longer, that are rechecked here */
  async run(signal: AbortSignal, ofBags: boolean): Promise<void> {
    const { book, clock, health, pending } = this.parts;
    while (!signal.aborted) {
      await clock.sleep(DRIFT_LOOP_MS, signal);
      const intervalMs = Math.max(DRIFT_RECHECK_MS, book.size() * DRIFT_RECHECK_PER_ROW_MS);
      for (const table of book.tables()) {
        const nowMs = clock.nowMs();
        const due: BookedDrift[] = [];
        for (const booked of book.all(table)) {
          if (isBag(booked.pair) !== ofBags) break;
          if (booked.nextCheckMs > nowMs || pending.get(table, booked.id) !== undefined) continue;
          due.push(booked);
          if (due.length >= this.parts.reads.keysPerRead(booked.pair)) break;
        }
        if (due.length === 0 || signal.aborted) continue;
        for (const booked of due) booked.nextCheckMs = nowMs + intervalMs;
        try {
          await this.recheck(due, signal);
        } catch (error) {
          if (!signal.aborted) health.failed(error);
        }
        if (!ofBags) continue;
        const tookMs = clock.nowMs() - nowMs;
        for (const booked of due) booked.nextCheckMs = clock.nowMs() + Math.max(intervalMs, BAG_DRIFT_REST * tookMs);
      }
    }
  }

  private async recheck(due: readonly BookedDrift[], signal: AbortSignal): Promise<void> {
    const { book, clock } = this.parts;
    const pair = (due[0] as BookedDrift).pair;
    const reads = await this.parts.reads.thrice(
      pair,
      due.map((booked) => booked.key),
      signal,
    );
    const nowMs = clock.nowMs();
    for (const booked of due) {
      const read = reads.of(booked.id);
      if (read.primaryBefore !== read.primaryAfter) continue;
      // A row that the primary has changed since is in flight again: its event's check says what has become of it.
      const primaryHash = this.parts.primaryIsOld ? booked.drift.oldHash : booked.drift.newHash;
      if (read.primaryBefore === read.replica) this.resolve(pair, booked.id, nowMs);
      else if (hashText(read.primaryBefore) === primaryHash) {
        const kind = kindFor(pair, differenceKind(read, { isEarlierVersion: (hash) => this.parts.history.has(pair.id, booked.id, hash) }), read);
        book.refresh(booked, { ...this.rows(read), pair, key: booked.key, kind, evidence: 'unknown' }, nowMs);
      }
    }
  }

  /** A row's sides agree: its drift, if there is one, is over. */
  resolve(pair: Pair, id: string, nowMs: number): void {
    const { book, proofs } = this.parts;
    if (book.resolve(pair.id, id, nowMs) && book.openCount(pair.id) === 0) proofs.driftGone(pair.id);
  }

  private rows(read: ConfirmReads): {
    primaryIsOld: boolean;
    primaryRow: Row | null;
    replicaRow: Row | null;
    primaryHash: RowHash;
    replicaHash: RowHash;
  } {
    return {
      primaryIsOld: this.parts.primaryIsOld,
      primaryRow: read.primaryRow,
      replicaRow: read.replicaRow,
      primaryHash: read.primaryBefore,
      replicaHash: read.replica,
    };
  }
}

/** The kind of a proven difference; of a bag's row, which side has more copies. */
export function kindFor(pair: Pair, kind: DriftKind, read: Pick<ConfirmReads, 'primaryRow' | 'replicaRow'>): DriftKind {
  return isBag(pair) ? bagDifferenceKind(read.primaryRow, read.replicaRow) : kind;
}
