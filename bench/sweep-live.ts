// A sweep beside writes that reach the replica late: does it report anything, and how much longer does it take than in quiet?
// npm run bench:sweep-live [-- ROWS [WRITES_PER_SECOND [LAG_MS [ROUNDS]]]]
import { cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { LiveSweep, type SweepRun } from '../test/pipeline/live-sweep/live-sweep.ts';
import { writeSection } from './document.ts';
import { median } from './sweep/statistics.ts';

const [rows = 1_000_000, writesPerSecond = 500, lagMs = 2_000, rounds = 3] = process.argv.slice(2).map(Number);
const RATIO_MAX = 2;
/** The writes run for so long before a live sweep, beyond the lag. */
const WARM_UP_MS = 3_000;

const seconds = (ms: number): string => (ms / 1000).toFixed(2);

const run = await LiveSweep.start({ rows, lagMs });
try {
  const quiet: SweepRun[] = [];
  const live: SweepRun[] = [];
  let written = 0;
  for (let round = 0; round < rounds; round++) {
    quiet.push(await run.sweep());
    const writes = run.startWrites(writesPerSecond);
    await delay(lagMs + WARM_UP_MS);
    live.push(await run.sweep());
    written += await writes.stop();
    await delay(2 * lagMs);
  }
  const drift = await run.drift();
  const ratio = median(live.map(({ elapsedMs }) => elapsedMs)) / median(quiet.map(({ elapsedMs }) => elapsedMs));
  const line = (name: string, runs: readonly SweepRun[]): string =>
    `| ${name} | ${seconds(median(runs.map(({ elapsedMs }) => elapsedMs)))} s | ${runs.map(({ table }) => table.suspects).join(', ')} | ${runs.map(({ table }) => table.chunks_differing).join(', ')} | ${runs.reduce((sum, { table }) => sum + table.drift, 0)} |`;
  writeSection('A sweep under live writes', [
    `\`npm run bench:sweep-live\`: ${rows} rows, ${writesPerSecond} writes a second asked for (${written} made), the replica ${lagMs} ms behind by a delayed link, \`settle\` by default, ${rounds} rounds, ${cpus().length} cores.`,
    '',
    '| sweep | median time | rows rechecked | chunks that differed | drift |',
    '|---|---|---|---|---|',
    line('quiet', quiet),
    line('under writes', live),
    '',
    `Ratio ${ratio.toFixed(2)} (asked for: under ${RATIO_MAX}); drift ever reported: ${drift}.`,
  ]);
  process.exitCode = drift === 0 && ratio < RATIO_MAX ? 0 : 1;
} finally {
  await run.stop();
}
