import { EventEmitter, once } from 'node:events';
import { DriftGroups, groupSentence } from '../domain/causes/groups.ts';
import { ROW_COPIES, ROW_HASH } from '../domain/bag.ts';
import { driftGroupJson, driftJson } from '../domain/drift-json.ts';
import type { Drift, RowSample } from '../domain/drift.ts';
import type { CheckOutcome, TableOutcome } from '../domain/outcome.ts';
import type { TextOutput } from './context.ts';
import { formatElapsed, textTable } from './text-table.ts';

export type CheckFormat = 'text' | 'json' | 'ndjson';

/** Rows that the text report shows one by one; the groups and the other formats tell of all. */
export const TEXT_ROWS_MAX = 100;
/** Text is written in pieces of about so many characters: a write a row would cost more than the row. */
const PIECE_CHARS = 64 * 1024;

/**
 * Prints what `check` finds. Drift is written as it comes, so that memory does not grow with it: one a line as ndjson, and
 * as json in the `drift` array, which stands first. Nothing is written before there is something to tell.
 */
export class CheckReport {
  private readonly format: CheckFormat;
  private readonly output: TextOutput;
  private readonly groups = new DriftGroups();
  /** Of the text report. */
  private readonly rows: string[] = [];
  private piece = '';
  private found = 0;

  constructor(format: CheckFormat, output: TextOutput) {
    this.format = format;
    this.output = output;
  }

  drift(drift: Drift): void {
    switch (this.format) {
      case 'json':
        this.write(`${this.found === 0 ? JSON_BEGIN : ','}\n    ${JSON.stringify(driftJson(drift))}`);
        break;
      case 'ndjson':
        this.write(`${JSON.stringify(driftJson(drift))}\n`);
        break;
      case 'text':
        if (this.rows.length < TEXT_ROWS_MAX) this.rows.push(driftLine(drift));
        break;
    }
    this.found++;
    if (this.format !== 'ndjson') this.groups.add(drift);
  }

  /** Hands on what was written, and resolves when the reader has room for more. */
  async drained(): Promise<void> {
    this.flush();
    const { output } = this;
    if (output.writableNeedDrain !== true || !(output instanceof EventEmitter)) return;
    const settled = new AbortController();
    await Promise.race(['drain', 'error', 'close'].map((event) => once(output, event, { signal: settled.signal }))).catch(() => undefined);
    settled.abort();
  }

  /** The rest, once all is found. */
  finish(outcome: CheckOutcome): void {
    if (this.format === 'json') {
      const rest = JSON.stringify({ ...asJson(outcome), causes: this.groups.all().map(driftGroupJson) }, null, 2);
      this.write(`${this.found === 0 ? JSON_BEGIN : '\n  '}],${rest.slice(1)}\n`);
    } else if (this.format === 'text') this.write(this.asText(outcome));
    this.flush();
  }

  private asText(outcome: CheckOutcome): string {
    const lines = tableLines(outcome);
    const rechecked = outcome.tables.flatMap(recheckedLine);
    if (rechecked.length > 0) lines.push('', ...rechecked);
    const findings = outcome.tables.flatMap((table) => table.findings);
    if (findings.length > 0) lines.push('', ...findings.map(({ severity, message }) => `${severity.padEnd(10)}  ${message}`));
    if (this.found > 0) lines.push('', ...this.rows);
    if (this.found > this.rows.length) lines.push(`… and ${this.found - this.rows.length} more; --format ndjson lists all`);
    if (this.found > 0) lines.push('', ...this.groups.all().map(groupSentence));
    lines.push('', verdictLine(outcome));
    return `${lines.join('\n')}\n`;
  }

  private write(text: string): void {
    this.piece += text;
    if (this.piece.length >= PIECE_CHARS) this.flush();
  }

  private flush(): void {
    if (this.piece === '') return;
    this.output.write(this.piece);
    this.piece = '';
  }
}

const JSON_BEGIN = '{\n  "drift": [';

function asJson(outcome: CheckOutcome): object {
  return {
    verdict: outcome.verdict,
    reason: outcome.reason,
    tables: outcome.tables.map((table) => ({
      table: table.table,
      compared_as: table.comparedAs,
      rows: { old: exactNumber(table.rows.old), new: exactNumber(table.rows.new) },
      suspects: table.suspects,
      in_flight: table.inFlight,
      equivalent: table.equivalent,
      unverifiable: table.unverifiable,
      drift: table.drift,
      strategy: table.strategy,
      strategy_reason: table.strategyReason,
      elapsed_seconds: table.elapsedMs / 1000,
      findings: table.findings.map(({ severity, message }) => ({ severity, message })),
    })),
  };
}

/** A row count as a JSON number; as text beyond what a double holds exactly. */
function exactNumber(decimal: string): number | string {
  const value = Number(decimal);
  return Number.isSafeInteger(value) ? value : decimal;
}

function tableLines(outcome: CheckOutcome): string[] {
  return textTable(
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
}

/** How much of a table was rechecked; nothing where that brought drift alone. */
function recheckedLine({ table, suspects, inFlight, equivalent, unverifiable }: TableOutcome): readonly string[] {
  const parts = [
    [inFlight, 'in flight and equal since'],
    [equivalent, 'equal in value with different digests'],
    [unverifiable, 'never at rest'],
  ] as const;
  const told = parts.filter(([rows]) => rows > 0).map(([rows, what]) => `${rows} ${what}`);
  return told.length === 0 ? [] : [`${table}: ${suspects} ${suspects === 1 ? 'row' : 'rows'} rechecked: ${told.join(', ')}`];
}

function driftLine(drift: Drift): string {
  const columns = isBagDrift(drift) ? `  ${copiesText(drift)}` : drift.kind === 'missing' || drift.kind === 'extra' ? '' : `  ${drift.columns.join(', ')}`;
  const cause = drift.cause === null ? '' : `  (${drift.cause.message})`;
  return `${drift.kind.padEnd(10)}  ${drift.table}  ${sampleText(drift.key)}${columns}${cause}`;
}

/** Whether it is of a table without a key, and its row known by the hash. */
function isBagDrift({ key, old, new: neu }: Drift): boolean {
  return key[ROW_HASH] !== undefined && (old ?? neu)?.[ROW_COPIES] !== undefined;
}

function copiesText({ old, new: neu }: Drift): string {
  return `copies: old ${String(old?.[ROW_COPIES] ?? 0)}, new ${String(neu?.[ROW_COPIES] ?? 0)}`;
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
      return `drift: ${outcome.drift} ${outcome.drift === 1 ? 'row' : 'rows'}`;
    case 'unknown':
      return `unknown: ${outcome.reason ?? 'not enough evidence'}`;
  }
}
