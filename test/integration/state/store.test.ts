import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { groupDrift } from '../../../src/domain/causes/groups.ts';
import type { Drift } from '../../../src/domain/drift.ts';
import { migrateState } from '../../../src/state/migrate.ts';
import { PostgresStateStore } from '../../../src/state/store.ts';
import { startPostgres } from '../../stack/postgres-server.ts';
import type { OnePostgres } from '../../stack/postgres-server.ts';
import { KEPT, MAX_INT64, MIN_INT64, check, drift, driftWrite, emptyCheckpoint, sweep } from './samples.ts';

let server: OnePostgres;
let stores: PostgresStateStore[] = [];
let migration = 0;

function open(name: string = `m${migration}`, nowMs?: () => number): PostgresStateStore {
  const store = new PostgresStateStore({ url: server.url(), migration: name, ...(nowMs === undefined ? {} : { nowMs }) });
  stores.push(store);
  return store;
}

beforeAll(async () => {
  server = await startPostgres({ database: 'state' });
  await migrateState(server.url());
});
afterAll(async () => {
  await Promise.all(stores.map((store) => store.close()));
  await server?.stop();
});
beforeEach(() => {
  migration++;
});

describe('checkpoints', () => {
  test('touched keys are kept, replaced and pruned with the offsets of the same checkpoint', async () => {
    const store = open();
    await store.restore();
    const state = { table: 'public.a', needsFull: null, lostEpoch: 1, tracking: true, shift: null, comparison: 'c', shape: 's' };
    const awkward = ['\u0000\u0001', '"{,}\\'];
    await store.write(emptyCheckpoint({ touched: [{ ...state, epoch: 2, keys: [{ key: ['1'], epoch: 2 }, { key: awkward, epoch: 2 }, { key: ['2'], epoch: 2 }] }] }));
    await store.write(emptyCheckpoint({ touched: [{ ...state, epoch: 3, keys: [{ key: awkward, epoch: 3 }], prunedBelow: 3 }] }));
    const restored = async (): Promise<unknown> => (await open().restore()).touched;
    expect(await restored()).toEqual([{ ...state, epoch: 3, keys: [{ key: awkward, epoch: 3 }] }]);
    const next = open();
    await next.restore();
    const coarse = { ...state, epoch: 3, shift: 6, needsFull: 'why', shape: null, keys: [{ key: ['-7'], epoch: 3 }] };
    await next.write(emptyCheckpoint({ touched: [{ ...coarse, rewritten: true }] }));
    expect(await restored()).toEqual([coarse]);
  });

  test('what is written is restored, extremes and nulls included', async () => {
    const store = open();
    expect(await store.restore()).toEqual({ partitions: [], checks: [], tables: [], drift: [], deadLetters: { byTable: new Map(), keptBytes: 0 }, gapEnds: [], touched: [] });
    const partitions = [
      { topic: 'a', partition: 0, nextOffset: '9223372036854775807', watermarkUs: MAX_INT64, snapshotInProgress: true },
      { topic: 'b', partition: 12, nextOffset: '0', watermarkUs: null, snapshotInProgress: false },
    ];
    const tables = [
      {
        table: 'public.a',
        provenSinceUs: MAX_INT64,
        sweepOwedSinceUs: MIN_INT64,
        verifiedThroughUs: 0n,
        lastCleanSweepMs: 1_700_000_000_123,
        lastSweepEndedMs: 1,
        lastCleanIncrementalMs: null,
        lastIncrementalEndedMs: 1,
        oldRows: MAX_INT64,
        newRows: 1n,
      },
      {
        table: 'public.b',
        provenSinceUs: null,
        sweepOwedSinceUs: null,
        verifiedThroughUs: null,
        lastCleanSweepMs: null,
        lastSweepEndedMs: null,
        lastCleanIncrementalMs: null,
        lastIncrementalEndedMs: null,
        oldRows: null,
        newRows: null,
      },
    ];
    const checks = [check(1), check(2, { versions: [], origin: 'sweep', holdsUs: MIN_INT64 }), check(3, { key: ['\u0000\u0001\u0002', 'ü\ud83d\ude00'] })];
    const open1 = drift('d1');
    const ignored = drift('d2', { status: 'ignored', cause: null, position: null, old: null, new: null, oldHash: null, columns: [] });
    const resolved = drift('d3', { status: 'resolved', resolvedAtMs: 1_700_000_003_000 });
    const letter = (offset: string, table: string | null) => ({
      table,
      position: { topic: 't', partition: 1, offset, lsn: null, txId: null },
      reason: 'not_json',
      message: 'byte 3\u0000',
      rawKey: null,
      rawValue: Buffer.from([0, 255, 92]),
      ...KEPT,
      atMs: 5,
    });
    await store.write(
      emptyCheckpoint({
        partitions,
        tables,
        checks,
        drift: [open1, ignored, resolved].map((one) => driftWrite(one)),
        deadLetters: [letter('18446744073709551615', 'public.a'), letter('1', 'public.a'), letter('1', 'public.a'), letter('2', null)],
      }),
    );
    const restored = await open().restore();
    expect(restored.partitions).toEqual(partitions);
    expect(restored.tables).toEqual(tables);
    expect(restored.checks).toEqual(checks);
    expect(restored.drift).toEqual([
      { drift: open1, keyValues: ['1'] },
      { drift: ignored, keyValues: ['2'] },
    ]);
    expect(restored.deadLetters).toEqual({
      byTable: new Map([['public.a', { open: 2, oldest: { topic: 't', partition: 1, offset: '1' }, gaps: 2, newestGapUs: 5_000n }]]),
      keptBytes: 9,
    });
    expect(restored.gapEnds).toEqual([{ table: 'public.a', position: { topic: 't', partition: 1, offset: '18446744073709551615' }, atUs: 5_000n }]);
    const letters = await store.listDeadLetters({ table: 'public.a' }, null, 1);
    const { table, position, reason, rawValue, atMs } = letter('18446744073709551615', 'public.a');
    const untouched = { dischargedAtMs: null, dischargedBy: null, attempts: 0, lastAttemptAtMs: null };
    expect(letters.items[0]).toEqual({ table, position, reason, atMs, message: 'byte 3\u2400', ...untouched });
    const kept = await server.server.query<{ raw_key: Buffer | null; raw_value: Buffer }>(
      `SELECT raw_key, raw_value FROM lockstep.dead_letters WHERE migration = 'm${migration}' AND record_offset = 18446744073709551615`,
      'state',
    );
    expect(kept).toEqual([{ raw_key: null, raw_value: rawValue }]);
    const rest = await store.listDeadLetters({ table: 'public.a' }, letters.nextCursor, 10);
    expect(rest.items.map((item) => item.position.offset)).toEqual(['1']);
    expect(rest.nextCursor).toBeNull();
  });

  test('a dead letter is discharged once, and by the writer alone', async () => {
    const store = open();
    await store.restore();
    const place = (offset: string) => ({ topic: 'postgres:slot', partition: 0, offset });
    const letter = (offset: string, table: string | null) => ({
      table,
      position: { ...place(offset), lsn: null, txId: null },
      reason: 'bad_value',
      message: 'x',
      rawKey: null,
      rawValue: null,
      ...KEPT,
      atMs: Number(offset),
    });
    const dead = emptyCheckpoint({ deadLetters: [letter('1', 'public.a'), letter('2', 'public.a'), letter('3', null)] });
    await store.write(dead);
    const other = open(`other${migration}`);
    await other.restore();
    expect(await other.dischargeDeadLetter(place('2'), 70)).toBeNull();
    expect(await store.dischargeDeadLetter(place('4'), 70)).toBeNull();
    const once = await store.dischargeDeadLetter(place('2'), 77.4);
    expect(once).toMatchObject({ letter: { table: 'public.a', position: place('2'), atMs: 2, dischargedAtMs: 77 }, changed: true });
    expect(await store.dischargeDeadLetter(place('2'), 99)).toEqual({ ...once, changed: false });
    // The same record again, and a sweep's discharge, leave it as it is.
    await store.write({ ...dead, discharged: [{ table: 'public.a', beforeMs: 3 }] });
    expect(await store.dischargeDeadLetter(place('2'), 99)).toEqual({ ...once, changed: false });
    expect(await store.dischargeDeadLetter(place('1'), 99)).toMatchObject({ letter: { dischargedAtMs: 3 }, changed: false });
    expect(await store.dischargeDeadLetter(place('3'), 99)).toMatchObject({ letter: { table: null }, changed: true });
    expect((await store.listDeadLetters({}, null, 10)).items).toEqual([]);
    expect((await open().restore()).deadLetters).toEqual({
      byTable: new Map([['public.a', { open: 0, oldest: null, gaps: 2, newestGapUs: 5_000n }]]),
      keptBytes: 0,
    });
    await expect(store.dischargeDeadLetter(place('1'), 99)).rejects.toMatchObject({ code: 'fenced' });
  });

  test('a dead letter is kept whole for a retry, counted, closed by it, and open again when its place is taken anew', async () => {
    const store = open();
    await store.restore();
    const place = (offset: string) => ({ topic: 'shop.t', partition: 2, offset });
    const letter = (offset: string, part: object = {}) => ({
      table: 'public.a',
      position: { ...place(offset), lsn: null, txId: null },
      reason: 'not_json',
      message: 'x',
      rawKey: Buffer.from('key'),
      rawValue: Buffer.from([0, 255]),
      rawHeaders: [['h\u0000', Buffer.from([7])], ['h\u0000', null]] as const,
      timestampMs: 1_700_000_000_123,
      rawWhole: true,
      gapUs: 1_000n + BigInt(offset),
      atMs: Number(offset),
      ...part,
    });
    const last = '9223372036854775807';
    await store.write(emptyCheckpoint({ deadLetters: [letter('1'), letter('2'), letter('3', { rawWhole: false, rawHeaders: [], atMs: 3 }), letter(last, { table: 'public.b', gapUs: MAX_INT64, atMs: 4 })] }));
    const kept = await store.keptLetter(place('1'));
    expect(kept?.record).toEqual({ ...place('1'), key: Buffer.from('key'), value: Buffer.from([0, 255]), headers: letter('1').rawHeaders, timestampMs: 1_700_000_000_123 });
    expect(kept).toMatchObject({ gapUs: 1_001n, letter: { attempts: 0, lastAttemptAtMs: null, dischargedBy: null } });
    expect((await store.keptLetter(place('3')))?.record).toBeNull();
    expect((await store.keptLetter(place(last)))?.gapUs).toBe(MAX_INT64);
    expect(await store.keptLetter(place('9'))).toBeNull();
    expect(await store.noteAttempt(place('1'), 'bad_value', 'column\u0000', 70.4)).toMatchObject({ reason: 'bad_value', message: 'column\u2400', attempts: 1, lastAttemptAtMs: 70 });
    expect((await store.lettersToRetry({}, 3)).map(({ offset }) => offset)).toEqual(['2', '3', last]);
    expect(await store.lettersToRetry({ table: 'public.a', topic: 'shop.t', reason: 'bad_value' }, 9)).toEqual([place('1')]);

    await store.write(emptyCheckpoint({ retried: [{ place: place('1'), atMs: 90 }], covered: [{ table: 'public.a', beforeUs: 1_003n }] }));
    expect(await store.keptLetter(place('1'))).toMatchObject({ record: null, gapUs: null, letter: { dischargedAtMs: 90, dischargedBy: 'retry' } });
    expect(await store.keptLetter(place('2'))).toMatchObject({ gapUs: null, letter: { dischargedAtMs: null } });
    expect(await store.deadLetterStates()).toEqual({
      byTable: new Map([
        ['public.a', { open: 2, oldest: place('2'), gaps: 1, newestGapUs: 1_003n }],
        ['public.b', { open: 1, oldest: place(last), gaps: 1, newestGapUs: MAX_INT64 }],
      ]),
      keptBytes: 5 + 5 + 5 + 2 * Buffer.from(JSON.stringify([['h\u0000', 'Bw=='], ['h\u0000', null]])).length,
    });
    // An operator closes one without its record; a retry of it closes the gap, and leaves when it was discharged.
    await store.dischargeDeadLetter(place('3'), 95);
    expect(await store.keptLetter(place('3'))).toMatchObject({ gapUs: 1_003n, letter: { dischargedBy: 'operator' } });
    await store.write(emptyCheckpoint({ retried: [{ place: place('3'), atMs: 99 }], discharged: [{ table: 'public.b', beforeMs: 100 }] }));
    expect(await store.keptLetter(place('3'))).toMatchObject({ gapUs: null, letter: { dischargedAtMs: 95, dischargedBy: 'retry' } });
    expect(await store.keptLetter(place(last))).toMatchObject({ record: null, gapUs: MAX_INT64, letter: { dischargedBy: 'sweep' } });
    // The topic was made anew: another record has the place.
    await store.write(emptyCheckpoint({ deadLetters: [letter('1', { atMs: 200, reason: 'no_key' }), letter('1', { atMs: 201, reason: 'no_key' })] }));
    expect(await store.keptLetter(place('1'))).toMatchObject({ gapUs: 1_001n, letter: { reason: 'no_key', attempts: 0, dischargedAtMs: null, dischargedBy: null, atMs: 201 } });
    await open().restore();
    await expect(store.noteAttempt(place('1'), 'x', 'x', 1)).rejects.toMatchObject({ code: 'fenced' });
  });

  test('settled checks go, changed ones are replaced, and other migrations are left alone', async () => {
    const [store, other] = [open(), open(`other${migration}`)];
    await store.restore();
    await other.restore();
    await store.write(emptyCheckpoint({ checks: [check(1), check(2)] }));
    await other.write(emptyCheckpoint({ checks: [check(1)] }));
    await store.write(
      emptyCheckpoint({ settledChecks: [check(1), check(9)], checks: [check(2, { attempts: 40 }), check(2, { attempts: 41 })] }),
    );
    expect((await store.restore()).checks).toEqual([check(2, { attempts: 41 })]);
    expect((await other.restore()).checks).toEqual([check(1)]);
  });

  test('20,000 checks and 10,000 drift in one checkpoint', async () => {
    const store = open();
    await store.restore();
    const checks = Array.from({ length: 20_000 }, (_, id) => check(id));
    const drifts = Array.from({ length: 10_000 }, (_, id) => driftWrite(drift(`d${id}`), [{ atMs: id, event: 'confirmed', detail: 'x' }]));
    await store.write(emptyCheckpoint({ checks, drift: drifts }));
    await store.write(emptyCheckpoint({ settledChecks: checks.slice(1), drift: drifts }));
    const restored = await store.restore();
    expect(restored.checks.length).toBe(1);
    expect(restored.drift.length).toBe(10_000);
    expect((await store.drift('d77'))?.events).toEqual([{ atMs: 77, event: 'confirmed', detail: 'x' }]);
  });

  test('large samples and dead letters are written in several statements', async () => {
    const store = open();
    await store.restore();
    const large = 'x'.repeat(5_000_000);
    const drifts = Array.from({ length: 9 }, (_, id) => driftWrite(drift(`d${id}`, { old: { text: large } })));
    const letters = Array.from({ length: 9 }, (_, offset) => ({
      table: 'public.a',
      position: { topic: 't', partition: 0, offset: String(offset), lsn: null, txId: null },
      reason: 'not_json',
      message: '',
      rawKey: null,
      rawValue: Buffer.alloc(3_000_000, offset),
      ...KEPT,
      atMs: 5,
    }));
    await store.write(emptyCheckpoint({ drift: drifts, deadLetters: letters }));
    const restored = await store.restore();
    expect(restored.drift.length).toBe(9);
    expect(restored.deadLetters.byTable.get('public.a')?.open).toBe(9);
  });

  test('long keys are stored', async () => {
    const store = open();
    await store.restore();
    const key = [Array.from({ length: 30_000 }, (_, index) => String.fromCodePoint(0x4e00 + ((index * 7919) % 20_000))).join('')];
    await store.write(emptyCheckpoint({ checks: [check(1, { key })], drift: [{ ...driftWrite(drift('d1')), keyValues: key }] }));
    expect((await store.restore()).checks[0]?.key).toEqual(key);
  });

  test('a later holder fences an earlier one off', async () => {
    const [first, second] = [open(), open()];
    await first.restore();
    await first.write(emptyCheckpoint({ checks: [check(1)] }));
    expect((await second.restore()).checks.length).toBe(1);
    await expect(first.write(emptyCheckpoint({ checks: [check(2)] }))).rejects.toMatchObject({ code: 'fenced', retry: 'final' });
    await expect(first.saveSweep(sweep('s1'))).rejects.toMatchObject({ code: 'fenced' });
    await second.write(emptyCheckpoint({ checks: [check(3)] }));
    expect((await second.restore()).checks.map((row) => row.key[0])).toEqual(['1', '3']);
  });

  test('writing before restoring is refused', async () => {
    await expect(open().write(emptyCheckpoint())).rejects.toMatchObject({ code: 'not_restored' });
  });

  test('a checkpoint that fails leaves nothing behind', async () => {
    const store = open();
    await store.restore();
    await store.write(emptyCheckpoint({ drift: [driftWrite(drift('d1'))] }));
    const twice = { ...driftWrite(drift('d2')), keyValues: ['1'] };
    const partition = { topic: 'a', partition: 0, nextOffset: '7', watermarkUs: null, snapshotInProgress: false };
    const failure = await store
      .write(emptyCheckpoint({ partitions: [partition], checks: [check(1)], drift: [twice] }))
      .catch((error: unknown) => error as Error);
    expect(failure).toMatchObject({ code: 'state_failed', about: { sqlstate: '23505' } });
    expect(failure?.message).toContain('drift_unresolved_key');
    const restored = await store.restore();
    expect(restored.partitions).toEqual([]);
    expect(restored.checks).toEqual([]);
    expect(restored.drift.length).toBe(1);
  });

  test('a server that ends in the middle of a checkpoint leaves nothing behind, and the store goes on after it', async () => {
    const store = open();
    await store.restore();
    const blocker = open(`${migration}-blocker`);
    await blocker.restore();
    // A lock holds the checkpoint up after its first statements.
    const { Client } = (await import('pg')).default;
    const holder = new Client({ connectionString: server.url() });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE lockstep.tables IN ACCESS EXCLUSIVE MODE');
    const row = { table: 'a', provenSinceUs: 1n, sweepOwedSinceUs: null, verifiedThroughUs: null, lastCleanSweepMs: null, lastSweepEndedMs: null, lastCleanIncrementalMs: null, lastIncrementalEndedMs: null, oldRows: null, newRows: null };
    const writing = store.write(emptyCheckpoint({ checks: [check(1)], tables: [row] })).catch((error: unknown) => error);
    await expect
      .poll(async () => (await holder.query(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'lockstep-state' AND wait_event_type = 'Lock'`)).rows[0].n)
      .toBe(1);
    await holder.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lockstep-state' AND wait_event_type = 'Lock'`);
    expect(await writing).toMatchObject({ code: 'state_unreachable', retry: 'retry' });
    await holder.query('ROLLBACK');
    await holder.end();
    await store.write(emptyCheckpoint({ tables: [row] }));
    const restored = await store.restore();
    expect(restored.checks).toEqual([]);
    expect(restored.tables).toEqual([row]);
  });

  test('a store that nobody serves is unreachable', async () => {
    const store = new PostgresStateStore({ url: 'postgres://nobody:secret@127.0.0.1:1/none', migration: 'x' });
    const failure = await store.ping().catch((error: unknown) => error as Error);
    expect(failure).toMatchObject({ code: 'state_unreachable', retry: 'retry' });
    expect(String(failure)).not.toContain('secret');
    await store.close();
  });
});

describe('drift', () => {
  test('one row stands in the report once, and may be found again after it was resolved', async () => {
    const store = open();
    await store.restore();
    await store.write(emptyCheckpoint({ drift: [driftWrite(drift('d1'))] }));
    const resolved = drift('d1', { status: 'resolved', resolvedAtMs: 9 });
    const again = { ...driftWrite(drift('d2')), keyValues: ['1'] };
    await store.write(emptyCheckpoint({ drift: [again, driftWrite(resolved, [{ atMs: 9, event: 'resolved', detail: '' }])] }));
    expect((await store.restore()).drift.map((row) => row.drift.id)).toEqual(['d2']);
    expect((await store.drift('d1'))?.drift).toEqual(resolved);
  });

  test('an ignored drift stays ignored until it is reopened', async () => {
    const store = open();
    await store.restore();
    await store.write(emptyCheckpoint({ drift: [driftWrite(drift('d1'), [{ atMs: 1, event: 'confirmed', detail: 'c' }])] }));
    expect(await store.setDriftIgnored('d1', 'known\u0000', 2)).toMatchObject({ status: 'ignored' });
    expect(await store.setDriftIgnored('nope', 'x', 2)).toBeNull();
    await store.write(emptyCheckpoint({ drift: [driftWrite(drift('d1', { checks: 9 }))] }));
    expect((await store.drift('d1'))?.drift).toMatchObject({ status: 'ignored', checks: 9 });
    await store.write(emptyCheckpoint({ drift: [driftWrite(drift('d1'), [{ atMs: 3, event: 'reopened', detail: 'other values' }])] }));
    expect(await store.drift('d1')).toEqual({
      drift: drift('d1'),
      events: [
        { atMs: 1, event: 'confirmed', detail: 'c' },
        { atMs: 2, event: 'ignored', detail: 'known\u2400' },
        { atMs: 3, event: 'reopened', detail: 'other values' },
      ],
    });
    expect(await store.drift('nope')).toBeNull();
  });

  test('filters and cursors', async () => {
    const store = open(`m${migration}`, () => 1_700_000_010_000);
    await store.restore();
    const all = Array.from({ length: 25 }, (_, index) =>
      drift(`d${String(index).padStart(2, '0')}`, {
        confirmedAtMs: 1_700_000_000_000 + Math.floor(index / 3) * 1000,
        firstSeenAtMs: 1_700_000_000_000 + index * 100,
        table: index % 2 === 0 ? 'public.a' : 'public.b',
        kind: index % 5 === 0 ? 'missing' : 'different',
        foundBy: index % 3 === 0 ? 'sweep' : 'stream',
        status: index === 7 ? 'resolved' : 'open',
        cause: index === 4 ? null : { code: 'c', message: 'm' },
      }),
    );
    await store.write(emptyCheckpoint({ drift: all.map((one) => driftWrite(one)) }));
    const newest = all.toSorted((a, b) => b.confirmedAtMs - a.confirmedAtMs || (a.id < b.id ? 1 : -1));
    const ids: string[] = [];
    let cursor: string | null = null;
    do {
      const found = await store.listDrift({}, cursor, 4);
      ids.push(...found.items.map((item) => item.id));
      cursor = found.nextCursor;
    } while (cursor !== null);
    expect(ids).toEqual(newest.map((one) => one.id));
    const listed = async (filter: Parameters<typeof store.listDrift>[0]): Promise<string[]> =>
      (await store.listDrift(filter, null, 100)).items.map((item) => item.id);
    const expected = (holds: (one: (typeof all)[number]) => boolean): string[] => newest.filter(holds).map((one) => one.id);
    expect(await listed({ table: 'public.a' })).toEqual(expected((one) => one.table === 'public.a'));
    expect(await listed({ kind: 'missing', foundBy: 'sweep' })).toEqual(expected((one) => one.kind === 'missing' && one.foundBy === 'sweep'));
    expect(await listed({ status: 'resolved' })).toEqual(['d07']);
    expect((await listed({ cause: 'c' })).length).toBe(24);
    expect(await listed({ minAgeS: 9 })).toEqual(expected((one) => one.firstSeenAtMs <= 1_700_000_001_000));
    expect(await listed({ since: 1_700_000_005_000 })).toEqual(expected((one) => one.confirmedAtMs >= 1_700_000_005_000));
    expect(await listed({ key: { id: '11' } })).toEqual(['d11']);
    expect(await listed({ key: { id: 11, code: 'c-d11' } })).toEqual(['d11']);
    expect(await listed({ key: { id: 11, code: 'x' } })).toEqual([]);
    expect(await listed({ key: { nothing: null } })).toEqual([]);
    for (const bad of ['x', '', 'W10', Buffer.from('["a","b"]').toString('base64url'), Buffer.from('["1","\\u0000"]').toString('base64url')]) {
      await expect(store.listDrift({}, bad, 4)).rejects.toMatchObject({ code: 'bad_cursor' });
    }
  });
});

describe('drift by its cause', () => {
  const details = [null, 'cut at 5 characters', 'cut at 5 characters', 'cut at 9 characters'];
  const made = Array.from({ length: 60 }, (_, index) => {
    const column = (code: string, detail: string | null): Drift['columnCauses'][string] => ({ code, detail });
    const kind = index % 6 === 0 ? 'missing' : index % 6 === 1 ? 'stale' : 'different';
    return drift(`d${String(index).padStart(2, '0')}`, {
      kind,
      table: index % 4 === 0 ? 'public.b' : 'public.a',
      status: index % 10 === 9 ? 'resolved' : 'open',
      firstSeenAtMs: 1_700_000_000_000 - index,
      confirmedAtMs: 1_700_000_000_000 + index,
      columns: index % 5 === 0 ? ['note', 'o"k, {}'] : ['note'],
      newHash: kind === 'missing' ? null : '00ff00ff00ff00ff',
      cause: kind === 'stale' ? { code: 'lost_update', message: 'lost update' } : null,
      columnCauses:
        kind !== 'different'
          ? {}
          : { ...(index % 7 === 0 ? {} : { note: column('truncated', details[index % 4] ?? null) }), ...(index % 5 === 0 ? { 'o"k, {}': column('case', null) } : {}) },
    });
  });
  type Filter = Parameters<PostgresStateStore['groupDrift']>[0];

  test('is grouped as in memory, and narrowed by every filter', async () => {
    const store = open();
    await store.restore();
    await store.write(emptyCheckpoint({ drift: made.map((one) => driftWrite(one)) }));
    const groups = async (filter: Filter): Promise<unknown> => (await store.groupDrift(filter, 500)).map(({ sampleIds: _ids, ...group }) => group);
    const expected = (holds: (one: Drift) => boolean): unknown => groupDrift(made.filter(holds)).map(({ sampleIds: _ids, ...group }) => group);
    expect(await groups({})).toEqual(expected(() => true));
    expect(await groups({ status: 'open', table: 'public.a' })).toEqual(expected((one) => one.status === 'open' && one.table === 'public.a'));
    expect(await groups({ kind: 'stale' })).toEqual(expected((one) => one.kind === 'stale'));
    const truncated = (await store.groupDrift({ cause: 'truncated' }, 500)).filter((group) => group.table === 'public.a');
    expect(truncated).toMatchObject([{ column: 'note', cause: { code: 'truncated' }, kind: 'different' }]);
    expect(truncated[0]?.sampleIds.length).toBe(5);
    const ids = new Set(made.map((one) => one.id));
    for (const group of await store.groupDrift({}, 500)) expect(group.sampleIds.every((id) => ids.has(id))).toBe(true);
    expect(await store.groupDrift({}, 1)).toHaveLength(1);
    expect(await store.groupDrift({ cause: "no'such" }, 500)).toEqual([]);
  });

  test("is listed by the drift's cause or a column's", async () => {
    const store = open();
    await store.restore();
    await store.write(emptyCheckpoint({ drift: made.map((one) => driftWrite(one)) }));
    const listed = async (cause: string): Promise<string[]> => (await store.listDrift({ cause }, null, 500)).items.map((one) => one.id).toSorted();
    expect(await listed('lost_update')).toEqual(made.filter((one) => one.cause !== null).map((one) => one.id));
    expect(await listed('case')).toEqual(made.filter((one) => Object.values(one.columnCauses).some(({ code }) => code === 'case')).map((one) => one.id));
    expect(await listed('cut at 5 characters')).toEqual([]);
  });
});

describe('sweeps and audit', () => {
  test('an unfinished sweep is found again and finished ones are listed', async () => {
    const store = open();
    await store.restore();
    expect(await store.unfinishedSweep()).toBeNull();
    await store.saveSweep(sweep('s1', { status: 'done', startedAtMs: 1, endedAtMs: 2 }));
    await store.saveSweep(sweep('s2'));
    expect(await store.unfinishedSweep()).toEqual(sweep('s2'));
    const settled = sweep('s2', { status: 'settling', tables: sweep('s2').tables.map((table) => ({ ...table, progressRatio: 1, resumeFrom: null })) });
    await store.saveSweep(settled);
    expect(await store.unfinishedSweep()).toEqual(settled);
    const first = await store.listSweeps(null, 1);
    expect(first.items).toEqual([settled]);
    const second = await store.listSweeps(first.nextCursor, 1);
    expect(second.items.map((one) => one.id)).toEqual(['s1']);
    expect(second.nextCursor).toBeNull();
  });

  test('the audit trail is kept', async () => {
    const store = open();
    for (let index = 0; index < 5; index++) {
      await store.appendAudit({ atMs: index, actor: 'operate', action: 'drift.ignore', detail: { id: `d${index}`, reason: 'a\u0000\ud800b' } });
    }
    const first = await store.listAudit(null, 3);
    const second = await store.listAudit(first.nextCursor, 3);
    expect([...first.items, ...second.items].map((entry) => entry.atMs)).toEqual([4, 3, 2, 1, 0]);
    expect(first.items[0]?.detail).toEqual({ id: 'd4', reason: 'a\u2400\ufffdb' });
  });
});
