import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { debeziumSource, jdbcSink } from '../stack/connectors.ts';
import { detectJava } from '../stack/java.ts';
import { childrenOf } from '../stack/processes.ts';
import { type Stack, startStack } from '../stack/stack.ts';

const java = detectJava();
if (!java.ok) console.warn(`SKIPPED: the Kafka stack cannot be tested here: ${java.reason}`);

/** Generous: the point is that rows arrive, not when. */
const ARRIVES_MS = 60_000;

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(!java.ok)('the stack with Kafka and Connect', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ kafka: true });
    for (const server of [stack.old, stack.new]) {
      await server.query(`CREATE TYPE state AS ENUM ('new', 'paid'); CREATE TABLE payments (id bigint PRIMARY KEY, amount numeric(12,2), state state)`);
    }
  });
  afterAll(() => stack?.stop());

  async function newRows(expected: number): Promise<Record<string, unknown>[]> {
    let rows: Record<string, unknown>[] = [];
    await expect
      .poll(
        async () => {
          rows = await stack.new.query('SELECT id, amount, state FROM payments ORDER BY id');
          return rows.length;
        },
        { timeout: ARRIVES_MS },
      )
      .toBe(expected);
    return rows;
  }

  it('carries rows from old to new', async () => {
    const connect = stack.connect!;
    await stack.old.query(`INSERT INTO payments VALUES (1, 1.50, 'new')`);
    await connect.putConnector('source', debeziumSource({ port: stack.old.port, database: 'app', topicPrefix: 'shop', tables: ['public.payments'] }));
    await connect.putConnector('sink', jdbcSink({ port: stack.new.port, database: 'app', topics: ['shop.public.payments'] }));
    expect(await newRows(1)).toEqual([{ id: '1', amount: '1.50', state: 'new' }]);
    await stack.old.query(`INSERT INTO payments VALUES (2, 2.00, 'paid')`);
    expect((await newRows(2))[1]).toEqual({ id: '2', amount: '2.00', state: 'paid' });
    await stack.old.query(`DELETE FROM payments WHERE id = 1`);
    expect(await newRows(1)).toEqual([{ id: '2', amount: '2.00', state: 'paid' }]);
  });

  it('pauses, stops and resumes a connector', async () => {
    const connect = stack.connect!;
    await connect.pause('sink');
    await stack.old.query(`INSERT INTO payments VALUES (3, 3.00, 'new')`);
    expect((await connect.status('sink'))?.connector).toBe('PAUSED');
    await connect.resume('sink');
    await newRows(2);
    await connect.stopConnector('sink');
    expect((await connect.status('sink'))?.tasks).toEqual([]);
    await connect.resume('sink');
  });

  it('says why a connector failed', async () => {
    const connect = stack.connect!;
    await stack.new.query('ALTER TABLE payments RENAME COLUMN amount TO total');
    await stack.old.query(`INSERT INTO payments VALUES (4, 4.00, 'new')`);
    await expect
      .poll(async () => (await connect.status('sink'))?.tasks.find((task) => task.state === 'FAILED')?.cause, { timeout: ARRIVES_MS })
      .toContain('payments');
    await stack.new.query('ALTER TABLE payments RENAME COLUMN total TO amount');
    await connect.restartTasks('sink');
    await newRows(3);
  });

  it('has its connectors after a restart of the broker and the worker', async () => {
    await stack.connect!.stop();
    await stack.kafka!.restart();
    await stack.connect!.start();
    await stack.connect!.waitFor('source', 'RUNNING');
    await stack.connect!.waitFor('sink', 'RUNNING');
    await stack.old.query(`INSERT INTO payments VALUES (5, 5.00, 'new')`);
    await newRows(4);
  });

  it('leaves neither a process nor a folder', async () => {
    const pids = [stack.kafka!.pid, stack.connect!.pid, stack.old.pid, stack.new.pid, ...childrenOf(stack.old.pid), ...childrenOf(stack.new.pid)];
    expect(pids.every((pid) => pid > 0)).toBe(true);
    await stack.stop();
    expect(pids.filter(lives)).toEqual([]);
    expect(existsSync(stack.folder)).toBe(false);
  });
});
