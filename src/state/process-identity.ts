import { existsSync, readFileSync } from 'node:fs';
import { platform } from 'node:os';

/** A process that keeps its identity though its number may be given to another one later. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it began, in the kernel's own units; null where the system does not tell. */
  readonly started: string | null;
}

interface ProcStat {
  readonly state: string;
  readonly started: string;
}

function procStat(pid: number): ProcStat | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name may hold spaces and brackets: fields count from after its last bracket (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', started: fields[19] ?? '' };
  } catch {
    return null;
  }
}

/** The identity of a process that runs now. */
export function identityOf(pid: number): ProcessIdentity {
  return { pid, started: procStat(pid)?.started ?? null };
}

/** Whether a process of that number runs (one that ended and waits for its parent does not). */
export function isRunning(pid: number): boolean {
  if (platform() === 'linux' && existsSync('/proc/self/stat')) {
    const stat = procStat(pid);
    return stat !== null && stat.state !== 'Z' && stat.state !== 'X';
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Whether that very process still runs. */
export function stillRuns(identity: ProcessIdentity): boolean {
  if (!isRunning(identity.pid)) return false;
  if (identity.started === null) return true;
  const now = procStat(identity.pid);
  return now === null || now.started === identity.started;
}

/** The command line of a process, where the system tells. */
export function commandLine(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\u0000', ' ');
  } catch {
    return null;
  }
}
