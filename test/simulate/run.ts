/** Lets histories happen: npm run simulate -- --histories 100000 --seed 1 --fault any */
import { parseArgs } from 'node:util';
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { runHistory } from './history.ts';
import { FAULT_KINDS, makePlan, type FaultKind } from './plan.ts';
import { shrink } from './shrink.ts';
import { tell } from './story.ts';

/** Seeds that a worker takes at once. */
const SLICE = 100;
const PROGRESS_MS = 10_000;
/** Failing seeds after which no more are looked for. */
const FAILURES_MAX = 5;

interface Job {
  readonly first: number;
  readonly count: number;
  readonly faults: readonly FaultKind[];
}

interface Tally {
  histories: number;
  /** Whose fault showed in the end. */
  faulty: number;
  deaths: number;
  steps: number;
  foundAfterMs: number[];
}

interface Report {
  readonly tallies: Record<string, Tally>;
  readonly failures: readonly { readonly seed: number; readonly text: string }[];
}

function emptyTally(): Tally {
  return { histories: 0, faulty: 0, deaths: 0, steps: 0, foundAfterMs: [] };
}

async function runJob({ first, count, faults }: Job): Promise<Report> {
  const tallies: Record<string, Tally> = {};
  const failures: { seed: number; text: string }[] = [];
  for (let seed = first; seed < first + count; seed++) {
    const plan = makePlan(seed, faults);
    const outcome = await runHistory(plan);
    const tally = (tallies[plan.fault?.kind ?? 'none'] ??= emptyTally());
    tally.histories++;
    tally.deaths += outcome.deaths;
    tally.steps += outcome.steps;
    if (outcome.isFaulty) tally.faulty++;
    if (outcome.foundAfterMs !== null) tally.foundAfterMs.push(outcome.foundAfterMs);
    if (outcome.problem === null) continue;
    const smallest = await shrink(plan, outcome);
    failures.push({ seed, text: `${tell(plan, outcome)}\n\nmade smaller:\n${tell(smallest.plan, smallest.outcome)}` });
    if (failures.length >= FAILURES_MAX) break;
  }
  return { tallies, failures };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      histories: { type: 'string', default: '10000' },
      seed: { type: 'string', default: '1' },
      fault: { type: 'string', default: 'none' },
      workers: { type: 'string', default: String(availableParallelism()) },
    },
  });
  const { histories, seed, fault } = values;
  const faults = fault === 'none' ? [] : fault === 'any' ? FAULT_KINDS : FAULT_KINDS.filter((kind) => kind === fault);
  if (faults.length === 0 && fault !== 'none') throw new Error(`--fault is none, any or one of ${FAULT_KINDS.join(', ')}`);
  const first = Number(seed);
  const end = first + Number(histories);
  const startedMs = performance.now();
  const total: Record<string, Tally> = {};
  const failures: Report['failures'][number][] = [];
  let next = first;
  let done = 0;
  let toldMs = startedMs;
  const seconds = (): string => ((performance.now() - startedMs) / 1000).toFixed(0);
  await Promise.all(
    Array.from({ length: Math.max(1, Math.min(Number(values.workers), Math.ceil((end - first) / SLICE))) }, async () => {
      const worker = new Worker(new URL(import.meta.url), { workerData: {} });
      try {
        while (next < end && failures.length < FAILURES_MAX) {
          const job: Job = { first: next, count: Math.min(SLICE, end - next), faults };
          next += job.count;
          const report = await ask(worker, job);
          done += job.count;
          add(total, report.tallies);
          for (const failure of report.failures) console.log(`${failure.text}\n  again: npm run simulate -- --seed ${failure.seed} --histories 1 --fault ${fault}\n`);
          failures.push(...report.failures);
          if (performance.now() - toldMs < PROGRESS_MS) continue;
          toldMs = performance.now();
          console.error(`${done} histories, ${seconds()} s, ${failures.length} failed`);
        }
      } finally {
        await worker.terminate();
      }
    }),
  );
  console.log(summary(total));
  console.log(`${done} histories from seed ${first}, ${seconds()} s, ${failures.length} failed`);
  if (failures.length > 0) process.exitCode = 1;
}

function ask(worker: Worker, job: Job): Promise<Report> {
  return new Promise((resolve, reject) => {
    worker.once('message', (report: Report) => {
      worker.off('error', reject);
      resolve(report);
    });
    worker.once('error', reject);
    worker.postMessage(job);
  });
}

function add(total: Record<string, Tally>, tallies: Record<string, Tally>): void {
  for (const [kind, tally] of Object.entries(tallies)) {
    const sum = (total[kind] ??= emptyTally());
    sum.histories += tally.histories;
    sum.faulty += tally.faulty;
    sum.deaths += tally.deaths;
    sum.steps += tally.steps;
    sum.foundAfterMs.push(...tally.foundAfterMs);
  }
}

function summary(total: Record<string, Tally>): string {
  const rows = Object.entries(total).sort(([one], [other]) => (one < other ? -1 : 1)).map(([kind, { histories, faulty, deaths, steps, foundAfterMs }]) => {
    const sorted = foundAfterMs.sort((one, other) => one - other);
    const at = (share: number): string => (sorted.length === 0 ? '-' : String(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]));
    return `| ${kind} | ${histories} | ${faulty} | ${at(0.5)} | ${at(0.99)} | ${at(1)} | ${deaths} | ${steps} |`;
  });
  return ['| fault | histories | shows in the end | found after, ms: p50 | p99 | most | deaths | steps |', '|---|---:|---:|---:|---:|---:|---:|---:|', ...rows].join('\n');
}

if (isMainThread) await main();
else if (workerData !== null) {
  parentPort?.on('message', (job: Job) => {
    void runJob(job).then((report) => parentPort?.postMessage(report));
  });
}
