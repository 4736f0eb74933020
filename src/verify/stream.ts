import type { RowChange, SourceBatch, StreamPartition, TableTruncated, Undecodable } from '../domain/change.ts';
import { partitionId } from '../domain/change.ts';
import { isBag } from '../domain/bag.ts';
import type { ClockSkew } from '../domain/clock-skew.ts';
import type { Pair, Side } from '../domain/pair.ts';
import { changeHash, changeUnknowns, hashBefore, type Hasher, type Version } from '../domain/recheck.ts';
import { keyId, type KeyId } from '../domain/row.ts';
import type { Watermarks } from '../domain/watermarks.ts';
import type { FirstLook } from './first-look.ts';
import type { PendingChecks } from './pending-checks.ts';
import type { DeadLetterQueue } from './dead-letter-queue.ts';
import type { Clock, SourceListener, StoredDeadLetter, StoredPartition, VerifyMetrics } from './ports.ts';
import type { Proofs } from './proofs.ts';
import type { ReplicaEvents } from './replica-events.ts';
import type { TouchedKeys } from './touched-keys.ts';
import type { VersionHistory } from './version-history.ts';

/** While the queue of checks is full, its size is looked at this often. */
const FULL_WAIT_MS = 20;

export interface StreamParts {
  readonly pairs: readonly Pair[];
  readonly primarySide: Side;
  readonly pending: PendingChecks;
  readonly proofs: Proofs;
  readonly touched: TouchedKeys;
  readonly deadLetters: DeadLetterQueue;
  /** Pairs that a record of this topic, which nobody can decode, may have been about. */
  readonly sharing: (topic: string) => readonly Pair[];
  /** Asks for a checkpoint before its time. */
  readonly hurry: () => void;
  readonly history: VersionHistory;
  readonly replicaEvents: ReplicaEvents;
  /** Whether changes of this key are checked; of a sampled table not all are. */
  readonly isChecked: (table: string, id: KeyId) => boolean;
  readonly watermarks: Watermarks;
  readonly skew: Readonly<Record<Side, ClockSkew>>;
  /** Told of each record that could not be decoded. */
  readonly onDeadLetter?: (record: Undecodable) => void;
  /** Told of each change of the primary: what its connector has reached speaks for other partitions too. */
  readonly onPrimaryChange: (topic: string, committedAtUs: bigint) => void;
  readonly firstLook: FirstLook;
  readonly metrics: VerifyMetrics;
  readonly clock: Clock;
  readonly hasher: Hasher;
  readonly pendingMax: number;
  readonly signal: AbortSignal;
}

/** Turns the change stream into checks; accepts no more than the queue of checks can hold. */
export class Stream implements SourceListener {
  private readonly parts: StreamParts;
  private readonly resume = new Map<string, string>();
  private consumed = 0;

  constructor(parts: StreamParts) {
    this.parts = parts;
  }

  /** Row changes consumed since the start. */
  get changesConsumed(): number {
    return this.consumed;
  }

  /** Goes on where the state store left off. */
  restore(partitions: readonly StoredPartition[]): void {
    for (const stored of partitions) {
      const progress = this.parts.watermarks.partition({ topic: stored.topic, partition: stored.partition });
      progress.nextOffset = BigInt(stored.nextOffset);
      progress.watermarkUs = stored.watermarkUs;
      progress.snapshotSinceUs = stored.snapshotInProgress ? 0n : null;
      this.resume.set(partitionId(stored), stored.nextOffset);
    }
  }

  resumeFrom(partitions: readonly StreamPartition[]): ReadonlyMap<string, string> {
    const offsets = new Map<string, string>();
    for (const partition of partitions) {
      const offset = this.resume.get(partitionId(partition));
      if (offset !== undefined) offsets.set(partitionId(partition), offset);
    }
    return offsets;
  }

  onGap(partition: StreamPartition, _expectedOffset: string, lowOffset: string): void {
    const { pairs, proofs, touched, primarySide, watermarks } = this.parts;
    watermarks.restartAt(partition, BigInt(lowOffset));
    this.resume.set(partitionId(partition), lowOffset);
    const isOnlyStream = partition.topic.startsWith('postgres:');
    for (const pair of pairs) {
      const topic = pair.topic[primarySide];
      const isPrimarys = topic === undefined || topic === partition.topic || isOnlyStream;
      if (isPrimarys) proofs.oweSweep(pair.id, this.primaryNowUs());
      if (isPrimarys || Object.values(pair.topic).includes(partition.topic)) touched.lose(pair.id, 'records of the stream are missing');
    }
  }

  onAssigned(partitions: readonly StreamPartition[]): void {
    for (const partition of partitions) this.parts.watermarks.partition(partition);
  }

