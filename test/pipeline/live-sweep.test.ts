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

it('finds what drifted among rows that never rest, and next to them, and nothing else', async () => {
  // The writers leave these alone.
  await run.execute('old', `INSERT INTO accounts SELECT i, 'quiet', 1, now(), NULL FROM generate_series(-9, 0) i`);
  await run.settled();
  await run.execute('new', `UPDATE accounts SET balance = 2 WHERE id = 0; DELETE FROM accounts WHERE id = -3; INSERT INTO accounts VALUES (-20, 'extra', 1, now(), NULL)`);
  // One of the hottest rows never gets what old has.
  await run.execute(
    'new',
    `CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'spoiled'; RETURN NEW; END $$;
CREATE TRIGGER spoil BEFORE UPDATE ON accounts FOR EACH ROW WHEN (NEW.id = 5) EXECUTE FUNCTION spoil();
ALTER TABLE accounts ENABLE ALWAYS TRIGGER spoil`,
  );
  const planted = ['-20 extra', '-3 missing', '0 different'];
  const writes = run.startWrites(200);
  try {
    await delay(LAG_MS);
    const { table } = await run.sweep();
    expect(table.status).toBe('done');
    // The row that never rests may have its verdict by now, or not.
    expect((await run.openDrift()).filter((found) => !found.startsWith('5 ')).sort()).toEqual(planted);
  } finally {
    await writes.stop();
  }
  while (!(await run.openDrift()).includes('5 different')) await delay(100);
  const { table } = await run.sweep();
  const rows = await run.rowsOnOld();
  expect(table).toMatchObject({ status: 'done', drift: 4, rows: { old: rows, new: rows } });
  expect((await run.openDrift()).toSorted()).toEqual([...planted, '5 different'].sort());
});
