import { isBag } from '../domain/bag.ts';
import type { ClockSkew } from '../domain/clock-skew.ts';
import { undecodedRecords, type DeadLetterPlace } from '../domain/dead-letter.ts';
import type { Drift } from '../domain/drift.ts';
import { evaluateGate } from '../domain/gate-policy.ts';
import type { GateEvidence, GatePolicy, GateReport, Phase } from '../domain/gate.ts';
import type { KeySample } from '../domain/key-sample.ts';
import type { LagWindow } from '../domain/lag-window.ts';
import type { Pair, Side } from '../domain/pair.ts';
import { differingColumns, keyId, type RowKey } from '../domain/row.ts';
import type { Sampler } from '../domain/samples.ts';
import type { LagFigures, RowCheckResult, SchemaFinding, SourceStatus, Summary, TableStatus } from '../domain/status.ts';
import type { Watermarks } from '../domain/watermarks.ts';
import type { DriftBook } from './drift-book.ts';
import type { Health } from './health.ts';
import { UNVERIFIABLE_ROUNDS, type PendingChecks } from './pending-checks.ts';
import type { Clock } from './ports.ts';
import type { Proofs, TableProof } from './proofs.ts';
import type { Rechecker } from './rechecker.ts';
import { restlessFindings, restlessSample } from './restless-rows.ts';
import type { Sweeps } from './sweeps.ts';
import type { TouchedKeys } from './touched-keys.ts';

/** A key that moved under this many confirm steps in a row is shown as hot. */
const HOT_ROUNDS = 3;

export interface VerificationParts {
  readonly migration: string;
  readonly phase: Phase;
  readonly primarySide: Side;
  readonly pairs: readonly Pair[];
  /** What is worth knowing of a table's columns, so far. */
  readonly findingsOf: (table: string) => readonly SchemaFinding[];
  readonly pending: PendingChecks;
  readonly book: DriftBook;
  readonly proofs: Proofs;
  readonly watermarks: Watermarks;
  readonly rechecker: Rechecker;
  readonly sweeps: Sweeps;
  readonly touched: TouchedKeys;
  readonly sampler: Sampler;
  readonly lag: ReadonlyMap<string, LagWindow>;
  readonly skew: Readonly<Record<Side, ClockSkew>>;
  readonly health: Health;
  /** By table: the keys whose changes are checked, where those are not all. */
  readonly samples: ReadonlyMap<string, KeySample>;
  readonly source: () => SourceStatus;
  readonly clock: Clock;
  readonly gate: Readonly<Record<Phase, GatePolicy>>;
  readonly lagWindowMs: number;
  /** One stream in commit order has no count of messages to be behind by. */
  readonly countsMessages: boolean;
}

/** What verification knows at this moment, and what may be asked of it. */
export class Verification {
  private readonly parts: VerificationParts;

  constructor(parts: VerificationParts) {
    this.parts = parts;
  }

  pair(table: string): Pair | null {
    return this.parts.pairs.find((pair) => pair.id === table) ?? null;
  }

  /** Verified-through of a table on the primary's clock, µs, as it is told: what is stored of it. */
  verifiedThroughUs(table: string): bigint | null {
    return this.parts.proofs.get(table).writtenThroughUs;
  }