  onRevoked(): void {
    // Checks that are pending stay: what was consumed is accounted for by whoever writes the checkpoint.
  }

  async onBatch(batch: SourceBatch): Promise<void> {
    const { pending, pendingMax, clock, signal, watermarks } = this.parts;
    while (pending.size >= pendingMax && !signal.aborted) await clock.sleep(FULL_WAIT_MS, signal);
    if (batch.records.some(({ type }) => type === 'undecodable')) await this.roomForDeadLetters();
    if (signal.aborted) return;
    for (const record of batch.records) {
      switch (record.type) {
        case 'row':
          this.onRow(batch.partition, record);
          break;
        case 'truncate':
          this.onTruncate(batch.partition, record);
          break;
        case 'undecodable':
          this.onUndecodable(record);
          break;
        case 'none':
          // Heartbeats, tombstones and the like: the batch's offset is all they move.
          break;
      }
    }
    const end = batch.endOffset === null ? null : BigInt(batch.endOffset);
    const next = batch.completeThroughLsn ?? BigInt(batch.nextOffset);
    this.resume.set(partitionId(batch.partition), next > BigInt(batch.nextOffset) ? next.toString() : batch.nextOffset);
    watermarks.consumedTo(batch.partition, next, end);
  }

  /** Partitions, and dead letters since the last call, for one checkpoint. */
  drainChanges(): { partitions: StoredPartition[]; deadLetters: StoredDeadLetter[]; undo: () => void } {
    const { deadLetters, undo } = this.parts.deadLetters.drain();
    const partitions: StoredPartition[] = [];
    for (const progress of this.parts.watermarks.all()) {
      const nextOffset = this.resume.get(partitionId(progress.partition));
      if (nextOffset === undefined) continue;
      partitions.push({
        topic: progress.partition.topic,
        partition: progress.partition.partition,
        nextOffset,
        watermarkUs: progress.watermarkUs,
        snapshotInProgress: progress.snapshotSinceUs !== null,
      });
    }
    return {
      partitions,
      deadLetters,
      undo,
    };
  }

  private onRow(partition: StreamPartition, change: RowChange): void {
    const { metrics, primarySide } = this.parts;
    this.consumed++;
    metrics.changeEvent(change.pair.id, change.side, change.op);
    if (isBag(change.pair)) {
      this.onBagRow(partition, change);
      return;
    }
    this.parts.touched.touch(change.pair, change.key);
    if (change.side !== primarySide) this.parts.replicaEvents.onEvent(change);
    else if (change.op === 'snapshot') this.onSnapshotRow(partition, change);
    else if (change.commitTime === 'upper_bound') this.onTimelessRow(partition, change);
    else this.onPrimaryRow(partition, change);
  }

  /** Without a key nothing tells which row it is about: it moves the watermark, and the rest is for sweeps to find. */
  private onBagRow(partition: StreamPartition, change: RowChange): void {
    const { watermarks, primarySide } = this.parts;
    if (change.side !== primarySide) return;
    if (change.op === 'snapshot') {
      if (change.snapshot !== 'incremental') watermarks.consumedSnapshot(partition, change.snapshot === 'initial_last');
    } else if (change.commitTime !== 'upper_bound') {
      watermarks.consumedChange(partition, change.committedAtUs);
      this.parts.onPrimaryChange(partition.topic, change.committedAtUs);
    }
  }

  private onPrimaryRow(partition: StreamPartition, change: RowChange): void {
    const { history, hasher, pending, clock, watermarks, replicaEvents } = this.parts;
    const { pair, key } = change;
    const id = keyId(key);
    const before = hashBefore(hasher, change);
    if (before !== undefined) history.add(pair.id, id, before);
    const version: Version = {
      committedAtUs: change.committedAtUs,
      lsn: change.position.lsn,
      hash: changeHash(hasher, change),
      unknownColumns: changeUnknowns(change),
      position: change.position,
    };
    if (change.op === 'create') history.add(pair.id, id, null);
    const base = history.last(pair.id, id);
    const delayMs = replicaEvents.waitMs(pair) ?? this.firstLookMs(pair, change.committedAtUs);
    const check = this.parts.isChecked(pair.id, id) ? pending.addChange(pair, key, version, clock.nowMs(), delayMs, base) : null;
    history.add(pair.id, id, version.unknownColumns.length === 0 ? version.hash : undefined);
    if (check !== null && !check.busy) replicaEvents.settle(check);
    watermarks.consumedChange(partition, change.committedAtUs);
    this.parts.onPrimaryChange(partition.topic, change.committedAtUs);
  }

