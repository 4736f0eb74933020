import { describe, expect, it } from 'vitest';
import { hashImage } from '../../../src/domain/recheck.ts';
import type { Row } from '../../../src/domain/row.ts';
import { Sampler } from '../../../src/domain/samples.ts';
import { DriftBook, type ProvenDrift } from '../../../src/verify/drift-book.ts';
import { CountingMetrics, hasher, textPair } from './memory/samples.ts';

const pair = textPair();

function bookOf(): { book: DriftBook; metrics: CountingMetrics; urgent: () => number } {
  const metrics = new CountingMetrics();
  let ids = 0;
  let urgent = 0;
  const book = new DriftBook([pair], { sampler: new Sampler('full', hasher, ''), metrics, makeId: () => `d${++ids}` });
  book.onChange(() => urgent++);
  return { book, metrics, urgent: () => urgent };
}

function proven(primaryRow: Row | null, replicaRow: Row | null, change: Partial<ProvenDrift> = {}): ProvenDrift {
  return {
    pair,
    key: ['a'],
    kind: primaryRow === null ? 'extra' : replicaRow === null ? 'missing' : 'different',
    primaryIsOld: true,
    primaryRow,
    replicaRow,
    primaryHash: hashImage(hasher, primaryRow),
    replicaHash: hashImage(hasher, replicaRow),
    evidence: 'unknown',
    foundBy: 'stream',
    firstSeenMs: 5,
    position: null,
    committedAtMs: null,
    ...change,
  };
}

const RIGHT = ['a', 'right', 'x'];
const WRONG = ['a', 'wrong', 'x'];

