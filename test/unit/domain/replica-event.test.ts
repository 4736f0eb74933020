import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Version } from '../../../src/domain/recheck.ts';
import { isLaterEvent, judgeReplicaEvent, type ReplicaEvent } from '../../../src/domain/replica-event.ts';

const POSITION = { topic: 't', partition: 0, offset: '0', lsn: null, txId: null };

function version(hash: bigint | null, committedAtUs: number, unknownColumns: readonly number[] = []): Version {
  return { committedAtUs: BigInt(committedAtUs), lsn: BigInt(committedAtUs), hash, unknownColumns, position: POSITION };
}

function event(hash: bigint | null, committedAtUs: number | null, isWhole = true): ReplicaEvent {
  const time = committedAtUs === null ? null : BigInt(committedAtUs);
  return { hash, isWhole, committedAtUs: time, lsn: time, position: POSITION };
}

describe("an event of the replica held against the primary's changes", () => {
  it('that was committed after the newest change and shows it settles it', () => {
    const newest = version(2n, 20);
    expect(judgeReplicaEvent([version(1n, 10), newest], 0n, event(2n, 25), 25n)).toEqual({ kind: 'match', version: newest });
  });

  it('that shows an older change settles what came up to it', () => {
    const [first, second] = [version(1n, 10), version(2n, 20)];
    expect(judgeReplicaEvent([first, second], 0n, event(1n, 15), 15n)).toEqual({ kind: 'older', version: first, remaining: [second] });
  });

  it.each<[string, readonly Version[], bigint | null | undefined, ReplicaEvent, bigint]>([
    ['that may have been committed before the change', [version(1n, 10)], 0n, event(1n, 12), 9n],
    ['whose image is not whole', [version(1n, 10)], 0n, event(1n, 15, false), 15n],
    ['that does not tell when it was committed', [version(1n, 10)], 0n, event(1n, null), 15n],
    ['of a change whose image is not whole', [version(1n, 10, [1])], 0n, event(1n, 15), 15n],
    ['that shows what the row was before it changed and changed back', [version(1n, 10), version(0n, 20)], 0n, event(0n, 25), 25n],
    ['of the same where it is not known what the row was before', [version(1n, 10), version(2n, 20)], undefined, event(2n, 25), 25n],
    ['of another write', [version(1n, 10)], 0n, event(7n, 15), 15n],
  ])('%s proves nothing', (_name, versions, base, seen, notBeforeUs) => {
    expect(judgeReplicaEvent(versions, base, seen, notBeforeUs)).toEqual({ kind: 'unproven' });
  });

  it("that carries the primary's commit time names its change, whatever the clocks say", () => {
    const [first, second] = [version(1n, 10), version(1n, 20)];
    expect(judgeReplicaEvent([first, second], 1n, event(1n, 10), 0n)).toEqual({ kind: 'older', version: first, remaining: [second] });
  });

  it('never settles a change that the replica had not been given, whatever the values and delays', () => {
    const history = fc.array(fc.record({ hash: fc.constantFrom(null, 1n, 2n, 3n), pauseUs: fc.integer({ min: 1, max: 5 }), lagUs: fc.integer({ min: 1, max: 12 }) }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(history, fc.nat(), fc.nat(), fc.nat({ max: 3 }), (changes, from, at, boundUs) => {
        let committedUs = 0;
        let appliedUs = 0;
        const all = changes.map(({ hash, pauseUs, lagUs }) => {
          committedUs += pauseUs;
          appliedUs = Math.max(appliedUs, committedUs + lagUs) + 1;
          return { version: version(hash, committedUs * 1_000), appliedUs: appliedUs * 1_000 + 500 };
        });
        // The unsettled ones, and an event that is not older than what is settled.
        const first = from % all.length;
        const before = Math.max(0, first - 1);
        const seen = before + (at % (all.length - before));
        const shown = all[seen] as (typeof all)[number];
        const base = first === 0 ? 9n : (all[first - 1]?.version.hash ?? null);
        const versions = all.slice(first).map((one) => one.version);
        const verdict = judgeReplicaEvent(versions, base, event(shown.version.hash, shown.appliedUs), BigInt(shown.appliedUs - boundUs * 1_000));
        if (verdict.kind === 'unproven') return;
        const settled = all.findIndex((one) => one.version === verdict.version);
        // Changes that change nothing look applied before they are.
        expect(all.slice(seen + 1, settled + 1).every((one) => one.version.hash === shown.version.hash)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

it('tells an event that a connector repeats from a later one', () => {
  expect(isLaterEvent(event(1n, 20), event(2n, 10))).toBe(true);
  expect(isLaterEvent(event(1n, 10), event(2n, 20))).toBe(false);
  expect(isLaterEvent(event(1n, 10), event(1n, 10))).toBe(false);
});
