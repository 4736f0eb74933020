import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addVersion,
  hashImage,
  judgeConfirm,
  judgeRead,
  VERSIONS_MAX,
  type ConfirmFacts,
  type ConfirmReads,
  type Hasher,
  type RowHash,
  type Suspicion,
  type Version,
} from '../../../src/domain/recheck.ts';
import type { Row } from '../../../src/domain/row.ts';

/** As good as injective here: the rows are short. */
const hasher: Hasher = (encoded) => BigInt(`0x${Buffer.from(encoded).toString('hex') || '0'}`);

const STATES: readonly (Row | null)[] = [null, ['a'], ['b'], ['c']];
const state = fc.constantFrom(...STATES);

function version(step: number, row: Row | null, offset = step): Version {
  return {
    committedAtUs: BigInt(step) * 1_000n,
    lsn: BigInt(step) * 10n,
    hash: hashImage(hasher, row),
    unknownColumns: [],
    position: { topic: 't', partition: 0, offset: String(offset), lsn: BigInt(step) * 10n, txId: null },
  };
}

describe('addVersion', () => {
  it('keeps each change once and in order, whatever is repeated later', () => {
    fc.assert(
      fc.property(fc.array(state, { minLength: 1, maxLength: 40 }), fc.infiniteStream(fc.nat()), (rows, dice) => {
        let known: readonly Version[] = [];
        let offset = 0;
        for (const [step, row] of rows.entries()) {
          known = addVersion(known, version(step, row, offset++));
          // The pipeline begins again from some earlier change.
          for (let repeated = (dice.next().value ?? 0) % (2 * rows.length); repeated <= step; repeated++) {
            known = addVersion(known, version(repeated, rows[repeated] as Row | null, offset++));
          }
        }
        expect(known.map(({ committedAtUs, hash }) => [committedAtUs, hash])).toEqual(rows.map((row, step) => [BigInt(step) * 1_000n, hashImage(hasher, row)]));
        // Only past the last repetition is the newest applied for good.
        expect(known.at(-1)?.position.offset).toBe(String(offset - 1));
      }),
    );
  });

  it('changes nothing for the same record', () => {
    const known = addVersion([], version(1, ['a']));
    expect(addVersion(known, version(1, ['a']))).toBe(known);
    expect(addVersion(known, version(0, ['b']))).toBe(known);
  });

  it('stays bounded and keeps the oldest and the newest', () => {
    let known: readonly Version[] = [];
    for (let step = 0; step < 5 * VERSIONS_MAX; step++) known = addVersion(known, version(step, ['a']));
    expect(known.length).toBeLessThanOrEqual(VERSIONS_MAX);
    expect(known[0]).toEqual(version(0, ['a']));
    expect(known.at(-1)).toEqual(version(5 * VERSIONS_MAX - 1, ['a']));
  });
});

