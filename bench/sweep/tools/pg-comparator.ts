import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { measureCommand } from '../measure.ts';
import type { Scratch } from '../scratch.ts';
import { VALUE_COLUMNS } from '../shapes.ts';
import type { Difference, DifferenceKind } from '../variants.ts';
import { type Bench, lastLine, type Tool } from './tool.ts';

const PACKAGE = 'postgresql-comparator';
const PACKAGES = [PACKAGE, 'libdbi-perl', 'libdbd-pg-perl'];
/** Rows that it reports before it gives up: more than any variant has. */
const MAX_REPORT = '1000000';
const KINDS: Readonly<Record<string, DifferenceKind>> = { INSERT: 'missing', DELETE: 'extra', UPDATE: 'changed' };

/** pg_comparator from Debian, its functions loaded into both databases. @throws when it cannot be installed */
export async function pgComparator(scratch: Scratch, bench: Bench): Promise<Tool> {
  const debian = await scratch.debian('pg-comparator', PACKAGES);
  const { major } = bench.old;
  const module = debian.find(`usr/lib/postgresql/${major}/lib/pgcmp.so`, `its extension is not built for PostgreSQL ${major}`);
  const script = readFileSync(debian.find(/\/extension\/pgcmp--[\d.]+\.sql$/, 'its extension is not there'), 'utf8');
  // What CREATE EXTENSION does, for a library outside the server's own folder.
  const sql = script.replaceAll(/^\\echo.*$/gm, '').replaceAll('MODULE_PATHNAME', module.replace(/\.so$/, ''));
  for (const server of [bench.old, bench.new]) await server.query(sql);
  const program = debian.find('usr/bin/pg_comparator', 'its program is not there');
  const env = { PERL5LIB: debian.perlFolders().join(':') };
  return {
    name: 'pg_comparator',
    version: debian.version(PACKAGE),
    call: `pg_comparator --max-report ${MAX_REPORT}`,
    async run(_bench, { tables, shape }) {
      const stdout = join(bench.folder, 'pg-comparator.txt');
      const stderr = join(bench.folder, 'pg-comparator.log');
      const columns = `${shape.keyColumns.join(',')}:${VALUE_COLUMNS.join(',')}`;
      const url = (server: Bench['old'], table: string): string => `${server.url().replace('postgres:', 'pgsql:')}/${table}?${columns}`;
      const args = [program, '--max-report', MAX_REPORT, url(bench.old, tables.old), url(bench.new, tables.new)];
      const usage = await measureCommand({ file: 'perl', args, env, stdout, stderr }, bench.postmasters);
      if (usage.exitCode !== 0) throw new Error(`it ended with ${usage.exitCode}: ${lastLine(readFileSync(stderr, 'utf8'))}`);
      return { usage, found: readComparatorLines(readFileSync(stdout, 'utf8')) };
    },
  };
}

/** Reads lines of `INSERT key`, `DELETE key` and `UPDATE key`, a key's columns apart by spaces. */
export function readComparatorLines(text: string): Difference[] {
  return text.split('\n').flatMap((line): Difference[] => {
    const [verb = '', ...key] = line.trim().split(' ');
    const kind = KINDS[verb];
    return kind === undefined ? [] : [{ key, kind, columns: null }];
  });
}
