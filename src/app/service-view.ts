import type { Config } from '../config/config.ts';
import { isBag } from '../domain/bag.ts';
import { deadLetterPlace, type DeadLetter } from '../domain/dead-letter.ts';
import type { DriftGroup } from '../domain/causes/groups.ts';
import type { Drift, DriftEvent } from '../domain/drift.ts';
import type { GateReport, Phase } from '../domain/gate.ts';
import type { Pair } from '../domain/pair.ts';
import type { RowKey } from '../domain/row.ts';
import type { PipelineFinding, Summary, Sweep, SweepKind, TableStatus } from '../domain/status.ts';
import { canonicalFromInput } from '../domain/values/classes.ts';
import type { AuditEntry, DeadLetterSelection, DriftFilter, Page, RetryCounts, RetryOutcome, RequestedKey, RowChecks, ServiceView, SweepStart, TableLag } from '../http/ports.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { PostgresStateStore } from '../state/store.ts';
import type { DeadLetterRetries } from '../verify/dead-letter-retries.ts';
import type { Clock } from '../verify/ports.ts';
import type { Core } from './core.ts';
import type { Published } from './published.ts';
import { StoredDrift } from './stored-drift.ts';

/** Burn rates are given over these windows (Google SRE workbook, chapter 5). */
const BURN_WINDOWS: readonly (readonly [string, number])[] = [
  ['5m', 300_000],
  ['30m', 1_800_000],
  ['1h', 3_600_000],
  ['2h', 7_200_000],
  ['6h', 21_600_000],
  ['24h', 86_400_000],
];

/** Findings with which the service cannot do its work. */
const NOT_READY: readonly PipelineFinding[] = ['primary_unreachable', 'replica_unreachable', 'stream_unreachable', 'state_store_unreachable'];

export interface LiveServiceOptions {
  readonly config: Config;
  readonly core: Core;
  readonly store: PostgresStateStore;
  readonly metrics: Metrics;
  readonly pairs: readonly Pair[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onSweep: (done: Promise<Sweep>) => void;
}

/** The running service as HTTP asks it. */
export class LiveService implements ServiceView {
  private readonly options: LiveServiceOptions;
  private readonly stored: StoredDrift;

  constructor(options: LiveServiceOptions) {
    this.options = options;
    this.stored = new StoredDrift(options.store, options.pairs);
  }

  /** All that other processes answer with. */
  async published(): Promise<Published> {
    const { core, config, clock } = this.options;
    return {
      summary: core.verification.summary(),
      lag: await this.lag(null),
      evidence: core.verification.evidence(),
      policies: config.gate,
      sweep: core.sweeps.current(),
      processes: core.sweeps.processes,
      atMs: clock.nowMs(),
    };
  }

  summary(): Promise<Summary> {
    return Promise.resolve(this.options.core.verification.summary());
  }

