import { LockstepError } from '../../domain/errors.ts';

/** What the stream is read from, for messages. */
export interface StreamNames {
  readonly slot: string;
  readonly publication: string;
}

function property(error: unknown, name: string): string | null {
  if (typeof error !== 'object' || error === null) return null;
  const value = (error as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : null;
}

/** The SQLSTATE of a server's answer; null where it did not answer. */
export function sqlState(error: unknown): string | null {
  const code = property(error, 'code');
  return property(error, 'severity') !== null && code !== null && /^[0-9A-Z]{5}$/u.test(code) ? code : null;
}

/**
 * What ended or prevented the stream, as a LockstepError: `stream_lost` and
 * `slot_in_use` and `slot_lost` (retry), `stream_refused`, `publication_missing`,
 * `wal_level`, `slots_exhausted`, `stream_failed` (final).
 */
export function streamFailure(error: unknown, names: StreamNames): LockstepError {
  if (error instanceof LockstepError) return error;
  const { slot, publication } = names;
  const state = sqlState(error);
  const about = { slot, ...(state === null ? {} : { sqlstate: state }) };
  if (state === null || /^(08|57P)/u.test(state)) {
    return new LockstepError('stream_lost', `the connection of replication slot ${slot} is lost`, { retry: 'retry', cause: error, about });
  }
  if (state === '55006') {
    return new LockstepError('slot_in_use', `replication slot ${slot} is used by another connection`, {
      retry: 'retry',
      cause: error,
      about,
      hint: 'stop the other reader, or give this migration a slot of its own (events.postgres.slot)',
    });
  }
  if (/^(28|42501)/u.test(state)) {
    return new LockstepError('stream_refused', `the database refuses us as a reader of its changes (SQLSTATE ${state})`, {
      cause: error,
      about,
      hint: 'the user needs LOGIN and REPLICATION (ALTER ROLE … REPLICATION), and pg_hba.conf must let it in',
    });
  }
  const message = property(error, 'message') ?? '';
  if (state === '55000' && message.includes('wal_level')) {
    return new LockstepError('wal_level', 'the primary does not log enough for logical replication', {
      cause: error,
      about,
      hint: 'set wal_level = logical and restart the server',
    });
  }
  if (state === '53400' || (state === '53300' && message.includes('replication'))) {
    return new LockstepError('slots_exhausted', 'the primary has no free replication slot or sender', {
      retry: 'retry',
      cause: error,
      about,
      hint: 'raise max_replication_slots and max_wal_senders, or drop slots that nobody uses',
    });
  }
  if (state === '42704' && message.includes('publication')) {
    return new LockstepError('publication_missing', `replication slot ${slot} is older than publication ${publication}, and reads the log from before it`, {
      cause: error,
      about: { ...about, publication },
      hint: `drop the slot, it is made anew: SELECT pg_drop_replication_slot('${slot}')`,
    });
  }
  if (state === '58P01' || (state === '55000' && message.includes('slot'))) {
    return new LockstepError('slot_lost', `the primary no longer has the log that replication slot ${slot} needs`, {
      retry: 'retry',
      cause: error,
      about,
    });
  }
  return new LockstepError('stream_failed', `the primary cannot send its changes (SQLSTATE ${state})`, {
    retry: /^(53|57|40)/u.test(state) ? 'retry' : 'final',
    cause: error,
    about,
  });
}
