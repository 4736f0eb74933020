import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { childrenOf } from '../../test/stack/processes.ts';

/** Clock ticks a second in /proc: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
/** How often the memory of a tool is looked at. */
const SAMPLE_MS = 25;
/** Backends end a little after their client. */
const AFTERMATH_MS = 150;
/** A tool that takes longer is ended. */
const RUN_LIMIT_MS = 30 * 60_000;

/** What a run took. */
export interface Usage {
  readonly wallS: number;
  /** CPU of the tool's whole process tree. */
  readonly clientCpuS: number;
  /** CPU of both servers, all their processes. */
  readonly serverCpuS: number;
  /** Most memory that the tool's processes held at once (VmHWM); null where nothing was started. */
  readonly clientPeakMiB: number | null;
  readonly exitCode: number | null;
  /** Share of the machine's CPU that went to others meanwhile, 0…1: what makes a figure rough. */
  readonly othersShare: number;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where its standard output and errors go. */
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. @param servers pids of the postmasters */
export async function measureCommand(command: Command, servers: readonly number[]): Promise<Usage> {
  return measure(servers, async () => {
    const [out, err] = [openSync(command.stdout, 'w'), openSync(command.stderr, 'w')];
    const child = spawn(command.file, command.args, {
      stdio: ['ignore', out, err],
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], LANG: 'C.UTF-8', ...command.env },
    });
    closeSync(out);
    closeSync(err);
    let exitCode: number | null = null;
    const ended = new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => {
        exitCode = code;
        resolve();
      });
    });
    const limit = setTimeout(() => child.kill('SIGKILL'), RUN_LIMIT_MS);
    const over = new AbortController();
    const watching = peakMemory(child.pid ?? 0, over.signal);
    try {
      await ended;
    } finally {
      clearTimeout(limit);
      over.abort();
    }
    return { exitCode, clientPeakMiB: await watching };
  });
}

/** Measures work that this process does itself. */
export async function measureWork(work: () => Promise<void>, servers: readonly number[]): Promise<Usage> {
  return measure(servers, async () => {
    await work();
    return { exitCode: 0, clientPeakMiB: null };
  });
}

async function measure(servers: readonly number[], run: () => Promise<Pick<Usage, 'exitCode' | 'clientPeakMiB'>>): Promise<Usage> {
  const serversBefore = cpuOfServers(servers);
  const clientBefore = cpuOfEndedChildren();
  const selfBefore = times('self').own;
  const machineBefore = cpuOfMachine();
  const startedAt = process.hrtime.bigint();
  const result = await run();
  const wallS = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const clientCpuS = cpuOfEndedChildren() - clientBefore;
  const busyS = cpuOfMachine() - machineBefore - (times('self').own - selfBefore);
  await delay(AFTERMATH_MS);
  const serverCpuS = cpuOfServers(servers) - serversBefore;
  const othersShare = Math.max(0, busyS - clientCpuS - serverCpuS) / (wallS * cpus().length);
  return { wallS, clientCpuS, serverCpuS, othersShare, ...result };
}

/** utime, stime, cutime and cstime of a process in seconds; zeros when it has ended. */
function times(pid: number | 'self'): { readonly own: number; readonly ended: number } {
  try {
    // The name, in brackets, may hold anything.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ').map(Number);
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15);
    return { own: (utime + stime) / TICKS_PER_SECOND, ended: (cutime + cstime) / TICKS_PER_SECOND };
  } catch {
    return { own: 0, ended: 0 };
  }
}

/** CPU of the children of this process that have ended, with all that they waited for themselves. */
function cpuOfEndedChildren(): number {
  return times('self').ended;
}

/** CPU seconds that all processes of the machine together have used. */
function cpuOfMachine(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

/** CPU of postmasters, their processes, and those that have ended. */
function cpuOfServers(postmasters: readonly number[]): number {
  let sum = 0;
  for (const pid of postmasters) {
    for (const child of childrenOf(pid)) {
      const { own, ended } = times(child);
      sum += own + ended;
    }
    const { own, ended } = times(pid);
    sum += own + ended;
  }
  return sum;
}

/** Samples the tree below `pid` until `signal`; in MiB. */
async function peakMemory(pid: number, signal: AbortSignal): Promise<number> {
  let peakKib = 0;
  while (!signal.aborted) {
    let sumKib = 0;
    for (const member of tree(pid)) sumKib += highWaterKib(member);
    peakKib = Math.max(peakKib, sumKib);
    await delay(SAMPLE_MS, undefined, { signal }).catch(() => undefined);
  }
  return peakKib / 1024;
}

function tree(pid: number): number[] {
  const found = [pid];
  for (let at = 0; at < found.length; at++) {
    try {
      const listed = readFileSync(`/proc/${found[at]}/task/${found[at]}/children`, 'utf8').trim();
      if (listed !== '') found.push(...listed.split(' ').map(Number));
    } catch {
      // It has ended in the meantime.
    }
  }
  return found;
}

function highWaterKib(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0');
  } catch {
    return 0;
  }
}

