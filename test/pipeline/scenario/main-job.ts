import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startLoad } from './load.ts';
import { type DriftJson, type Scenario, type SourceKind, type SummaryJson, startScenario } from './scenario.ts';
import { orderId, paymentId } from './schema.ts';

/** Generous: what counts is that it happens, and what does not happen meanwhile. */
const EVENTUALLY = { timeout: 90_000, interval: 200 };
const LOAD_MS = 10_000;
const TRANSACTIONS_PER_SECOND = 100;

/** The main job on real servers: nothing false under load, every fault found and resolved, the bad days told apart. */
export function mainJob(kind: SourceKind): void {
  describe(`the main job, changes from ${kind}`, () => {
    let run: Scenario;
    beforeAll(async () => {
      run = await startScenario(kind);
    });
    afterAll(async () => {
      await run?.stop();
    });

    /** Everything committed before the call is proven, and nothing is open. */
    const settled = async (): Promise<SummaryJson> => {
      const since = Date.now();
      let summary = await run.summary();
      await expect
        .poll(async () => {
          summary = await run.summary();
          const unproven = summary.verified_through === null || Date.parse(summary.verified_through) < since;
          return { unproven, pending: summary.tables.map((table) => table.pending), open: summary.open_drift };
        }, EVENTUALLY)
        .toEqual({ unproven: false, pending: [0, 0, 0], open: 0 });
      return summary;
    };
    const found = async (table: string, key: Record<string, unknown>): Promise<DriftJson> => {
      let match: DriftJson | undefined;
      await expect
        .poll(async () => {
          match = (await run.openDrift()).find((drift) => drift.table === table && isDeepStrictEqual(drift.key, key));
          return match?.status;
        }, EVENTUALLY)
        .toBe('open');
      return match as DriftJson;
    };
    const resolved = async (id: string): Promise<void> => {
      await expect.poll(async () => (await run.service.get<{ status: string }>(`/v1/drift/${id}`)).status, EVENTUALLY).toBe('resolved');
    };

    it('reaches a verified-through and passes the gate', async () => {
      await settled();
      await expect.poll(async () => (await run.summary()).gate.verdict, EVENTUALLY).toBe('pass');
    });

    it('reports nothing under mixed load, settles every check, counts the same rows', async () => {
      const load = startLoad(run.stack.old.url(), TRANSACTIONS_PER_SECOND);
      const until = Date.now() + LOAD_MS;
      while (Date.now() < until) {
        expect(await run.allDrift()).toEqual([]);
        await delay(500);
      }
      await load.stop();
      expect(load.committed()).toBeGreaterThan(0);
      await settled();
      await run.sweep();
      const summary = await settled();
      for (const table of summary.tables) {
        const [row] = await run.stack.old.query<{ count: string }>(`SELECT count(*) FROM ${table.table}`);
        expect({ table: table.table, ...table.rows, delta: String(table.row_count_delta) }).toEqual({
          table: table.table,
          old: Number(row?.count),
          new: Number(row?.count),
          delta: '0',
        });
      }
      expect(await run.allDrift()).toEqual([]);
    });

    it('finds a lost update as stale and resolves it when repaired', async () => {
      await run.stack.old.query(`UPDATE customers SET notes = 'first' WHERE id = 901`);
      await settled();
      await run.stack.new.query(`INSERT INTO swallowed VALUES ('customers', '901')`);
      await run.stack.old.query(`UPDATE customers SET notes = 'lost', balance = 7 WHERE id = 901`);
      const drift = await found('public.customers', { id: 901 });
      expect(drift).toMatchObject({ kind: 'stale', columns: ['balance', 'notes'], found_by: 'stream', old: { notes: 'lost' }, new: { notes: 'first' } });
      await run.stack.new.query(`DELETE FROM swallowed; UPDATE customers SET notes = 'lost', balance = 7 WHERE id = 901`);
      await resolved(drift.id);
    });

    it('finds a lost delete as extra', async () => {
      await run.stack.new.query(`INSERT INTO swallowed VALUES ('orders', '1/${orderId(901)}')`);
      await run.stack.old.query(`DELETE FROM orders WHERE order_id = ${orderId(901)}`);
      const drift = await found('public.orders', { tenant_id: 1, order_id: orderId(901) });
      expect(drift).toMatchObject({ kind: 'extra', old: null });
      await run.stack.new.query(`DELETE FROM swallowed; DELETE FROM orders WHERE order_id = ${orderId(901)}`);
      await resolved(drift.id);
    });

    it('finds by a sweep what no event mentions: a row behind the pipeline’s back, a digit, a missing row', async () => {
      await run.stack.new.query(`INSERT INTO payments VALUES ('${paymentId(5000)}', 1, 1, now(), 'x', 1)`);
      await run.stack.new.query(`UPDATE payments SET amount = amount + 0.0001 WHERE id = '${paymentId(902)}'`);
      await run.stack.new.query(`DELETE FROM customers WHERE id = 903`);
      await run.sweep();
      const extra = await found('public.payments', { id: paymentId(5000) });
      const digit = await found('public.payments', { id: paymentId(902) });
      const missing = await found('public.customers', { id: 903 });
      expect([extra.kind, digit.kind, missing.kind]).toEqual(['extra', 'different', 'missing']);
      expect([digit.columns, extra.found_by, digit.found_by]).toEqual([['amount'], 'sweep', 'sweep']);
      expect((await run.openDrift()).length).toBe(3);
      expect((await run.summary()).gate.verdict).toBe('fail');
      await run.stack.new.query(`DELETE FROM payments WHERE id = '${paymentId(5000)}'`);
      await run.stack.new.query(`UPDATE payments SET amount = amount - 0.0001 WHERE id = '${paymentId(902)}'`);
      await run.stack.old.query(`UPDATE customers SET notes = 'touched' WHERE id = 903`);
      if (kind === 'postgres') {
        await run.stack.old.query(`DELETE FROM customers WHERE id = 903`);
      }
      for (const drift of [extra, digit, missing]) await resolved(drift.id);
      await settled();
    });

    it('calls nothing drift while the sink is stopped, says so, and holds verified-through', async () => {
      await settled();
      await run.pauseSink();
      const load = startLoad(run.stack.old.url(), TRANSACTIONS_PER_SECOND / 4);
      const seen = new Set<string>();
      const until = Date.now() + 14_000;
      let held: string | null = null;
      while (Date.now() < until) {
        const summary = await run.summary();
        for (const { finding } of summary.pipeline) seen.add(finding);
        expect(summary.open_drift).toBe(0);
        held = summary.verified_through;
        await delay(500);
      }
      expect([...seen]).toContain('sink_stopped');
      expect((await run.summary()).verified_through).toBe(held);
      expect((await run.summary()).gate.verdict).not.toBe('pass');
      await load.stop();
      await run.resumeSink();
      await settled();
      const known = await run.allDrift();
      expect(known.every((drift) => drift.status === 'resolved')).toBe(true);
    });

    it('says that the replica is away, and goes on when it is back', async () => {
      await run.stack.new.stop('fast');
      await run.stack.old.query(`UPDATE customers SET notes = 'while away' WHERE id BETWEEN 910 AND 920`);
      await expect.poll(async () => (await run.summary()).pipeline.map(({ finding }) => finding), EVENTUALLY).toContain('replica_unreachable');
      expect((await run.summary()).open_drift).toBe(0);
      await run.stack.new.start();
      if (kind === 'kafka') await run.stack.connect?.restartTasks('sink');
      await settled();
      await expect.poll(async () => (await run.summary()).pipeline, EVENTUALLY).toEqual([]);
    });

    it('loses nothing and doubles nothing when killed under load', async () => {
      await run.stack.new.query(`INSERT INTO swallowed VALUES ('customers', '930'), ('customers', '931')`);
      await run.stack.old.query(`UPDATE customers SET notes = 'before the kill' WHERE id = 930`);
      const before = await found('public.customers', { id: 930 });
      const load = startLoad(run.stack.old.url(), TRANSACTIONS_PER_SECOND);
      await delay(2_000);
      await run.service.kill9();
      await run.stack.old.query(`UPDATE customers SET notes = 'while dead' WHERE id = 931`);
      await delay(2_000);
      await run.service.start();
      await delay(2_000);
      await run.service.kill9();
      await run.service.start();
      await found('public.customers', { id: 931 });
      await load.stop();
      const open = await run.openDrift();
      expect(open.map((drift) => Number(drift.key['id'])).sort((left, right) => left - right)).toEqual([930, 931]);
      expect(open.some((drift) => drift.id === before.id)).toBe(true);
      await run.stack.new.query(`DELETE FROM swallowed`);
      await run.stack.old.query(`UPDATE customers SET notes = 'healed' WHERE id IN (930, 931)`);
      await settled();
      await run.sweep();
      await settled();
    });

    if (kind === 'kafka') {
      it('tells a stopped source connector from an idle one', async () => {
        await settled();
        await run.stack.connect?.stopConnector('source');
        await expect.poll(async () => (await run.summary()).pipeline.map(({ finding }) => finding), EVENTUALLY).toContain('source_connector_stopped');
        const held = (await run.summary()).verified_through;
        await run.stack.old.query(`UPDATE customers SET notes = 'unseen' WHERE id BETWEEN 940 AND 950`);
        await delay(8_000);
        const summary = await run.summary();
        expect(summary.verified_through).toBe(held);
        expect(summary.open_drift).toBe(0);
        expect(summary.source.primary_idle).toBeNull();
        await run.stack.connect?.resume('source');
        await settled();
        await expect.poll(async () => (await run.summary()).gate.verdict, EVENTUALLY).toBe('pass');
        await expect.poll(async () => (await run.summary()).source.primary_idle?.for_ms ?? 0, EVENTUALLY).toBeGreaterThanOrEqual(10_000);
        expect((await run.summary()).pipeline).toEqual([]);
      });

      it('tells a sink that is gone from an idle primary, though nothing waits for it', async () => {
        await run.stack.connect?.stopConnector('sink');
        await expect.poll(async () => (await run.summary()).pipeline.map(({ finding }) => finding), EVENTUALLY).toEqual(['sink_stopped']);
        expect((await run.summary()).gate.reasons.map(({ code }) => code)).toContain('sink_stopped');
        await run.stack.connect?.resume('sink');
        await expect.poll(async () => (await run.summary()).pipeline, EVENTUALLY).toEqual([]);
      });

      it('tells of log that a slot holds back, of a slot whose log is gone, and of one that was dropped, and owes sweeps', async () => {
        const { old } = run.stack;
        const findings = async (): Promise<readonly string[]> => (await run.summary()).pipeline.map(({ finding }) => finding);
        await run.stack.connect?.stopConnector('source');
        await old.query(`ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'`);
        await old.query('SELECT pg_reload_conf()');
        const fill = async (): Promise<void> => {
          await old.query(`CREATE TABLE IF NOT EXISTS filler (t text)`);
          await old.query(`INSERT INTO filler SELECT repeat(md5(i::text), 60) FROM generate_series(1, 10000) i`);
          await old.query('TRUNCATE filler');
          await old.query('SELECT pg_switch_wal()');
        };
        await expect
          .poll(async () => {
            await fill();
            return await findings();
          }, EVENTUALLY)
          .toContain('slot_wal_growing');
        await expect
          .poll(async () => {
            await fill();
            await old.query('CHECKPOINT');
            return await findings();
          }, EVENTUALLY)
          .toEqual(['source_slot_lost']);
        await old.query(`SELECT pg_drop_replication_slot('debezium')`);
        await old.query('ALTER SYSTEM RESET max_slot_wal_keep_size');
        await old.query('SELECT pg_reload_conf()');
        await expect.poll(findings, EVENTUALLY).toEqual(['source_slot_missing']);
        const held = (await run.summary()).verified_through;
        // A slot that is made anew knows nothing of what was written without one: no event tells of it.
        await old.query(`UPDATE customers SET notes = 'in no stream' WHERE id = 960`);
        await old.query(`SELECT pg_create_logical_replication_slot('debezium', 'pgoutput')`);
        await expect.poll(findings, EVENTUALLY).toEqual(['source_connector_stopped']);
        const summary = await run.summary();
        expect(summary.verified_through).toBe(held);
        expect(summary.tables.find(({ table }) => table === 'public.customers')?.held_by).toBe('changes were missed; a sweep is owed');
      });
    }
  });
}
