import { LockstepError } from '../domain/errors.ts';
import type { Side } from '../domain/pair.ts';

/**
 * Asks a database and gives up after `limitMs`: a server that hangs keeps its
 * connections open, and only the clock tells. Rejects with `database_silent` then.
 */
export async function within<Answer>(side: Side, limitMs: number, signal: AbortSignal, ask: (signal: AbortSignal) => Promise<Answer>): Promise<Answer> {
  const timeout = AbortSignal.timeout(limitMs);
  try {
    return await ask(AbortSignal.any([signal, timeout]));
  } catch (error) {
    if (!timeout.aborted || signal.aborted) throw error;
    throw new LockstepError('database_silent', `${side} has not answered for ${limitMs / 1000} s`, { retry: 'retry', cause: error, about: { side } });
  }
}
