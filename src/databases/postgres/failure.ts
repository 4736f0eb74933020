import pg from 'pg';
import type { Side } from '../../domain/pair.ts';
import { LockstepError, rootMessage } from '../../domain/errors.ts';
import type { Retry } from '../../domain/errors.ts';

interface Mapping {
  readonly code: string;
  readonly retry: Retry;
  readonly message: string;
  readonly hint?: string;
}

const NETWORK_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** What the driver says, without a code, when a connection does not come about or breaks. */
const BROKEN_CONNECTION = /connection terminated|timeout exceeded when trying to connect|connection ended|client was closed|not queryable|timeout expired|query read timeout/i;

const REFUSED: Mapping = {
  code: 'authentication_failed',
  retry: 'final',
  message: 'the database refused the role',
  hint: 'check user and password in the URL (or password, password_file), and pg_hba.conf',
};

const BY_STATE: Readonly<Record<string, Mapping>> = {
  '42501': { code: 'permission_denied', retry: 'final', message: 'permission denied', hint: 'grant SELECT on the table to the role of the database URL; a role under row-level security needs BYPASSRLS, or it would see a part of the rows' },
  '3D000': { code: 'database_missing', retry: 'final', message: 'the database does not exist', hint: 'check the database name in the URL' },
  '42P01': { code: 'table_missing', retry: 'final', message: 'the table does not exist', hint: 'check the table name in the configuration, and whether it was dropped or renamed' },
  '3F000': { code: 'table_missing', retry: 'final', message: 'the schema does not exist', hint: 'check the schema name in the configuration' },
  '42703': { code: 'column_missing', retry: 'final', message: 'a column does not exist', hint: 'the table changed, or the row filter names an unknown column' },
  '55P03': { code: 'lock_timeout', retry: 'retry', message: 'a lock was not granted in time' },
  '53300': { code: 'database_unreachable', retry: 'retry', message: 'too many connections', hint: 'lower databases.*.pool or raise max_connections' },
};

const BY_CLASS: Readonly<Record<string, Mapping>> = {
  '08': { code: 'database_unreachable', retry: 'retry', message: 'the connection broke' },
  '28': REFUSED,
  '40': { code: 'query_conflict', retry: 'retry', message: 'the query was in conflict with another' },
  '53': { code: 'database_exhausted', retry: 'retry', message: 'the database is out of a resource' },
  '57': { code: 'database_unreachable', retry: 'retry', message: 'the database is shutting down or starting' },
  '58': { code: 'database_exhausted', retry: 'retry', message: 'the database has a system error' },
};

/** States of a connection or a login, whatever was being read. */
const OF_CONNECTION = /^(08|28|3D|53300|57P)/;

/** How the driver says that it was given no password. */
const NO_PASSWORD = /client password must be a/i;

export interface FailureContext {
  readonly side: Side;
  /** Qualified name; null where no table is concerned. */
  readonly table: string | null;
}

/** Turns whatever the driver threw into a LockstepError; PostgreSQL's messages about values stay out of it. */
export function databaseFailure(error: unknown, context: FailureContext): LockstepError {
  if (error instanceof LockstepError) return error;
  const state = error instanceof pg.DatabaseError ? (error.code ?? '') : '';
  const ofConnection = OF_CONNECTION.test(state);
  const about = context.table === null || ofConnection ? { side: context.side } : { side: context.side, table: context.table };
  const where = ofConnection ? `${context.side} database` : context.table === null ? context.side : `${context.table} on ${context.side}`;
  if (state === '') {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const message = rootMessage(error);
    if (NETWORK_CODES.has(code) || BROKEN_CONNECTION.test(message) || NETWORK_CODES.has(innerCode(error))) {
      return new LockstepError('database_unreachable', `${context.side} database cannot be reached: ${message}`, {
        retry: 'retry',
        cause: error,
        about: { side: context.side },
        hint: `check that it runs and that databases.${context.side}.url is right`,
      });
    }
    if (NO_PASSWORD.test(message)) {
      return new LockstepError(REFUSED.code, `${context.side} database asks for a password, and there is none`, {
        about: { side: context.side },
        hint: `set databases.${context.side}.password_file, or put it into the URL`,
      });
    }
    return new LockstepError('query_failed', `${where}: ${message}`, { cause: error, about });
  }
  if (state === '57014') {
    return new LockstepError('statement_timeout', `${where}: the statement took too long and was cancelled`, {
      retry: 'retry',
      cause: error,
      about,
      hint: 'smaller chunks, an index on the key, or a longer statement timeout',
    });
  }
  // Class 22 (data exceptions) quotes the value it trips over.
  if (state.startsWith('22')) {
    return new LockstepError('query_failed', `${where}: the database cannot read a value (SQLSTATE ${state})`, { about, hint: 'a key or a row filter does not fit the columns’ types' });
  }
  const mapping = BY_STATE[state] ?? BY_CLASS[state.slice(0, 2)];
  const message = rootMessage(error);
  if (mapping === undefined) return new LockstepError('query_failed', `${where}: ${message} (SQLSTATE ${state})`, { cause: error, about });
  return new LockstepError(mapping.code, `${where}: ${mapping.message}: ${message}`, {
    retry: mapping.retry,
    cause: error,
    about,
    ...(mapping.hint === undefined ? {} : { hint: mapping.hint }),
  });
}

/** Node hides the code of a refused connection to several addresses among its parts. */
function innerCode(error: unknown): string {
  const inner: unknown = error instanceof AggregateError ? error.errors[0] : error instanceof Error ? error.cause : undefined;
  return inner instanceof Error && 'code' in inner ? String(inner.code) : '';
}
