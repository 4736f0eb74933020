import type { DeadLetter } from '../domain/dead-letter.ts';
import { LockstepError } from '../domain/errors.ts';
import type { Drift, DriftEvent } from '../domain/drift.ts';
import type { Sweep } from '../domain/status.ts';
import type { Page, ServiceView } from '../http/ports.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { PostgresStateStore } from '../state/store.ts';

export interface StandbyViewOptions {
  readonly store: PostgresStateStore;
  readonly metrics: Metrics;
}

/** Only the writer knows, and only it may act. */
function refuse(): Promise<never> {
  return Promise.reject(new LockstepError('standby', 'another process holds the writing role: ask that one', { retry: 'retry' }));
}

/** A process that stands by, as HTTP asks it: what the state store lists, and nothing that takes verifying to say. */
export class StandbyView implements ServiceView {
  private readonly options: StandbyViewOptions;

  constructor(options: StandbyViewOptions) {
    this.options = options;
  }

  readonly summary = refuse;
  readonly table = refuse;
  readonly listDrift = refuse;
  readonly groupDrift = refuse;
  readonly recheckDrift = refuse;
  readonly ignoreDrift = refuse;
  readonly dischargeDeadLetter = refuse;
  readonly retryDeadLetter = refuse;
  readonly retryDeadLetters = refuse;
  readonly checkRows = refuse;
  readonly lag = refuse;
  readonly startSweep = refuse;
  readonly cancelSweep = refuse;
  readonly gate = refuse;
  readonly audit = refuse;

  drift(id: string): Promise<{ readonly drift: Drift; readonly events: readonly DriftEvent[] } | null> {
    return this.options.store.drift(id);
  }

  listDeadLetters(table: string | null, cursor: string | null, limit: number): Promise<Page<DeadLetter>> {
    return this.options.store.listDeadLetters(table === null ? {} : { table }, cursor, limit);
  }

  listSweeps(cursor: string | null, limit: number): Promise<Page<Sweep>> {
    return this.options.store.listSweeps(cursor, limit);
  }

  readiness(): Promise<{ readonly ready: boolean; readonly reasons: readonly string[] }> {
    return Promise.resolve({ ready: false, reasons: ['standby: another process holds the writing role'] });
  }

  async metrics(): Promise<{ readonly contentType: string; readonly body: string }> {
    const { metrics } = this.options;
    return { contentType: metrics.contentType, body: await metrics.render(null) };
  }
}
