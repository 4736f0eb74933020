import { LockstepError } from '../domain/errors.ts';

/**
 * SQLSTATE classes and codes after which the same statement may succeed: connection, resources, operator, deadlock, the
 * system below it (a disk that fails), a server that is a standby for the moment, a transaction that stood still for too
 * long (this process was frozen), a lock that was not granted.
 */
const RETRYABLE = /^(08|53|57|40|58|25006|25P03|25P04|55P03)/u;

/** Socket errors of Node after which a new connection may succeed. */
const SOCKET_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN']);

function textProperty(error: unknown, name: string): string | null {
  if (typeof error !== 'object' || error === null) return null;
  const value = (error as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : null;
}

/** The SQLSTATE of a driver's error, or null where the server did not answer. */
export function sqlState(error: unknown): string | null {
  const code = textProperty(error, 'code');
  return code !== null && /^[0-9A-Z]{5}$/u.test(code) && textProperty(error, 'severity') !== null ? code : null;
}

/** Whether the server could not be reached or went away. */
export function isUnreachable(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== null) return /^(08|53|57P)/u.test(state);
  const code = textProperty(error, 'code');
  if (code !== null && SOCKET_CODES.has(code)) return true;
  return error instanceof Error && /connection terminated|connection timeout|timeout exceeded|client was closed|not queryable|query read timeout/iu.test(error.message);
}

/**
 * What went wrong with the state store, as a LockstepError: `state_unreachable`
 * (retry), `state_refused` (login, rights, unknown database) or `state_failed`.
 * The driver's own text is left out where it could quote a value.
 */
export function stateFailure(error: unknown, doing: string): LockstepError {
  if (error instanceof LockstepError) return error;
  if (isUnreachable(error)) {
    return new LockstepError('state_unreachable', `the state store cannot be reached (${doing})`, {
      retry: 'retry',
      cause: error,
      hint: 'check state.url and that the server is running and accepts connections',
    });
  }
  const state = sqlState(error);
  if (state === null) {
    return new LockstepError('state_failed', `the state store failed (${doing})`, { cause: error });
  }
  if (/^(28|3D|42501)/u.test(state)) {
    return new LockstepError('state_refused', `the state store refused us (${doing}, SQLSTATE ${state})`, {
      cause: error,
      about: { sqlstate: state },
      hint: 'check user, password and database of state.url, and that the user may create in the database',
    });
  }
  const where = ['schema', 'table', 'column', 'constraint']
    .map((name) => textProperty(error, name))
    .filter((value) => value !== null)
    .join('.');
  return new LockstepError(
    'state_failed',
    `the state store failed (${doing}, SQLSTATE ${state}${where === '' ? '' : ` at ${where}`})`,
    { retry: RETRYABLE.test(state) ? 'retry' : 'final', about: { sqlstate: state } },
  );
}
