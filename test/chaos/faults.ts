import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../fuzz/random.ts';
import type { LockstepReplica } from './lockstep.ts';
import type { Watch } from './watch.ts';
import { ROADS, type RoadName, type World } from './world.ts';

/** What a fault works on: two faults of the same thing are not made at once. */
type Target = RoadName | 'connect' | 'lockstep';

export interface FaultTools {
  readonly world: World;
  readonly watch: Watch;
  /** The one that always runs, and the one that comes and goes. */
  readonly first: LockstepReplica;
  readonly second: LockstepReplica;
  readonly violation: (rule: string, detail: string) => void;
}

/** One fault at its time. */
export interface PlannedFault {
  readonly atMs: number;
  readonly name: string;
  readonly lastsMs: number;
  /** What else is chance about it, 0 ≤ x < 1. */
  readonly dice: number;
}

interface Fault {
  readonly target: Target;
  /** How long it lasts, from and to. */
  readonly lastsMs: readonly [number, number];
  /** How often it is chosen against the others; 1 by default. */
  readonly weight?: number;
  make(tools: FaultTools, lastsMs: number, dice: number): Promise<void>;
}

/** A second process that stands by is up after so long. */
const JOINS_MS = 15_000;
/** The lease of the writing role is 10 s; a busy machine takes a little longer. */
const TAKES_OVER_MS = 30_000;
/** A process that finds itself fenced ends within this. */
const FENCED_MS = 20_000;
const HOUR_MS = 3_600_000;

async function away(tools: FaultTools, what: RoadName, work: () => Promise<void>): Promise<void> {
  tools.watch.away.set(what, Date.now());
  try {
    await work();
  } finally {
    tools.watch.away.delete(what);
  }
}

async function until(limitMs: number, is: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + limitMs;
  while (performance.now() < end) {
    if (await is()) return true;
    await delay(200);
  }
  return false;
}

const isReady = async (replica: LockstepReplica): Promise<boolean> => (await replica.get('/readyz')) !== null;
const lives = async (replica: LockstepReplica): Promise<boolean> => (await replica.get('/healthz')) !== null;

/** Starts the second process, does some work, and ends it. */
async function withSecond(tools: FaultTools, dice: number, work: () => Promise<void>): Promise<void> {
  tools.second.start();
  try {
    await until(JOINS_MS, () => lives(tools.second));
    await work();
  } finally {
    await tools.second.stop(dice < 0.5 ? 'SIGTERM' : 'SIGKILL');
  }
}

function ofRoad(road: RoadName): [string, Fault][] {
  const server = ({ world }: FaultTools) => (road === 'kafka' ? world.kafka : world[road]);
  const through = ({ world }: FaultTools) => world.roads[road];
  return [
    [
      `cut_${road}`,
      {
        target: road,
        lastsMs: [500, 20_000],
        make: (tools, lastsMs) =>
          away(tools, road, async () => {
            through(tools).cut();
            await delay(lastsMs);
            through(tools).mend();
          }),
      },
    ],
    [
      `half_open_${road}`,
      {
        target: road,
        lastsMs: [2_000, 25_000],
        make: (tools, lastsMs) =>
          away(tools, road, async () => {
            through(tools).silence();
            await delay(lastsMs);
            through(tools).mend();
          }),
      },
    ],
    [
      `slow_${road}`,
      {
        target: road,
        lastsMs: [5_000, 15_000],
        weight: 0.5,
        make: async (tools, lastsMs, dice) => {
          through(tools).slow(20 + dice * 400, 20_000 + dice * 500_000);
          await delay(lastsMs);
          through(tools).mend();
        },
      },
    ],
    [
      `restart_${road}`,
      {
        target: road,
        lastsMs: [0, 3_000],
        make: (tools, lastsMs) =>
          away(tools, road, async () => {
            await server(tools).stop();
            await delay(lastsMs);
            await server(tools).start();
          }),
      },
    ],
    [
      `kill_${road}`,
      {
        target: road,
        lastsMs: [0, 10_000],
        make: (tools, lastsMs) =>
          away(tools, road, async () => {
            await server(tools).kill9();
            await delay(lastsMs);
            await server(tools).start();
          }),
      },
    ],
    [
      `freeze_${road}`,
      {
        target: road,
        lastsMs: [2_000, 20_000],
        weight: 0.5,
        make: (tools, lastsMs) =>
          away(tools, road, async () => {
            server(tools).pause();
            await delay(lastsMs);
            server(tools).resume();
          }),
      },
    ],
  ];
}

