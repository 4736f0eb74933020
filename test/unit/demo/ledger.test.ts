import { describe, expect, it } from 'vitest';
import { type Difference, type LedgerEntry, type ReportedDrift, judge, keyId } from '../../../src/demo/ledger.ts';

const lostUpdate: LedgerEntry = {
  table: 'public.payments',
  key: { id: '1' },
  what: 'lost update',
  origin: 'planted',
  kinds: ['stale'],
  columns: ['amount'],
  atMs: 1000,
};
const difference: Difference = { table: 'public.payments', key: { id: '1' }, kind: 'different', columns: ['amount'] };
const drift: ReportedDrift = {
  id: 'd1',
  table: 'public.payments',
  key: { id: '1' },
  kind: 'stale',
  columns: ['amount'],
  status: 'open',
  foundBy: 'stream',
  confirmedAtMs: 3500,
};
const explain = (): { what: string; atMs: number | null } => ({ what: 'the sink did it', atMs: 2000 });

function faults(planted: LedgerEntry[], truth: Difference[], reported: ReportedDrift[]): (string | null)[] {
  return judge(planted, truth, explain, reported).findings.map((finding) => finding.fault);
}

describe('judge', () => {
  it('is content with what was planted, there, and rightly reported', () => {
    const judged = judge([lostUpdate], [difference], explain, [drift]);
    expect(judged.findings).toEqual([{ entry: lostUpdate, drift, afterMs: 2500, fault: null }]);
    expect(judged.falseReports).toEqual([]);
  });

  it('misses what was not reported', () => {
    expect(faults([lostUpdate], [difference], [])).toEqual(['not found']);
    expect(faults([], [difference], [])).toEqual(['not found']);
  });

  it('takes what nobody planted as made by the pipeline', () => {
    const [finding] = judge([], [difference], explain, [{ ...drift, kind: 'different' }]).findings;
    expect(finding).toMatchObject({ entry: { what: 'the sink did it', origin: 'pipeline', kinds: ['different'] }, afterMs: 1500, fault: null });
  });

  it('does not take another kind or other columns', () => {
    expect(faults([lostUpdate], [difference], [{ ...drift, kind: 'missing' }])).toEqual(['reported as missing, expected stale']);
    expect(faults([lostUpdate], [difference], [{ ...drift, columns: ['fee'] }])).toEqual(['reported for fee, expected amount']);
    expect(faults([lostUpdate], [difference], [{ ...drift, columns: ['amount', 'fee'] }])).toEqual(['reported for amount, fee, expected amount']);
  });

  it('asks that drift stays open as long as the rows differ, and no longer', () => {
    expect(faults([lostUpdate], [difference], [{ ...drift, status: 'resolved' }])).toEqual(['reported as resolved, and still there']);
    expect(faults([lostUpdate], [], [drift])).toEqual(['reported as open, and gone']);
    expect(faults([lostUpdate], [], [{ ...drift, status: 'resolved' }])).toEqual([null]);
    expect(faults([lostUpdate], [difference], [drift, { ...drift, id: 'd2' }])).toEqual(['reported 2 times']);
  });

  it('calls a report false when there was neither a deed nor a difference, even when it has been taken back', () => {
    const other = { ...drift, id: 'd3', key: { id: '2' }, status: 'resolved' };
    expect(judge([lostUpdate], [difference], explain, [drift, other]).falseReports).toEqual([other]);
  });
});

describe('keyId', () => {
  it('knows a key whatever the order of its columns, and no two keys as one', () => {
    expect(keyId('t', { a: '1', b: '2' })).toBe(keyId('t', { b: '2', a: '1' }));
    expect(keyId('t', { a: '1,b', b: '' })).not.toBe(keyId('t', { a: '1', b: 'b' }));
    expect(keyId('t', { a: '1' })).not.toBe(keyId('u', { a: '1' }));
  });
});