  /**
   * A change that does not say when it was made orders nothing and moves no watermark: the key goes to the
   * confirm step, and until that is done verified-through stands where its partition was. A row that is again
   * what it was looks applied from the start: unless the change alone can have made what the replica shows, the
   * replica must have been given it first.
   */
  private onTimelessRow(partition: StreamPartition, change: RowChange): void {
    const { history, hasher, pending, clock, watermarks } = this.parts;
    const { pair, key, position } = change;
    const id = keyId(key);
    const hash = changeUnknowns(change).length === 0 ? changeHash(hasher, change) : undefined;
    const before = history.last(pair.id, id);
    // There is nothing to delete where there was no row.
    const isAnother = before === undefined ? hash === null : before !== hash;
    const isAlone = pending.get(pair.id, id) === undefined;
    history.add(pair.id, id, hash);
    if (!this.parts.isChecked(pair.id, id)) return;
    const check = pending.suspect(pair, key, 'stream', clock.nowMs(), null);
    pending.hold(check, watermarks.partition(partition).watermarkUs ?? 0n, { position, atUs: this.primaryNowUs(), shows: isAlone && isAnother ? hash : undefined });
  }

  private firstLookMs(pair: Pair, committedAtUs: bigint): number {
    const delayMs = this.parts.firstLook.delayMs(pair.id);
    const ageMs = Number(this.primaryNowUs() - committedAtUs) / 1000;
    return Math.max(0, Math.min(delayMs, delayMs - ageMs));
  }

  /** Snapshot rows are proven by the sweep; here they only tell a version that the replica may hold. */
  private onSnapshotRow(partition: StreamPartition, change: RowChange): void {
    const { history, hasher, watermarks, proofs } = this.parts;
    const hash = changeUnknowns(change).length === 0 ? changeHash(hasher, change) : null;
    if (hash !== null) history.add(change.pair.id, keyId(change.key), hash);
    if (change.snapshot === 'incremental') return;
    const progress = watermarks.partition(partition);
    const repeated = progress.snapshotSinceUs === null && progress.watermarkUs !== null;
    watermarks.consumedSnapshot(partition, change.snapshot === 'initial_last');
    // A snapshot after streaming means that the connector began anew: changes in between may have made no event.
    if (!repeated || change.snapshot !== 'initial') return;
    proofs.oweSweep(change.pair.id, this.primaryNowUs());
    this.parts.touched.lose(change.pair.id, 'the connector began anew with a snapshot');
  }

  private onTruncate(partition: StreamPartition, change: TableTruncated): void {
    const { pending, proofs, metrics, primarySide, watermarks, clock } = this.parts;
    metrics.changeEvent(change.pair.id, change.side, 'truncate');
    this.parts.touched.lose(change.pair.id, `the table was truncated on ${change.side}`);
    if (change.side !== primarySide) {
      // The primary may have been truncated as well, or not.
      proofs.oweSweep(change.pair.id, this.primaryNowUs());
      return;
    }
    proofs.oweSweep(change.pair.id, change.committedAtUs);
    const version: Version = {
      committedAtUs: change.committedAtUs,
      lsn: change.position.lsn,
      hash: null,
      unknownColumns: [],
      position: change.position,
    };
    if (!isBag(change.pair)) for (const check of pending.checksOf(change.pair.id)) pending.addChange(change.pair, check.key, version, clock.nowMs(), 0);
    watermarks.consumedChange(partition, change.committedAtUs);
  }

  private onUndecodable(record: Undecodable): void {
    const { metrics, proofs, pending, history, deadLetters, sharing, clock } = this.parts;
    const { pair, position } = record;
    const atUs = this.primaryNowUs();
    metrics.deadLetter(position.topic, record.reason);
    deadLetters.add(record, atUs, clock.nowMs());
    proofs.deadLetter(pair.id, atUs, position);
    for (const one of new Set([pair, ...sharing(position.topic)])) {
      pending.gap(one.id, { position, atUs });
      history.gap(one.id);
      this.parts.touched.lose(one.id, 'a record could not be decoded, and which row it was about is unknown');
      // Which of them it was about nobody knows; the letter stands for one, a sweep for the others.
      if (one.id !== pair.id) proofs.oweSweep(one.id, atUs);
    }
    this.parts.onDeadLetter?.(record);
  }

  /** A flood of dead letters waits for its checkpoints; other partitions do not wait for it. */
  private async roomForDeadLetters(): Promise<void> {
    const { deadLetters, clock, signal, hurry } = this.parts;
    while (deadLetters.isFull && !signal.aborted) {
      hurry();
      await clock.sleep(FULL_WAIT_MS, signal);
    }
  }

  private primaryNowUs(): bigint {
    const { clock, skew, primarySide } = this.parts;
    return clock.nowUs() + (skew[primarySide].best()?.offsetUs ?? 0n);
  }
}
