import { deadLetterId, type DeadLetter } from '../../../src/domain/dead-letter.ts';
import { groupDrift } from '../../../src/domain/causes/groups.ts';
import type { Drift } from '../../../src/domain/drift.ts';
import type { Phase } from '../../../src/domain/gate.ts';
import { LockstepError } from '../../../src/domain/errors.ts';
import type { Sweep } from '../../../src/domain/status.ts';
import type { AuditEntry, DeadLetterSelection, DriftFilter, Page, RequestedKey, RetryOutcome, ServiceView } from '../../../src/http/ports.ts';
import { NOW_MS, summary, tableStatus } from '../metrics/summary.ts';

export function drift(id: string, change: Partial<Drift> = {}): Drift {
  return {
    id,
    table: 'public.payments',
    key: { id: '9007199254740993' },
    kind: 'different',
    columns: ['amount'],
    old: { id: '9007199254740993', amount: '1.50', note: null, paid: true },
    new: { id: '9007199254740993', amount: '1.51', note: null, paid: true },
    oldHash: '00ff00ff00ff00ff',
    newHash: '11ff00ff00ff00ff',
    status: 'open',
    foundBy: 'stream',
    cause: { code: 'precision_lost', message: 'precision lost: cut to 1 digit after the point' },
    columnCauses: { amount: { code: 'precision_lost', detail: 'cut to 1 digit after the point' } },
    firstSeenAtMs: NOW_MS - 20_000,
    confirmedAtMs: NOW_MS - 10_000,
    lastCheckedAtMs: NOW_MS - 1_000,
    resolvedAtMs: null,
    checks: 4,
    position: { topic: 'shop.public.payments', partition: 0, offset: '9007199254740995', lsn: 123_456_789_012_345n, txId: '771' },
    ...change,
  };
}

export function sweep(id: string, change: Partial<Sweep> = {}): Sweep {
  const table = tableStatus().sweep;
  return { id, kind: 'full', status: 'running', startedAtMs: NOW_MS - 60_000, endedAtMs: null, tables: table === null ? [] : [table], ...change };
}

export function deadLetter(offset: string, change: Partial<DeadLetter> = {}): DeadLetter {
  return {
    table: 'public.payments',
    position: { topic: 'shop.public.payments', partition: 0, offset, lsn: null, txId: null },
    reason: 'not_json',
    message: 'the value is not JSON',
    atMs: NOW_MS - 5_000,
    dischargedAtMs: null,
    dischargedBy: null,
    attempts: 0,
    lastAttemptAtMs: null,
    ...change,
  };
}

/** The whole service in memory; cursors are the index of the next item. */
export class MemoryView implements ServiceView {
  drifts: Drift[] = [];
  deadLetters: DeadLetter[] = [];
  sweeps: Sweep[] = [];
  tables = [tableStatus(), tableStatus({ table: 'public.orders', sweep: null })];
  audited: AuditEntry[] = [];
  filters: DriftFilter[] = [];
  /** What a retry comes to; null: it goes well. */
  retryOutcome: RetryOutcome | null = null;
  selections: (DeadLetterSelection & { limit: number })[] = [];
  checked: { table: string; keys: readonly RequestedKey[] }[] = [];
  ready = true;
  /** What the next call throws. */
  failure: Error | null = null;

  async summary() {
    this.#fail();
    return summary({ tables: this.tables });
  }

  async table(id: string) {
    this.#fail();
    return this.tables.find((status) => status.table === id) ?? null;
  }

  async listDrift(filter: DriftFilter, cursor: string | null, limit: number) {
    this.#fail();
    this.filters.push(filter);
    return pageOf(this.drifts.filter((one) => filter.kind === null || one.kind === filter.kind), cursor, limit);
  }

  async groupDrift(filter: DriftFilter, limit: number) {
    this.#fail();
    this.filters.push(filter);
    return groupDrift(this.drifts.filter((one) => filter.kind === null || one.kind === filter.kind)).slice(0, limit);
  }

  async drift(id: string) {
    const found = this.drifts.find((one) => one.id === id);
    return found === undefined ? null : { drift: found, events: [{ atMs: NOW_MS - 10_000, event: 'confirmed' as const, detail: 'different' }] };
  }

  async recheckDrift(id: string) {
    return this.drifts.some((one) => one.id === id) ? ('accepted' as const) : ('not_found' as const);
  }

