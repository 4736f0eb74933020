import { isBag } from '../domain/bag.ts';
import type { RowChange, SourceRecord, TableTruncated, Undecodable } from '../domain/change.ts';
import type { Side } from '../domain/pair.ts';
import { changeHash, changeUnknowns, isNewer, type Hasher, type Version } from '../domain/recheck.ts';
import { keyId } from '../domain/row.ts';
import type { PendingChecks } from './pending-checks.ts';
import type { Clock, VerifyMetrics } from './ports.ts';
import type { Proofs } from './proofs.ts';
import type { VersionHistory } from './version-history.ts';

export interface LateChangesParts {
  readonly primarySide: Side;
  readonly pending: PendingChecks;
  readonly proofs: Proofs;
  readonly history: VersionHistory;
  readonly metrics: VerifyMetrics;
  readonly clock: Clock;
  readonly hasher: Hasher;
}

/**
 * Takes note of a change that could not be decoded when the stream brought it and can be now.
 * Newer changes of its key may have been consumed and settled since, so it must not be held
 * against the replica as the newest one: its key is looked at on both sides instead, and
 * verified-through stays before it until that is settled.
 */
export class LateChanges {
  private readonly parts: LateChangesParts;

  constructor(parts: LateChangesParts) {
    this.parts = parts;
  }

  /** @param gapUs when it was consumed (primary's clock, µs), where no sweep has accounted for it since; null: one has */
  apply(record: Exclude<SourceRecord, Undecodable>, gapUs: bigint | null): void {
    const { metrics } = this.parts;
    switch (record.type) {
      case 'none':
        return;
      case 'truncate':
        metrics.changeEvent(record.pair.id, record.side, 'truncate');
        this.onTruncate(record, gapUs);
        return;
      case 'row':
        metrics.changeEvent(record.pair.id, record.side, record.op);
        // Nothing tells which row it is about: sweeps alone look at those of a table without a key.
        if (isBag(record.pair)) return;
        if (record.op === 'snapshot') this.onSnapshotRow(record, gapUs);
        else this.onRow(record, gapUs);
    }
  }

  private onTruncate(change: TableTruncated, gapUs: bigint | null): void {
    const { proofs, primarySide } = this.parts;
    if (change.side === primarySide && gapUs !== null) proofs.oweSweep(change.pair.id, gapUs);
  }

  /** Snapshots are proven by sweeps: the first one is owed anyway, and one after a later snapshot as well. */
  private onSnapshotRow(change: RowChange, gapUs: bigint | null): void {
    const { proofs, primarySide } = this.parts;
    if (change.side !== primarySide || change.snapshot === 'incremental' || gapUs === null) return;
    if (proofs.get(change.pair.id).provenSinceUs !== null) proofs.oweSweep(change.pair.id, gapUs);
  }

  private onRow(change: RowChange, gapUs: bigint | null): void {
    const { pending, history, hasher, clock, primarySide } = this.parts;
    const { pair, key } = change;
    const id = keyId(key);
    if (change.side !== primarySide) {
      pending.suspect(pair, key, 'stream', clock.nowMs(), null);
      return;
    }
    const version: Version = {
      committedAtUs: change.committedAtUs,
      lsn: change.position.lsn,
      hash: changeHash(hasher, change),
      unknownColumns: changeUnknowns(change),
      position: change.position,
    };
    const isWhole = version.unknownColumns.length === 0;
    const newest = pending.get(pair.id, id)?.versions.at(-1);
    const hasTime = change.commitTime !== 'upper_bound';
    if (newest !== undefined && hasTime && isAfter(version, newest)) {
      // Changes of a key settle in order: while an older one is pending, nothing newer has been consumed.
      pending.addChange(pair, key, version, clock.nowMs(), 0);
      history.add(pair.id, id, isWhole ? version.hash : undefined);
      return;
    }
    const check = pending.suspect(pair, key, 'stream', clock.nowMs(), null);
    // Verified-through has stood before the record since it was consumed: any time before it will do.
    if (gapUs !== null) pending.hold(check, hasTime ? change.committedAtUs : 0n);
    if (isWhole) history.addEarlier(pair.id, id, version.hash);
  }
}

/** Whether a change of the same key is newer for certain: within a partition its place says so too. */
function isAfter(version: Version, known: Version): boolean {
  if (!isNewer(version, known)) return false;
  const [one, other] = [version.position, known.position];
  return one.topic === other.topic && one.partition === other.partition && BigInt(one.offset) > BigInt(other.offset);
}
