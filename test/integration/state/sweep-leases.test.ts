import fc from 'fast-check';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { RowKey } from '../../../src/domain/row.ts';
import { migrateState } from '../../../src/state/migrate.ts';
import { identityOf } from '../../../src/state/process-identity.ts';
import { thisReplica, type Replica } from '../../../src/state/replicas.ts';
import { PostgresStateStore } from '../../../src/state/store.ts';
import type { ChunkLease, OfferedChunk } from '../../../src/verify/ports.ts';
import { startPostgres, type OnePostgres } from '../../stack/postgres-server.ts';
import { emptyCheckpoint } from './samples.ts';

const TABLES = new Map([['public.a', 'alike']]);

let server: OnePostgres;
let store: PostgresStateStore;
let migration = 0;

beforeAll(async () => {
  server = await startPostgres({ database: 'state' });
  await migrateState(server.url());
});
afterAll(async () => {
  await store?.close();
  await server?.stop();
});
beforeEach(async () => {
  await store?.close();
  migration++;
  store = new PostgresStateStore({ url: server.url(), migration: `m${migration}`, pool: 8 });
});

const sql = (text: string): Promise<unknown> => server.server.query(text, 'state');
const chunk = (seq: number, part: Partial<OfferedChunk> = {}): OfferedChunk => ({
  seq,
  table: 'public.a',
  path: 'fast',
  rows: 1_000 + seq,
  likelyDiffers: false,
  range: { from: seq === 1 ? null : [String(seq)], to: [String(seq + 1)] },
  ...part,
});
const counts = (rows: bigint) => ({ equalRows: rows, oldRows: rows, newRows: rows });
/** A process elsewhere: whether it runs cannot be seen from here. */
const elsewhere = (id: string): Replica => ({ id, machine: 'another', pid: 1, started: null });

async function writer(id = 'writer') {
  const self = elsewhere(id);
  expect((await store.claim(self)).kind).toBe('taken');
  await store.restore();
  return { self, board: store.chunkBoard(self, TABLES) };
}

