import { EventEmitter } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CheckReport, TEXT_ROWS_MAX, type CheckFormat } from '../../../src/cli/check-report.ts';
import { formatElapsed } from '../../../src/cli/text-table.ts';
import type { Drift } from '../../../src/domain/drift.ts';
import type { CheckOutcome, TableOutcome } from '../../../src/domain/outcome.ts';
import { Folder, MINIMAL } from '../config/fixtures.ts';
import { run } from './console.ts';

const folder = new Folder();
let file = '';
beforeAll(() => {
  file = folder.write('lockstep.yaml', `${MINIMAL}  - old: public.orders\n`);
});
afterAll(() => folder.remove());

const DRIFT: Drift = {
  id: '01J',
  table: 'public.payments',
  key: { id: '9007199254740993' },
  kind: 'different',
  columns: ['amount'],
  old: { id: '9007199254740993', amount: '***' },
  new: { id: '9007199254740993', amount: '***' },
  oldHash: '0123456789abcdef',
  newHash: 'fedcba9876543210',
  status: 'open',
  foundBy: 'sweep',
  cause: { code: 'truncated', message: 'truncated: cut at 3 characters' },
  columnCauses: { amount: { code: 'truncated', detail: 'cut at 3 characters' } },
  firstSeenAtMs: 0,
  confirmedAtMs: 1_000,
  lastCheckedAtMs: 2_000,
  resolvedAtMs: null,
  checks: 3,
  position: { topic: 't', partition: 0, offset: '12', lsn: 24_000_000_000_000_000_123n, txId: '7' },
};

const RECHECKED = { comparedAs: 'rows' as const, suspects: 0, inFlight: 0, equivalent: 0, unverifiable: 0 };

const MATCH: CheckOutcome = {
  verdict: 'match',
  reason: null,
  tables: [
    { table: 'public.payments', rows: { old: '5000000', new: '5000000' }, ...RECHECKED, drift: 0, strategy: 'portable', strategyReason: 'asked for', elapsedMs: 12_340, findings: [{ severity: 'warning', message: 'public.payments: column "at" is taken as UTC' }] },
    { table: 'public.orders', rows: { old: '7', new: '7' }, ...RECHECKED, drift: 0, strategy: 'portable', strategyReason: 'asked for', elapsedMs: 8, findings: [] },
  ],
  drift: 0,
};
const DRIFTED: CheckOutcome = { ...MATCH, verdict: 'drift', drift: 1 };
const UNKNOWN: CheckOutcome = { ...MATCH, verdict: 'unknown', reason: '3 keys never rest' };

const DRIFT_JSON = {
  id: '01J',
  table: 'public.payments',
  key: { id: '9007199254740993' },
  kind: 'different',
  columns: ['amount'],
  old: { id: '9007199254740993', amount: '***' },
  new: { id: '9007199254740993', amount: '***' },
  old_hash: '0123456789abcdef',
  new_hash: 'fedcba9876543210',
  status: 'open',
  found_by: 'sweep',
  cause: { code: 'truncated', message: 'truncated: cut at 3 characters' },
  column_causes: { amount: 'truncated' },
  first_seen_at: '1970-01-01T00:00:00.000Z',
  confirmed_at: '1970-01-01T00:00:01.000Z',
  last_checked_at: '1970-01-01T00:00:02.000Z',
  resolved_at: null,
  checks: 3,
  position: { topic: 't', partition: 0, offset: '12', lsn: '24000000000000000123', tx_id: '7' },
};

function checkReport(outcome: CheckOutcome, format: CheckFormat, drifts: readonly Drift[] = outcome.drift === 0 ? [] : [DRIFT]): string {
  let written = '';
  const report = new CheckReport(format, { write: (text) => (written += text) });
  for (const drift of drifts) report.drift(drift);
  report.finish(outcome);
  return written;
}

