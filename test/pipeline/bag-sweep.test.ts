import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../stack/stack.ts';
import { OneTable } from './live-sweep/one-table.ts';
import { replicate } from './live-sweep/replication.ts';

const TABLE = 'public.log';
/** Generous: what counts is that it happens. */
const EVENTUALLY = { timeout: 30_000, interval: 50 };

interface Drift {
  readonly id: string;
  readonly key: { readonly row_hash: string };
  readonly kind: string;
  readonly old: { readonly row_copies: number } | null;
  readonly new: { readonly row_copies: number } | null;
  readonly status: string;
}

interface Gate {
  readonly verdict: string;
  readonly reasons: readonly { readonly code: string; readonly table: string | null }[];
}

describe('sweeps of a table without a key under a live stream', () => {
  let stack: Stack;
  let folder: string;
  let run: OneTable;

  beforeAll(async () => {
    stack = await startStack({ kafka: false });
    folder = mkdtempSync(join(tmpdir(), 'lockstep-bag-run-'));
    chmodSync(folder, 0o755);
    for (const server of [stack.old, stack.new]) {
      await server.query(`CREATE TABLE log (actor text, action text, amount numeric); INSERT INTO log SELECT 'a' || i / 2, NULLIF('act ' || i % 7, 'act 3'), i / 2 * 1.5 FROM generate_series(1, 1000) i`);
    }
    await replicate({ old: stack.old, new: stack.new, table: 'log' });
    await stack.old.query(`ALTER PUBLICATION pipeline SET (publish = 'insert')`);
  });
  afterAll(async () => {
    await run?.service.stop();
    await stack?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const drift = async (): Promise<Drift[]> => (await run.service.get<{ items: Drift[] }>('/v1/drift?limit=500')).items;
  const open = async (): Promise<string[]> =>
    (await drift())
      .filter(({ status }) => status === 'open')
      .map(({ kind, old, new: neu }) => `${kind} ${old?.row_copies ?? 0}/${neu?.row_copies ?? 0}`)
      .toSorted();
  const gate = (): Promise<Gate> => run.service.get<Gate>('/v1/gate');

  it('find, keep over a kill, and resolve rows of which the sides have not the same number', async () => {
    await stack.old.query(`INSERT INTO log SELECT 'twice', NULL, 1 FROM generate_series(1, 2)`);
    await expect.poll(async () => (await stack.new.query(`SELECT FROM log WHERE actor = 'twice'`)).length, EVENTUALLY).toBe(2);
    await stack.new.query(`
      DELETE FROM log WHERE ctid IN (SELECT ctid FROM log WHERE actor = 'twice' LIMIT 1);
      UPDATE log SET amount = 1 WHERE actor = 'a500';
      INSERT INTO log VALUES (NULL, NULL, NULL)`);
    run = await OneTable.start({ old: stack.old, new: stack.new, table: TABLE, folder, settle: '500ms' });
    const all = ['extra 0/1', 'extra 0/1', 'missing 1/0', 'missing 2/1'];
    await expect.poll(open, EVENTUALLY).toEqual(all);
    await run.idle();
    expect(await run.show()).toMatchObject({ key: [], coverage: 'sweep_only', rows: { old: 1002, new: 1002 }, last_clean_sweep: null, needs_full_sweep: 'the table has no key by which to know its rows again' });
    expect((await gate()).verdict).toBe('fail');
    const ids = (await drift()).map(({ id }) => id).toSorted();

    await stack.new.query(`INSERT INTO log VALUES ('late', 'extra', 1)`);
    const { id } = await run.service.post<{ id: string }>('/v1/sweeps', { kind: 'full' });
    // It is listed once it is stored; what it found waits to settle.
    await expect.poll(async () => (await run.service.get<{ items: { id: string; tables: { suspects: number }[] }[] }>('/v1/sweeps')).items.find((sweep) => sweep.id === id)?.tables[0]?.suspects, EVENTUALLY).toBe(5);
    await run.service.kill9();
    await run.service.start();
    expect((await drift()).filter(({ status }) => status === 'open').map((each) => each.id)).toEqual(expect.arrayContaining(ids));
    await expect.poll(open, EVENTUALLY).toEqual(['extra 0/1', ...all]);
    await run.idle();
    await stack.new.query(`INSERT INTO log VALUES ('twice', NULL, 1); DELETE FROM log WHERE actor IS NULL OR actor = 'late'`);
    await expect.poll(open, EVENTUALLY).toEqual(['extra 0/1', 'missing 1/0']);
    await stack.new.query(`UPDATE log SET amount = 750.000 WHERE actor = 'a500'`);
    await expect.poll(open, EVENTUALLY).toEqual([]);
    expect((await drift()).map((each) => each.id)).toEqual(expect.arrayContaining(ids));
    expect(await drift()).toHaveLength(5);
    expect((await run.show()).last_clean_sweep).not.toBeNull();
  });

  it('report nothing that is in flight, and move verified-through to where they began, which the gate tells from more', async () => {
    const before = await run.show();
    let writing = true;
    const writes = (async () => {
      // Published tables without an identity refuse updates: this one is not.
      for (let i = 0; writing; i++) await stack.old.query(`INSERT INTO log VALUES ('live', NULL, ${i % 50}), ('live', NULL, ${i % 50}); UPDATE log SET amount = amount WHERE actor = 'a1'`);
    })();
    const part = await run.sweep('full');
    writing = false;
    await writes;
    expect(part).toMatchObject({ kind: 'full', drift: 0 });
    expect(await open()).toEqual([]);
    const begun = Date.parse(part.sweep_started_at);
    const after = await run.until(({ verified_through: through }) => through !== null && through !== before.verified_through);
    expect(Math.abs(Date.parse(after.verified_through ?? '') - begun)).toBeLessThan(5_000);
    await expect.poll(async () => (await gate()).reasons.map(({ code }) => code), EVENTUALLY).toEqual(['sweep_only']);
    expect((await gate()).verdict).toBe('unknown');
    await expect(run.service.post('/v1/checks', { table: TABLE, keys: [{ actor: 'a1' }] })).rejects.toThrow(/has no key by which rows could be looked up/);
  });
});