describe('judgeRead', () => {
  /** A row's history, of which the replica has applied some and we have settled less. */
  const histories = fc
    .array(state, { minLength: 2, maxLength: 8 })
    .chain((rows) => fc.tuple(fc.constant(rows), fc.nat({ max: rows.length - 2 }), fc.nat({ max: rows.length - 1 }), fc.boolean()))
    .filter(([, settled, applied]) => applied >= settled);

  it('settles no change that would still make a difference', () => {
    fc.assert(
      fc.property(histories, ([rows, settled, applied, baseKnown]) => {
        const versions = rows.map((row, step) => version(step, row)).slice(settled + 1);
        const replica = rows[applied] as Row | null;
        const base = baseKnown ? hashImage(hasher, rows[settled] as Row | null) : undefined;
        const verdict = judgeRead(hasher, versions, base, replica, hashImage(hasher, replica), (one) => one.committedAtUs <= BigInt(applied) * 1_000n);
        const left = verdict.kind === 'match' ? [] : verdict.kind === 'older' ? verdict.remaining : versions;
        const settledNow = versions.slice(0, versions.length - left.length);
        for (const one of settledNow) {
          const step = Number(one.committedAtUs / 1_000n);
          // What is settled and not applied changes nothing after what is applied.
          if (step > applied) expect(one.hash).toBe(hashImage(hasher, replica));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('sees a change that is there', () => {
    fc.assert(
      fc.property(histories, ([rows, settled, applied]) => {
        fc.pre(applied > settled);
        const versions = rows.map((row, step) => version(step, row)).slice(settled + 1);
        const replica = rows[applied] as Row | null;
        const verdict = judgeRead(hasher, versions, undefined, replica, hashImage(hasher, replica), () => true);
        expect(['match', 'older']).toContain(verdict.kind);
      }),
    );
  });

  it('leaves to the primary what the newest image does not know', () => {
    const partly: Version = { ...version(1, ['a', 'x']), hash: hasher('1:a?'), unknownColumns: [1] };
    const row = ['a', 'y'];
    expect(judgeRead(hasher, [partly], null, row, hashImage(hasher, row), () => false).kind).toBe('match_partly');
    expect(judgeRead(hasher, [partly, version(2, ['b', 'y'])], null, row, hashImage(hasher, row), () => true).kind).toBe('differs');
  });
});

describe('judgeConfirm', () => {
  interface Case {
    readonly rows: readonly (Row | null)[];
    readonly primaryBefore: Row | null;
    readonly replica: Row | null;
    readonly primaryAfter: Row | null;
    readonly suspicion: Suspicion | null;
    readonly newestApplied: boolean;
    readonly consumedThroughUs: bigint | null;
    readonly appliedThroughUs: bigint | null;
    readonly earlier: readonly RowHash[];
    readonly filtered: boolean;
    readonly settlesAtOnce: boolean;
  }

  const SEEN_US = 100n;
  const times = fc.constantFrom(null, 50n, 100n, 150n);
  const cases: fc.Arbitrary<Case> = fc.record({
    rows: fc.array(state, { maxLength: 3 }),
    primaryBefore: state,
    replica: state,
    primaryAfter: state,
    suspicion: fc.option(fc.record({ primaryHash: state.map((row) => hashImage(hasher, row)), sinceUs: fc.constant(SEEN_US) })),
    newestApplied: fc.boolean(),
    consumedThroughUs: times,
    appliedThroughUs: times,
    filtered: fc.boolean(),
    settlesAtOnce: fc.boolean(),
    earlier: fc.subarray(STATES.map((row) => hashImage(hasher, row))),
  });

  function judge(one: Case): ReturnType<typeof judgeConfirm> {
    const reads: ConfirmReads = {
      primaryBefore: hashImage(hasher, one.primaryBefore),
      replica: hashImage(hasher, one.replica),
      primaryAfter: hashImage(hasher, one.primaryAfter),
      primaryRow: one.primaryBefore,
      replicaRow: one.replica,
      rereadAtUs: 200n,
    };
    const facts: ConfirmFacts = {
      newestApplied: one.newestApplied,
      hasTimeless: false,
    primaryIsFiltered: one.filtered,
      settlesAtOnce: one.settlesAtOnce,
      consumedThroughUs: one.consumedThroughUs,
      appliedThrough: (atUs) => one.appliedThroughUs !== null && one.appliedThroughUs >= atUs,
      isEarlierVersion: (hash) => one.earlier.includes(hash),
    };
    return judgeConfirm(
      hasher,
      one.rows.map((row, step) => version(step, row)),
      one.suspicion,
      reads,
      facts,
    );
  }

  it('obeys the conclusive rule for every combination', () => {
    fc.assert(
      fc.property(cases, (one) => {
        const verdict = judge(one);
        const [before, replica, after] = [one.primaryBefore, one.replica, one.primaryAfter].map((row) => hashImage(hasher, row));
        const newest = one.rows.at(-1);
        const asTold = newest !== undefined && hashImage(hasher, newest) === before;
        const since = one.suspicion !== null && one.suspicion.primaryHash === before ? one.suspicion.sinceUs : null;
        const applied = since !== null && one.appliedThroughUs !== null && one.appliedThroughUs >= since;
        const consumed = since !== null && one.consumedThroughUs !== null && one.consumedThroughUs > since;
        if (before !== after) expect(verdict).toEqual({ kind: 'hot' });
        else if (before === replica) expect(verdict).toEqual({ kind: 'match' });
        else if (asTold) expect(verdict.kind).toBe(one.newestApplied ? 'drift' : 'inconclusive');
        else if (newest !== undefined) expect(verdict.kind).toBe(applied && consumed ? 'drift' : 'inconclusive');
        else expect(verdict.kind).toBe(applied || one.settlesAtOnce ? 'drift' : 'inconclusive');
        if (verdict.kind !== 'drift') return;
        if (newest !== undefined && !asTold && !(one.filtered && before === null)) expect(verdict.driftKind).toBe('stream_gap');
        else if (replica === null) expect(verdict.driftKind).toBe('missing');
        else if (before === null) expect(verdict.driftKind).toBe('extra');
        else expect(verdict.driftKind).toBe(one.earlier.includes(replica as bigint) ? 'stale' : 'different');
      }),
      { numRuns: 2_000 },
    );
  });

  it('begins to suspect anew when the primary has another row', () => {
    fc.assert(
      fc.property(cases, (one) => {
        const verdict = judge(one);
        const before = hashImage(hasher, one.primaryBefore);
        if (verdict.kind !== 'inconclusive' || verdict.suspicion === null || verdict.suspicion === one.suspicion) return;
        expect(verdict.suspicion).toEqual({ primaryHash: before, sinceUs: 200n });
        expect(one.suspicion?.primaryHash).not.toBe(before);
      }),
    );
  });
});