describe('DriftBook', () => {
  it('confirms a row once and brings it up to date after that', () => {
    const { book, metrics, urgent } = bookOf();
    book.confirm(proven(RIGHT, WRONG), 10);
    book.confirm(proven(RIGHT, WRONG), 20);
    expect(metrics.confirmed).toEqual(['different']);
    expect(book.get(pair.id, 'a')?.drift).toMatchObject({ id: 'd1', columns: ['value'], old: { value: 'right' }, new: { value: 'wrong' }, checks: 2, confirmedAtMs: 10, lastCheckedAtMs: 20, firstSeenAtMs: 5 });
    book.confirm(proven(RIGHT, null), 30);
    expect(book.get(pair.id, 'a')?.drift).toMatchObject({ id: 'd1', kind: 'missing', new: null, newHash: null });
    expect(book.openByKind(pair.id)).toMatchObject({ missing: 1, different: 0 });
    expect(urgent()).toBe(2);
    const { writes } = book.drainChanges();
    expect(writes.map(({ events }) => events.map(({ event }) => event))).toEqual([['confirmed', 'changed']]);
  });

  it('keeps nothing but the number of what it hands over', () => {
    const handed: string[] = [];
    const book = new DriftBook([pair], { sampler: new Sampler('full', hasher, ''), metrics: new CountingMetrics(), makeId: () => 'd', handOver: ({ kind }) => handed.push(kind) });
    for (const key of ['a', 'b', 'c']) book.confirm(proven(RIGHT, key === 'c' ? null : WRONG, { key: [key] }), 10);
    expect(handed).toEqual(['different', 'different', 'missing']);
    expect(book.openCount(pair.id)).toBe(3);
    expect(book.openByKind(pair.id)).toMatchObject({ different: 2, missing: 1 });
    expect(book.size()).toBe(0);
    expect(book.drainChanges().writes).toEqual([]);
  });

  it('shows the sides as what they are when new is the primary', () => {
    const { book } = bookOf();
    const { drift } = book.confirm(proven(RIGHT, WRONG, { primaryIsOld: false }), 10);
    expect(drift).toMatchObject({ old: { value: 'wrong' }, new: { value: 'right' } });
    expect(drift.newHash).toBe(hashImage(hasher, RIGHT)?.toString(16).padStart(16, '0'));
  });

  it('resolves once, and the same row may drift again as another drift', () => {
    const { book, metrics } = bookOf();
    book.confirm(proven(RIGHT, WRONG), 10);
    expect(book.resolve(pair.id, 'a', 20)).toBe(true);
    expect(book.resolve(pair.id, 'a', 21)).toBe(false);
    expect(book.size()).toBe(0);
    book.confirm(proven(RIGHT, null), 30);
    expect(metrics.resolved).toEqual(['different']);
    expect(book.drainChanges().writes.map(({ drift }) => [drift.id, drift.status, drift.resolvedAtMs])).toEqual([
      ['d1', 'resolved', 20],
      ['d2', 'open', null],
    ]);
  });

  it('leaves an ignored drift out of the count until its rows agree', () => {
    const { book } = bookOf();
    book.confirm(proven(RIGHT, WRONG), 10);
    expect(book.ignore('nobody', 'why', 11)).toBeNull();
    expect(book.ignore('d1', 'known', 11)?.status).toBe('ignored');
    expect(book.openCount(pair.id)).toBe(0);
    expect(book.size()).toBe(1);
    book.confirm(proven(RIGHT, null), 12);
    expect(book.byId('d1')?.drift).toMatchObject({ status: 'ignored', kind: 'missing' });
    expect(book.resolve(pair.id, 'a', 13)).toBe(true);
  });

  it('puts back what could not be written, before what came later', () => {
    const { book } = bookOf();
    book.confirm(proven(RIGHT, WRONG), 10);
    const failed = book.drainChanges();
    expect(failed.writes[0]?.drift.status).toBe('open');
    book.resolve(pair.id, 'a', 20);
    failed.undo();
    const { writes } = book.drainChanges();
    expect(writes).toHaveLength(1);
    expect(writes[0]?.drift.status).toBe('resolved');
    expect(writes[0]?.events.map(({ event }) => event)).toEqual(['confirmed', 'resolved']);
    expect(book.drainChanges().writes).toEqual([]);
  });

  it('goes on with a drift that the state store kept', () => {
    const { book, metrics } = bookOf();
    const { drift } = bookOf().book.confirm(proven(RIGHT, WRONG), 10);
    book.restore(pair, drift, ['a'], 50);
    book.confirm(proven(RIGHT, WRONG), 60);
    expect(metrics.confirmed).toEqual([]);
    expect(book.get(pair.id, 'a')?.drift).toMatchObject({ id: drift.id, checks: 2 });
    expect(book.resolve(pair.id, 'a', 70)).toBe(true);
  });

  it('does not write a recheck that changes nothing each time', () => {
    const { book } = bookOf();
    book.confirm(proven(RIGHT, WRONG), 0);
    book.drainChanges();
    for (let atMs = 1_000; atMs <= 9_000; atMs += 1_000) book.confirm(proven(RIGHT, WRONG), atMs);
    expect(book.drainChanges().writes).toEqual([]);
    book.confirm(proven(RIGHT, WRONG), 10_000);
    expect(book.drainChanges().writes.map(({ drift }) => drift.lastCheckedAtMs)).toEqual([10_000]);
  });

  it('explains what differs, and again when it differs otherwise', () => {
    const { book } = bookOf();
    book.confirm(proven(RIGHT, WRONG), 10);
    expect(book.get(pair.id, 'a')?.drift).toMatchObject({ cause: null, columnCauses: {} });
    book.confirm(proven(RIGHT, ['a', 'RIGHT', 'x']), 20);
    expect(book.get(pair.id, 'a')?.drift).toMatchObject({ cause: { code: 'case' }, columnCauses: { value: { code: 'case', detail: 'to upper case' } } });
    book.confirm(proven(RIGHT, ['a', 'before', 'x'], { kind: 'stale' }), 30);
    expect(book.get(pair.id, 'a')?.drift).toMatchObject({ kind: 'stale', cause: { code: 'lost_update' }, columnCauses: {} });
  });

  it("keeps what a row's changes told while the row is still missing, and no longer", () => {
    const { book } = bookOf();
    book.confirm(proven(RIGHT, null, { evidence: 'inserted' }), 10);
    book.confirm(proven(['a', 'later', 'x'], null), 20);
    expect(book.get(pair.id, 'a')?.drift.cause?.code).toBe('insert_lost');
    book.confirm(proven(null, WRONG), 30);
    expect(book.get(pair.id, 'a')?.drift).toMatchObject({ kind: 'extra', cause: null });
  });

  it('takes what an event tells of a row that was found without one', () => {
    const { book } = bookOf();
    book.confirm(proven(null, WRONG), 10);
    expect(book.get(pair.id, 'a')?.drift.cause).toBeNull();
    book.confirm(proven(null, WRONG, { evidence: 'deleted' }), 20);
    expect(book.get(pair.id, 'a')?.drift.cause?.code).toBe('delete_lost');
  });

  it('explains drift that an earlier version stored without a cause, once', () => {
    const { book } = bookOf();
    const { drift } = bookOf().book.confirm(proven(RIGHT, ['a', 'RIGHT', 'x']), 10);
    book.restore(pair, { ...drift, cause: null, columnCauses: {} }, ['a'], 50);
    book.confirm(proven(RIGHT, ['a', 'RIGHT', 'x']), 60);
    expect(book.drainChanges().writes.map((write) => [write.drift.cause?.code, write.events])).toEqual([['case', []]]);
    book.confirm(proven(RIGHT, ['a', 'RIGHT', 'x']), 61);
    expect(book.drainChanges().writes).toEqual([]);
  });
});