  tableStatus(pair: Pair): TableStatus {
    const { proofs, pending, book, sweeps, findingsOf } = this.parts;
    const proof = proofs.get(pair.id);
    const sweep = sweeps.progressOf(pair.id);
    let hotKeys = 0;
    let unverifiable = 0;
    const restless = restlessSample();
    let oldestUs: bigint | null = null;
    for (const check of pending.checksOf(pair.id)) {
      if (check.hotRounds >= UNVERIFIABLE_ROUNDS) {
        unverifiable++;
        restless.offer(check.key);
      } else if (check.hotRounds >= HOT_ROUNDS) hotKeys++;
      const first = check.versions[0];
      if (first !== undefined && (oldestUs === null || first.committedAtUs < oldestUs)) oldestUs = first.committedAtUs;
    }
    const oldestPendingMs = oldestUs === null ? null : this.hostMs(oldestUs);
    return {
      table: pair.id,
      newTable: `${pair.new.schema}.${pair.new.name}`,
      key: pair.key.map((index) => pair.columns[index]?.name ?? ''),
      rows: { old: proof.oldRows?.toString() ?? null, new: proof.newRows?.toString() ?? null },
      rowCountDelta: proof.oldRows === null || proof.newRows === null ? null : (proof.newRows - proof.oldRows).toString(),
      verifiedThroughMs: proof.writtenThroughUs === null ? null : this.hostMs(proof.writtenThroughUs),
      verifiedThroughHeldBy: proof.heldBy,
      coverage: isBag(pair) ? 'sweep_only' : this.sampleRatio(pair) < 1 ? 'sampled' : 'stream_and_sweep',
      sampleRatio: this.sampleRatio(pair),
      lag: this.lagFigures(pair, null, oldestPendingMs),
      pendingChecks: pending.tableSize(pair.id),
      oldestPendingMs,
      hotKeys,
      unverifiable,
      drift: book.openByKind(pair.id),
      deadLetters: proof.deadLetters,
      missingEvidence: proof.deadLetters === 0 ? null : undecodedRecords(proof.deadLetters, proof.oldestDeadLetter),
      pipeline: this.parts.health.all().filter(({ tables }) => tables === null || tables.includes(pair.id)),
      lastCleanSweepMs: proof.lastCleanSweepMs,
      lastSweepEndedMs: proof.lastSweepEndedMs,
      lastCleanIncrementalMs: proof.lastCleanIncrementalMs,
      lastIncrementalEndedMs: proof.lastIncrementalEndedMs,
      touchedKeys: this.parts.touched.count(pair.id),
      needsFullSweep: sweeps.needsFull(pair),
      sweep,
      strategy: sweep?.strategy ?? null,
      schemaFindings: [...findingsOf(pair.id), ...restlessFindings(pair, unverifiable, restless.all())],
    };
  }

  /** Lag of a table over a window; the present lag counts what is still on its way. */
  lagFigures(pair: Pair, windowMs: number | null, oldestPendingMs: number | null): LagFigures {
    const nowMs = this.parts.clock.nowMs();
    const figures = (this.parts.lag.get(pair.id) as LagWindow).figures(nowMs, windowMs ?? this.parts.lagWindowMs);
    if (oldestPendingMs === null) return figures;
    return { ...figures, currentMs: Math.max(figures.currentMs ?? 0, nowMs - oldestPendingMs) };
  }

  summary(): Summary {
    const { pairs, migration, phase, primarySide, health, clock, skew, book } = this.parts;
    const tables = pairs.map((pair) => this.tableStatus(pair));
    let verifiedThroughMs: number | null = tables.length === 0 ? null : Number.POSITIVE_INFINITY;
    for (const table of tables) {
      verifiedThroughMs =
        verifiedThroughMs === null || table.verifiedThroughMs === null ? null : Math.min(verifiedThroughMs, table.verifiedThroughMs);
    }
    const skewOf = (side: Side): { offsetMs: number; boundMs: number } | null => {
      const best = skew[side].best();
      return best === null ? null : { offsetMs: Number(best.offsetUs) / 1000, boundMs: Number(best.boundUs) / 1000 };
    };
    return {
      migration,
      phase,
      primary: primarySide,
      verifiedThroughMs,
      verifiedLagMs: verifiedThroughMs === null ? null : Math.max(0, clock.nowMs() - verifiedThroughMs),
      pipeline: health.all(),
      source: this.parts.source(),
      gate: this.gate(null),
      openDrift: pairs.reduce((sum, pair) => sum + book.openCount(pair.id), 0),
      clockSkewMs: { old: skewOf('old'), new: skewOf('new') },
      tables,
      consumerLag: this.consumerLag(),
    };
  }

  /** The gate's verdict for a phase; null is the present one. */
  gate(phase: Phase | null): GateReport {
    const { parts } = this;
    const asked = phase ?? parts.phase;
    return evaluateGate(this.evidence(), parts.gate[asked], asked, parts.clock.nowMs());
  }

  /** What the gate is judged by. */
  evidence(): GateEvidence {
    const { parts } = this;
    return {
      tables: parts.pairs.map((pair) => this.tableEvidence(pair, parts.proofs.get(pair.id))),
      pipeline: parts.health.all().map(({ finding, message, observed, limit }) => ({ code: finding, message, observed, limit })),
      explanations: explanationsOf(parts.source()),
    };
  }

