import { isBag } from '../domain/bag.ts';
import type { ClockSkew } from '../domain/clock-skew.ts';
import type { Pair, Side } from '../domain/pair.ts';
import type { ConfirmFacts, Version } from '../domain/recheck.ts';
import type { PipelineEvidence, Watermarks } from '../domain/watermarks.ts';
import type { DriftBook } from './drift-book.ts';
import type { Check, GapEnd, PendingChecks } from './pending-checks.ts';
import type { Clock, Database, PartitionsOf } from './ports.ts';
import type { VersionHistory } from './version-history.ts';

/**
 * Without an applied watermark, this many changes that are older than `settle` and none
 * that was applied after them mean that the pipeline stands, not that each was lost.
 */
const STALLED_CHANGES = 20;
export interface AppliedChangesParts {
  readonly pending: PendingChecks;
  readonly book: Pick<DriftBook, 'tables'>;
  readonly history: VersionHistory;
  readonly watermarks: Watermarks;
  /** null: nothing is known of a pipeline. */
  readonly partitions: PartitionsOf | null;
  /** Whether the change stream is consumed here. */
  readonly consumes: boolean;
  readonly primary: Database;
  readonly skew: Readonly<Record<Side, ClockSkew>>;
  readonly clock: Clock;
  readonly settleMs: number;
}

/** Tells what the replica must have been given by the time it was read: by the sink's progress, or, where nothing tells, by age. */
export class AppliedChanges {
  /** From then on every change of a key has been seen, our clock, µs. */
  readonly sinceUs: bigint;
  private readonly parts: AppliedChangesParts;
  /** Commit time of the newest change seen applied, by table. */
  private readonly newest = new Map<string, bigint>();

  constructor(parts: AppliedChangesParts) {
    this.parts = parts;
    this.sinceUs = parts.clock.nowUs();
  }

  /** Commit time of the newest change of a table that was seen on the replica, µs; null before the first. */
  newestUs(table: string): bigint | null {
    return this.newest.get(table) ?? null;
  }

  /** A change of a table was seen on the replica. */
  saw(table: string, committedAtUs: bigint): void {
    const newest = this.newest.get(table);
    if (newest === undefined || committedAtUs > newest) this.newest.set(table, committedAtUs);
  }

  /** Whether no change of the pair can come by the stream: only time tells what is in flight. */
  private isBesideStream(pair: Pair): boolean {
    return isBag(pair) && (this.parts.partitions?.(pair, this.parts.primary.side) ?? []).length === 0;
  }

  /** What is known of the pipeline now. */
  evidence(pair: Pair): PipelineEvidence {
    const { partitions, watermarks, primary } = this.parts;
    return watermarks.evidence(partitions?.(pair, primary.side) ?? []);
  }

  /** What the confirm step goes by, its replica asked at `replicaAskedAtUs`. */
  confirmFacts(check: Check, versions: readonly Version[], evidence: PipelineEvidence, replicaAskedAtUs: bigint): ConfirmFacts {
    const { history, consumes } = this.parts;
    const newest = versions.at(-1);
    return {
      newestApplied: newest !== undefined && this.newestApplied(check, newest, evidence, replicaAskedAtUs),
      primaryIsFiltered: check.pair.where[this.parts.primary.side] !== undefined,
      hasTimeless: check.holdsUs !== null,
      settlesAtOnce: this.parts.partitions === null && this.parts.settleMs === 0,
      consumedThroughUs: evidence.consumedThroughUs,
      isEarlierVersion: (hash) => versions.some((version) => version !== newest && version.hash === hash) || history.has(check.pair.id, check.id, hash),
      appliedThrough: (committedAtUs) => {
        if (evidence.appliedThroughUs !== undefined) return evidence.appliedThroughUs !== null && evidence.appliedThroughUs >= committedAtUs;
        if (consumes && evidence.consumedThroughUs === null && !this.isBesideStream(check.pair)) return false;
        return this.settled(committedAtUs, replicaAskedAtUs) && !this.stalled(check.pair, committedAtUs);
      },
    };
  }

  /** Whether the replica must have been given this version before it was read. */
  newestApplied(check: Check, version: Version, evidence: PipelineEvidence, askedAtUs: bigint): boolean {
    const { position } = version;
    const applied = evidence.isApplied(position, BigInt(position.offset));
    if (applied !== null) return applied;
    return this.settled(version.committedAtUs, askedAtUs) && !this.stalled(check.pair, version.committedAtUs);
  }

  /** Tells whether the replica had been given a record of the table before a read that began after this evidence. */
  given(pair: Pair, evidence: PipelineEvidence, askedAtUs: bigint): (end: GapEnd) => boolean {
    // What was consumed before the start has a time of which this process does not know by which clock.
    const isOld = askedAtUs - this.sinceUs >= BigInt(this.parts.settleMs) * 1000n;
    const isPast = (atUs: bigint): boolean => this.settled(atUs, askedAtUs) && !this.stalled(pair, atUs);
    return ({ position, atUs }) => evidence.isApplied(position, BigInt(position.offset)) ?? (isOld && isPast(atUs ?? this.primaryUs(this.sinceUs)));
  }

  private settled(committedAtUs: bigint, nowUs: bigint): boolean {
    return nowUs - this.hostUs(committedAtUs) >= BigInt(this.parts.settleMs) * 1000n;
  }

  /** Whether many changes at least as new wait, and none of them was ever seen applied. */
  private stalled(pair: Pair, committedAtUs: bigint): boolean {
    if (!this.parts.consumes) return false;
    // Of a bag no change is checked: whether the pipeline stands shows in the other tables.
    const tables = isBag(pair) ? [...this.parts.book.tables()] : [pair.id];
    const applied = isBag(pair) ? this.newestOfAll() : this.newestUs(pair.id);
    if (applied !== null && applied >= committedAtUs) return false;
    const nowUs = this.parts.clock.nowUs();
    let waiting = 0;
    for (const table of tables) {
      for (const check of this.parts.pending.checksOf(table)) {
        const newest = check.versions.at(-1);
        if (newest === undefined || check.isLikelyApplied || (applied !== null && newest.committedAtUs <= applied)) continue;
        if (this.settled(newest.committedAtUs, nowUs) && ++waiting >= STALLED_CHANGES) return true;
      }
    }
    return false;
  }

  private newestOfAll(): bigint | null {
    let newest: bigint | null = null;
    for (const committedAtUs of this.newest.values()) if (newest === null || committedAtUs > newest) newest = committedAtUs;
    return newest;
  }

  private primaryUs(hostUs: bigint): bigint {
    return hostUs + (this.parts.skew[this.parts.primary.side].best()?.offsetUs ?? 0n);
  }

  /** A time on the primary's clock as our clock would have shown it. */
  hostUs(primaryUs: bigint): bigint {
    const { skew, primary } = this.parts;
    return primaryUs - (skew[primary.side].best()?.offsetUs ?? 0n);
  }
}
