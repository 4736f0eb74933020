import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../../../src/config/load.ts';
import type { Config, DigestStrategy } from '../../../src/config/config.ts';
import { measureCommand } from '../measure.ts';
import type { Case } from '../pair.ts';
import type { Difference, DifferenceKind } from '../variants.ts';
import type { Bench, RunResult, Tool } from './tool.ts';

const MAIN = join('dist', 'src', 'main.js');

/** `lockstep check`, the built command line. */
export function lockstepTool(strategy: DigestStrategy, version: string): Tool {
  return {
    name: `lockstep ${strategy}`,
    version,
    call: `lockstep check --format json --strategy ${strategy}`,
    run: (bench, subject) => runLockstep(bench, subject, strategy),
  };
}

async function runLockstep(bench: Bench, subject: Case, strategy: DigestStrategy): Promise<RunResult> {
  const stdout = join(bench.folder, 'lockstep.json');
  const stderr = join(bench.folder, 'lockstep.log');
  const usage = await measureCommand(
    { file: process.execPath, args: [MAIN, 'check', '-c', configFile(bench, subject), '--format', 'json', '--strategy', strategy], env: {}, stdout, stderr },
    bench.postmasters,
  );
  if (usage.exitCode !== 0 && usage.exitCode !== 1) {
    throw new Error(`lockstep check ended with ${usage.exitCode}: ${readFileSync(stdout, 'utf8').slice(0, 500)} ${readFileSync(stderr, 'utf8').slice(-2000)}`);
  }
  const report = readReport(readFileSync(stdout, 'utf8'), subject.shape.keyColumns);
  return { usage, found: report.found, strategy: report.strategy };
}

/** Reads what `check --format json` prints. */
export function readReport(text: string, keyColumns: readonly string[]): { readonly found: readonly Difference[]; readonly strategy: string } {
  const report = JSON.parse(text) as {
    readonly tables: readonly { readonly strategy: string }[];
    readonly drift: readonly { readonly key: Readonly<Record<string, unknown>>; readonly kind: string; readonly columns: readonly string[] }[];
  };
  const found = report.drift.map(({ key, kind, columns }): Difference => {
    const named = kindOf(kind);
    return { key: keyColumns.map((column) => String(key[column])), kind: named, columns: named === 'changed' ? columns : null };
  });
  return { found, strategy: report.tables[0]?.strategy ?? 'unknown' };
}

function kindOf(kind: string): DifferenceKind {
  return kind === 'missing' || kind === 'extra' ? kind : 'changed';
}

/** Lockstep's configuration for a case. Nothing writes to the pair: a row that differs is not in flight, so none is waited for. */
export function configFile(bench: Bench, { tables, shape, variant }: Case): string {
  const file = join(bench.folder, `${shape.name}-${variant}.yaml`);
  writeFileSync(
    file,
    `migration: bench
databases:
  old: { url: "${bench.old.url()}" }
  new: { url: "${bench.new.url()}" }
slo: { settle: 0ms }
samples: { values: full }
tables:
  - old: public.${tables.old}
    new: public.${tables.new}
`,
  );
  return file;
}

/** The same configuration, loaded. */
export function configOf(bench: Bench, subject: Case): Config {
  return loadConfig({ file: configFile(bench, subject), env: {}, flags: {} });
}
