/** Says in words what a value must be; error messages and the reference use it. */
export const EXPECTED = 'x-expected';
/** Marks a value that must never be shown. */
export const SECRET = 'x-secret';
/** Marks a path: relative to the configuration file's folder. */
export const PATH = 'x-path';
/** A default that depends on other settings, in words. */
export const DEFAULT_NOTE = 'x-default';

/** Keywords of ours in the schema, for validators that want to know. */
export const ANNOTATIONS: readonly string[] = [EXPECTED, SECRET, PATH, DEFAULT_NOTE];

/** Values that hold where the configuration says nothing. */
export const DEFAULTS = {
  pool: 4,
  unavailablePlaceholder: '__debezium_unavailable_value',
  slot: 'lockstep',
  publication: 'lockstep',
  dataDir: '.lockstep',
  lagBudget: '5s',
  lagObjective: 0.999,
  lagWindow: '1h',
  settleMinMs: 10_000,
  settlePerBudget: 2,
  sweepMaxAge: '24h',
  runway: '24h',
  maxDriftRows: 0,
  sweepEvery: '6h',
  sweepConcurrency: 2,
  pauseLag: '30s',
  maxPending: 500_000,
  readBatch: 1000,
  host: '127.0.0.1',
  port: 8080,
} as const;
