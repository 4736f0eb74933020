import type { RestoredState, StoredSweep, VerifyStore } from './ports.ts';

/** For a run that leaves nothing behind: a one-off check begins empty and its findings go to its caller. */
export class EphemeralStore implements VerifyStore {
  restore(): Promise<RestoredState> {
    return Promise.resolve({ partitions: [], checks: [], tables: [], drift: [], deadLetters: new Map() });
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
}
