import { Oracle, Violation, type Problem } from './oracle.ts';
import type { Plan } from './plan.ts';
import { World } from './world.ts';

/** After the last thing that happens, all must be settled within so much virtual time. */
export const SETTLED_WITHIN_MS = 15_000;
const LOOK_MS = 100;
/** A history takes some hundred steps. */
const STEPS_MAX = 200_000;

export interface Outcome {
  readonly problem: Problem | null;
  /** Whether the fault shows in the end: it may be mended, or change nothing. */
  readonly isFaulty: boolean;
  /** From the fault to its confirmation, virtual ms; null where there was nothing to find. */
  readonly foundAfterMs: number | null;
  readonly deaths: number;
  readonly steps: number;
  /** The same for the same plan, always. */
  readonly trace: string;
  readonly world: World;
}

/** Lets a plan happen, and judges all that Lockstep says meanwhile and in the end. */
export async function runHistory(plan: Plan): Promise<Outcome> {
  const world = new World(plan);
  const oracle = new Oracle(world);
  let steps = 0;
  let isFaulty = false;
  const look = (): void => {
    if (++steps > STEPS_MAX) throw new Violation('broke', 'the history does not end');
    oracle.look();
  };
  let problem: Problem | null = null;
  try {
    world.begin();
    const { transactions, upsets, fault } = plan;
    const lastMs = Math.max(0, ...transactions.map(({ atMs }) => atMs), ...upsets.map(({ atMs }) => atMs), fault?.kind === 'written' ? fault.atMs : 0);
    await world.clock.pass(lastMs + (fault?.kind === 'duplicated' ? fault.afterMs : 0) + 1, look);
    await settle(world, oracle, look);
    isFaulty = oracle.isFaulty;
    oracle.judgeDrift();
    if (plan.crashes.length > 0) {
      const open = oracle.openDrift();
      world.kill();
      await settle(world, oracle, look);
      oracle.judgeDrift();
      if (oracle.openDrift() !== open) throw new Violation('I6', `after a death other drift is open: ${oracle.openDrift()} instead of ${open}`);
    }
  } catch (error) {
    problem = error instanceof Violation ? error.problem : { invariant: 'broke', message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  world.pipeline.end();
  const { faultAtMs, deaths } = world;
  const foundAfterMs = isFaulty && oracle.foundAtMs !== null && faultAtMs !== null ? oracle.foundAtMs - faultAtMs : null;
  const drift = [...world.state.drift.values()].map(({ drift: { table, kind, status, confirmedAtMs }, keyValues }) => ({ table, keyValues, kind, status, confirmedAtMs }));
  const trace = JSON.stringify({ steps, nowMs: world.clock.nowMs(), drift, problem });
  return { problem, isFaulty, foundAfterMs, deaths, steps, trace, world };
}

async function settle(world: World, oracle: Oracle, look: () => void): Promise<void> {
  let quietAtMs: number | null = null;
  const beganAtMs = world.clock.nowMs();
  for (;;) {
    if (world.pipeline.isIdle && world.lateWrites === 0) quietAtMs ??= world.clock.nowMs();
    const reason = oracle.unsettled(quietAtMs ?? Number.POSITIVE_INFINITY);
    if (reason === null) return;
    if (world.clock.nowMs() - beganAtMs >= SETTLED_WITHIN_MS) throw new Violation('I4', reason);
    await world.clock.pass(LOOK_MS, look);
  }
}
