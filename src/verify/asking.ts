import { LockstepError } from '../domain/errors.ts';
import { isTimeout } from './chunk-findings.ts';
import type { Clock } from './ports.ts';

/** A question is asked this often before it is given up. */
const ASK_TRIES = 5;
const ASK_RETRY_MS = 1_000;

/** Asks again while that can help. */
export type Ask = <Answer>(question: () => Promise<Answer>, signal: AbortSignal) => Promise<Answer>;

export function askingAgain(clock: Clock): Ask {
  return async (question, signal) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await question();
      } catch (error) {
        // What took too long takes too long again: smaller parts are asked for instead.
        const final = isTimeout(error) || (error instanceof LockstepError && error.retry === 'final');
        if (signal.aborted || final || attempt >= ASK_TRIES) throw error;
        await clock.sleep(ASK_RETRY_MS * attempt, signal);
      }
    }
  };
}
