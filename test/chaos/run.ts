/** Random faults under load, and every figure checked: npm run chaos -- --minutes 30 --every 20s --seed 1 */
import { setTimeout as delay } from 'node:timers/promises';
import { Random } from '../fuzz/random.ts';
import { freePorts } from '../stack/ports.ts';
import { audit, comesToRest, storedOffsets, sweep } from './audit.ts';
import { FAULTS, makeFaults, planFaults } from './faults.ts';
import { startLoad } from './load.ts';
import { LockstepReplica } from './lockstep.ts';
import { parseOptions, USAGE, type ChaosOptions } from './options.ts';
import { Plants } from './plants.ts';
import { Violations, Watch } from './watch.ts';
import { startWorld, writeConfig, type World } from './world.ts';

const CONNECTORS = ['source', 'sink'] as const;
const OPERATOR_MS = 2_000;
const PLANT_EVERY_MS = 12_000;
/** Plants of the last third may be kept: before, the gate must have times when it can pass. */
const KEPT_FROM = 0.66;
/** Load without faults before everything is checked. */
const LAST_LOAD_MS = 15_000;
/** Plants of the end have until then to be found. */
const LAST_PLANTS_MS = 20_000;

const startedMs = Date.now();
const say = (line: string): void => console.log(`${((Date.now() - startedMs) / 1000).toFixed(0).padStart(5)} s  ${line}`);

/** Restarts connectors whose tasks have failed, as somebody on call would. */
async function operate({ connect }: World, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await delay(OPERATOR_MS);
    for (const name of CONNECTORS) {
      const status = await connect.status(name).catch(() => null);
      if (status?.tasks.some(({ state }) => state === 'FAILED') !== true || signal.aborted) continue;
      say(`operator restarts ${name}: ${status.tasks.find(({ cause }) => cause !== null)?.cause?.slice(0, 120) ?? ''}`);
      await connect.restartTasks(name).catch(() => undefined);
    }
  }
}

async function plantAgainAndAgain(plants: Plants, minutes: number, random: Random, signal: AbortSignal): Promise<void> {
  const beganMs = performance.now();
  while (!signal.aborted) {
    await delay(PLANT_EVERY_MS / 2 + random.next() * PLANT_EVERY_MS);
    if (signal.aborted) return;
    const keep = performance.now() - beganMs > minutes * 60_000 * KEPT_FROM && random.chance(0.5);
    await plants.plant(keep, signal);
  }
}

/** All servers and roads as they should be. */
async function mend(world: World): Promise<void> {
  for (const road of Object.values(world.roads)) road.mend();
  if (typeof world.stateDisk !== 'string') await world.stateDisk.free();
  for (const server of [world.old, world.new, world.state, world.kafka, world.connect]) await server.start();
}

function tellLives(replicas: readonly LockstepReplica[], violations: Violations): string {
  const lives = replicas.flatMap((replica) => replica.lives);
  let fenced = 0;
  let inVain = 0;
  for (const { replica, number, endedBy, exit, wasReady } of lives) {
    if (exit === null) continue;
    if (endedBy === 'SIGTERM' && !exit.startsWith('0')) violations.add('an orderly stop was none', `${replica} ${number}: ${exit}`);
    if (endedBy !== null) continue;
    if (/taken over|fenced/.test(exit)) fenced++;
    else if (wasReady) violations.add('Lockstep ended by itself', `${replica} ${number}: ${exit}`);
    else inVain++;
  }
  return `Lockstep: ${lives.length} processes, ${lives.filter(({ endedBy }) => endedBy === 'SIGKILL').length} killed, ${fenced} fenced, ${inVain} that found something away at their start`;
}

