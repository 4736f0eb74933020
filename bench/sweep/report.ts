import { cpus, totalmem } from 'node:os';
import type { Case } from './pair.ts';
import type { Results, Run } from './rounds.ts';
import type { Score } from './score.ts';
import { median, spread } from './statistics.ts';
import { type IncrementalTimes, SPREADS } from './incremental.ts';
import { judge, judgeIncremental, type Threshold, THRESHOLD_ROWS } from './thresholds.ts';
import type { AbsentTool, Tool } from './tools/tool.ts';

/** Above this share of the CPU for other processes figures are rough. */
const ROUGH_SHARE = 0.05;

const VARIANT_TEXT: Readonly<Record<Case['variant'], string>> = {
  identical: 'no difference',
  d10: '3 missing, 3 extra, 4 changed',
  d5k: 'missing, extra, and three kinds of change, scattered alike',
  block: 'neighbours missing',
};

export interface ReportInput {
  readonly command: string;
  readonly postgresVersion: string;
  readonly mixedRows: number;
  readonly rounds: number;
  readonly cases: readonly Case[];
  readonly tools: readonly Tool[];
  readonly absent: readonly AbsentTool[];
  readonly notes: readonly string[];
  readonly results: Results;
}

/** The section of docs/BENCHMARKS.md, without its title. */
export function reportLines(input: ReportInput): string[] {
  const { results, cases, tools, absent } = input;
  return [
    `\`${input.command}\`: two PostgreSQL ${input.postgresVersion} and the tools on ${machine()}.`,
    `All columns compared, tables in memory, each tool in turn on the same pair, ${input.rounds} ${input.rounds === 1 ? 'round' : 'rounds'}; median, and least and most in brackets. Wall time includes start-up. "Right" means key and kind as planted, and the columns where the tool names them.`,
    othersLine(results.runs.map(({ usage }) => usage.othersShare)),
    '',
    ...tools.map(({ name, version, call }) => `- ${name}${version === '' ? '' : ` ${version}`}: ${call.startsWith('the ') ? call : `\`${call}\``}`),
    ...absent.map(({ name, reason }) => `- ${name}: **not measured**: ${reason}`),
    ...input.notes.map((note) => `- ${note}`),
    '',
    ...thresholdLines(judge(results.runs), input.mixedRows),
    ...cases.flatMap((subject) => caseLines(subject, tools, results)),
  ];
}

export interface IncrementalReportInput extends Pick<ReportInput, 'command' | 'postgresVersion' | 'mixedRows' | 'rounds'> {
  readonly times: IncrementalTimes;
  /** Share of the CPU that went to others meanwhile. */
  readonly othersShare: number;
}

/** The section on incremental sweeps, without its title. */
export function incrementalLines({ command, postgresVersion, mixedRows, rounds, times, othersShare }: IncrementalReportInput): string[] {
  const line = (name: string, took: readonly number[]): string => `| ${name} | ${spread(took.map((ms) => ms / 1000), 3)} |`;
  return [
    `\`${command}\`: \`lockstep run\` beside two PostgreSQL ${postgresVersion} with native logical replication between them, all on ${machine()}.`,
    `The mixed table of ${mixedRows} rows; in each of ${rounds} ${rounds === 1 ? 'round' : 'rounds'} a full sweep, then updates within 1 % of the key space and an incremental sweep, then updates over all of it and another one. Times are the service's own, from a sweep's start to its end with all suspects settled; median, and least and most in brackets.`,
    othersLine([othersShare]),
    '',
    '| sweep | s |',
    '|---|---|',
    line('full', times.full),
    ...SPREADS.map((name) => line(`incremental after ${times.updates[name]} ${name} updates`, times.incremental[name])),
    '',
    ...thresholdLines(judgeIncremental(times), mixedRows),
  ];
}

function machine(): string {
  return `one machine of ${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
}

/** @param shares of the CPU that went to others, run by run */
function othersLine(shares: readonly number[]): string {
  if (shares.length === 0) return '';
  const [middle, most] = [median(shares), Math.max(...shares)];
  const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
  const figures = `Other processes took ${percent(middle)} of the CPU meanwhile${shares.length === 1 ? '' : ` (most: ${percent(most)})`}`;
  return middle > ROUGH_SHARE ? `${figures}: **these figures are rough**.` : `${figures}.`;
}

function thresholdLines(thresholds: readonly Threshold[], mixedRows: number): string[] {
  const rows = thresholds.map(({ what, wanted, measured, holds }) => `| ${what} | ${measured ?? '–'} | ${wanted} | ${holds === null ? 'not measured' : holds ? 'yes' : '**no**'} |`);
  const scale = mixedRows === THRESHOLD_ROWS ? '' : ` They are meant for ${THRESHOLD_ROWS} rows; these are ${mixedRows}.`;
  return [`Ratios of the medians against what is promised.${scale}`, '', '| | measured | promised | holds |', '|---|---|---|---|', ...rows, ''];
}

function caseLines(subject: Case, tools: readonly Tool[], { runs, failures }: Results): string[] {
  const { shape, variant, rows, differences } = subject;
  const lines = tools.flatMap(({ name }) => {
    const failure = failures.find((one) => one.tool === name && one.subject === subject);
    if (failure !== undefined) return [`| ${name} | failed: ${failure.message.replaceAll(/\s+/g, ' ').replaceAll('|', '/').slice(0, 200)} | | | | | | |`];
    const own = runs.filter((run) => run.tool === name && run.subject === subject);
    return own.length === 0 ? [] : [toolLine(name, own)];
  });
  return [
    `### ${shape.name}, ${variant}`,
    '',
    `${rows} rows, key (${shape.keyColumns.join(', ')}); ${VARIANT_TEXT[variant]}${differences.length === 0 ? '' : `: ${differences.length} rows differ`}.`,
    '',
    '| tool | wall s | client CPU s | servers CPU s | client memory MiB | right | missed | false |',
    '|---|---|---|---|---|---|---|---|',
    ...lines,
    '',
  ];
}

function toolLine(name: string, runs: readonly Run[]): string {
  const of = (pick: (run: Run) => number): number[] => runs.map(pick);
  const peaks = runs.map(({ usage }) => usage.clientPeakMiB).filter((peak) => peak !== null);
  const strategies = [...new Set(runs.map(({ strategy }) => strategy).filter((strategy) => strategy !== null))];
  const cells = [
    strategies.length === 0 ? name : `${name} (took ${strategies.join(', ')})`,
    spread(of(({ usage }) => usage.wallS), 2),
    median(of(({ usage }) => usage.clientCpuS)).toFixed(2),
    median(of(({ usage }) => usage.serverCpuS)).toFixed(2),
    peaks.length === 0 ? '–' : Math.max(...peaks).toFixed(0),
    ...scoreCells(runs),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** The worst of the runs: a tool is exact when it is so every time. */
function scoreCells(runs: readonly Run[]): string[] {
  const scores = runs.map(({ score }) => score).filter((score): score is Score => score !== null);
  if (scores.length === 0) return ['–', '–', '–'];
  const least = Math.min(...scores.map(({ right }) => right));
  const wrong = Math.max(...scores.map((score) => score.wrong));
  const right = `${least} of ${scores[0]?.planted ?? 0}${wrong === 0 ? '' : `, ${wrong} otherwise`}`;
  return [right, ...[Math.max(...scores.map(({ missed }) => missed)), Math.max(...scores.map((score) => score.false))].map((count) => (count === 0 ? '0' : `**${count}**`))];
}
