// What a sweep costs beside other tools and beside the limit of the method, and whether each finds what differs.
// npm run bench:sweep [-- --help]
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OneTable } from '../test/pipeline/live-sweep/one-table.ts';
import { replicate } from '../test/pipeline/live-sweep/replication.ts';
import { writeSection } from './document.ts';
import { type Options, readOptions, type StrategyName, USAGE } from './sweep/options.ts';
import { type IncrementalTimes, runIncremental } from './sweep/incremental.ts';
import { measureWork } from './sweep/measure.ts';
import { type BenchPair, type Case, openPair, prepareAll } from './sweep/pair.ts';
import { incrementalLines, reportLines } from './sweep/report.ts';
import { runRounds } from './sweep/rounds.ts';
import { isExact } from './sweep/score.ts';
import { Scratch } from './sweep/scratch.ts';
import { fillSql, SHAPES } from './sweep/shapes.ts';
import { limitTool } from './sweep/tools/limit.ts';
import { lockstepTool } from './sweep/tools/lockstep.ts';
import { pgComparator } from './sweep/tools/pg-comparator.ts';
import { pythonTool } from './sweep/tools/python.ts';
import type { AbsentTool, Bench, Tool } from './sweep/tools/tool.ts';

const PROBE_TABLE = 'probe';
const PROBE_ROWS = 100;

const report = (line: string): void => console.error(line);

/** Lockstep by each path that this build has; the others are named in a note. */
async function lockstepTools(bench: Bench, strategies: readonly StrategyName[]): Promise<{ tools: Tool[]; notes: string[] }> {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  for (const server of [bench.old, bench.new]) for (const statement of fillSql(SHAPES.mixed, PROBE_TABLE, PROBE_ROWS)) await server.query(statement);
  const probe: Case = { shape: SHAPES.mixed, variant: 'identical', rows: PROBE_ROWS, tables: { old: PROBE_TABLE, new: PROBE_TABLE }, differences: [] };
  const tools: Tool[] = [];
  const notes: string[] = [];
  const taken = new Map<string, string>();
  for (const strategy of strategies) {
    const tool = lockstepTool(strategy, version);
    const { strategy: path = '' } = await tool.run(bench, probe);
    const same = taken.get(path);
    if (same !== undefined) notes.push(`${tool.name}: takes the same path as ${same} (${path}), not measured again`);
    else if (strategy !== 'auto' && path !== strategy) notes.push(`${tool.name}: this build takes ${path} instead, not measured`);
    else {
      taken.set(path, tool.name);
      tools.push(tool);
    }
  }
  return { tools, notes };
}

async function peers(bench: Bench, options: Options, scratch: Scratch): Promise<{ tools: Tool[]; absent: AbsentTool[] }> {
  const tools: Tool[] = [];
  const absent: AbsentTool[] = [];
  const installers = {
    reladiff: () => pythonTool('reladiff', scratch),
    'data-diff': () => pythonTool('data-diff', scratch),
    pg_comparator: () => pgComparator(scratch, bench),
  };
  for (const name of ['reladiff', 'data-diff', 'pg_comparator'] as const) {
    if (!options.tools.includes(name)) {
      absent.push({ name, reason: 'not asked for' });
      continue;
    }
    report(`installing ${name}`);
    try {
      tools.push(await installers[name]());
    } catch (error) {
      const reason = `cannot be installed: ${error instanceof Error ? error.message : String(error)}`;
      absent.push({ name, reason: reason.replaceAll(/\s+/g, ' ') });
      report(`${name} ${reason}`);
    }
  }
  return { tools, absent };
}

async function comparison(options: Options, args: readonly string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-bench-output-'));
  const peersFolder = options.keep ? join(tmpdir(), 'lockstep-bench-peers') : mkdtempSync(join(tmpdir(), 'lockstep-bench-peers-'));
  const pair = await openPair({ rows: options.rows, keep: options.keep, report });
  try {
    const bench: Bench = { old: pair.old, new: pair.new, postmasters: [pair.old.pid, pair.new.pid], folder };
    const own = options.tools.includes('lockstep') ? await lockstepTools(bench, options.strategies) : { tools: [], notes: [] };
    const others = await peers(bench, options, new Scratch(peersFolder));
    const tools = [...own.tools, ...(options.tools.includes('limit') ? [limitTool] : []), ...others.tools];
    const cases = await prepareAll(pair, options.shapes, options.variants);
    const results = await runRounds(bench, cases, tools, options.runs, report);
    const lines = reportLines({
      command: commandOf(args),
      postgresVersion: await versionOf(pair),
      mixedRows: options.rows,
      rounds: options.runs,
      cases,
      tools,
      absent: others.absent,
      notes: own.notes,
      results,
    });
    if (options.write) writeSection('Sweep: against other tools and the limit', lines);
    else console.log(lines.join('\n'));
    const wrong = results.runs.filter(({ tool, score }) => tool.startsWith('lockstep') && score !== null && !isExact(score));
    const failed = results.failures.filter(({ tool }) => tool.startsWith('lockstep') || tool === limitTool.name);
    for (const { tool, subject, score } of wrong) report(`${tool} is wrong on ${subject.tables.new}: ${JSON.stringify(score)}`);
    return wrong.length + failed.length === 0 ? 0 : 1;
  } finally {
    await pair.stop();
    rmSync(folder, { recursive: true, force: true });
    if (!options.keep) rmSync(peersFolder, { recursive: true, force: true });
  }
}

/** Full against incremental sweeps. The tables are always built anew: updates would make kept ones differ from what they are for. */
async function incremental(options: Options, args: readonly string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-bench-service-'));
  const pair = await openPair({ rows: options.rows, keep: false, report });
  let run: OneTable | null = null;
  try {
    const subject = await pair.prepare('mixed', 'identical');
    await replicate({ old: pair.old, new: pair.new, table: subject.tables.old });
    const started = await OneTable.start({ old: pair.old, new: pair.new, table: `public.${subject.tables.old}`, folder });
    run = started;
    let times: IncrementalTimes | null = null;
    const usage = await measureWork(async () => {
      times = await runIncremental(pair.old, started, subject, options.runs, report);
    }, [pair.old.pid, pair.new.pid, started.service.pid ?? 0]);
    if (times === null) throw new Error('nothing was measured');
    const lines = incrementalLines({ command: commandOf(args), postgresVersion: await versionOf(pair), mixedRows: options.rows, rounds: options.runs, times, othersShare: usage.othersShare });
    if (options.write) writeSection('Sweep: incremental against full', lines);
    else console.log(lines.join('\n'));
    return 0;
  } finally {
    await run?.service.stop();
    await pair.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function commandOf(args: readonly string[]): string {
  return ['npm run bench:sweep', ...(args.length === 0 ? [] : ['--', ...args])].join(' ');
}

async function versionOf(pair: BenchPair): Promise<string> {
  const [version] = await pair.old.query<{ server_version: string }>('SHOW server_version');
  return version?.server_version.split(' ')[0] ?? '';
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  return options.incremental ? incremental(options, args) : comparison(options, args);
}

const args = process.argv.slice(2);
if (args.includes('--help')) console.log(USAGE);
else process.exitCode = await main(args);
