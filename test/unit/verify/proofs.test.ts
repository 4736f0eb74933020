import { describe, expect, it } from 'vitest';
import { Proofs, type EndedSweep } from '../../../src/verify/proofs.ts';

const SWEEP: EndedSweep = { startedAtUs: 2_000n, endedAtMs: 50, clean: true, asked: true, oldRows: 1n, newRows: 1n };

describe('a discharged dead letter', () => {
  it('is counted no more, and leaves the sweep owed', () => {
    const proofs = new Proofs(['a', 'b']);
    proofs.deadLetter('a', 1_000n);
    proofs.deadLetter('a', 1_001n);
    proofs.deadLetter('b', 1_002n);
    proofs.deadLetterDischarged('a', 10);
    expect(proofs.get('a')).toMatchObject({ deadLetters: 1, sweepOwedSinceUs: 1_001n });
    proofs.deadLetterDischarged('a', 11);
    proofs.deadLetterDischarged('a', 12);
    proofs.deadLetterDischarged('gone', 13);
    expect(proofs.get('a')).toMatchObject({ deadLetters: 0, sweepOwedSinceUs: 1_001n });
    expect(proofs.get('b').deadLetters).toBe(1);
  });

  it('is not counted off a newer one when a sweep has discharged it already', () => {
    const proofs = new Proofs(['a']);
    proofs.deadLetter('a', 1_000n);
    proofs.sweepEnded('a', SWEEP);
    expect(proofs.get('a').deadLetters).toBe(0);
    proofs.deadLetter('a', 3_000n);
    proofs.deadLetterDischarged('a', 49);
    expect(proofs.get('a').deadLetters).toBe(1);
    proofs.deadLetterDischarged('a', 50);
    expect(proofs.get('a').deadLetters).toBe(0);
  });
});
