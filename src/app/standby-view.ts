import type { DeadLetter } from '../domain/dead-letter.ts';
import type { DriftGroup } from '../domain/causes/groups.ts';
import { LockstepError } from '../domain/errors.ts';
import type { Drift, DriftEvent } from '../domain/drift.ts';
import type { GateReport, Phase } from '../domain/gate.ts';
import type { Pair } from '../domain/pair.ts';
import type { Summary, Sweep, TableStatus } from '../domain/status.ts';
import type { DriftFilter, Page, ServiceView, TableLag } from '../http/ports.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { PostgresStateStore } from '../state/store.ts';
import { gateOf, heard, summaryOf, type Heard } from './published.ts';
import { StoredDrift } from './stored-drift.ts';

export interface StandbyViewOptions {
  readonly store: PostgresStateStore;
  readonly metrics: Metrics;
  readonly pairs: readonly Pair[];
  readonly lagWindowMs: number;
}

/** Only the writer may act. */
function refuse(): Promise<never> {
  return Promise.reject(new LockstepError('standby', 'another process holds the writing role: ask that one', { retry: 'retry' }));
}

/** A process that stands by, as HTTP asks it: what the state store lists, and what the writer says of the whole migration. */
export class StandbyView implements ServiceView {
  private readonly options: StandbyViewOptions;
  private readonly stored: StoredDrift;

  constructor(options: StandbyViewOptions) {
    this.options = options;
    this.stored = new StoredDrift(options.store, options.pairs);
  }

  readonly recheckDrift = refuse;
  readonly ignoreDrift = refuse;
  readonly dischargeDeadLetter = refuse;
  readonly retryDeadLetter = refuse;
  readonly retryDeadLetters = refuse;
  readonly checkRows = refuse;
  readonly startSweep = refuse;
  readonly cancelSweep = refuse;
  readonly audit = refuse;

  async summary(): Promise<Summary> {
    return summaryOf(await this.hear());
  }

  async table(id: string): Promise<TableStatus | null> {
    return (await this.hear()).said.summary.tables.find(({ table }) => table === id) ?? null;
  }

  async gate(phase: Phase | null): Promise<GateReport> {
    return gateOf(await this.hear(), phase);
  }

  async lag(windowMs: number | null): Promise<readonly TableLag[]> {
    if (windowMs !== null && windowMs !== this.options.lagWindowMs) return refuse();
    return (await this.hear()).said.lag;
  }

  listDrift(filter: DriftFilter, cursor: string | null, limit: number): Promise<Page<Drift>> {
    return this.stored.list(filter, cursor, limit);
  }

  groupDrift(filter: DriftFilter, limit: number): Promise<readonly DriftGroup[]> {
    return this.stored.group(filter, limit);
  }

  drift(id: string): Promise<{ readonly drift: Drift; readonly events: readonly DriftEvent[] } | null> {
    return this.stored.one(id);
  }

  listDeadLetters(table: string | null, cursor: string | null, limit: number): Promise<Page<DeadLetter>> {
    return this.options.store.listDeadLetters(table === null ? {} : { table }, cursor, limit);
  }

  async listSweeps(cursor: string | null, limit: number): Promise<Page<Sweep>> {
    const stored = await this.options.store.listSweeps(cursor, limit);
    const current = await this.hear().then(({ said }) => said.sweep, () => null);
    const isNewer = (sweep: Sweep): boolean => sweep.id === current?.id && sweep.endedAtMs === null;
    return current === null ? stored : { ...stored, items: stored.items.map((sweep) => (isNewer(sweep) ? current : sweep)) };
  }

  readiness(): Promise<{ readonly ready: boolean; readonly reasons: readonly string[] }> {
    return Promise.resolve({ ready: false, reasons: ['standby: another process holds the writing role'] });
  }

  async metrics(): Promise<{ readonly contentType: string; readonly body: string }> {
    const { metrics } = this.options;
    const what = await this.hear().catch(() => null);
    const body = what === null ? metrics.render(null) : metrics.render(summaryOf(what), what.said.processes);
    return { contentType: metrics.contentType, body: await body };
  }

  private async hear(): Promise<Heard> {
    return heard(await this.options.store.published());
  }
}
