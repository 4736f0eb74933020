import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { cp, mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockstepError } from '../../src/domain/errors.ts';
import type { Workspace } from './processes.ts';
import { runToEnd } from './processes.ts';

/** Half an hour over a slow line; after that another process's fetch is taken for dead. */
const LOCK_STALE_MS = 30 * 60_000;
const LOCK_POLL_MS = 500;

export interface Jars {
  /** Kafka, the Connect worker and their dependencies. */
  readonly lib: string;
  /** One folder for each Connect plugin. */
  readonly plugins: string;
}

/**
 * The jars of Kafka, Kafka Connect and the Debezium connectors. Fetched by Maven once, into a folder under
 * `$XDG_CACHE_HOME` or `~/.cache` that is named by the list of checksums; only a complete folder whose every jar has
 * its checksum gets that name.
 * @throws LockstepError `jars_not_fetched` or `jars_checksum`
 */
export async function fetchJars(workspace: Workspace, mvn: string, onProgress: (line: string) => void, signal?: AbortSignal): Promise<Jars> {
  const poms = mavenFolder();
  const checksums = await readFile(join(poms, 'checksums.sha256'), 'utf8');
  const version = createHash('sha256').update(checksums).digest('hex').slice(0, 12);
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'lockstep');
  const complete = join(cache, `stack-${version}`);
  const jars: Jars = { lib: join(complete, 'lib'), plugins: join(complete, 'plugins') };
  if (existsSync(complete)) return jars;

  await mkdir(cache, { recursive: true });
  const lock = join(cache, `stack-${version}.lock`);
  await takeLock(lock, () => existsSync(complete), onProgress, signal);
  try {
    if (existsSync(complete)) return jars;
    onProgress('fetching Kafka, Kafka Connect and Debezium with Maven (about 110 MB, once)');
    const partial = join(cache, `stack-${version}.partial`);
    await rm(partial, { recursive: true, force: true });
    try {
      await runMaven(workspace, poms, mvn, partial, signal);
      await verify(partial, checksums);
      await rename(partial, complete);
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
    return jars;
  } finally {
    await rm(lock, { force: true });
  }
}

async function runMaven(workspace: Workspace, poms: string, mvn: string, out: string, signal?: AbortSignal): Promise<void> {
  // Maven writes beside its poms, and those may be installed read-only.
  const project = join(workspace.folder, 'maven');
  await cp(poms, project, { recursive: true });
  // A user's own settings (a mirror, a proxy) keep their force; where there are none, ours stand in for them.
  const ownSettings = existsSync(join(homedir(), '.m2', 'settings.xml'));
  try {
    await runToEnd(
      workspace,
      {
        name: 'mvn',
        command: mvn,
        args: ['-B', '-ntp', '-f', join(project, 'pom.xml'), ownSettings ? '-gs' : '-s', join(project, 'settings.xml'), `-Dstack.out=${out}`, 'package'],
        logFile: join(workspace.folder, 'maven.log'),
      },
      signal,
    );
  } catch (cause) {
    signal?.throwIfAborted();
    throw new LockstepError('jars_not_fetched', `Maven could not fetch the jars of Kafka and Debezium: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
      hint: 'check that Maven reaches Central (a mirror or proxy belongs into ~/.m2/settings.xml)',
    });
  }
}

/** @throws LockstepError `jars_checksum` naming every jar that is missing, unknown or not what it was */
async function verify(folder: string, checksums: string): Promise<void> {
  const expected = new Map<string, string>();
  for (const line of checksums.split('\n')) {
    const [sum, file] = line.trim().split(/\s+/);
    if (sum !== undefined && file !== undefined) expected.set(file, sum);
  }
  const wrong: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const file = relative(folder, path).split(sep).join('/');
    const sum = expected.get(file);
    expected.delete(file);
    if (sum === undefined) wrong.push(`${file}: not in the list`);
    else if (sum !== (await sha256(path))) wrong.push(`${file}: another checksum`);
  }
  for (const file of expected.keys()) wrong.push(`${file}: missing`);
  if (wrong.length > 0) {
    throw new LockstepError('jars_checksum', `the fetched jars are not those that were expected:\n${wrong.join('\n')}`, {
      hint: 'nothing of them was kept; if Maven fetches through a mirror, look at what the mirror serves',
    });
  }
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function takeLock(lock: string, done: () => boolean, onProgress: (line: string) => void, signal?: AbortSignal): Promise<void> {
  let told = false;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const file = await open(lock, 'wx');
      await file.writeFile(String(process.pid));
      await file.close();
      return;
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) throw cause;
    }
    if (await isStale(lock)) {
      await rm(lock, { force: true });
      continue;
    }
    if (!told) onProgress('waiting for another process that is fetching the jars');
    told = true;
    if (done()) return;
    await sleep(LOCK_POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
}

async function isStale(lock: string): Promise<boolean> {
  try {
    if (Date.now() - (await stat(lock)).mtimeMs > LOCK_STALE_MS) return true;
    const pid = Number(await readFile(lock, 'utf8'));
    // Just made, its pid not yet written.
    if (!Number.isInteger(pid) || pid <= 0) return false;
    process.kill(pid, 0);
    return false;
  } catch (cause) {
    return cause instanceof Error && 'code' in cause && cause.code === 'ESRCH';
  }
}

/** `test/stack/maven`, seen from the sources as from the build. */
function mavenFolder(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const poms = join(folder, 'test', 'stack', 'maven');
    if (existsSync(join(poms, 'pom.xml'))) return poms;
    if (folder === dirname(folder)) throw new LockstepError('jars_not_fetched', 'test/stack/maven is not there: the package is incomplete');
  }
}
