import type { ClockSkew } from '../domain/clock-skew.ts';
import type { Pair, Side } from '../domain/pair.ts';
import { HotChunk } from './hot-chunk.ts';
import { hotKeysWithin, type HotKeys } from './hot-keys.ts';
import type { PendingChecks } from './pending-checks.ts';
import type { Clock, KeyRange } from './ports.ts';
import type { ChunkFindings, Comparison } from './sweep-compare.ts';

/** A chunk that differs beside its hot rows waits so long for the changes that may explain it, and looks for them so often. */
const NEWS_WAIT_MS = 300;
const NEWS_LOOK_MS = 20;

/** A chunk that was looked at with its hot rows apart, and when: on the host's clock before, and on the primary's after. */
export interface Look {
  readonly chunk: HotChunk;
  readonly beganMs: number;
  readonly endedUs: bigint;
}

export interface HotLooksParts {
  readonly primarySide: Side;
  readonly pending: Pick<PendingChecks, 'checksOf' | 'tableSize'>;
  readonly skew: Readonly<Record<Side, ClockSkew>>;
  readonly clock: Clock;
}

/** Looks at chunks with the rows apart of which the stream knows that they change. */
export class HotLooks {
  private readonly parts: HotLooksParts;

  constructor(parts: HotLooksParts) {
    this.parts = parts;
  }

  /** Looks at a range; null where no change is under way in the table, and where too many are. */
  async look(comparison: Comparison, range: KeyRange): Promise<Look | null> {
    const { clock, skew, primarySide } = this.parts;
    const beganMs = clock.nowMs();
    const hot = this.hotKeys(comparison.pair, range);
    if (hot === null) return null;
    const chunk = await HotChunk.look(comparison, range, hot.keys);
    return { chunk, beganMs, endedUs: clock.nowUs() + (skew[primarySide].best()?.offsetUs ?? 0n) };
  }

  /** Waits a moment for the changes that may explain why a chunk differs beside its hot rows; null: they do not. */
  async waitForNews(comparison: Comparison, { chunk, beganMs, endedUs }: Look): Promise<ChunkFindings | null> {
    const { clock } = this.parts;
    const untilMs = clock.nowMs() + NEWS_WAIT_MS;
    for (;;) {
      const hot = this.hotKeys(comparison.pair, chunk.range, beganMs);
      const found = hot !== null && (await chunk.hear(hot.keys)) ? chunk.findings() : null;
      // A change from after the look says that those before it are consumed, about.
      if (found !== null || clock.nowMs() >= untilMs || (hot !== null && hot.newestUs > endedUs)) return found;
      await clock.sleep(NEWS_LOOK_MS, comparison.signal);
      comparison.signal.throwIfAborted();
    }
  }

  private hotKeys(pair: Pair, range: KeyRange, sinceMs?: number): HotKeys | null {
    return hotKeysWithin(this.parts.pending, pair, range, sinceMs);
  }
}
