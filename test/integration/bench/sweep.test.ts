import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type BenchPair, type Case, openPair } from '../../../bench/sweep/pair.ts';
import { runRounds } from '../../../bench/sweep/rounds.ts';
import { isExact, scoreFindings } from '../../../bench/sweep/score.ts';
import { limitTool } from '../../../bench/sweep/tools/limit.ts';
import { lockstepTool } from '../../../bench/sweep/tools/lockstep.ts';
import type { Bench } from '../../../bench/sweep/tools/tool.ts';
import { VARIANTS_OF } from '../../../bench/sweep/variants.ts';

const ROWS = 5_000;
const ignore = (): void => undefined;

let pair: BenchPair;
let bench: Bench;

beforeAll(async () => {
  pair = await openPair({ rows: ROWS, keep: false, report: ignore });
  bench = { old: pair.old, new: pair.new, postmasters: [pair.old.pid, pair.new.pid], folder: mkdtempSync(join(tmpdir(), 'lockstep-bench-test-')) };
});
afterAll(async () => {
  await pair?.stop();
  if (bench !== undefined) rmSync(bench.folder, { recursive: true, force: true });
});

it('plants in each table what it says, and measures who finds it', async () => {
  const cases: Case[] = [];
  for (const [shape, variants] of Object.entries(VARIANTS_OF)) for (const variant of variants) cases.push(await pair.prepare(shape as keyof typeof VARIANTS_OF, variant));
  const { runs, failures } = await runRounds(bench, cases, [lockstepTool('auto', ''), limitTool], 1, ignore);
  expect(failures).toEqual([]);
  expect(runs).toHaveLength(2 * cases.length);
  // A table this small can take less than a tick of the servers' clocks.
  expect(runs.reduce((sum, { usage }) => sum + usage.serverCpuS, 0)).toBeGreaterThan(0);
  for (const { tool, score, usage } of runs) {
    if (tool === limitTool.name) continue;
    expect(score !== null && isExact(score)).toBe(true);
    expect(usage.clientCpuS).toBeGreaterThan(0);
    expect(usage.clientPeakMiB).toBeGreaterThan(0);
  }
});

it('sees a row that a tool missed and one that was never planted', async () => {
  const subject = await pair.prepare('mixed', 'd10');
  const [repaired, ...others] = subject.differences.filter(({ kind }) => kind === 'missing');
  const untouched = subject.shape.keyOf(7);
  await pair.old.query(`DELETE FROM ${subject.tables.old} WHERE id = ${repaired?.key[0]}`);
  await pair.new.query(`DELETE FROM ${subject.tables.new} WHERE id = ${untouched[0]}`);
  const { found } = await lockstepTool('auto', '').run(bench, subject);
  expect(others).toHaveLength(2);
  expect(scoreFindings(subject.differences, found ?? [])).toEqual({ planted: 10, right: 9, missed: 1, false: 1, wrong: 0 });
});
