import { describe, expect, it } from 'vitest';
import { Proofs, type EndedSweep } from '../../../src/verify/proofs.ts';

const PLACE = { topic: 't', partition: 0, offset: '1' };
const SWEEP: EndedSweep = { startedAtUs: 2_000n, endedAtMs: 50, clean: true, asked: true, oldRows: 1n, newRows: 1n };

describe('a discharged dead letter', () => {
  it('is counted no more, and leaves what it was about unknown', () => {
    const proofs = new Proofs(['a', 'b']);
    proofs.deadLetter('a', 1_000n, PLACE);
    proofs.deadLetter('a', 1_001n, PLACE);
    proofs.deadLetter('b', 1_002n, PLACE);
    proofs.deadLetterDischarged('a', 10, PLACE);
    expect(proofs.get('a')).toMatchObject({ deadLetters: 1, gaps: 2, gapUs: 1_001n });
    proofs.deadLetterDischarged('a', 11, PLACE);
    proofs.deadLetterDischarged('a', 12, PLACE);
    proofs.deadLetterDischarged('gone', 13, PLACE);
    expect(proofs.get('a')).toMatchObject({ deadLetters: 0, gaps: 2, gapUs: 1_001n });
    expect(proofs.get('b').deadLetters).toBe(1);
  });

  it('is not counted off a newer one when a sweep has discharged it already', () => {
    const proofs = new Proofs(['a']);
    proofs.deadLetter('a', 1_000n, PLACE);
    proofs.sweepEnded('a', SWEEP);
    expect(proofs.get('a').deadLetters).toBe(0);
    proofs.deadLetter('a', 3_000n, PLACE);
    proofs.deadLetterDischarged('a', 49, PLACE);
    expect(proofs.get('a').deadLetters).toBe(1);
    proofs.deadLetterDischarged('a', 50, PLACE);
    expect(proofs.get('a').deadLetters).toBe(0);
  });
});

describe('verified-through', () => {
  const facts = { consumedThroughUs: 100n, oldestUnsettledUs: null, snapshotInProgress: false };

  it('stands until a sweep is over, and where a sweep is owed', () => {
    const proofs = new Proofs(['a']);
    proofs.advance('a', facts);
    expect(proofs.get('a')).toMatchObject({ verifiedThroughUs: null, heldBy: 'no sweep has finished yet' });
    proofs.sweepEnded('a', { ...SWEEP, startedAtUs: 50n });
    proofs.oweSweep('a', 60n);
    proofs.sweepEnded('a', { ...SWEEP, startedAtUs: 55n });
    proofs.advance('a', facts);
    expect(proofs.get('a').verifiedThroughUs).toBeNull();
    proofs.sweepEnded('a', { ...SWEEP, startedAtUs: 61n });
    proofs.advance('a', facts);
    expect(proofs.get('a')).toMatchObject({ verifiedThroughUs: 100n, heldBy: null });
  });

  it('of a table that only sweeps look at stands where the last one began, and is forgotten where that compared otherwise', () => {
    const proofs = new Proofs(['a']);
    proofs.advanceBySweeps('a', false);
    expect(proofs.get('a')).toMatchObject({ verifiedThroughUs: null, heldBy: 'no sweep has finished yet' });
    proofs.sweepEnded('a', { ...SWEEP, startedAtUs: 50n });
    proofs.advanceBySweeps('a', true);
    expect(proofs.get('a')).toMatchObject({ verifiedThroughUs: null, heldBy: "the connector's initial snapshot is in progress" });
    proofs.advanceBySweeps('a', false);
    expect(proofs.get('a')).toMatchObject({ verifiedThroughUs: 50n, heldBy: expect.stringMatching(/^sweep only/) as unknown });
    proofs.sweepEnded('a', { ...SWEEP, startedAtUs: 60n });
    proofs.advanceBySweeps('a', false);
    expect(proofs.get('a').verifiedThroughUs).toBe(60n);
    proofs.forget('a');
    proofs.driftGone('a');
    expect(proofs.get('a')).toMatchObject({ verifiedThroughUs: null, provenSinceUs: null, lastCleanSweepMs: null, lastSweepEndedMs: null });
  });

  it('goes as far as the stream and the oldest unsettled change, and never back', () => {
    const proofs = new Proofs(['a']);
    proofs.sweepEnded('a', { ...SWEEP, startedAtUs: 10n });
    const through = (consumedThroughUs: bigint | null, oldestUnsettledUs: bigint | null, snapshotInProgress = false): bigint | null => {
      proofs.advance('a', { consumedThroughUs, oldestUnsettledUs, snapshotInProgress });
      return proofs.get('a').verifiedThroughUs;
    };
    expect(through(null, null)).toBeNull();
    expect(through(100n, 70n)).toBe(70n);
    expect(through(100n, 50n)).toBe(70n);
    expect(through(100n, 150n)).toBe(100n);
    expect(through(90n, null)).toBe(100n);
    expect(through(200n, null, true)).toBe(100n);
    expect(proofs.drainChanges().tables.map((table) => table.verifiedThroughUs)).toEqual([100n]);
    expect(proofs.drainChanges().tables).toEqual([]);
  });

  it('is told as far as it is written, so that a death takes nothing back', () => {
    const proofs = new Proofs(['a']);
    proofs.sweepEnded('a', { ...SWEEP, startedAtUs: 10n });
    const advance = (consumedThroughUs: bigint): void => proofs.advance('a', { consumedThroughUs, oldestUnsettledUs: null, snapshotInProgress: false });
    advance(100n);
    expect(proofs.get('a')).toMatchObject({ verifiedThroughUs: 100n, writtenThroughUs: null });
    const failed = proofs.drainChanges();
    failed.undo();
    const written = proofs.drainChanges();
    advance(200n);
    written.done();
    expect(proofs.get('a')).toMatchObject({ verifiedThroughUs: 200n, writtenThroughUs: 100n });
    const { tables } = proofs.drainChanges();
    const reborn = new Proofs(['a']);
    reborn.restore(tables[0] as (typeof tables)[number]);
    expect(reborn.get('a').writtenThroughUs).toBe(200n);
  });

  it('is written again after a write that failed', () => {
    const proofs = new Proofs(['a', 'b']);
    proofs.oweSweep('b', 5n);
    proofs.drainChanges().undo();
    expect(proofs.drainChanges().tables.map(({ table, sweepOwedSinceUs }) => [table, sweepOwedSinceUs])).toEqual([['b', 5n]]);
  });

  it('calls a sweep clean once its drift is gone', () => {
    const proofs = new Proofs(['a']);
    proofs.driftGone('a');
    expect(proofs.get('a').lastCleanSweepMs).toBeNull();
    proofs.sweepEnded('a', { ...SWEEP, clean: false });
    expect(proofs.get('a').lastCleanSweepMs).toBeNull();
    proofs.driftGone('a');
    expect(proofs.get('a').lastCleanSweepMs).toBe(SWEEP.endedAtMs);
  });
});
