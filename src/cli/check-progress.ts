import { SingleBar } from 'cli-progress';
import type { CheckProgress } from '../domain/outcome.ts';
import type { PauseReason } from '../domain/sweep-pause.ts';
import type { TextOutput } from './context.ts';
import { formatElapsed } from './text-table.ts';

const PAUSED_BY: Readonly<Record<PauseReason, string>> = {
  lag: 'the pipeline’s lag',
  standby_lag: 'a standby’s lag',
  lock_waits: 'sessions that wait for locks',
  active_sessions: 'the databases’ load',
};
/** The bar counts in thousandths of all tables' work. */
const BAR_STEPS = 1000;
/** Where there is no terminal, a line this often: a check that is over by then writes none. */
const LINE_EVERY_MS = 60_000;

export interface CheckProgressView {
  update(progress: CheckProgress): void;
  stop(): void;
}

/** Progress over `tableCount` tables on `output`: a bar where that is a terminal, a line now and then elsewhere. */
export function createCheckProgress(output: TextOutput, tableCount: number, nowMs: () => number): CheckProgressView {
  const total = new Totals(tableCount);
  return output.isTTY === true ? barOn(output, total) : linesOn(output, total, nowMs);
}

/** All tables' progress taken together. */
class Totals {
  private readonly ratios = new Map<string, number>();
  private readonly rows = new Map<string, bigint>();
  private readonly tableCount: number;

  constructor(tableCount: number) {
    this.tableCount = tableCount;
  }

  /** How far all tables are, 0…1, and the rows compared in them. */
  add({ table, ratio, rows }: CheckProgress): { ratio: number; rows: bigint } {
    this.ratios.set(table, ratio);
    this.rows.set(table, rows);
    const done = [...this.ratios.values()].reduce((sum, one) => sum + one, 0) / Math.max(1, this.tableCount);
    return { ratio: Math.min(1, done), rows: [...this.rows.values()].reduce((sum, count) => sum + count, 0n) };
  }
}

function rateOf({ rowsPerSecond }: CheckProgress): string {
  return rowsPerSecond === null ? '' : `${Math.round(rowsPerSecond)} rows/s  `;
}

function leftOf({ etaMs, pausedBy }: CheckProgress): string {
  if (pausedBy !== null) return `paused by ${PAUSED_BY[pausedBy]} in `;
  return etaMs === null ? '' : `${formatElapsed(etaMs)} left in `;
}

function barOn(output: TextOutput, total: Totals): CheckProgressView {
  const bar = new SingleBar({
    stream: output as NodeJS.WriteStream,
    format: '{bar} {percentage}%  {rows} rows  {rate}{left}{table}',
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    gracefulExit: false,
  });
  bar.start(BAR_STEPS, 0, { table: '', rows: '0', rate: '', left: '' });
  return {
    update(progress) {
      const { ratio, rows } = total.add(progress);
      bar.update(Math.round(ratio * BAR_STEPS), { table: progress.table, rows: rows.toString(), rate: rateOf(progress), left: leftOf(progress) });
    },
    stop: () => bar.stop(),
  };
}

function linesOn(output: TextOutput, total: Totals, nowMs: () => number): CheckProgressView {
  let lastMs = nowMs();
  return {
    update(progress) {
      const { ratio, rows } = total.add(progress);
      if (nowMs() - lastMs < LINE_EVERY_MS) return;
      lastMs = nowMs();
      output.write(`${Math.floor(ratio * 100)}%  ${rows} rows  ${rateOf(progress)}${leftOf(progress)}${progress.table}\n`);
    },
    stop: () => undefined,
  };
}
