import { SingleBar } from 'cli-progress';
import type { CheckProgress } from '../domain/outcome.ts';
import type { TextOutput } from './context.ts';
import { formatElapsed } from './text-table.ts';

/** The bar counts in thousandths of all tables' work. */
const BAR_STEPS = 1000;

export interface CheckProgressView {
  update(progress: CheckProgress): void;
  stop(): void;
}

/** One bar over `tableCount` tables on `output` where that is a terminal; nothing elsewhere. */
export function createCheckProgress(output: TextOutput, tableCount: number): CheckProgressView {
  if (output.isTTY !== true) return { update: () => {}, stop: () => {} };
  const ratios = new Map<string, number>();
  const rows = new Map<string, bigint>();
  const bar = new SingleBar({
    stream: output as NodeJS.WriteStream,
    format: '{bar} {percentage}%  {rows} rows  {left}{table}',
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    gracefulExit: false,
  });
  bar.start(BAR_STEPS, 0, { table: '', rows: '0', left: '' });
  return {
    update(progress) {
      ratios.set(progress.table, progress.ratio);
      rows.set(progress.table, progress.rows);
      const done = [...ratios.values()].reduce((sum, ratio) => sum + ratio, 0) / Math.max(1, tableCount);
      bar.update(Math.round(Math.min(1, done) * BAR_STEPS), {
        table: progress.table,
        rows: [...rows.values()].reduce((sum, count) => sum + count, 0n).toString(),
        left: progress.etaMs === null ? '' : `${formatElapsed(progress.etaMs)} left in `,
      });
    },
    stop: () => bar.stop(),
  };
}
