import { groupDrift, groupSentence } from '../domain/causes/groups.ts';
import { driftGroupJson, driftJson } from '../domain/drift-json.ts';
import type { Drift, RowSample } from '../domain/drift.ts';
import type { CheckOutcome } from '../domain/outcome.ts';
import { formatElapsed, textTable } from './text-table.ts';

export type CheckFormat = 'text' | 'json' | 'ndjson';

/** What `check` prints, with its last line break; empty for ndjson without drift. */
export function checkReport(outcome: CheckOutcome, format: CheckFormat): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(asJson(outcome), null, 2)}\n`;
    case 'ndjson':
      return outcome.drift.map((drift) => `${JSON.stringify(driftJson(drift))}\n`).join('');
    case 'text':
      return asText(outcome);
  }
}

function asJson(outcome: CheckOutcome): unknown {
  return {
    verdict: outcome.verdict,
    reason: outcome.reason,
    tables: outcome.tables.map((table) => ({
      table: table.table,
      rows: { old: exactNumber(table.rows.old), new: exactNumber(table.rows.new) },
      drift: table.drift,
      strategy: table.strategy,
      strategy_reason: table.strategyReason,
      elapsed_seconds: table.elapsedMs / 1000,
      findings: table.findings.map(({ severity, message }) => ({ severity, message })),
    })),
    drift: outcome.drift.map(driftJson),
    causes: groupDrift(outcome.drift).map(driftGroupJson),
  };
}

/** A row count as a JSON number; as text beyond what a double holds exactly. */
function exactNumber(decimal: string): number | string {
  const value = Number(decimal);
  return Number.isSafeInteger(value) ? value : decimal;
}

function asText(outcome: CheckOutcome): string {
  const lines = textTable(
    ['table', 'old rows', 'new rows', 'drift', 'strategy', 'time'],
    outcome.tables.map((table) => [
      table.table,
      table.rows.old,
      table.rows.new,
      String(table.drift),
      table.strategy,
      formatElapsed(table.elapsedMs),
    ]),
    ['left', 'right', 'right', 'right', 'left', 'right'],
  );
  const findings = outcome.tables.flatMap((table) => table.findings);
  if (findings.length > 0) lines.push('', ...findings.map(({ severity, message }) => `${severity.padEnd(10)}  ${message}`));
  if (outcome.drift.length > 0) lines.push('', ...outcome.drift.map(driftLine));
  if (outcome.drift.length > 0) lines.push('', ...groupDrift(outcome.drift).map(groupSentence));
  lines.push('', verdictLine(outcome));
  return `${lines.join('\n')}\n`;
}

function driftLine(drift: Drift): string {
  const columns = drift.kind === 'missing' || drift.kind === 'extra' ? '' : `  ${drift.columns.join(', ')}`;
  const cause = drift.cause === null ? '' : `  (${drift.cause.message})`;
  return `${drift.kind.padEnd(10)}  ${drift.table}  ${sampleText(drift.key)}${columns}${cause}`;
}

function sampleText(sample: RowSample): string {
  return Object.entries(sample)
    .map(([column, value]) => `${column}=${String(value)}`)
    .join(' ');
}

function verdictLine(outcome: CheckOutcome): string {
  switch (outcome.verdict) {
    case 'match':
      return `in parity: ${outcome.tables.length} ${outcome.tables.length === 1 ? 'table' : 'tables'}, no drift`;
    case 'drift':
      return `drift: ${outcome.drift.length} ${outcome.drift.length === 1 ? 'row' : 'rows'}`;
    case 'unknown':
      return `unknown: ${outcome.reason ?? 'not enough evidence'}`;
  }
}
