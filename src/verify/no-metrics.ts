import type { VerifyMetrics } from './ports.ts';

const nothing = (): void => undefined;

/** For a run that nobody scrapes. */
export const NO_METRICS: VerifyMetrics = {
  changeEvent: nothing,
  check: nothing,
  driftConfirmed: nothing,
  driftResolved: nothing,
  driftDetected: nothing,
  pairedEvent: nothing,
  replicationLag: nothing,
  lagBudgetBreach: nothing,
  sweepRows: nothing,
  sweepChunk: nothing,
  sweepSuspects: nothing,
  deadLetter: nothing,
};
