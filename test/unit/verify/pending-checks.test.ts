import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Version } from '../../../src/domain/recheck.ts';
import { DueQueue } from '../../../src/verify/due-queue.ts';
import { PendingChecks } from '../../../src/verify/pending-checks.ts';
import { textPair } from './memory/samples.ts';

const pair = textPair();
const MATCH = { kind: 'match', present: true } as const;

function version(step: number): Version {
  const lsn = BigInt(step);
  return {
    committedAtUs: lsn * 1_000n,
    lsn,
    hash: lsn,
    unknownColumns: [],
    position: { topic: 't', partition: 0, offset: String(step), lsn, txId: null },
  };
}

describe('DueQueue', () => {
  it('gives what is due, earliest first', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50)), fc.nat(50), (dues, nowMs) => {
        const queue = new DueQueue<number>();
        dues.forEach((due, index) => queue.push(index, due));
        expect(queue.nextDueMs()).toBe(dues.length === 0 ? null : Math.min(...dues));
        const taken: number[] = [];
        for (let next = queue.takeDue(nowMs); next !== null; next = queue.takeDue(nowMs)) {
          expect(next.dueMs).toBe(dues[next.item]);
          taken.push(next.dueMs);
        }
        expect(taken).toEqual(dues.filter((due) => due <= nowMs).sort((left, right) => left - right));
        expect(queue.size).toBe(dues.length - taken.length);
      }),
    );
  });
});

describe('PendingChecks', () => {
  it('keeps one check for a key and begins it again with a newer change', () => {
    const pending = new PendingChecks([pair]);
    const check = pending.addChange(pair, ['a'], version(1), 0, 100);
    check.suspicion = { primaryHash: 1n, sinceUs: 0n };
    check.attempts = 5;
    expect(pending.addChange(pair, ['a'], version(2), 10, 100)).toBe(check);
    expect(check).toMatchObject({ attempts: 0, firstSeenMs: 10, suspicion: null });
    expect(check.versions).toHaveLength(2);
    const { versions } = check;
    pending.addChange(pair, ['a'], version(1), 20, 100);
    expect(check.versions).toBe(versions);
    expect(check.firstSeenMs).toBe(10);
  });

  it('takes each due check once and none that is being read', () => {
    const pending = new PendingChecks([pair]);
    const check = pending.addChange(pair, ['a'], version(1), 0, 50);
    pending.schedule(check, 10);
    pending.schedule(check, 20);
    expect(pending.take(pair.id, 15, 10)).toEqual([]);
    expect(pending.take(pair.id, 100, 10)).toEqual([check]);
    expect(pending.take(pair.id, 100, 10)).toEqual([]);
    pending.settle(check, MATCH);
    expect(pending.size).toBe(0);
    expect(pending.take(pair.id, 1_000, 10)).toEqual([]);
  });

  it('wakes whoever waits when a check becomes due', () => {
    const pending = new PendingChecks([pair]);
    let woken = 0;
    pending.onWake(() => woken++);
    pending.suspect(pair, ['a'], 'api', 5, null);
    expect(woken).toBe(1);
    expect(pending.dueTable(5)).toBe(pair);
    expect(pending.dueTable(4)).toBeNull();
  });

  it('tells all who wait for a check, once', () => {
    const pending = new PendingChecks([pair]);
    const ends: string[] = [];
    const check = pending.addChange(pair, ['a'], version(1), 0, 0);
    pending.suspect(pair, ['a'], 'sweep', 0, (end) => ends.push(`first ${end.kind}`));
    pending.suspect(pair, ['a'], 'sweep', 0, (end) => ends.push(`second ${end.kind}`));
    pending.settle(check, MATCH);
    pending.settle(check, MATCH);
    expect(ends).toEqual(['first match', 'second match']);
  });

  it('puts back what it stored', () => {
    const pending = new PendingChecks([pair]);
    const check = pending.addChange(pair, ['a'], version(7), 3, 0);
    pending.addChange(pair, ['a'], { ...version(8), hash: null, unknownColumns: [2] }, 4, 0);
    const [stored] = pending.drainChanges().checks;
    const again = new PendingChecks([pair]);
    const restored = again.restore(pair, stored as NonNullable<typeof stored>, 100);
    expect(restored.versions).toEqual(check.versions);
    expect(restored).toMatchObject({ firstSeenMs: 4, suspected: false });
    expect(again.drainChanges().checks).toEqual([]);
    again.settle(restored, MATCH);
    expect(again.drainChanges().settled).toEqual([{ table: pair.id, key: ['a'] }]);
  });

  it('leaves in the store what is pending, whatever is settled, fails to be written or dies', () => {
    const action = fc.oneof(
      fc.record({ kind: fc.constantFrom('change', 'suspect', 'settle'), key: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ kind: fc.constantFrom('begin', 'succeed', 'fail', 'die'), key: fc.constant('') }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        let pending = new PendingChecks([pair]);
        const store = new Map<string, ReturnType<PendingChecks['drainChanges']>['checks'][number]>();
        let write: ReturnType<PendingChecks['drainChanges']> | null = null;
        let step = 0;
        const succeed = (): void => {
          for (const { key } of write?.settled ?? []) store.delete(key.join());
          for (const check of write?.checks ?? []) store.set(check.key.join(), check);
          write = null;
        };
        for (const { kind, key } of actions) {
          if (kind === 'change') pending.addChange(pair, [key], version(++step), step, 0);
          if (kind === 'suspect') pending.suspect(pair, [key], 'sweep', step, null);
          if (kind === 'settle') {
            const check = pending.get(pair.id, key);
            if (check !== undefined) pending.settle(check, MATCH);
          }
          if (kind === 'begin') write ??= pending.drainChanges();
          if (kind === 'succeed') succeed();
          if (kind === 'fail') {
            write?.undo();
            write = null;
          }
          if (kind === 'die') {
            write = null;
            pending = new PendingChecks([pair]);
            for (const stored of store.values()) pending.restore(pair, stored, step);
          }
        }
        if (write !== null) succeed();
        write = pending.drainChanges();
        succeed();
        const expected = [...pending.checksOf(pair.id)].map(({ key, versions }) => [key.join(), versions.map((one) => one.position.offset)]);
        const found = [...store.values()].map(({ key, versions }) => [key.join(), versions.map((one) => one.position.offset)]);
        expect(new Map(found as [string, string[]][])).toEqual(new Map(expected as [string, string[]][]));
        expect(pending.size).toBe([...pending.checksOf(pair.id)].reduce((sum, { versions }) => sum + Math.max(1, versions.length), 0));
      }),
      { numRuns: 500 },
    );
  });
});
