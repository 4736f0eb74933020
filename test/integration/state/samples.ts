import type { Drift, DriftEvent } from '../../../src/domain/drift.ts';
import type { Checkpoint, DriftWrite, StoredCheck, StoredSweep } from '../../../src/verify/ports.ts';

export const MAX_INT64 = 9223372036854775807n;
export const MIN_INT64 = -9223372036854775808n;

export function emptyCheckpoint(part: Partial<Checkpoint> = {}): Checkpoint {
  return { partitions: [], checks: [], settledChecks: [], drift: [], deadLetters: [], tables: [], ...part };
}

/** A dead letter's record, whole and without headers. */
export const KEPT = { rawHeaders: [], timestampMs: null, rawWhole: true, gapUs: 5_000n } as const;

export function check(id: number, part: Partial<StoredCheck> = {}): StoredCheck {
  return {
    table: 'public.orders',
    key: [String(id), `k"\\{,}'${id}`],
    origin: 'stream',
    firstSeenMs: 1_700_000_000_000 + id,
    versions: [
      {
        committedAtUs: MAX_INT64,
        lsn: 18446744073709551615n,
        hash: 'ffffffffffffffff',
        unknownColumns: [2, 5],
        position: { topic: 'shop.public.orders', partition: 0, offset: '9223372036854775807', lsn: null, txId: '77' },
      },
      {
        committedAtUs: MIN_INT64,
        lsn: null,
        hash: null,
        unknownColumns: [],
        position: { topic: 'shop.public.orders', partition: 0, offset: '2', lsn: 5n, txId: null },
      },
    ],
    attempts: id % 7,
    holdsUs: null,
    ...part,
  };
}

export function drift(id: string, part: Partial<Drift> = {}): Drift {
  return {
    id,
    table: 'public.orders',
    key: { id: Number(id.replaceAll(/\D/gu, '')), code: `c-${id}` },
    kind: 'different',
    columns: ['amount', 'a "b", c'],
    old: { amount: '12345678901234567890.12', note: null, on: true },
    new: { amount: 'NaN', note: 'x' },
    oldHash: '0123456789abcdef',
    newHash: null,
    status: 'open',
    foundBy: 'stream',
    cause: { code: 'placeholder_written', message: 'the sink wrote the unavailable value' },
    columnCauses: { amount: { code: 'nan_replaced', detail: 'by 0' }, 'a "b", c': { code: 'placeholder_written', detail: null } },
    firstSeenAtMs: 1_700_000_000_000,
    confirmedAtMs: 1_700_000_001_000,
    lastCheckedAtMs: 1_700_000_002_000,
    resolvedAtMs: null,
    checks: 3,
    position: { topic: 't', partition: 3, offset: '42', lsn: 18446744073709551615n, txId: '9' },
    ...part,
  };
}

export function driftWrite(of: Drift, events: readonly DriftEvent[] = []): DriftWrite {
  return { drift: of, keyValues: [String(of.key['id'])], events };
}

export function sweep(id: string, part: Partial<StoredSweep> = {}): StoredSweep {
  return {
    id,
    kind: 'incremental',
    status: 'running',
    startedAtMs: 1_700_000_000_000,
    endedAtMs: null,
    tables: [
      {
        table: 'public.b',
        kind: 'full',
        kindReason: 'lost',
        touchedEpoch: 7,
        status: 'running',
        strategy: 'portable',
        strategyReason: 'the only one',
        progressRatio: 0.25,
        rowsPerSecond: null,
        etaMs: null,
        pausedBy: null,
        chunksDone: 7,
        chunksDiffering: 1,
        rows: { old: '9223372036854775808', new: '0' },
        suspects: 9,
        inFlight: 2,
        equivalent: 3,
        unverifiable: 1,
        drift: 1,
        startedAtMs: 1_700_000_000_001,
        endedAtMs: null,
        error: null,
        startedAtUs: MAX_INT64,
        resumeFrom: ['a,b', 'NULL', ''],
        awaited: [['a\u0000', '{"x"}', '\\'], ['', 'NULL', '\ud800']],
      },
      {
        table: 'public.a',
        kind: 'incremental',
        kindReason: '3 keys',
        touchedEpoch: null,
        status: 'failed',
        strategy: 'client',
        strategyReason: 'asked for',
        progressRatio: 0,
        rowsPerSecond: null,
        etaMs: null,
        pausedBy: null,
        chunksDone: 0,
        chunksDiffering: 0,
        rows: { old: '0', new: '0' },
        suspects: 0,
        inFlight: 0,
        equivalent: 0,
        unverifiable: 0,
        drift: 0,
        startedAtMs: 1,
        endedAtMs: 2,
        error: 'permission denied',
        startedAtUs: 0n,
        resumeFrom: null,
        awaited: [],
      },
    ],
    ...part,
  };
}