describe('the writing role', () => {
  test('is held by who lives, and free once it has left or is silent for too long', async () => {
    await writer();
    const second = new PostgresStateStore({ url: server.url(), migration: `m${migration}` });
    expect(await second.claim(elsewhere('second'))).toEqual({ kind: 'held' });
    await store.write(emptyCheckpoint());
    await sql(`UPDATE lockstep.replicas SET alive_until = clock_timestamp() - interval '1 ms' WHERE migration = 'm${migration}'`);
    expect(await second.claim(elsewhere('second'))).toMatchObject({ kind: 'taken' });
    await second.restore();
    await expect(store.write(emptyCheckpoint())).rejects.toMatchObject({ code: 'fenced' });
    await second.leave(elsewhere('second'));
    const third = new PostgresStateStore({ url: server.url(), migration: `m${migration}` });
    expect(await third.claim(elsewhere('third'))).toMatchObject({ kind: 'taken' });
    await second.close();
    await third.close();
  });

  test('is free at once where its holder was a process of this machine that is gone', async () => {
    const child = spawn('sleep', ['60']);
    const holder = { ...thisReplica('first'), ...identityOf(child.pid as number) };
    expect((await store.claim(holder)).kind).toBe('taken');
    expect(await store.claim(thisReplica('second'))).toEqual({ kind: 'held' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect((await store.claim(thisReplica('second'))).kind).toBe('taken');
  });

  test('that was taken over between claiming and reading is refused', async () => {
    await store.claim(elsewhere('first'));
    await sql(`DELETE FROM lockstep.replicas WHERE migration = 'm${migration}'`);
    const second = new PostgresStateStore({ url: server.url(), migration: `m${migration}` });
    await second.claim(elsewhere('second'));
    await expect(store.restore()).rejects.toMatchObject({ code: 'fenced' });
    await second.close();
  });
});

describe('leased chunks', () => {
  test('come with their bounds, to those who compare alike, and bring back counts and suspects of any key', async () => {
    const { board } = await writer();
    const desk = store.leaseDesk(elsewhere('helper'));
    expect((await board.look()).helpers).toBe(0);
    await desk.renew();
    expect((await board.look()).helpers).toBe(1);
    const range = { from: ['a\u0000"{},', 'ü'], to: ['\u0001', ''] };
    await board.offer(chunk(1, { range, likelyDiffers: true, path: 'client' }));
    expect(await desk.lease(new Map([['public.a', 'other rules']]), 5)).toEqual([]);
    expect(await desk.lease(new Map([['public.b', 'alike']]), 5)).toEqual([]);
    const [lease] = (await desk.lease(TABLES, 5)) as [ChunkLease];
    expect(lease).toMatchObject({ seq: 1, table: 'public.a', path: 'client', rows: 1_001, likelyDiffers: true, range, lease: 1 });
    const keys: RowKey[] = [['\u0000', '\ud800'], ['9223372036854775807', 'x']];
    await desk.writeSuspects(lease, 0, keys);
    await desk.writeSuspects(lease, 0, keys);
    expect((await board.look()).done).toEqual([]);
    await desk.finish(lease, { equalRows: 1n, oldRows: 9007199254740993n, newRows: 3n });
    expect((await board.look()).done).toEqual([{ seq: 1, equalRows: 1n, oldRows: 9007199254740993n, newRows: 3n }]);
    expect(await board.suspects(1, 0)).toEqual(keys);
    expect(await board.suspects(1, 1)).toBeNull();
    await board.remove(1);
    expect(await board.look()).toMatchObject({ done: [], lost: 0 });
    expect(await board.suspects(1, 0)).toBeNull();
  });

  test('whose lease has ended go to another, and nothing of the first holder counts', async () => {
    const { board } = await writer();
    const [first, second] = [store.leaseDesk(elsewhere('h1')), store.leaseDesk(elsewhere('h2'))];
    await first.renew();
    await board.offer(chunk(1));
    const [early] = (await first.lease(TABLES, 1)) as [ChunkLease];
    await first.writeSuspects(early, 0, [['5']]);
    await first.writeSuspects(early, 1, [['6']]);
    expect(await second.lease(TABLES, 1)).toEqual([]);
    await sql(`UPDATE lockstep.sweep_chunks SET leased_until = clock_timestamp() - interval '1 ms' WHERE migration = 'm${migration}'`);
    expect((await board.look()).lost).toBe(1);
    const [late] = (await second.lease(TABLES, 1)) as [ChunkLease];
    expect(late.lease).toBe(2);
    await expect(first.writeSuspects(early, 2, [['7']])).rejects.toMatchObject({ code: 'lease_lost' });
    await expect(first.finish(early, counts(1n))).rejects.toMatchObject({ code: 'lease_lost' });
    await first.giveBack(early, true);
    expect(await first.renew()).toEqual(new Set());
    await second.finish(late, counts(2n));
    expect((await board.look()).done).toEqual([{ seq: 1, ...counts(2n) }]);
    expect(await board.suspects(1, 0)).toBeNull();
  });

  test('are taken back by the writer where nobody holds them or is able to compare them', async () => {
    const { board } = await writer();
    const desk = store.leaseDesk(elsewhere('helper'));
    await desk.renew();
    for (const seq of [1, 2, 3]) await board.offer(chunk(seq));
    const [one, two] = (await desk.lease(TABLES, 2)) as [ChunkLease, ChunkLease];
    await desk.giveBack(two, true);
    expect((await board.look()).lost).toBe(1);
    expect([await board.takeBack(), await board.takeBack(), await board.takeBack()]).toEqual([2, 3, null]);
    await expect(desk.finish(two, counts(1n))).rejects.toMatchObject({ code: 'lease_lost' });
    await board.clear();
    expect(await desk.renew()).toEqual(new Set());
    await expect(desk.finish(one, counts(1n))).rejects.toMatchObject({ code: 'lease_lost' });
  });

  test('of a writer that was taken over are void', async () => {
    const { self, board } = await writer();
    const desk = store.leaseDesk(elsewhere('helper'));
    await board.offer(chunk(1));
    await board.offer(chunk(2));
    const [lease] = (await desk.lease(TABLES, 1)) as [ChunkLease];
    await store.leave(self);
    const next = new PostgresStateStore({ url: server.url(), migration: `m${migration}` });
    await next.claim(elsewhere('next'));
    await next.restore();
    await expect(desk.finish(lease, counts(1n))).rejects.toMatchObject({ code: 'lease_lost' });
    expect(await desk.lease(TABLES, 9)).toEqual([]);
    expect(await desk.renew()).toEqual(new Set());
    await expect(board.offer(chunk(3))).rejects.toMatchObject({ code: 'fenced' });
    expect(await next.chunkBoard(elsewhere('next'), TABLES).look()).toEqual({ helpers: 1, lost: 0, done: [] });
    await next.close();
  });

  test('are each consumed once, whoever races for them and whoever dies', async () => {
    const step = fc.record({ who: fc.integer({ min: 0, max: 2 }), does: fc.constantFrom('finish', 'die', 'giveBack', 'refuse', 'late') });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), fc.integer({ min: 1, max: 8 }), async (steps, total) => {
        migration++;
        await store.close();
        store = new PostgresStateStore({ url: server.url(), migration: `m${migration}`, pool: 8 });
        const { board } = await writer();
        const desks = [0, 1, 2].map((index) => store.leaseDesk(elsewhere(`h${index}`)));
        await Promise.all(desks.map((desk) => desk.renew()));
        for (let seq = 1; seq <= total; seq++) await board.offer(chunk(seq));
        const consumed: number[] = [];
        const late: { who: number; lease: ChunkLease }[] = [];
        for (const { who, does } of steps) {
          // All reach for a chunk at once: no two get the same.
          const leases = await Promise.all(desks.map((desk) => desk.lease(TABLES, 1)));
          const seqs = leases.flat().map(({ seq }) => seq);
          expect(new Set(seqs).size).toBe(seqs.length);
          for (const [index, [lease]] of leases.entries()) {
            const desk = desks[index] as (typeof desks)[number];
            if (lease === undefined) continue;
            if (index !== who) await desk.giveBack(lease, false);
            else if (does === 'finish') await desk.finish(lease, counts(BigInt(lease.seq)));
            else if (does === 'giveBack' || does === 'refuse') await desk.giveBack(lease, does === 'refuse');
            else {
              late.push({ who, lease });
              await sql(`UPDATE lockstep.sweep_chunks SET leased_until = clock_timestamp() - interval '1 ms' WHERE migration = 'm${migration}' AND seq = ${lease.seq}`);
            }
          }
          if (does === 'late') for (const one of late) await (desks[one.who] as (typeof desks)[number]).finish(one.lease, counts(BigInt(one.lease.seq))).catch((error: { code: string }) => expect(error.code).toBe('lease_lost'));
          for (const { seq, equalRows } of (await board.look()).done) {
            expect(equalRows).toBe(BigInt(seq));
            consumed.push(seq);
            await board.remove(seq);
          }
        }
        for (;;) {
          const seq = await board.takeBack();
          if (seq === null) break;
          consumed.push(seq);
        }
        expect(consumed.sort((left, right) => left - right)).toEqual(Array.from({ length: total }, (_, index) => index + 1));
      }),
      { numRuns: 15 },
    );
  });
});
