import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../stack/stack.ts';
import { OneTable } from './live-sweep/one-table.ts';
import { replicate } from './live-sweep/replication.ts';

const TABLE = 'public.accounts';
const ROWS = 1_000;
/** Generous: what counts is that it happens. */
const EVENTUALLY = { timeout: 60_000, interval: 50 };

describe('incremental sweeps of a table with a live stream', () => {
  let stack: Stack;
  let folder: string;
  let run: OneTable;

  beforeAll(async () => {
    stack = await startStack({ kafka: false });
    folder = mkdtempSync(join(tmpdir(), 'lockstep-incremental-'));
    chmodSync(folder, 0o755);
    for (const server of [stack.old, stack.new]) {
      await server.query(`CREATE TABLE accounts (id bigint PRIMARY KEY, balance numeric(18,4) NOT NULL, note text); INSERT INTO accounts SELECT i, i * 1.25, 'note ' || i FROM generate_series(1, ${ROWS}) i`);
    }
    await replicate({ old: stack.old, new: stack.new, table: 'accounts' });
    run = await OneTable.start({ old: stack.old, new: stack.new, table: TABLE, folder });
  });
  afterAll(async () => {
    await run?.service.stop();
    await stack?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const openKeys = async (): Promise<number[]> =>
    (await run.service.get<{ items: { key: { id: number }; status: string }[] }>('/v1/drift?limit=500')).items
      .filter(({ status }) => status === 'open')
      .map(({ key }) => Number(key.id))
      .sort((left, right) => left - right);
  /** Drift is shown once it is stored. */
  const openIs = (keys: readonly number[]): Promise<void> => expect.poll(openKeys, EVENTUALLY).toEqual(keys);
  const lastCleanMetric = async (): Promise<string | undefined> => /^lockstep_sweep_last_clean_timestamp_seconds.*$/m.exec(await run.service.metrics())?.[0];

  it('find what differs of touched rows alone, also of those touched around a kill, and leave what stands on full sweeps', async () => {
    await run.idle();
    await run.settled();
    const first = await run.show();
    expect(first).toMatchObject({ needs_full_sweep: null, touched_keys: 0, rows: { old: ROWS, new: ROWS } });
    const metric = await lastCleanMetric();

    await stack.old.query(`UPDATE accounts SET balance = balance + 1 WHERE id <= 20; DELETE FROM accounts WHERE id = 21; INSERT INTO accounts SELECT i, i, NULL FROM generate_series(2001, 2003) i`);
    await run.settled();
    expect(await run.show()).toMatchObject({ touched_keys: 24, needs_full_sweep: null });
    await run.service.kill9();
    await stack.old.query('UPDATE accounts SET balance = balance + 1 WHERE id BETWEEN 30 AND 39');
    await run.service.start();
    await run.settled();
    expect(await run.show()).toMatchObject({ touched_keys: 34, needs_full_sweep: null });

    // Behind the pipeline: three touched keys, then two that no change has touched.
    await stack.new.query(`UPDATE accounts SET balance = balance + 0.0001 WHERE id IN (5, 33); INSERT INTO accounts VALUES (21, 1, 'back')`);
    await stack.new.query('UPDATE accounts SET balance = balance + 0.0001 WHERE id = 500; DELETE FROM accounts WHERE id = 501');
    const part = await run.sweep('incremental');
    expect(part).toMatchObject({ kind: 'incremental', drift: 3, suspects: 3 });
    expect(part.kind_reason).toContain('34 touched or unsettled keys');
    await openIs([5, 21, 33]);
    const { last_clean_sweep, last_sweep_ended } = first;
    const after = await run.show();
    expect(after).toMatchObject({ rows: { old: ROWS, new: ROWS }, last_clean_sweep, last_sweep_ended, last_clean_incremental_sweep: null });
    expect(after.last_incremental_sweep_ended).not.toBeNull();
    expect(await lastCleanMetric()).toBe(metric);
  });

  it('leave to a full one what differs of the others, and are full ones until one was clean', async () => {
    expect(await run.sweep('full')).toMatchObject({ kind: 'full', rows: { old: ROWS + 2, new: ROWS + 2 } });
    await openIs([5, 21, 33, 500, 501]);
    const { rows, needs_full_sweep } = await run.show();
    expect({ rows, needs_full_sweep }).toEqual({ rows: { old: ROWS + 2, new: ROWS + 2 }, needs_full_sweep: 'the last full sweep was not clean' });
    await stack.new.query(`UPDATE accounts SET balance = balance - 0.0001 WHERE id IN (5, 33, 500); DELETE FROM accounts WHERE id = 21; INSERT INTO accounts VALUES (501, 501 * 1.25, 'note 501')`);
    expect(await run.sweep('full')).toMatchObject({ kind: 'full', rows: { old: ROWS + 2, new: ROWS + 2 } });
    await openIs([]);
    await run.until((table) => table.needs_full_sweep === null);
    await stack.old.query('UPDATE accounts SET note = NULL WHERE id = 700');
    await run.settled();
    expect(await run.sweep('incremental')).toMatchObject({ kind: 'incremental', drift: 0 });
    expect((await run.show()).last_clean_incremental_sweep).not.toBeNull();
  });

  it('are not possible after a truncate, which is said, until a full one was clean', async () => {
    // Who reads on new keeps the truncate from arriving there, and so the full sweep that it brings about from ending.
    const reader = new pg.Client({ connectionString: stack.new.url() });
    await reader.connect();
    try {
      await reader.query('BEGIN');
      await reader.query('SELECT 1 FROM accounts LIMIT 1');
      await stack.old.query('TRUNCATE accounts');
      await run.until(({ needs_full_sweep: reason }) => reason === 'the table was truncated on old');
      await reader.query('COMMIT');
    } finally {
      await reader.end();
    }
    await run.until(({ needs_full_sweep: reason, rows }) => reason === null && rows.old === 0 && rows.new === 0);
    expect(await run.sweep('incremental')).toMatchObject({ kind: 'incremental', drift: 0 });
    await openIs([]);
  });
});