  async ignoreDrift(id: string) {
    const found = this.drifts.find((one) => one.id === id);
    return found === undefined ? null : { ...found, status: 'ignored' as const };
  }

  async listDeadLetters(table: string | null, cursor: string | null, limit: number) {
    this.#fail();
    return pageOf(this.deadLetters.filter((one) => one.dischargedAtMs === null && (table === null || one.table === table)), cursor, limit);
  }

  async dischargeDeadLetter(id: string) {
    const index = this.deadLetters.findIndex((one) => deadLetterId(one.position) === id);
    const found = this.deadLetters[index];
    if (found === undefined) return null;
    const discharged = { ...found, dischargedAtMs: found.dischargedAtMs ?? NOW_MS, dischargedBy: found.dischargedBy ?? ('operator' as const) };
    this.deadLetters[index] = discharged;
    return discharged;
  }

  async retryDeadLetter(id: string): Promise<RetryOutcome> {
    const index = this.deadLetters.findIndex((one) => deadLetterId(one.position) === id);
    const found = this.deadLetters[index];
    if (found === undefined) return { kind: 'unknown' };
    if (this.retryOutcome !== null) return this.retryOutcome;
    const retried = { ...found, dischargedAtMs: NOW_MS, dischargedBy: 'retry' as const };
    this.deadLetters[index] = retried;
    return { kind: 'retried', letter: retried };
  }

  async retryDeadLetters(selection: DeadLetterSelection, limit: number) {
    this.selections.push({ ...selection, limit });
    return { retried: 3, undecodable: 2, gone: 1, notRetryable: 0, isCut: true };
  }

  async checkRows(table: string, keys: readonly RequestedKey[]) {
    if (!this.tables.some((status) => status.table === table)) return { kind: 'unknown_table' as const };
    this.checked.push({ table, keys });
    if (keys.some((key) => key['id'] === undefined)) return { kind: 'bad_key' as const, message: 'The key of public.payments is id.' };
    return {
      kind: 'results' as const,
      results: keys.map((key) => ({ key, verdict: 'match' as const, columns: [], message: 'equal on both sides', lagMs: null })),
    };
  }

  async lag(windowMs: number | null) {
    return this.tables.map((status) => ({
      table: status.table,
      lag: { ...status.lag, windowMs: windowMs ?? status.lag.windowMs },
      budgetMs: 5_000,
      objective: 0.999,
      errorBudgetRemainingRatio: 0.5,
      burnRates: { '5m': 0, '1h': 0.5, '6h': null },
    }));
  }

  async listSweeps(cursor: string | null, limit: number) {
    return pageOf(this.sweeps, cursor, limit);
  }

  async startSweep(tables: readonly string[] | null) {
    const unknown = tables?.find((table) => !this.tables.some((status) => status.table === table));
    if (unknown !== undefined) return { kind: 'unknown_table' as const, table: unknown };
    const running = this.sweeps.find((one) => one.status === 'running');
    if (running !== undefined) return { kind: 'already_running' as const, sweep: running };
    const started = sweep(`s${this.sweeps.length + 1}`);
    this.sweeps.unshift(started);
    return { kind: 'started' as const, sweep: started };
  }

  async cancelSweep(id: string) {
    const found = this.sweeps.find((one) => one.id === id);
    return found === undefined ? null : { ...found, status: 'cancelled' as const, endedAtMs: NOW_MS };
  }

  async gate(phase: Phase | null) {
    this.#fail();
    const { gate } = summary();
    return { ...gate, phase: phase ?? gate.phase };
  }

  async readiness() {
    return this.ready ? { ready: true, reasons: [] } : { ready: false, reasons: ['the state store does not answer'] };
  }

  async metrics() {
    return { contentType: 'text/plain; version=0.0.4; charset=utf-8', body: '# HELP lockstep_phase x\n' };
  }

  async audit(entry: AuditEntry) {
    this.#fail();
    this.audited.push(entry);
  }

  #fail(): void {
    if (this.failure !== null) throw this.failure;
  }
}

function pageOf<Item>(items: readonly Item[], cursor: string | null, limit: number): Page<Item> {
  const start = cursor === null ? 0 : Number(cursor);
  if (!Number.isInteger(start)) throw new LockstepError('bad_cursor', 'not one of ours');
  const next = start + limit;
  return { items: items.slice(start, next), nextCursor: next < items.length ? String(next) : null };
}