async function run(options: ChaosOptions): Promise<boolean> {
  const random = new Random(options.seed);
  const planned = planFaults(options.faults, options.minutes, options.everyMs, random);
  const [plantRandom, loadRandom, pacing] = [1, 2, 3].map((salt) => new Random(options.seed * 10 + salt)) as [Random, Random, Random];
  const world = await startWorld(options.keep, say);
  const violations = new Violations(say);
  const [port = 0, secondPort = 0] = await freePorts(2);
  const first = new LockstepReplica('a', world.folder, await writeConfig(world, 'a', port), port);
  const second = new LockstepReplica('b', world.folder, await writeConfig(world, 'b', secondPort), secondPort);
  const plants = new Plants(world, plantRandom, say);
  const watch = new Watch(world, [first, second], plants, violations);
  const [watching, working] = [new AbortController(), new AbortController()];
  try {
    if (typeof world.stateDisk === 'string') say(`the state store has no disk of its own, so that it cannot be full: ${world.stateDisk}`);
    first.start();
    const watched = watch.run(watching.signal);
    const operated = operate(world, watching.signal);
    await comesToRest(world, first, violations);
    say(`Lockstep is ready; ${planned.length} faults are planned`);
    const load = startLoad(world.old.url(), options.transactionsPerSecond, loadRandom);
    const planting = plantAgainAndAgain(plants, options.minutes, pacing, working.signal);
    await makeFaults(planned, { world, watch, first, second, violation: (rule, detail) => violations.add(rule, detail) }, say);
    say('the last fault is over');
    await mend(world);
    await second.stop('SIGTERM');
    await first.shiftClock(0);
    await delay(LAST_PLANTS_MS);
    working.abort();
    await planting;
    // From here on every event that Lockstep counts can be told: it begins where the state store left off.
    await first.stop('SIGKILL');
    const bases = await storedOffsets(world);
    first.start();
    await delay(LAST_LOAD_MS);
    await load.stop();
    await plants.settled();
    say('load has ended');
    await comesToRest(world, first, violations);
    await sweep(first, violations);
    await comesToRest(world, first, violations);
    await delay(3_000);
    const lines = await audit(world, first, plants.all, watch, bases, violations);
    watching.abort();
    await Promise.all([watched, operated]);
    await first.stop('SIGTERM');
    lines.push(tellLives([first, second], violations));
    report(options, planned.map(({ name }) => name), load.committed(), plants, watch, lines, violations);
    return violations.lines.length === 0;
  } finally {
    watching.abort();
    working.abort();
    await Promise.all([first.stop('SIGKILL'), second.stop('SIGKILL')]);
    if (options.keep) say(`data and logs: ${world.folder}`);
    await world.stop();
  }
}

function report(options: ChaosOptions, faults: readonly string[], committed: number, plants: Plants, watch: Watch, lines: readonly string[], violations: Violations): void {
  const { figures } = watch;
  const counts = new Map<string, number>();
  for (const name of faults) counts.set(name, (counts.get(name) ?? 0) + 1);
  const found = plants.all.filter(({ foundMs }) => foundMs !== null).length;
  console.log(
    [
      '',
      `npm run chaos -- --minutes ${options.minutes} --every ${options.everyMs / 1000}s --seed ${options.seed}${options.faults.length === 0 ? '' : ` --faults ${options.faults.join(',')}`}`,
      `faults: ${faults.length} (${[...counts].toSorted(([one], [other]) => one.localeCompare(other)).map(([name, count]) => (count === 1 ? name : `${name} ${count}`)).join(', ')})`,
      `load: ${committed} transactions`,
      `plants: ${plants.all.length}, ${found} found, ${plants.all.filter(({ stage }) => stage === 'undone').length} undone; drift reported in all: ${watch.reported.size}`,
      ...lines,
      `samples: ${figures.samples}; gate answers ${figures.answers}, of which pass ${figures.passes}; state store ${figures.storedSamples}, Kafka ${figures.committedSamples}`,
      `memory: ${figures.maxRssMiB} MiB at most`,
      ...(violations.lines.length === 0 ? ['violations: none'] : ['VIOLATIONS:', ...violations.lines.map((line) => `- ${line}`)]),
    ].join('\n'),
  );
}

const args = process.argv.slice(2);
if (args.includes('--help') || args.includes('help')) console.log(`${USAGE}\n\nfaults: ${[...FAULTS.keys()].join(' ')}`);
else {
  let options: ChaosOptions | null = null;
  try {
    options = parseOptions(args);
    const unknown = options.faults.find((name) => !FAULTS.has(name));
    if (unknown !== undefined) throw new RangeError(`there is no fault ${unknown}; there are ${[...FAULTS.keys()].join(' ')}`);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
  }
  if (options !== null) {
    say(`seed ${options.seed}`);
    process.exitCode = (await run(options)) ? 0 : 1;
  }
}
