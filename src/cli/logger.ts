import { pino } from 'pino';
import type { Logger } from 'pino';
import type { LogLevel } from '../config/config.ts';
import { LockstepError, rootMessage } from '../domain/errors.ts';
import type { TextOutput } from './context.ts';
import { withoutPasswords } from './error-lines.ts';

/** Fields that never reach the log, at the top of an entry and one level below. */
const SECRET_FIELDS: readonly string[] = ['password', 'token', 'authorization', 'secret', 'url_with_password'];

/** JSON lines on `output`. Errors lose their details: drivers put row values there. */
export function createLogger(level: LogLevel, output: TextOutput, debug: boolean): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '***' },
      serializers: { err: (error: unknown) => errorFields(error, debug), error: (error: unknown) => errorFields(error, debug) },
    },
    { write: (line: string) => void output.write(withoutPasswords(line)) },
  );
}

function errorFields(error: unknown, debug: boolean): unknown {
  if (!(error instanceof Error)) return String(error);
  const root = rootMessage(error);
  return {
    type: error.name,
    message: error.message,
    ...(root === error.message ? {} : { cause: root }),
    ...(error instanceof LockstepError ? { code: error.code, ...error.about, ...(error.hint === null ? {} : { hint: error.hint }) } : {}),
    ...(debug ? { stack: error.stack } : {}),
  };
}
