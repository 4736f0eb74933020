import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { writeFileSync } from 'node:fs';
import type { PostgresServer } from '../../stack/postgres-server.ts';
import { freePort } from '../../stack/ports.ts';
import { Service } from '../scenario/service.ts';

const LOOK_MS = 25;

/** What REST tells of one table's part in a sweep, as far as it is of use here. */
export interface SweepPart {
  readonly kind: string;
  readonly kind_reason: string;
  readonly status: string;
  readonly rows: { readonly old: number; readonly new: number };
  readonly suspects: number;
  readonly drift: number;
  readonly chunks_differing: number;
}

/** A table's part in a sweep that is over, and when the whole sweep began and ended. */
export interface EndedSweep extends SweepPart {
  readonly sweep_started_at: string;
  readonly sweep_ended_at: string;
}

/** What REST tells of the table. */
export interface TableJson {
  readonly verified_through: string | null;
  readonly rows: { readonly old: number | null; readonly new: number | null };
  readonly pending: number;
  readonly last_clean_sweep: string | null;
  readonly last_sweep_ended: string | null;
  readonly last_clean_incremental_sweep: string | null;
  readonly last_incremental_sweep_ended: string | null;
  readonly touched_keys: number;
  readonly needs_full_sweep: string | null;
}

interface SweepJson {
  readonly id: string;
  readonly status: string;
  readonly started_at: string;
  readonly ended_at: string | null;
  readonly tables: readonly SweepPart[];
}

export interface OneTableOptions {
  readonly old: PostgresServer;
  readonly new: PostgresServer;
  /** With its schema. */
  readonly table: string;
  /** For its configuration, log and data. */
  readonly folder: string;
  readonly settle?: string | undefined;
  readonly chunkRows?: number | undefined;
}

/** Lockstep beside two servers, watching one table by old's own log. */
export class OneTable {
  readonly service: Service;
  private readonly table: string;

  private constructor(service: Service, table: string) {
    this.service = service;
    this.table = table;
  }

  /** Starts it; no sweep but the first comes by itself. */
  static async start({ old, new: replica, table, folder, settle, chunkRows }: OneTableOptions): Promise<OneTable> {
    const port = await freePort();
    const configFile = join(folder, 'lockstep.yaml');
    writeFileSync(
      configFile,
      `migration: one-table
databases: { old: { url: "${old.url()}" }, new: { url: "${replica.url()}" } }
events: { postgres: { slot: lockstep, publication: lockstep } }
data_dir: ${join(folder, 'data')}
${settle === undefined ? '' : `slo: { settle: ${settle} }`}
sweep: { every: 24h${chunkRows === undefined ? '' : `, chunk_rows: ${chunkRows}`} }
http: { port: ${port} }
tables: [ { old: ${table} } ]
`,
    );
    const service = new Service({ configFile, port, logFile: join(folder, 'lockstep.log') });
    await service.start();
    return new OneTable(service, table);
  }

  show(): Promise<TableJson> {
    return this.service.get<TableJson>(`/v1/tables/${this.table}`);
  }

  /** Waits until the table is as wanted. */
  async until(wanted: (table: TableJson) => boolean): Promise<TableJson> {
    for (;;) {
      const table = await this.show();
      if (wanted(table)) return table;
      await delay(LOOK_MS);
    }
  }

  /** Waits until all that was committed by now is consumed and settled, and all writes have arrived. */
  settled(): Promise<TableJson> {
    const since = Date.now();
    return this.until(({ verified_through: through, pending }) => pending === 0 && through !== null && Date.parse(through) >= since);
  }

  /** A sweep of this kind, from its asking to its end. */
  async sweep(kind: 'full' | 'incremental'): Promise<EndedSweep> {
    await this.idle();
    const { id } = await this.service.post<{ id: string }>('/v1/sweeps', { kind });
    for (;;) {
      const sweep = (await this.sweeps()).find((item) => item.id === id);
      const [part] = sweep?.tables ?? [];
      if (part !== undefined && sweep?.status === 'done') return { ...part, sweep_started_at: sweep.started_at, sweep_ended_at: sweep.ended_at ?? '' };
      if (sweep !== undefined && !isUnderWay(sweep) && sweep.status !== 'done') throw new Error(`the sweep is ${sweep.status}`);
      await delay(LOOK_MS);
    }
  }

  /** Waits for the first sweep, which begins by itself, and any other. */
  async idle(): Promise<void> {
    for (;;) {
      const sweeps = await this.sweeps();
      if (sweeps.length > 0 && !sweeps.some(isUnderWay)) return;
      await delay(LOOK_MS);
    }
  }

  private async sweeps(): Promise<readonly SweepJson[]> {
    return (await this.service.get<{ items: SweepJson[] }>('/v1/sweeps')).items;
  }
}

function isUnderWay({ status }: SweepJson): boolean {
  return status === 'running' || status === 'settling';
}
