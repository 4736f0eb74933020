import type { DemoResult, PauseOutcome } from './demo.ts';
import type { Finding } from './ledger.ts';
import { columns, seconds, shortKey } from './text.ts';

/** False reports and misses that are listed one by one. */
const LISTED_MAX = 20;

/** The report of a finished demo, lines for a person. */
export function reportLines(result: DemoResult): string[] {
  const { judgement, load, verified } = result;
  const planted = judgement.findings.filter((finding) => finding.entry.origin === 'planted');
  const made = judgement.findings.filter((finding) => finding.entry.origin === 'pipeline');
  const faulty = judgement.findings.filter((finding) => finding.fault !== null);
  const perSecond = (count: number): string => (count / (verified.elapsedMs / 1000)).toFixed(0);
  return [
    `Lockstep demo over ${result.pipeline}`,
    `Load: ${load.committed} transactions in ${seconds(load.durationMs)} (${(load.committed / (load.durationMs / 1000)).toFixed(0)} a second), ${load.rowChanges} row changes, ${load.rolledBack} rolled back${load.failed === 0 ? '' : `, ${load.failed} failed (${load.lastError ?? ''})`}`,
    '',
    'Planted on new',
    ...indent(
      planted.length === 0
        ? ['nothing was planted yet']
        : columns(
            ['what', 'row', 'found as', 'columns', 'by', 'after'],
            planted.map(({ entry, drift, afterMs }) => [
              entry.what,
              shortKey(entry.table, entry.key),
              drift?.kind ?? 'NOT FOUND',
              entry.columns === null ? '' : (drift?.columns.join(', ') ?? ''),
              drift?.foundBy ?? '',
              afterMs === null ? '' : seconds(afterMs),
            ]),
            [5],
          ),
    ),
    '',
    'Made by the pipeline itself',
    ...indent(made.length === 0 ? ['nothing: both databases differ only in what was planted'] : madeLines(made)),
    '',
    'Why it drifted',
    ...indent(result.causes.length === 0 ? ['nothing drifts'] : result.causes),
    '',
    'Sink held up',
    ...indent(pauseLines(result.pause)),
    '',
    `Not found or wrongly described: ${faulty.length === 0 ? 'none' : faulty.length}`,
    ...indent(faulty.slice(0, LISTED_MAX).map(({ entry, fault }) => `${entry.what}: ${shortKey(entry.table, entry.key)}: ${fault ?? ''}`)),
    `Reported falsely: ${judgement.falseReports.length === 0 ? 'none' : judgement.falseReports.length}`,
    ...indent(judgement.falseReports.slice(0, LISTED_MAX).map((drift) => `${drift.kind} (${drift.status}, by ${drift.foundBy}): ${shortKey(drift.table, drift.key)}: ${drift.columns.join(', ')}`)),
    '',
    'Replication lag',
    ...indent(
      columns(
        ['table', 'p50', 'p95', 'p99', 'samples', 'exact', 'over budget'],
        result.lag.map((lag) => [lag.table, ms(lag.p50_ms), ms(lag.p95_ms), ms(lag.p99_ms), String(lag.samples), lag.exact_ratio === null ? '-' : `${Math.round(lag.exact_ratio * 100)} %`, String(lag.breaches)]),
        [1, 2, 3, 4, 5, 6],
      ),
    ),
    ...(result.source === 'postgres' ? indent(["native replication hands old's commit times on to new: lag is bounded by two reads, never exact"]) : []),
    '',
    `Verified in ${seconds(verified.elapsedMs)}: ${verified.events} change events (${perSecond(verified.events)} a second), ${verified.checks} changed rows equal on both sides (${perSecond(verified.checks)} a second), ${verified.sweptRows} rows swept (${perSecond(verified.sweptRows)} a second)`,
    `Unverifiable: ${result.unverifiable}; dead letters: ${result.deadLetters}`,
    ...result.remarks.map((remark) => `Remark: ${remark}`),
    '',
    result.passed
      ? `Passed: all ${judgement.findings.length} differences were found and rightly described, and nothing else was reported.`
      : `Failed: ${faulty.length} of ${judgement.findings.length} differences not found or wrongly described, ${judgement.falseReports.length} reported falsely${result.pause !== null && !result.pause.shown ? ', the pause was not seen' : ''}${result.pause !== null && !result.pause.stoodStill ? ', verified-through did not stand still while the sink did' : ''}${result.remarks.length === 0 ? '' : ', and there are remarks'}.`,
  ];
}

/** One line for each thing that the pipeline does to data. */
function madeLines(made: readonly Finding[]): string[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of made) groups.set(finding.entry.what, [...(groups.get(finding.entry.what) ?? []), finding]);
  return [...groups].map(([what, findings]) => {
    const found = findings.filter((finding) => finding.fault === null);
    const by = [...new Set(found.map((finding) => finding.drift?.foundBy))].join(' and ');
    const after = found.flatMap((finding) => (finding.afterMs === null ? [] : [finding.afterMs])).sort((one, other) => one - other);
    const soon = after.length === 0 ? '' : `, after ${seconds(after[Math.floor(after.length / 2)] ?? 0)} (median), ${seconds(after.at(-1) ?? 0)} at most`;
    return `${what}: ${findings.length} rows, ${found.length} found${by === '' ? '' : ` by ${by}`}${soon}`;
  });
}

function pauseLines(pause: PauseOutcome | null): string[] {
  if (pause === null) return ['not yet'];
  const shown = pause.findings.map(({ finding, afterMs }) => `${finding} after ${seconds(afterMs)}`);
  return [
    `${pause.description} for ${seconds(pause.durationMs)}; ${pause.breaches} changes over the lag budget; shown as ${shown.length === 0 ? 'no pipeline finding' : shown.join(', ')}`,
    pause.verifiedBeyondMs === null
      ? 'there was no verified-through meanwhile'
      : pause.stoodStill
        ? 'verified-through stood still meanwhile'
        : `verified-through went ${seconds(pause.verifiedBeyondMs)} beyond the moment the sink stood`,
  ];
}

function ms(value: number | null): string {
  return value === null ? '-' : `${Math.round(value)} ms`;
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}
