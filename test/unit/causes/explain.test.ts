import { describe, expect, it } from 'vitest';
import { explainDifference, type Difference } from '../../../src/domain/causes/explain.ts';
import type { Row } from '../../../src/domain/row.ts';
import { columnOf, pairOf, PLACEHOLDER } from './columns.ts';

const pair = pairOf([
  columnOf('integer', {}, 'id'),
  columnOf('instant', {}, 'paid_at'),
  columnOf('timestamp', {}, 'entered'),
  columnOf('time', {}, 'opens'),
  columnOf('text', {}, 'note'),
  columnOf('interval', {}, 'period'),
]);

function explain(old: Row | null, neu: Row | null, change: Partial<Difference> = {}): ReturnType<typeof explainDifference> {
  const columns = old === null || neu === null ? [] : old.flatMap((value, index) => (value === neu[index] ? [] : [index]));
  const kind = old === null ? 'extra' : neu === null ? 'missing' : 'different';
  return explainDifference({ pair, kind, primary: 'old', old, new: neu, columns, evidence: 'unknown', ...change }, PLACEHOLDER);
}

const ROW: Row = ['1', '2024-10-27 00:30:00.5+00', '2024-06-01 10:00:00', '09:00:00', 'a long note', '1 day'];

describe('a row', () => {
  it('that is a whole earlier version is a lost update, whatever its columns show', () => {
    expect(explain(ROW, ROW.with(4, 'a long n'), { kind: 'stale' })).toEqual({ cause: { code: 'lost_update', message: 'lost update, the replica holds an earlier version of the row' }, columns: {} });
  });

  it('that is missing or extra has the cause that its changes prove, and else none', () => {
    expect(explain(ROW, null).cause).toBeNull();
    expect(explain(ROW, null, { evidence: 'inserted' }).cause?.code).toBe('insert_lost');
    expect(explain(ROW, null, { evidence: 'deleted' }).cause).toBeNull();
    expect(explain(null, ROW).cause).toBeNull();
    expect(explain(null, ROW, { evidence: 'deleted' }).cause?.code).toBe('delete_lost');
    expect(explain(null, ROW, { evidence: 'written_beside' }).cause?.code).toBe('written_beside');
    expect(explain(null, ROW, { kind: 'stream_gap', evidence: 'deleted' }).cause).toBeNull();
  });

  it('has the most specific cause of its columns, and none while one of them is unexplained', () => {
    const cut = ROW.with(4, 'a long n').with(5, '24:00:00');
    expect(explain(ROW, cut)).toEqual({
      cause: { code: 'interval_folded', message: 'interval folded to hours: a day counted as 24 hours' },
      columns: { note: { code: 'truncated', detail: 'cut at 8 characters' }, period: { code: 'interval_folded', detail: 'a day counted as 24 hours' } },
    });
    expect(explain(ROW, ROW.with(4, 'another').with(5, '24:00:00'))).toEqual({
      cause: null,
      columns: { period: { code: 'interval_folded', detail: 'a day counted as 24 hours' } },
    });
  });
});

describe('a clock that is off', () => {
  it('is off alike in all columns, but for daylight saving', () => {
    const shifted = ROW.with(1, '2024-10-27 01:30:00.5+00').with(2, '2024-06-01 12:00:00');
    expect(explain(ROW, shifted).columns).toMatchObject({ paid_at: { code: 'clock_offset', detail: '+01:00:00 on new' }, entered: { code: 'clock_offset', detail: '+02:00:00 on new' } });
  });

  it('is none where two columns contradict each other', () => {
    expect(explain(ROW, ROW.with(1, '2024-10-27 01:30:00.5+00').with(2, '2024-06-01 18:00:00'))).toEqual({ cause: null, columns: {} });
  });

  it('explains a time of day in whole minutes only together with another column', () => {
    expect(explain(ROW, ROW.with(3, '11:00:00'))).toEqual({ cause: null, columns: {} });
    expect(explain(ROW, ROW.with(3, '11:00:00').with(2, '2024-06-01 12:00:00')).columns).toMatchObject({ opens: { code: 'clock_offset' }, entered: { code: 'clock_offset' } });
    expect(explain(ROW, ROW.with(3, '15:00:00').with(2, '2024-06-01 12:00:00')).columns).toEqual({ entered: { code: 'clock_offset', detail: '+02:00:00 on new' } });
  });

  it('is told from a time cut to the day by its seconds', () => {
    const old = ROW.with(2, '2024-06-01 02:00:00');
    expect(explain(old, old.with(2, '2024-06-01 00:00:00')).columns).toEqual({ entered: { code: 'clock_offset', detail: '-02:00:00 on new' } });
    expect(explain(ROW, ROW.with(2, '2024-06-01 00:00:00')).columns).toEqual({ entered: { code: 'clock_offset', detail: '-10:00:00 on new' } });
    const late = ROW.with(2, '2024-06-01 10:20:30');
    expect(explain(late, late.with(2, '2024-06-01 00:00:00')).columns['entered']?.detail).toBe('cut to the day');
  });
});

it('never tells a value', () => {
  const secret = ROW.with(4, 'TOP SECRET 4711 and more');
  for (const changed of ['TOP SECRET 4711', 'top secret 4711 and more', 'TOP SECRET 4711 and more  ', '']) {
    expect(JSON.stringify(explain(secret, secret.with(4, changed)))).not.toMatch(/secret|4711/i);
  }
});
