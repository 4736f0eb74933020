import { expect, it } from 'vitest';
import { runHistory } from '../../simulate/history.ts';
import { FAULT_KINDS, makePlan, type FaultKind } from '../../simulate/plan.ts';
import { shrink } from '../../simulate/shrink.ts';
import { tell } from '../../simulate/story.ts';

/** A history takes some milliseconds; much longer on a busy machine. `npm run simulate` lets as many happen as wanted. */
const CORRECT = 2_000;
const FAULTY = 1_500;
const LIMIT_MS = 300_000;
/** Others than `npm run simulate` begins with. */
const FIRST_SEED = 1_000_001;

async function histories(count: number, faults: readonly FaultKind[]): Promise<{ faulty: number; deaths: number }> {
  const total = { faulty: 0, deaths: 0 };
  for (let seed = FIRST_SEED; seed < FIRST_SEED + count; seed++) {
    const plan = makePlan(seed, faults);
    const outcome = await runHistory(plan);
    if (outcome.problem !== null) {
      const smallest = await shrink(plan, outcome);
      throw new Error(`${tell(plan, outcome)}\n\nmade smaller:\n${tell(smallest.plan, smallest.outcome)}`);
    }
    total.deaths += outcome.deaths;
    if (outcome.isFaulty) total.faulty++;
  }
  return total;
}

it('a correct pipeline is never said to drift, whatever it delays, repeats and reorders, and whenever Lockstep dies', { timeout: LIMIT_MS }, async () => {
  const { faulty, deaths } = await histories(CORRECT, []);
  expect(faulty).toBe(0);
  expect(deaths).toBeGreaterThan(CORRECT / 4);
});

it('a fault is found, of its row alone, with its kind and columns, in bounded time, and found again after a death', { timeout: LIMIT_MS }, async () => {
  const { faulty } = await histories(FAULTY, FAULT_KINDS);
  expect(faulty).toBeGreaterThan(FAULTY * 0.9);
});

it('a seed is the same history each time', async () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + 30; seed++) {
    const plan = makePlan(seed, FAULT_KINDS);
    expect(makePlan(seed, FAULT_KINDS)).toEqual(plan);
    expect((await runHistory(plan)).trace).toBe((await runHistory(plan)).trace);
  }
});
