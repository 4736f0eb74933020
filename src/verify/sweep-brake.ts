import { LockstepError } from '../domain/errors.ts';
import type { Side } from '../domain/pair.ts';
import { pauseReason, type PauseLimits, type PauseReason, type Pressure } from '../domain/sweep-pause.ts';
import type { Clock, Database } from './ports.ts';
import { within } from './within.ts';

/** The databases are asked this often while a sweep runs, and while it stands still. */
const ASK_EVERY_MS = 1_000;
/** A database that takes longer to say how it is doing has not said it. */
const ASK_LIMIT_MS = 5_000;

export interface SweepBrakeParts {
  readonly sides: Readonly<Record<Side, Pick<Database, 'side' | 'pressure'>>>;
  /** The pipeline's lag for a table, ms; 0 where nothing is known of it. */
  readonly lagMs: (table: string) => number;
  readonly limits: PauseLimits;
  readonly clock: Clock;
}

/** Stands in a sweep's way while the databases or the pipeline have more urgent work. */
export class SweepBrake {
  private readonly parts: SweepBrakeParts;
  private readonly pressures = new Map<Side, Pressure>();
  /** Sides that refuse to say. */
  private readonly silent = new Set<Side>();
  private askedAtMs = Number.NEGATIVE_INFINITY;
  private asking: Promise<void> | null = null;
  private pausedBy: PauseReason | null = null;

  constructor(parts: SweepBrakeParts) {
    this.parts = parts;
  }

  /**
   * Resolves once the sweep may ask its next question. Rejects with the signal's reason as soon as it aborts.
   * @param paused told why the sweep stands still, and null when it goes on
   */
  async released(table: string, signal: AbortSignal, paused: (reason: PauseReason | null) => Promise<void>): Promise<void> {
    for (;;) {
      await this.look(table, signal);
      signal.throwIfAborted();
      const reason = this.pausedBy;
      await paused(reason);
      if (reason === null) return;
      await this.parts.clock.sleep(ASK_EVERY_MS, signal);
    }
  }

  /** Asks both databases, unless that was done of late; whoever comes meanwhile waits for the same answer. */
  private async look(table: string, signal: AbortSignal): Promise<void> {
    const { clock } = this.parts;
    if (clock.nowMs() - this.askedAtMs < ASK_EVERY_MS) return;
    this.asking ??= this.ask(table, signal).finally(() => {
      this.asking = null;
      this.askedAtMs = clock.nowMs();
    });
    await this.asking;
  }

  private async ask(table: string, signal: AbortSignal): Promise<void> {
    const { sides, limits, lagMs } = this.parts;
    await Promise.all([this.askSide(sides.old, signal), this.askSide(sides.new, signal)]);
    this.pausedBy = pauseReason(limits, lagMs(table), [...this.pressures.values()], this.pausedBy);
  }

  /** A database that does not say is not waited for: what the sweep asks next will tell what is wrong with it. */
  private async askSide(database: Pick<Database, 'side' | 'pressure'>, signal: AbortSignal): Promise<void> {
    const { side } = database;
    if (this.silent.has(side)) return;
    try {
      this.pressures.set(side, await within(side, ASK_LIMIT_MS, signal, (limited) => database.pressure(limited)));
    } catch (error) {
      this.pressures.delete(side);
      if (error instanceof LockstepError && error.retry === 'final') this.silent.add(side);
    }
  }
}
