import type { LedgerEntry, ReportedDrift } from './ledger.ts';
import type { LoadFigures } from './load.ts';
import type { ServiceSummary } from './service.ts';
import { columns, seconds, shortKey } from './text.ts';

/** Plain output says how things stand no more often than this. */
const PLAIN_EVERY_MS = 5_000;
const DEFAULT_WIDTH = 100;

/** What the live view shows. */
export interface ViewState {
  readonly url: string;
  readonly source: string;
  readonly elapsedMs: number;
  readonly load: LoadFigures;
  readonly summary: ServiceSummary | null;
  readonly failure: string | null;
  readonly pausedForMs: number | null;
  readonly planted: readonly { readonly entry: LedgerEntry; readonly drift: ReportedDrift | null }[];
  /** Open drift that nobody planted. */
  readonly otherDrift: number;
}

/** Where the view goes. */
export interface ViewOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface DemoView {
  /** A line that stays. */
  say(line: string): void;
  /** The present state, redrawn in place on a terminal; elsewhere a line now and then. */
  draw(state: ViewState): void;
  /** Removes the live part. */
  close(): void;
}

export function createView(output: ViewOutput): DemoView {
  return output.isTTY === true ? new TerminalView(output) : new PlainView(output);
}

class PlainView implements DemoView {
  readonly #output: ViewOutput;
  #lastMs = -PLAIN_EVERY_MS;

  constructor(output: ViewOutput) {
    this.#output = output;
  }

  say(line: string): void {
    this.#output.write(`${line}\n`);
  }

  draw(state: ViewState): void {
    if (state.elapsedMs - this.#lastMs < PLAIN_EVERY_MS) return;
    this.#lastMs = state.elapsedMs;
    const found = state.planted.filter(({ drift }) => drift !== null).length;
    const pending = state.summary?.tables.reduce((sum, table) => sum + table.pending, 0) ?? 0;
    this.say(
      `         verified-through ${behind(state)}, ${pending} checks pending, ${state.planted.length === 0 ? 'nothing planted yet' : `${found} of ${state.planted.length} planted found`}, ` +
        `${state.otherDrift} other drift, gate ${state.summary?.gate.verdict ?? 'not known'}${findingsText(state)}`,
    );
  }

  close(): void {}
}

class TerminalView implements DemoView {
  readonly #output: ViewOutput;
  #drawn = 0;
  #lines: readonly string[] = [];

  constructor(output: ViewOutput) {
    this.#output = output;
  }

  say(line: string): void {
    this.#erase();
    this.#output.write(`${line}\n`);
    this.#paint();
  }

  draw(state: ViewState): void {
    this.#lines = screen(state);
    this.#erase();
    this.#paint();
  }

  close(): void {
    this.#erase();
    this.#lines = [];
  }

  #erase(): void {
    if (this.#drawn > 0) this.#output.write(`\u001b[${this.#drawn}A\u001b[0J`);
    this.#drawn = 0;
  }

  #paint(): void {
    if (this.#lines.length === 0) return;
    const width = (this.#output.columns ?? DEFAULT_WIDTH) - 1;
    this.#output.write(this.#lines.map((line) => `${line.length > width ? `${line.slice(0, width - 1)}…` : line}\n`).join(''));
    this.#drawn = this.#lines.length;
  }
}

function screen(state: ViewState): string[] {
  const { summary, load } = state;
  const lines = [
    '',
    `Lockstep demo   ${seconds(state.elapsedMs)}   ${state.source}`,
    `load            ${load.committed} transactions, ${load.rolledBack} rolled back, ${load.rowChanges} row changes${load.failed === 0 ? '' : `, ${load.failed} failed`}`,
    `verified        ${behind(state)}   gate ${summary?.gate.verdict ?? 'not known'}   open drift ${summary?.open_drift ?? '?'}${findingsText(state)}`,
    state.pausedForMs === null ? '' : `                the sink is held up since ${seconds(state.pausedForMs)}: late, not drift`,
  ];
  if (summary !== null) {
    lines.push(
      ...columns(
        ['table', 'rows old', 'rows new', 'pending', 'drift', 'lag p99', 'verified-through'],
        summary.tables.map((table) => [
          table.table,
          String(table.rows.old ?? '-'),
          String(table.rows.new ?? '-'),
          String(table.pending),
          String(table.drift),
          table.lag_p99_ms === null ? '-' : `${Math.round(table.lag_p99_ms)} ms`,
          table.verified_through === null ? (table.held_by ?? 'not yet') : `${table.verified_through.slice(11, 23)}${table.held_by === null ? '' : `, held by ${table.held_by}`}`,
        ]),
        [1, 2, 3, 4, 5],
      ),
      '',
    );
  }
  for (const { entry, drift } of state.planted) {
    const found = drift === null ? 'not found yet' : `${drift.kind}, ${drift.status}${entry.atMs === null ? '' : `, after ${seconds(drift.confirmedAtMs - entry.atMs)}`}`;
    lines.push(`${drift === null ? '·' : '✓'} ${entry.what.padEnd(40)} ${shortKey(entry.table, entry.key).padEnd(36)} ${found}`);
  }
  if (state.otherDrift > 0) lines.push(`+ ${state.otherDrift} more that the pipeline made by itself`);
  lines.push(state.failure === null ? '' : `the service does not answer: ${state.failure}`, `${state.url}/v1/summary   ${state.url}/metrics   ${state.url}/documentation`);
  return lines;
}

function behind(state: ViewState): string {
  if (state.summary === null) return 'not known';
  const { verified_lag_ms: lagMs } = state.summary;
  return lagMs === null ? 'not yet' : `${seconds(lagMs)} behind`;
}

function findingsText(state: ViewState): string {
  const findings = state.summary?.pipeline.map(({ finding }) => finding) ?? [];
  return findings.length === 0 ? '' : `   pipeline: ${findings.join(', ')}`;
}
