import type { DeadLetterStates, RestoredState, StoredSweep, VerifyStore } from './ports.ts';

const NO_DEAD_LETTERS: DeadLetterStates = { byTable: new Map(), keptBytes: 0 };

/** For a run that leaves nothing behind: a one-off check begins empty and its findings go to its caller. */
export class EphemeralStore implements VerifyStore {
  restore(): Promise<RestoredState> {
    return Promise.resolve({ partitions: [], checks: [], tables: [], drift: [], deadLetters: NO_DEAD_LETTERS, gapEnds: [] });
  }

  write(): Promise<void> {
    return Promise.resolve();
  }

  saveSweep(): Promise<void> {
    return Promise.resolve();
  }

  unfinishedSweep(): Promise<StoredSweep | null> {
    return Promise.resolve(null);
  }

  deadLetterStates(): Promise<DeadLetterStates> {
    return Promise.resolve(NO_DEAD_LETTERS);
  }
}
