import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LiveSweep } from './live-sweep/live-sweep.ts';

const LAG_MS = 2_000;

let run: LiveSweep;
beforeAll(async () => {
  run = await LiveSweep.start({ rows: 20_000, lagMs: LAG_MS, chunkRows: 2_000 });
});
afterAll(() => run?.stop());

it('reports nothing and ends while rows are written all the time and reach the replica late', async () => {
  const writes = run.startWrites(200);
  try {
    await delay(LAG_MS);
    const { table } = await run.sweep();
    expect(table).toMatchObject({ status: 'done', drift: 0 });
    // Hot rows are always in flight: had none been rechecked, the lag was not there.
    expect(table.suspects).toBeGreaterThan(0);
  } finally {
    await writes.stop();
  }
  const { table } = await run.sweep();
  const rows = await run.rowsOnOld();
  expect(table).toMatchObject({ status: 'done', drift: 0, rows: { old: rows, new: rows } });
  expect(await run.drift()).toBe(0);
});