  /** Looks at rows now. A difference is a mismatch only where it can no longer be in flight. */
  async checkRows(pair: Pair, keys: readonly RowKey[], signal: AbortSignal): Promise<RowCheckResult[]> {
    const { rechecker, pending, book, sampler, clock } = this.parts;
    const reads = await rechecker.look(pair, keys, signal);
    const nowMs = clock.nowMs();
    return keys.map((key): RowCheckResult => {
      const id = keyId(key);
      const read = reads(id);
      const shown = sampler.key(pair, key);
      if (read.primaryBefore === read.replica) {
        const absent = read.primaryRow === null;
        return { key: shown, verdict: 'match', columns: [], message: absent ? 'no such row on either side' : 'both sides agree', lagMs: null };
      }
      const columns =
        read.primaryRow !== null && read.replicaRow !== null
          ? differingColumns(read.primaryRow, read.replicaRow).map((index) => pair.columns[index]?.name ?? '')
          : pair.columns.map((column) => column.name);
      if (read.primaryBefore !== read.primaryAfter) {
        return { key: shown, verdict: 'hot', columns: [], message: 'the row changed while it was read', lagMs: null };
      }
      const booked = book.get(pair.id, id);
      if (booked !== undefined) {
        const message = `drift ${booked.drift.id}: ${booked.drift.kind}`;
        return { key: shown, verdict: 'mismatch', columns, message, lagMs: null };
      }
      const check = pending.suspect(pair, key, 'api', nowMs, null);
      const first = check.versions[0];
      const lagMs = first === undefined ? null : nowMs - this.hostMs(first.committedAtUs);
      return { key: shown, verdict: 'inconclusive', columns, message: 'the sides differ; a change may be in flight, the row is being rechecked', lagMs };
    });
  }

  /** Puts an open drift's row first in line for its recheck. */
  recheckDrift(id: string): boolean {
    const booked = this.parts.book.byId(id);
    if (booked === undefined) return false;
    booked.nextCheckMs = 0;
    return true;
  }

  ignoreDrift(id: string, reason: string): Drift | null {
    const { book, proofs, clock } = this.parts;
    const drift = book.ignore(id, reason, clock.nowMs());
    if (drift !== null && book.openCount(drift.table) === 0) proofs.driftGone(drift.table);
    return drift;
  }

  /** Somebody discharged a dead letter of this table, recorded at `atMs`: it keeps the gate from passing no more. */
  deadLetterDischarged(table: string, atMs: number, place: DeadLetterPlace): void {
    this.parts.proofs.deadLetterDischarged(table, atMs, place);
  }

  private tableEvidence(pair: Pair, proof: TableProof): GateEvidence['tables'][number] {
    const { book, pending } = this.parts;
    let unverifiable = 0;
    for (const check of pending.checksOf(pair.id)) if (check.hotRounds >= UNVERIFIABLE_ROUNDS) unverifiable++;
    return {
      table: pair.id,
      openDrift: book.openCount(pair.id),
      verifiedThroughMs: proof.writtenThroughUs === null ? null : this.hostMs(proof.writtenThroughUs),
      verifiedThroughHeldBy: proof.heldBy,
      sweepOnly: isBag(pair),
      sampleRatio: this.sampleRatio(pair),
      lastCleanSweepMs: proof.lastCleanSweepMs,
      lastSweepEndedMs: proof.lastSweepEndedMs,
      deadLetters: proof.deadLetters,
      oldestDeadLetter: proof.oldestDeadLetter,
      unverifiable,
    };
  }

  private sampleRatio(pair: Pair): number {
    return isBag(pair) ? 1 : (this.parts.samples.get(pair.id)?.ratio ?? 1);
  }

  private consumerLag(): Summary['consumerLag'] {
    if (!this.parts.countsMessages) return [];
    const lag: { topic: string; partition: number; messages: number }[] = [];
    for (const { partition, endOffset, nextOffset } of this.parts.watermarks.all()) {
      if (endOffset === null) continue;
      lag.push({ ...partition, messages: endOffset > nextOffset ? Number(endOffset - nextOffset) : 0 });
    }
    return lag;
  }

  /** A time on the primary's clock as ours would have shown it, ms since 1970. */
  private hostMs(primaryUs: bigint): number {
    const offsetUs = this.parts.skew[this.parts.primarySide].best()?.offsetUs ?? 0n;
    return Number((primaryUs - offsetUs) / 1000n);
  }
}

/** What explains that nothing moves and is no failure. */
function explanationsOf({ idle }: SourceStatus): GateEvidence['explanations'] {
  if (idle === null) return [];
  const log = idle.logMovedBytes === '0' ? 'its log stands still' : `its log has grown by ${idle.logMovedBytes} bytes of other work since`;
  const observed = Math.round(idle.forMs / 1000);
  return [{ code: 'primary_idle', message: `the primary has written no compared table for ${observed} s, which is no failure; ${log}`, observed, limit: idle.limitMs / 1000 }];
}
