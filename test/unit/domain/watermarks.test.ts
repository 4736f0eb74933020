import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { partitionId, type StreamPartition } from '../../../src/domain/change.ts';
import { Watermarks } from '../../../src/domain/watermarks.ts';

const PARTITIONS: readonly StreamPartition[] = [0, 1].map((partition) => ({ topic: 't', partition }));
const [FIRST, SECOND] = PARTITIONS as [StreamPartition, StreamPartition];
const SLACK_US = 50_000n;
const SECOND_US = 1_000_000n;

function ends(...offsets: readonly number[]): Map<string, bigint> {
  return new Map(offsets.map((offset, index) => [partitionId(PARTITIONS[index] as StreamPartition), BigInt(offset)]));
}

/** A source that writes, a consumer and a sink that follow, each as far as the dice say. */
type Step = readonly ['write' | 'pass' | 'consume' | 'apply' | 'sample', number];
const steps: fc.Arbitrary<Step[]> = fc.array(fc.tuple(fc.constantFrom('write', 'pass', 'consume', 'apply', 'sample'), fc.nat(5)), { maxLength: 150 });

describe('Watermarks', () => {
  it('never say more than is consumed or applied, and never go back', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const marks = new Watermarks({ ordered: false });
        for (const partition of PARTITIONS) marks.partition(partition);
        let nowUs = 0n;
        const log: { committedAtUs: bigint; partition: number; offset: number }[] = [];
        const records: number[][] = [[], []];
        let passed = 0;
        const consumed = [0, 0];
        const applied = [0, 0];
        let before: bigint | null = null;
        let appliedBefore: bigint | null = null;
        for (const [step, dice] of all) {
          nowUs += SECOND_US;
          if (step === 'write') log.push({ committedAtUs: nowUs, partition: dice % 2, offset: -1 });
          if (step === 'sample') marks.sample(nowUs, BigInt(log.length));
          if (step === 'pass') {
            for (const change of log.slice(passed, passed + dice)) {
              const partition = records[change.partition] as number[];
              change.offset = partition.length;
              partition.push(log.indexOf(change));
            }
            passed = Math.min(log.length, passed + dice);
            marks.sourcePassed(BigInt(passed), ends(...records.map((one) => one.length)));
          }
          if (step === 'consume') {
            const index = dice % 2;
            const partition = records[index] as number[];
            const next = partition[consumed[index] as number];
            if (next !== undefined) {
              marks.consumedChange(PARTITIONS[index] as StreamPartition, (log[next] as { committedAtUs: bigint }).committedAtUs);
              consumed[index] = (consumed[index] as number) + 1;
            }
            marks.consumedTo(PARTITIONS[index] as StreamPartition, BigInt(consumed[index] as number), BigInt(partition.length));
          }
          if (step === 'apply') {
            applied[dice % 2] = Math.min((records[dice % 2] as number[]).length, (applied[dice % 2] as number) + dice);
            marks.appliedTo(ends(...applied));
          }
          const through = marks.consumedThroughUs(PARTITIONS);
          if (before !== null) expect(through !== null && through >= before).toBe(true);
          before = through;
          const appliedThrough = marks.appliedThroughUs(PARTITIONS) ?? null;
          if (appliedBefore !== null) expect(appliedThrough !== null && appliedThrough >= appliedBefore).toBe(true);
          appliedBefore = appliedThrough;
          for (const change of log) {
            const isConsumed = change.offset >= 0 && change.offset < (consumed[change.partition] as number);
            const isApplied = change.offset >= 0 && change.offset < (applied[change.partition] as number);
            if (through !== null && change.committedAtUs < through) expect(isConsumed).toBe(true);
            if (appliedThrough !== null && change.committedAtUs < appliedThrough) expect(isApplied).toBe(true);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('do not take silence for progress', () => {
    const marks = new Watermarks({ ordered: false });
    for (const partition of PARTITIONS) marks.consumedChange(partition, SECOND_US);
    const through = marks.consumedThroughUs(PARTITIONS);
    for (let second = 2n; second < 5_000n; second++) marks.sample(second * SECOND_US, second);
    expect(marks.consumedThroughUs(PARTITIONS)).toBe(through);
    expect(through).toBe(SECOND_US - SLACK_US);
    // A partition that the ends do not name stays where it is.
    marks.sourcePassed(10_000n, ends(0));
    expect(marks.consumedThroughUs([FIRST])).toBeGreaterThan(through as bigint);
    expect(marks.consumedThroughUs([SECOND])).toBe(through);
    expect(marks.consumedThroughUs(PARTITIONS)).toBe(through);
  });

  it('stand at the slowest partition, and nowhere while one says nothing', () => {
    const marks = new Watermarks({ ordered: false });
    marks.consumedChange(FIRST, 9n * SECOND_US);
    expect(marks.consumedThroughUs(PARTITIONS)).toBeNull();
    marks.consumedChange(SECOND, 5n * SECOND_US);
    expect(marks.consumedThroughUs(PARTITIONS)).toBe(5n * SECOND_US - SLACK_US);
  });

  it('are hidden by a snapshot until it is over', () => {
    const marks = new Watermarks({ ordered: false });
    marks.sample(SECOND_US, 1n);
    marks.consumedSnapshot(FIRST, false);
    expect(marks.snapshotInProgress(PARTITIONS)).toBe(true);
    expect(marks.consumedThroughUs([FIRST])).toBeNull();
    marks.consumedSnapshot(FIRST, true);
    marks.consumedChange(FIRST, 2n * SECOND_US);
    expect(marks.snapshotInProgress(PARTITIONS)).toBe(false);
    expect(marks.consumedThroughUs([FIRST])).toBe(2n * SECOND_US - SLACK_US);
  });

  it('give evidence that stays as it was', () => {
    const marks = new Watermarks({ ordered: false });
    marks.consumedChange(FIRST, SECOND_US);
    marks.sample(2n * SECOND_US, 1n);
    marks.sourcePassed(1n, ends(7));
    marks.appliedTo(ends(3));
    const evidence = marks.evidence([FIRST]);
    const told = (): unknown[] => [evidence.consumedThroughUs, evidence.appliedThroughUs, evidence.behind, evidence.isApplied(FIRST, 2n), evidence.isApplied(FIRST, 3n), evidence.isApplied(SECOND, 0n)];
    const before = told();
    expect(before).toEqual([SECOND_US - SLACK_US, null, true, true, false, null]);
    marks.consumedTo(FIRST, 7n, 7n);
    marks.appliedTo(ends(7));
    expect(told()).toEqual(before);
    expect(marks.evidence([FIRST])).toMatchObject({ appliedThroughUs: 2n * SECOND_US - SLACK_US, behind: false });
  });

  it('remember a bounded number of moments and still move at the end', () => {
    const marks = new Watermarks({ ordered: false });
    marks.partition(FIRST);
    for (let moment = 1n; moment < 20_000n; moment++) marks.sample(moment * SECOND_US, moment);
    marks.sourcePassed(20_000n, ends(0));
    expect(marks.consumedThroughUs([FIRST])).toBeGreaterThan(19_000n * SECOND_US);
  });

  it('do not let what one connector has reached forget what another still has to', () => {
    const marks = new Watermarks({ ordered: false });
    for (const partition of PARTITIONS) marks.partition(partition);
    marks.sample(SECOND_US, 1n);
    marks.sourcePassed(1n, ends(0, 5));
    marks.connectorReached(3n * SECOND_US, ends(0));
    marks.consumedTo(SECOND, 5n, 5n);
    expect(marks.consumedThroughUs([SECOND])).toBe(SECOND_US - SLACK_US);
  });

  it('read positions of an ordered stream as offsets', () => {
    const marks = new Watermarks({ ordered: true });
    marks.sample(SECOND_US, 100n);
    marks.consumedTo(FIRST, 99n, null);
    expect(marks.consumedThroughUs([FIRST])).toBeNull();
    marks.consumedTo(FIRST, 100n, null);
    expect(marks.consumedThroughUs([FIRST])).toBe(SECOND_US - SLACK_US);
    marks.appliedTo(ends(100));
    expect(marks.evidence([FIRST])).toMatchObject({ appliedThroughUs: SECOND_US - SLACK_US });
    expect(marks.evidence([FIRST]).isApplied(FIRST, 100n)).toBe(true);
  });
});
