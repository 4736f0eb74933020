import { isBag } from '../domain/bag.ts';
import { LockstepError } from '../domain/errors.ts';
import type { Pair, Side } from '../domain/pair.ts';
import type { Watermarks } from '../domain/watermarks.ts';
import { partitionId } from '../domain/change.ts';
import type { SweepKind } from '../domain/status.ts';
import type { Clock, PartitionsOf } from './ports.ts';
import type { Proofs } from './proofs.ts';
import type { Sweeps } from './sweeps.ts';

/** The schedule is looked at this often. */
const LOOK_MS = 500;
/** A table whose sweep was just tried is not tried again sooner. */
const RETRY_MS = 15_000;

export interface SweepScheduleParts {
  readonly pairs: readonly Pair[];
  readonly primarySide: Side;
  readonly sweeps: Sweeps;
  readonly proofs: Proofs;
  readonly watermarks: Watermarks;
  readonly partitions: PartitionsOf;
  readonly clock: Clock;
  /** null: only the sweeps that verified-through needs, and those asked for. */
  readonly everyMs: number | null;
  /** null: incremental sweeps only when asked for. */
  readonly incrementalEveryMs: number | null;
}

/** Begins the sweeps that nobody asks for: the first, those owed, and the regular ones. */
export class SweepSchedule {
  private readonly parts: SweepScheduleParts;
  private readonly triedAtMs = new Map<string, number>();
  private readonly incrementalAtMs = new Map<string, number>();

  constructor(parts: SweepScheduleParts) {
    this.parts = parts;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { sweeps, clock } = this.parts;
    await this.resume(signal);
    while (!signal.aborted) {
      const full = this.due();
      const kind: SweepKind = full.length > 0 ? 'full' : 'incremental';
      const due = full.length > 0 ? full : this.dueIncremental();
      if (due.length > 0) {
        const nowMs = clock.nowMs();
        const begun = sweeps.start(due, signal, false, kind);
        if (begun !== null) {
          const tried = kind === 'full' ? this.triedAtMs : this.incrementalAtMs;
          for (const table of due) tried.set(table, nowMs);
          await begun.done;
        }
      }
      await clock.sleep(LOOK_MS, signal);
    }
  }

  private async resume(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.parts.sweeps.resume(signal);
        return;
      } catch (error) {
        if (!(error instanceof LockstepError) || error.retry === 'final') throw error;
        await this.parts.clock.sleep(LOOK_MS, signal);
      }
    }
  }

  /** Tables whose sweep is due and whose stream is far enough for one. */
  private due(): string[] {
    const { pairs, proofs, clock, everyMs } = this.parts;
    const nowMs = clock.nowMs();
    return pairs
      .filter((pair) => {
        const proof = proofs.get(pair.id);
        const owed = proof.provenSinceUs === null || proofs.owesSweep(pair.id);
        const tried = this.triedAtMs.get(pair.id);
        if (owed && (tried === undefined || nowMs - tried >= RETRY_MS)) return this.ready(pair);
        const regular = everyMs !== null && nowMs - Math.max(proof.lastSweepEndedMs ?? 0, tried ?? 0) >= everyMs;
        return regular && this.ready(pair);
      })
      .map((pair) => pair.id);
  }

  /** Tables whose touched rows are due; one that needs a full sweep waits for that. */
  private dueIncremental(): string[] {
    const { pairs, proofs, clock, incrementalEveryMs, sweeps } = this.parts;
    if (incrementalEveryMs === null) return [];
    const nowMs = clock.nowMs();
    return pairs
      .filter((pair) => {
        const { lastSweepEndedMs, lastIncrementalEndedMs } = proofs.get(pair.id);
        const lastMs = Math.max(lastSweepEndedMs ?? 0, lastIncrementalEndedMs ?? 0, this.incrementalAtMs.get(pair.id) ?? 0);
        return nowMs - lastMs >= incrementalEveryMs && sweeps.needsFull(pair) === null && this.ready(pair);
      })
      .map((pair) => pair.id);
  }

  /** A table is not swept while its rows are still being copied for the first time. */
  private ready(pair: Pair): boolean {
    const { watermarks, primarySide } = this.parts;
    const partitions = this.parts.partitions(pair, primarySide);
    if (partitions.length === 0 && isBag(pair)) return true;
    if (partitions.length === 0 || watermarks.snapshotInProgress(partitions)) return false;
    return partitions.every((partition) => {
      for (const progress of watermarks.all()) {
        if (partitionId(progress.partition) !== partitionId(partition)) continue;
        return progress.watermarkUs !== null || (progress.endOffset !== null && progress.nextOffset >= progress.endOffset);
      }
      return false;
    });
  }
}
