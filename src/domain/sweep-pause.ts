/** Why a sweep stands still for a while. */
export type PauseReason = 'lag' | 'standby_lag' | 'lock_waits' | 'active_sessions';

export const PAUSE_REASONS: readonly PauseReason[] = ['lag', 'standby_lag', 'lock_waits', 'active_sessions'];

/** What one database says of how it is doing. */
export interface Pressure {
  /** Sessions of others that wait for a lock which ours hold or wait for before them. */
  readonly lockWaits: number;
  /** Sessions of others that run a statement, as far as our role may see them. */
  readonly activeSessions: number;
  /** How far the farthest of its standbys, or itself where it is one, is behind; 0 where there is none. */
  readonly standbyLagMs: number;
}

/** When a sweep pauses; null: never for that. */
export interface PauseLimits {
  readonly lagMs: number | null;
  readonly lockWaits: boolean;
  readonly activeSessions: number | null;
}

/** A pause ends once its figure has come down to this share of its limit: it must not begin again at once. */
const RELEASE_RATIO = 0.8;

/**
 * Why a sweep should stand still now; null: it goes on.
 * @param lagMs of the pipeline, as Lockstep knows it
 * @param databases both sides' word, as far as they gave it
 * @param present why it stands still already; null: it runs
 */
export function pauseReason(limits: PauseLimits, lagMs: number, databases: readonly Pressure[], present: PauseReason | null): PauseReason | null {
  const exceeds = (reason: PauseReason, figure: number, limit: number | null): boolean => {
    if (limit === null) return false;
    return present === reason ? figure > limit * RELEASE_RATIO : figure > limit;
  };
  const highest = (figure: (pressure: Pressure) => number): number => databases.reduce((most, pressure) => Math.max(most, figure(pressure)), 0);
  if (limits.lockWaits && databases.some((pressure) => pressure.lockWaits > 0)) return 'lock_waits';
  if (exceeds('lag', lagMs, limits.lagMs)) return 'lag';
  if (exceeds('standby_lag', highest((pressure) => pressure.standbyLagMs), limits.lagMs)) return 'standby_lag';
  return exceeds('active_sessions', highest((pressure) => pressure.activeSessions), limits.activeSessions) ? 'active_sessions' : null;
}