describe('formats', () => {
  test('json', () => {
    expect(JSON.parse(checkReport(DRIFTED, 'json'))).toMatchObject({
      verdict: 'drift',
      tables: [{ table: 'public.payments', rows: { old: 5_000_000, new: 5_000_000 }, drift: 0, strategy: 'portable' }, {}],
      drift: [DRIFT_JSON],
      causes: [
        {
          table: 'public.payments',
          column: 'amount',
          cause: DRIFT_JSON.cause,
          kind: 'different',
          rows: 1,
          first_seen_at: '1970-01-01T00:00:00.000Z',
          sample_ids: ['01J'],
          sentence: 'public.payments.amount: 1 row, truncated: cut at 3 characters',
        },
      ],
    });
    const huge = { ...MATCH, tables: MATCH.tables.map((table) => ({ ...table, rows: { old: '9007199254740993', new: '1' } })) };
    expect(checkReport(huge, 'json')).toContain('"old": "9007199254740993"');
  });

  test('how much was rechecked: always in json, in text where it brought more than drift', () => {
    const [first, second] = MATCH.tables;
    const tables = [{ ...(first as TableOutcome), suspects: 1_204, inFlight: 1_200, equivalent: 3, unverifiable: 1 }, second as TableOutcome];
    expect(JSON.parse(checkReport({ ...MATCH, tables }, 'json'))).toMatchObject({
      tables: [
        { suspects: 1_204, in_flight: 1_200, equivalent: 3, unverifiable: 1 },
        { suspects: 0, in_flight: 0, equivalent: 0, unverifiable: 0 },
      ],
    });
    const told = 'public.payments: 1204 rows rechecked: 1200 in flight and equal since, 3 equal in value with different digests, 1 never at rest\n';
    expect(checkReport({ ...MATCH, tables }, 'text')).toContain(told);
    expect(checkReport(MATCH, 'text')).not.toContain('rechecked');
  });

  test.each([0, 1, 3])('json of %i drift, each written once', (count) => {
    const report = JSON.parse(checkReport({ ...MATCH, drift: count }, 'json', Array<Drift>(count).fill(DRIFT))) as Record<string, unknown>;
    expect(report['drift']).toEqual(Array(count).fill(DRIFT_JSON));
    expect(Object.keys(report)).toEqual(['drift', 'verdict', 'reason', 'tables', 'causes']);
  });

  test('waits for its reader, and no longer than there is one', async () => {
    for (const event of ['drain', 'close'] as const) {
      const output = Object.assign(new EventEmitter(), { writableNeedDrain: true, write: () => false });
      const report = new CheckReport('ndjson', output);
      report.drift(DRIFT);
      let isDrained = false;
      const drained = report.drained().then(() => (isDrained = true));
      await Promise.resolve();
      expect(isDrained).toBe(false);
      output.emit(event);
      await drained;
      expect(output.listenerCount('drain') + output.listenerCount('error') + output.listenerCount('close')).toBe(0);
    }
  });

  test('ndjson: one drift a line', () => {
    const lines = checkReport({ ...DRIFTED, drift: 2 }, 'ndjson', [DRIFT, DRIFT]).split('\n');
    expect(lines.pop()).toBe('');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([DRIFT_JSON, DRIFT_JSON]);
    expect(checkReport(MATCH, 'ndjson')).toBe('');
  });

  test('text', () => {
    expect(checkReport(DRIFTED, 'text')).toBe(
      `table            old rows  new rows  drift  strategy   time
public.payments   5000000   5000000      0  portable  12.3s
public.orders           7         7      0  portable    8ms

warning     public.payments: column "at" is taken as UTC

different   public.payments  id=9007199254740993  amount  (truncated: cut at 3 characters)

public.payments.amount: 1 row, truncated: cut at 3 characters

drift: 1 row
`,
    );
    expect(checkReport({ ...DRIFTED, drift: TEXT_ROWS_MAX + 7 }, 'text', Array<Drift>(TEXT_ROWS_MAX + 7).fill(DRIFT))).toContain(
      '\n… and 7 more; --format ndjson lists all\n\npublic.payments.amount: 107 rows, truncated: cut at 3 characters\n\ndrift: 107 rows\n',
    );
    expect(checkReport(MATCH, 'text')).toMatch(/\nin parity: 2 tables, no drift\n$/);
    expect(checkReport(UNKNOWN, 'text')).toMatch(/\nunknown: 3 keys never rest\n$/);
  });

  test.each([
    [0, '0ms'],
    [999, '999ms'],
    [1_000, '1.0s'],
    [59_900, '59.9s'],
    [59_990, '1m 00s'],
    [304_000, '5m 04s'],
  ])('%d ms is %s', (ms, text) => expect(formatElapsed(ms)).toBe(text));
});

describe('check', () => {
  test.each([
    [MATCH, 0],
    [DRIFTED, 1],
    [UNKNOWN, 3],
  ])('the exit code tells the verdict', async (outcome, code) => {
    const result = await run(['check', '-c', file], {
      runCheck: (_config, { onDrift }) => {
        if (outcome.drift > 0) onDrift(DRIFT);
        return Promise.resolve(outcome);
      },
    });
    expect(result).toMatchObject({ code, stderr: '' });
    expect(result.stdout).toBe(checkReport(outcome, 'text'));
  });

  test('tables and strategy are handed on', async () => {
    const result = await run(['check', '-c', file, '-t', 'payments', 'public.orders', '--strategy', 'portable', '--format', 'json'], {
      runCheck: (_config, { tables, strategy, onProgress }) => {
        expect(tables).toEqual(['public.payments', 'public.orders']);
        expect(strategy).toBe('portable');
        onProgress({ table: 'public.payments', ratio: 0.5, rows: 1n, rowsPerSecond: null, etaMs: null, pausedBy: null });
        return Promise.resolve(MATCH);
      },
    });
    expect(result).toMatchObject({ code: 0, stderr: '' });
  });

  test('a table that is not configured', async () => {
    expect(await run(['check', '-c', file, '--table', 'public.paymets'])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'error: --table public.paymets: no such table under tables\nhint: did you mean public.payments?\n',
    });
  });

  test('interrupted: nothing is known', async () => {
    const stop = new AbortController();
    const result = await run(
      ['check', '-c', file],
      {
        runCheck: (_config, { signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(new Error('aborted')));
            stop.abort();
          }),
      },
      { signal: stop.signal },
    );
    expect(result).toEqual({ code: 3, stdout: '', stderr: 'interrupted: nothing is known\n' });
  });

  test('a failing check: exit code 2', async () => {
    const result = await run(['check', '-c', file], { runCheck: () => Promise.reject(new Error('no route')) });
    expect(result).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/^error: no route\n/) as string });
  });
});
