import type { Case } from './pair.ts';
import { isExact, type Score, scoreFindings } from './score.ts';
import type { Usage } from './measure.ts';
import type { Bench, Tool } from './tools/tool.ts';

/** One run of one tool on one case. */
export interface Run {
  readonly tool: string;
  readonly subject: Case;
  /** The path that Lockstep took. */
  readonly strategy: string | null;
  readonly usage: Usage;
  /** null: the tool looks for no rows. */
  readonly score: Score | null;
}

/** A tool that did not get through a case. */
export interface Failure {
  readonly tool: string;
  readonly subject: Case;
  readonly message: string;
}

export interface Results {
  readonly runs: readonly Run[];
  readonly failures: readonly Failure[];
}

/**
 * Runs all tools on each case in turn, `rounds` times, each round beginning with another tool, so that a busy moment
 * weighs on all alike. A tool that fails on a case is not run on it again.
 */
export async function runRounds(bench: Bench, cases: readonly Case[], tools: readonly Tool[], rounds: number, report: (line: string) => void): Promise<Results> {
  const runs: Run[] = [];
  const failures: Failure[] = [];
  for (const subject of cases) {
    await warm(bench, subject);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < tools.length; turn++) {
        const tool = tools[(round + turn) % tools.length] as Tool;
        if (failures.some((failure) => failure.tool === tool.name && failure.subject === subject)) continue;
        try {
          const { usage, found, strategy } = await tool.run(bench, subject);
          const run: Run = { tool: tool.name, subject, strategy: strategy ?? null, usage, score: found === null ? null : scoreFindings(subject.differences, found) };
          runs.push(run);
          report(progressLine(run, round + 1));
        } catch (error) {
          const message = error instanceof Error ? error.message : String(error);
          failures.push({ tool: tool.name, subject, message });
          report(`${tool.name} failed on ${subject.tables.new}: ${message}`);
        }
      }
    }
  }
  return { runs, failures };
}

/**
 * Reads both tables once: the first tool finds them in memory as the next ones do. By the index, for a scan of a large table
 * leaves none of it in the server's own memory.
 */
async function warm(bench: Bench, { tables, shape }: Case): Promise<void> {
  const read = (table: string): string => `BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL max_parallel_workers_per_gather = 0;
SELECT count(note), count(details) FROM ${table} WHERE ${shape.keyColumns[0]} IS NOT NULL; COMMIT`;
  await Promise.all((['old', 'new'] as const).map((side) => bench[side].query(read(tables[side]))));
}

function progressLine({ tool, subject, strategy, usage, score }: Run, round: number): string {
  const found = score === null ? '' : isExact(score) ? ', exact' : `, ${JSON.stringify(score)}`;
  const memory = usage.clientPeakMiB === null ? '' : `, ${usage.clientPeakMiB.toFixed(0)} MiB`;
  return `${subject.tables.new} round ${round}: ${tool}${strategy === null ? '' : ` (${strategy})`} ${usage.wallS.toFixed(2)} s, CPU ${usage.clientCpuS.toFixed(2)} + ${usage.serverCpuS.toFixed(2)} s${memory}${found}`;
}
