import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { measureCommand } from '../measure.ts';
import type { Case } from '../pair.ts';
import type { Scratch } from '../scratch.ts';
import { VALUE_COLUMNS } from '../shapes.ts';
import type { Difference } from '../variants.ts';
import { type Bench, lastLine, type RunResult, type Tool } from './tool.ts';

/** What a tool of this family needs to be installed and called. */
interface Family {
  readonly name: 'reladiff' | 'data-diff';
  readonly version: string;
  readonly packages: readonly string[];
  readonly flags: readonly string[];
}

const FAMILIES: readonly Family[] = [
  {
    name: 'reladiff',
    version: '0.6.0',
    packages: ['reladiff==0.6.0', 'psycopg2-binary'],
    // Without it, a change between NULL and a value ends it half-way.
    flags: ['--skip-sort-results'],
  },
  {
    name: 'data-diff',
    version: '0.11.2',
    // It is no longer kept: what it stands on has to be of its time.
    packages: ['data-diff==0.11.2', 'dbt-core<1.8', 'pydantic<2', 'psycopg2-binary', 'setuptools<81'],
    flags: ['--no-tracking'],
  },
];

/** Wider than a row of these tables: both wrap JSON at the terminal's width, and pad their warnings to it. */
const COLUMNS = '1000';
const RECORD = /^\["[-+]", \[/;

/** reladiff and data-diff, each in an environment of its own. @throws when it cannot be installed */
export async function pythonTool(name: Family['name'], scratch: Scratch): Promise<Tool> {
  const family = FAMILIES.find((candidate) => candidate.name === name) as Family;
  const bin = await scratch.python(family.name, family.packages);
  return {
    name: family.name,
    version: family.version,
    call: [family.name, '--json', ...family.flags].join(' '),
    run: (bench, subject) => runPython(join(bin, family.name), family.flags, bench, subject),
  };
}

async function runPython(file: string, flags: readonly string[], bench: Bench, subject: Case): Promise<RunResult> {
  const stdout = join(bench.folder, 'python-tool.jsonl');
  const stderr = join(bench.folder, 'python-tool.log');
  // data-diff wants a password, which a server that trusts all does not read.
  const url = (server: Bench['old']): string => server.url().replace('postgres://postgres@', 'postgresql://postgres:none@');
  const args = [
    url(bench.old),
    subject.tables.old,
    url(bench.new),
    subject.tables.new,
    ...subject.shape.keyColumns.flatMap((column) => ['-k', column]),
    ...VALUE_COLUMNS.flatMap((column) => ['-c', column]),
    '--json',
    ...flags,
  ];
  const usage = await measureCommand({ file, args, env: { COLUMNS }, stdout, stderr }, bench.postmasters);
  const errors = readFileSync(stderr, 'utf8');
  // Both end with 0 whatever happens.
  if (usage.exitCode !== 0 || errors.includes('Traceback')) throw new Error(`it ended with ${usage.exitCode}: ${lastLine(errors)}`);
  return { usage, found: readJsonLines(readFileSync(stdout, 'utf8'), subject.shape.keyColumns.length) };
}

/**
 * Reads lines of `["-", [key…, values…]]` (old's row) and `["+", …]` (new's), wrapped or not, and skips warnings.
 * @throws when the last one is cut off
 */
export function readJsonLines(text: string, keyColumns: number): Difference[] {
  const sides = new Map<string, { readonly key: readonly string[]; readonly old: boolean; readonly new: boolean }>();
  let begun = '';
  for (const line of text.split('\n')) {
    if (begun === '' && !RECORD.test(line)) continue;
    begun = begun === '' ? line : `${begun} ${line}`;
    const record = complete(begun);
    if (record === null) continue;
    begun = '';
    const [sign, values] = record;
    const key = values.slice(0, keyColumns).map(String);
    const seen = sides.get(JSON.stringify(key)) ?? { key, old: false, new: false };
    sides.set(JSON.stringify(key), { key, old: seen.old || sign === '-', new: seen.new || sign === '+' });
  }
  if (begun !== '') throw new Error('its output is cut off');
  return [...sides.values()].map(({ key, old, new: replica }): Difference => ({ key, kind: old && replica ? 'changed' : old ? 'missing' : 'extra', columns: null }));
}

function complete(text: string): ['-' | '+', unknown[]] | null {
  if (!text.endsWith(']]')) return null;
  try {
    return JSON.parse(text) as ['-' | '+', unknown[]];
  } catch {
    return null;
  }
}
