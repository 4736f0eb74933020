import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { FaultProxy } from '../../stack/fault-proxy.ts';
import { type Stack, startStack } from '../../stack/stack.ts';
import { OneTable, type SweepPart } from './one-table.ts';
import { replicate } from './replication.ts';

const TABLE = 'public.accounts';
/** One write in so many goes to one of a few rows that never rest. */
const HOT_SHARE = 5;
const HOT_ROWS = 10;
const WRITERS = 4;

export interface LiveSweepOptions {
  readonly rows: number;
  readonly lagMs: number;
  readonly settle?: string;
  readonly chunkRows?: number;
}

export interface SweepRun {
  readonly elapsedMs: number;
  readonly table: SweepPart;
}

/** One table on two servers, native replication between them that is late by a constant time, and Lockstep beside it. */
export class LiveSweep {
  private readonly stack: Stack;
  private readonly link: FaultProxy;
  private readonly watched: OneTable;
  private readonly folder: string;
  private readonly rows: number;
  private inserted = 0;

  private constructor(stack: Stack, link: FaultProxy, watched: OneTable, folder: string, rows: number) {
    this.stack = stack;
    this.link = link;
    this.watched = watched;
    this.folder = folder;
    this.rows = rows;
  }

  static async start({ rows, lagMs, settle, chunkRows }: LiveSweepOptions): Promise<LiveSweep> {
    const stack = await startStack({ kafka: false });
    const folder = mkdtempSync(join(tmpdir(), 'lockstep-live-sweep-'));
    chmodSync(folder, 0o755);
    try {
      const link = await FaultProxy.open(stack.old.port, { delayMs: lagMs });
      for (const server of [stack.old, stack.new]) {
        await server.query(`CREATE TABLE accounts (id bigint PRIMARY KEY, owner text NOT NULL, balance numeric(18,4) NOT NULL, at timestamptz NOT NULL, note text);
INSERT INTO accounts SELECT i, 'owner ' || i, i * 1.25, timestamptz '2024-01-01 00:00:00+00' + i * interval '1 s', CASE WHEN i % 3 = 0 THEN NULL ELSE md5(i::text) END FROM generate_series(1, ${rows}) i`);
        await server.query('VACUUM ANALYZE accounts');
      }
      await replicate({ old: stack.old, new: stack.new, table: 'accounts', port: link.port });
      const watched = await OneTable.start({ old: stack.old, new: stack.new, table: TABLE, folder, settle, chunkRows });
      return new LiveSweep(stack, link, watched, folder, rows);
    } catch (error) {
      await stack.stop();
      throw error;
    }
  }

  /** Writes single rows on old, each in a transaction of its own, until stopped: hot rows, updates, inserts, deletes. */
  startWrites(perSecond: number): { stop(): Promise<number> } {
    let stopped = false;
    let written = 0;
    const write = async (): Promise<void> => {
      const client = new pg.Client({ connectionString: this.stack.old.url() });
      await client.connect();
      let next = Date.now();
      for (let serial = 0; !stopped; serial++) {
        next += (1000 * WRITERS) / perSecond;
        await delay(Math.max(0, next - Date.now()));
        const any = 1 + Math.floor(Math.random() * this.rows);
        const fresh = 2 * this.rows + this.inserted++;
        if (serial % HOT_SHARE === 0) await client.query('UPDATE accounts SET balance = balance + 1 WHERE id = $1', [1 + Math.floor(Math.random() * HOT_ROWS)]);
        else if (serial % HOT_SHARE === 1) await client.query(`INSERT INTO accounts VALUES ($1, 'new', 1, now(), NULL)`, [fresh]);
        else if (serial % HOT_SHARE === 2) await client.query('DELETE FROM accounts WHERE id = $1', [any]);
        else await client.query('UPDATE accounts SET balance = balance + 0.0001, at = clock_timestamp(), note = $2 WHERE id = $1', [any, `note ${serial}`]);
        written++;
      }
      await client.end();
    };
    const all = Promise.all(Array.from({ length: WRITERS }, write));
    return {
      stop: async () => {
        stopped = true;
        await all;
        return written;
      },
    };
  }

  /** A full sweep from its asking to its end. */
  async sweep(): Promise<SweepRun> {
    await this.watched.idle();
    const startedMs = performance.now();
    const table = await this.watched.sweep('full');
    return { elapsedMs: performance.now() - startedMs, table };
  }

  /** Drift ever found. */
  async drift(): Promise<number> {
    return (await this.found('')).length;
  }

  /** Keys and kinds of the drift that is open. */
  async openDrift(): Promise<readonly string[]> {
    return (await this.found('&status=open')).map(({ key, kind }) => `${key['id']} ${kind}`);
  }

  /** Waits until all that was written by now has its verdict. */
  settled(): Promise<unknown> {
    return this.watched.settled();
  }

  /** Runs statements on one side, behind the pipeline's back where that is new. */
  async execute(side: 'old' | 'new', sql: string): Promise<void> {
    await this.stack[side].query(sql);
  }

  private async found(filter: string): Promise<readonly { readonly key: Readonly<Record<string, string>>; readonly kind: string }[]> {
    return (await this.watched.service.get<{ items: { key: Record<string, string>; kind: string }[] }>(`/v1/drift?limit=500${filter}`)).items;
  }

  /** Rows that old has now. */
  async rowsOnOld(): Promise<number> {
    return Number((await this.stack.old.query<{ count: string }>('SELECT count(*) FROM accounts'))[0]?.count);
  }

  async stop(): Promise<void> {
    await this.watched.service.stop();
    await this.link.close();
    await this.stack.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
