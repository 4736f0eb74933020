import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** package.json is two levels up in the sources and three in what is built from them. */
const MAX_LEVELS = 4;

/** Version of this package; `unknown` where its package.json is not found. */
export function packageVersion(): string {
  let folder = import.meta.dirname;
  for (let level = 0; level < MAX_LEVELS; level++) {
    const file = join(folder, 'package.json');
    if (existsSync(file)) {
      const content = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string };
      if (content.name === 'lockstep') return content.version ?? 'unknown';
    }
    folder = dirname(folder);
  }
  return 'unknown';
}
