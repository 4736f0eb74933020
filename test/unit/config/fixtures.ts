import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load.ts';
import type { ConfigSources } from '../../../src/config/load.ts';
import { ConfigError, problemLine } from '../../../src/config/problems.ts';

/** The least that is a configuration. */
export const MINIMAL = `migration: payments
databases:
  old: { url: "postgres://u:pw@old.test:5432/app" }
  new: { url: "postgres://u@new.test:5432/app" }
tables:
  - old: public.payments
`;

/** A temporary folder with files, removed by `remove`. */
export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), 'lockstep-config-'));

  write(name: string, content: string): string {
    const file = join(this.path, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    return file;
  }

  load(yaml: string, sources: Partial<ConfigSources> = {}): Config {
    return loadConfig({ file: this.write('lockstep.yaml', yaml), env: {}, flags: {}, ...sources });
  }

  /** The problem lines of a configuration that must not load; the folder's path is taken out. */
  problems(yaml: string, sources: Partial<ConfigSources> = {}): string[] {
    try {
      this.load(yaml, sources);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return error.problems.map((problem) => problemLine(problem).replaceAll(`${this.path}/`, ''));
    }
    throw new Error('this configuration should not load');
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
