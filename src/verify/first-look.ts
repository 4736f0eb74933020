/** The first look at a changed key is made this soon and this late after its commit, at the extremes. */
const DELAY_MIN_MS = 15;
const DELAY_MAX_MS = 1_000;
const DELAY_AT_START_MS = 30;
/** A look that finds the change draws the next nearer, one that comes too early puts it off: most find it, some bound the lag from below. */
const NEARER = 0.9;
const FARTHER = 1.2;

/**
 * When to look for a change on the replica for the first time: about when the table's
 * changes arrive. Too early costs a read, too late makes verified-through late and
 * hides how small the lag is.
 */
export class FirstLook {
  private readonly delays = new Map<string, number>();

  /** How long after its commit a change of the table is first looked for. */
  delayMs(table: string): number {
    return this.delays.get(table) ?? DELAY_AT_START_MS;
  }

  /** A first look was made. */
  looked(table: string, found: boolean): void {
    const delay = this.delayMs(table) * (found ? NEARER : FARTHER);
    this.delays.set(table, Math.min(DELAY_MAX_MS, Math.max(DELAY_MIN_MS, delay)));
  }
}
