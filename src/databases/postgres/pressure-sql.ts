import type { Pressure } from '../../domain/sweep-pause.ts';
import type { TextRow } from './session.ts';

/**
 * Who waits because of us, who is at work beside us, and how far standbys are behind. Ours are the sessions of this
 * one's application name. Logical readers are no standbys: the pipeline's lag is known otherwise. Locks are everybody's
 * to see; without pg_read_all_stats (or pg_monitor) others' sessions and standbys seem not to be there.
 */
export const PRESSURE_SQL = `
WITH sessions AS MATERIALIZED (
  SELECT pid, state, backend_type, coalesce(application_name = current_setting('application_name'), false) AS ours FROM pg_stat_activity
), waiting AS MATERIALIZED (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted)
SELECT
  (SELECT count(*) FROM waiting w LEFT JOIN sessions s USING (pid) WHERE s.ours IS NOT TRUE
    AND EXISTS (SELECT FROM sessions o WHERE o.ours AND o.pid = ANY (pg_blocking_pids(w.pid))))::text,
  (SELECT count(*) FROM sessions WHERE NOT ours AND state = 'active' AND backend_type = 'client backend')::text,
  (CASE WHEN pg_is_in_recovery() THEN
     CASE WHEN pg_last_wal_receive_lsn() IS NULL OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
       ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) END
   ELSE (SELECT coalesce(max(extract(epoch FROM r.replay_lag)), 0) FROM pg_stat_replication r
     WHERE NOT EXISTS (SELECT FROM pg_replication_slots l WHERE l.active_pid = r.pid AND l.slot_type = 'logical'))
   END * 1000)::float8::text`;

/** The answer to `PRESSURE_SQL`. */
export function pressureOf([lockWaits, activeSessions, standbyLagMs]: TextRow): Pressure {
  return { lockWaits: Number(lockWaits), activeSessions: Number(activeSessions), standbyLagMs: Math.max(0, Number(standbyLagMs)) };
}