export const FAULTS: ReadonlyMap<string, Fault> = new Map<string, Fault>([
  ...ROADS.flatMap(ofRoad),
  [
    'state_away_for_minutes',
    {
      target: 'state',
      lastsMs: [60_000, 150_000],
      weight: 0.5,
      make: (tools, lastsMs) =>
        away(tools, 'state', async () => {
          tools.world.roads.state.cut();
          await delay(lastsMs);
          tools.world.roads.state.mend();
        }),
    },
  ],
  [
    'state_disk_full',
    {
      target: 'state',
      lastsMs: [5_000, 20_000],
      weight: 2,
      make: async ({ world }, lastsMs) => {
        if (typeof world.stateDisk === 'string') return;
        await world.stateDisk.fill();
        await delay(lastsMs);
        await world.stateDisk.free();
        // Without room for its log PostgreSQL ends.
        await world.state.start();
      },
    },
  ],
  [
    'restart_connect',
    {
      target: 'connect',
      lastsMs: [0, 8_000],
      weight: 3,
      make: async ({ world }, lastsMs, dice) => {
        await (dice < 0.5 ? world.connect.kill9() : world.connect.stop());
        await delay(lastsMs);
        await world.connect.start();
      },
    },
  ],
  [
    'kill_lockstep',
    {
      target: 'lockstep',
      lastsMs: [0, 5_000],
      weight: 4,
      make: async ({ first }, lastsMs) => {
        await first.stop('SIGKILL');
        await delay(lastsMs);
        first.start();
      },
    },
  ],
  [
    'stop_lockstep',
    {
      target: 'lockstep',
      lastsMs: [0, 5_000],
      make: async ({ first }, lastsMs) => {
        await first.stop('SIGTERM');
        await delay(lastsMs);
        first.start();
      },
    },
  ],
  [
    'freeze_lockstep',
    {
      target: 'lockstep',
      lastsMs: [2_000, 20_000],
      weight: 2,
      make: async ({ first }, lastsMs) => {
        first.signal('SIGSTOP');
        await delay(lastsMs);
        first.signal('SIGCONT');
      },
    },
  ],
  [
    'clock_jumps_forward',
    {
      target: 'lockstep',
      lastsMs: [5_000, 20_000],
      make: async ({ first }, lastsMs, dice) => {
        await first.shiftClock(dice < 0.5 ? HOUR_MS : 20_000);
        await delay(lastsMs);
        await first.shiftClock(0);
      },
    },
  ],
  [
    'clock_jumps_back',
    {
      target: 'lockstep',
      lastsMs: [5_000, 20_000],
      make: async ({ first }, lastsMs, dice) => {
        await first.shiftClock(dice < 0.5 ? -HOUR_MS : -20_000);
        await delay(lastsMs);
        await first.shiftClock(0);
      },
    },
  ],
  ['second_joins_and_leaves', { target: 'lockstep', lastsMs: [3_000, 15_000], weight: 2, make: (tools, lastsMs, dice) => withSecond(tools, dice, () => delay(lastsMs)) }],
  [
    'second_takes_over',
    {
      target: 'lockstep',
      lastsMs: [0, 5_000],
      weight: 2,
      make: (tools, lastsMs, dice) =>
        withSecond(tools, dice, async () => {
          await tools.first.stop('SIGKILL');
          await until(TAKES_OVER_MS, () => isReady(tools.second));
          await delay(lastsMs);
          tools.first.start();
          await until(JOINS_MS, () => lives(tools.first));
        }),
    },
  ],
  [
    'two_owners',
    {
      target: 'lockstep',
      lastsMs: [0, 5_000],
      weight: 2,
      make: (tools, lastsMs, dice) =>
        withSecond(tools, dice, async () => {
          const { first, second } = tools;
          const { life } = first;
          first.signal('SIGSTOP');
          const taken = await until(TAKES_OVER_MS, () => isReady(second));
          await delay(lastsMs);
          first.signal('SIGCONT');
          // The first may have been none that writes, or the store was away.
          if (taken && life?.wasReady === true) await until(FENCED_MS, () => Promise.resolve(first.life !== life || life.exit !== null));
        }),
    },
  ],
]);

/** The faults of a run, one every `everyMs`; a target is at rest again before its next one, and so is the whole at the end. */
export function planFaults(names: readonly string[], minutes: number, everyMs: number, random: Random): PlannedFault[] {
  const chosen = [...FAULTS].filter(([name]) => names.length === 0 || names.includes(name));
  const total = chosen.reduce((sum, [, { weight = 1 }]) => sum + weight, 0);
  const planned: PlannedFault[] = [];
  const busyUntilMs = new Map<Target, number>();
  for (let atMs = everyMs; atMs < minutes * 60_000; atMs += everyMs) {
    // A few tries: where everything is busy, none.
    for (let tries = 0; tries < 20; tries++) {
      let point = random.next() * total;
      const [name, fault] = chosen.find(([, { weight = 1 }]) => (point -= weight) < 0) ?? (chosen[0] as [string, Fault]);
      const [from, to] = fault.lastsMs;
      const lastsMs = Math.round(from + random.next() * (to - from));
      const dice = random.next();
      if ((busyUntilMs.get(fault.target) ?? 0) > atMs) continue;
      busyUntilMs.set(fault.target, atMs + lastsMs);
      planned.push({ atMs, name, lastsMs, dice });
      break;
    }
  }
  return planned;
}

/** Makes the planned faults at their times; resolves when the last is over. */
export async function makeFaults(planned: readonly PlannedFault[], tools: FaultTools, say: (line: string) => void): Promise<void> {
  const startedMs = performance.now();
  const busy = new Map<Target, Promise<void>>();
  const running: Promise<void>[] = [];
  for (const { atMs, name, lastsMs, dice } of planned) {
    await delay(Math.max(0, startedMs + atMs - performance.now()));
    const fault = FAULTS.get(name) as Fault;
    const made = (busy.get(fault.target) ?? Promise.resolve()).then(async () => {
      say(`${name} for ${(lastsMs / 1000).toFixed(1)} s`);
      await fault.make(tools, lastsMs, dice).catch((error: unknown) => tools.violation('a fault could not be made', `${name}: ${String(error)}`));
    });
    busy.set(fault.target, made);
    running.push(made);
  }
  await Promise.all(running);
}