  table(id: string): Promise<TableStatus | null> {
    const { verification } = this.options.core;
    const pair = verification.pair(id);
    return Promise.resolve(pair === null ? null : verification.tableStatus(pair));
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

  recheckDrift(id: string): Promise<'accepted' | 'not_found'> {
    return Promise.resolve(this.options.core.verification.recheckDrift(id) ? 'accepted' : 'not_found');
  }

  ignoreDrift(id: string, reason: string): Promise<Drift | null> {
    return Promise.resolve(this.options.core.verification.ignoreDrift(id, reason));
  }

  async listDeadLetters(table: string | null, cursor: string | null, limit: number): Promise<Page<DeadLetter>> {
    return await this.options.store.listDeadLetters(table === null ? {} : { table }, cursor, limit);
  }

  async dischargeDeadLetter(id: string): Promise<DeadLetter | null> {
    const { store, core, clock } = this.options;
    const place = deadLetterPlace(id);
    if (place === null) return null;
    const discharge = async (): Promise<DeadLetter | null> => {
      const found = await store.dischargeDeadLetter(place, clock.nowMs());
      if (found === null) return null;
      const { letter, changed } = found;
      if (changed && letter.table !== null) core.verification.deadLetterDischarged(letter.table, letter.atMs, place);
      return letter;
    };
    return await this.retries().meanwhile(place, () => core.checkpointer.discharging(discharge));
  }

  async retryDeadLetter(id: string): Promise<RetryOutcome> {
    const place = deadLetterPlace(id);
    return place === null ? { kind: 'unknown' } : await this.retries().retry(place);
  }

  async retryDeadLetters(selection: DeadLetterSelection, limit: number): Promise<RetryCounts> {
    return await this.retries().retrySeveral(selection, limit);
  }

  private retries(): DeadLetterRetries {
    const { retries } = this.options.core;
    if (retries === null) throw new RangeError('a service retries dead letters');
    return retries;
  }

  async checkRows(table: string, keys: readonly RequestedKey[]): Promise<RowChecks> {
    const { verification } = this.options.core;
    const pair = verification.pair(table);
    if (pair === null) return { kind: 'unknown_table' };
    if (isBag(pair)) return { kind: 'bad_key', message: `${pair.id} has no key by which rows could be looked up; sweeps compare it as a bag of rows` };
    const rowKeys: RowKey[] = [];
    for (const key of keys) {
      const parts: string[] = [];
      for (const index of pair.key) {
        const column = pair.columns[index];
        if (column === undefined) continue;
        const given = key[column.name];
        const value = given === undefined ? undefined : canonicalFromInput(column.valueClass, column.old.type, given);
        if (value === undefined) {
          return { kind: 'bad_key', message: `each key must have ${column.name}, a value of type ${column.old.type.formatted}` };
        }
        parts.push(value);
      }
      rowKeys.push(parts);
    }
    return { kind: 'results', results: await verification.checkRows(pair, rowKeys, this.options.signal) };
  }

  lag(windowMs: number | null): Promise<readonly TableLag[]> {
    const { config, core, pairs } = this.options;
    const { lagBudgetMs, lagObjective, lagWindowMs } = config.slo;
    const allowed = 1 - lagObjective;
    return Promise.resolve(
      pairs.map((pair): TableLag => {
        const { oldestPendingMs } = core.verification.tableStatus(pair);
        const figuresOf = (window: number): TableLag['lag'] => core.verification.lagFigures(pair, window, oldestPendingMs);
        const burn = (window: number): number | null => {
          const { samples, breaches } = figuresOf(window);
          return samples === 0 || allowed <= 0 ? null : breaches / samples / allowed;
        };
        const spent = burn(lagWindowMs);
        return {
          table: pair.id,
          lag: figuresOf(windowMs ?? lagWindowMs),
          budgetMs: lagBudgetMs,
          objective: lagObjective,
          errorBudgetRemainingRatio: spent === null ? null : 1 - spent,
          burnRates: Object.fromEntries(BURN_WINDOWS.map(([name, window]) => [name, burn(window)])),
        };
      }),
    );
  }

  async listSweeps(cursor: string | null, limit: number): Promise<Page<Sweep>> {
    const stored = await this.options.store.listSweeps(cursor, limit);
    const current = this.options.core.sweeps.current();
    if (current === null) return stored;
    // The one under way is shown as it is now; it was stored when it began, so it has its place in the list.
    return { ...stored, items: stored.items.map((sweep) => (sweep.id === current.id ? current : sweep)) };
  }

  startSweep(tables: readonly string[] | null, kind: SweepKind): Promise<SweepStart> {
    const { core, pairs, signal, onSweep } = this.options;
    const unknown = tables?.find((table) => core.verification.pair(table) === null);
    if (unknown !== undefined) return Promise.resolve({ kind: 'unknown_table', table: unknown });
    const running = core.sweeps.current();
    if (running !== null) return Promise.resolve({ kind: 'already_running', sweep: running });
    const started = core.sweeps.start(tables ?? pairs.map((pair) => pair.id), signal, true, kind);
    if (started === null) throw new RangeError('a sweep began in between');
    onSweep(started.done);
    return Promise.resolve({ kind: 'started', sweep: started.sweep });
  }

  cancelSweep(id: string): Promise<Sweep | null> {
    const { sweeps } = this.options.core;
    const current = sweeps.current();
    return Promise.resolve(current !== null && sweeps.cancel(id) ? { ...current, status: 'cancelled' } : null);
  }

  gate(phase: Phase | null): Promise<GateReport> {
    return Promise.resolve(this.options.core.verification.gate(phase));
  }

  readiness(): Promise<{ readonly ready: boolean; readonly reasons: readonly string[] }> {
    const reasons = this.options.core.health
      .all()
      .filter((status) => NOT_READY.includes(status.finding))
      .map((status) => `${status.finding}: ${status.message}`);
    return Promise.resolve({ ready: reasons.length === 0, reasons });
  }

  async metrics(): Promise<{ readonly contentType: string; readonly body: string }> {
    const { metrics, core } = this.options;
    return { contentType: metrics.contentType, body: await metrics.render(core.verification.summary(), core.sweeps.processes) };
  }

  async audit(entry: AuditEntry): Promise<void> {
    const { atMs, actor, action, ...detail } = entry;
    await this.options.store.appendAudit({ atMs, actor, action, detail: { ...detail } });
  }
}
