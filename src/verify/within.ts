import { LockstepError } from '../domain/errors.ts';
import type { Side } from '../domain/pair.ts';

/**
 * Asks a database and gives up after `limitMs`: a server that hangs keeps its
 * connections open, and only the clock tells. Rejects with `database_silent` then.
 */
export async function within<Answer>(side: Side, limitMs: number, signal: AbortSignal, ask: (signal: AbortSignal) => Promise<Answer>): Promise<Answer> {
  const limited = new AbortController();
  let isLate = false;
  const giveUp = (): void => limited.abort(signal.reason);
  const timer = setTimeout(() => {
    isLate = true;
    limited.abort();
  }, limitMs);
  timer.unref();
  if (signal.aborted) giveUp();
  else signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await ask(limited.signal);
  } catch (error) {
    if (!isLate || signal.aborted) throw error;
    throw new LockstepError('database_silent', `${side} has not answered for ${limitMs / 1000} s`, { retry: 'retry', cause: error, about: { side } });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
  }
}
