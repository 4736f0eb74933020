// Mixed load through a correct Debezium + JDBC sink pipeline: does Lockstep stay silent, and how far behind is verified-through?
// npm run bench:soak [-- SECONDS [TRANSACTIONS_PER_SECOND]]
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { startLoad } from '../test/pipeline/scenario/load.ts';
import { type Scenario, startScenario } from '../test/pipeline/scenario/scenario.ts';
import { writeSection } from './document.ts';

const [seconds = 600, transactionsPerSecond = 220] = process.argv.slice(2).map(Number);
const SAMPLE_MS = 500;
const PROBE_MS = 20;
/** The probe's lag just before a sample counts as the pipeline's: it is what verified-through may wait for. */
const PROBE_WINDOW_MS = 3_000;

interface Probe {
  readonly atMs: number;
  readonly lagMs: number;
}

const quantile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};

/** Measures the pipeline's lag by itself: writes a row on old and looks for it on new. */
async function probe(run: Scenario, signal: AbortSignal, probes: Probe[]): Promise<void> {
  const [old, neu] = [run.stack.old, run.stack.new].map((server) => new pg.Client({ connectionString: server.url() }));
  if (old === undefined || neu === undefined) return;
  await Promise.all([old.connect(), neu.connect()]);
  for (let serial = 1; !signal.aborted; serial++) {
    const note = `probe ${serial}`;
    await old.query('UPDATE customers SET notes = $1 WHERE id = 999', [note]);
    const sentMs = Date.now();
    for (;;) {
      const { rows } = await neu.query<{ notes: string | null }>('SELECT notes FROM customers WHERE id = 999');
      probes.push({ atMs: Date.now(), lagMs: Date.now() - sentMs });
      if (rows[0]?.notes === note || signal.aborted) break;
      await delay(PROBE_MS);
    }
    await delay(PROBE_MS);
  }
  await Promise.all([old.end(), neu.end()]);
}

function residentMiB(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
  return Number(kib) / 1024;
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const run = await startScenario('kafka');
try {
  const until = Date.now() + 120_000;
  while ((await run.summary()).gate.verdict !== 'pass' && Date.now() < until) await delay(500);
  const probes: Probe[] = [];
  const stopProbe = new AbortController();
  const probing = probe(run, stopProbe.signal, probes);
  const load = startLoad(run.stack.old.url(), transactionsPerSecond);
  const pid = run.service.pid ?? 0;
  const cpuBefore = cpuSeconds(pid);
  const behind: number[] = [];
  const excess: number[] = [];
  const resident: number[] = [];
  let drift = 0;
  const startedMs = Date.now();
  while (Date.now() - startedMs < seconds * 1000) {
    await delay(SAMPLE_MS);
    const summary = await run.summary();
    const nowMs = Date.now();
    const lagMs = Math.max(...probes.filter(({ atMs }) => atMs >= nowMs - PROBE_WINDOW_MS).map((sample) => sample.lagMs));
    const behindMs = summary.verified_lag_ms ?? Number.POSITIVE_INFINITY;
    behind.push(behindMs);
    excess.push(behindMs - lagMs);
    resident.push(residentMiB(pid));
    drift += summary.open_drift;
  }
  const elapsedS = (Date.now() - startedMs) / 1000;
  const cpu = cpuSeconds(pid) - cpuBefore;
  await load.stop();
  stopProbe.abort();
  await probing;
  const stoppedMs = Date.now();
  let settledMs: number | null = null;
  while (Date.now() - stoppedMs < 120_000) {
    const summary = await run.summary();
    if (summary.tables.every((table) => table.pending === 0) && Date.parse(summary.verified_through ?? '') > stoppedMs) {
      settledMs = Date.now() - stoppedMs;
      break;
    }
    await delay(200);
  }
  await run.sweep();
  const summary = await run.summary();
  const found = await run.allDrift();
  const lags = probes.map((sample) => sample.lagMs);
  const row = (name: string, values: readonly number[]): string =>
    `| ${name} | ${[0.5, 0.95, 0.99, 1].map((share) => Math.round(quantile(values, share))).join(' | ')} |`;
  writeSection('Soak: mixed load through a correct pipeline', [
    `\`npm run bench:soak -- ${seconds} ${transactionsPerSecond}\`: PostgreSQL → Debezium → Kafka → Debezium JDBC sink → PostgreSQL, everything with Lockstep on one machine of ${cpus().length} cores.`,
    `${load.committed()} transactions in ${elapsedS.toFixed(0)} s (${(load.committed() / elapsedS).toFixed(0)}/s): hot keys, key changes, deletes and re-inserts, several rows at once, rollbacks.`,
    '',
    `- Drift reported: **${found.length}** (samples with open drift: ${drift}).`,
    `- All checks settled ${settledMs === null ? '**not within 120 s**' : `${(settledMs / 1000).toFixed(1)} s`} after the last write; row counts by the sweep after it: ${summary.tables.map(({ table, rows }) => `${table} ${rows.old} = ${rows.new}`).join(', ')}.`,
    `- Lockstep: ${((100 * cpu) / elapsedS).toFixed(0)} % of a core, ${Math.round(quantile(resident, 0.5))} MiB resident (most ${Math.round(quantile(resident, 1))}).`,
    '',
    '| ms | p50 | p95 | p99 | max |',
    '|---|---|---|---|---|',
    row('lag of the pipeline, by a probe row', lags),
    row('verified-through behind now', behind),
    row('verified-through behind the lag', excess),
    '',
    `Samples where verified-through was more than the lag plus 2 s behind: ${excess.filter((value) => value > 2000).length} of ${excess.length}.`,
  ]);
} finally {
  await run.stop();
}
