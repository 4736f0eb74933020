import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The broker, the worker and the connectors run on nothing older. */
const OLDEST_JAVA = 17;

export type JavaFound = { readonly ok: true; readonly java: string; readonly mvn: string } | { readonly ok: false; readonly reason: string };

/** Looks for Java 17 or newer (JAVA_HOME, then PATH) and for Maven, which fetches the jars. */
export function detectJava(): JavaFound {
  const java = findJava();
  if (java === null) return { ok: false, reason: 'no Java found (neither in JAVA_HOME nor on the PATH)' };
  const version = javaVersion(java);
  if (version === null) return { ok: false, reason: `${java} does not run` };
  if (version < OLDEST_JAVA) return { ok: false, reason: `Java ${version} found, ${OLDEST_JAVA} or newer needed` };
  const mvn = onPath('mvn');
  if (mvn === null) return { ok: false, reason: `Java ${version} found, but no Maven (mvn) to fetch Kafka and Debezium with` };
  return { ok: true, java, mvn };
}

function findJava(): string | null {
  const home = process.env['JAVA_HOME'];
  if (home !== undefined && home !== '') {
    const java = join(home, 'bin', executable('java'));
    if (existsSync(java)) return java;
  }
  return onPath('java');
}

function javaVersion(java: string): number | null {
  const asked = spawnSync(java, ['-version'], { encoding: 'utf8' });
  const found = /version "(?:1\.)?(\d+)/.exec(`${asked.stderr ?? ''}${asked.stdout ?? ''}`)?.[1];
  return found === undefined ? null : Number(found);
}

function onPath(name: string): string | null {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const file = join(folder, executable(name));
    if (folder !== '' && existsSync(file)) return file;
  }
  return null;
}

function executable(name: string): string {
  if (process.platform !== 'win32') return name;
  return name === 'mvn' ? 'mvn.cmd' : `${name}.exe`;
}
