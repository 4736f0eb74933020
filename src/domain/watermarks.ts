import { partitionId, type StreamPartition } from './change.ts';

/**
 * How far the stream is consumed and how far the pipeline has applied it, as commit
 * times on the primary's clock. Silence is never progress: an idle partition moves
 * only when the source is known to have read the primary's log past a moment.
 */

/**
 * Commit times are taken just before the commit record is written, so that commits
 * close together can stand in the log in the other order; a watermark stays this far behind.
 */
const COMMIT_ORDER_SLACK_US = 50_000n;

/** A moment of the primary's log: everything committed before `clockUs` stands before `lsn`. */
interface LogSample {
  readonly clockUs: bigint;
  /** null: a moment that a consumed change named, not a reading of the log. */
  readonly lsn: bigint | null;
  /** End of each partition, taken after the source had passed `lsn`; null until then. */
  ends: ReadonlyMap<string, bigint> | null;
}

export interface PartitionProgress {
  readonly partition: StreamPartition;
  nextOffset: bigint;
  /** Offset after the newest record known to exist; null: unknown. */
  endOffset: bigint | null;
  /** Every change committed before this has been consumed; null: unknown. */
  watermarkUs: bigint | null;
  /** The primary's clock when the initial snapshot was first seen in it; null when there is none in progress. */
  snapshotSinceUs: bigint | null;
}

/** What is known of the pipeline at one moment. */
export interface PipelineEvidence {
  /** Commit time before which everything is consumed; null: unknown. */
  readonly consumedThroughUs: bigint | null;
  /** Commit time before which everything is applied; null: not yet known; undefined: nothing tells about this pipeline. */
  readonly appliedThroughUs: bigint | null | undefined;
  /** Whether records are known to exist that are not yet consumed. */
  readonly behind: boolean;
  /** Whether the record at this offset has been applied; null where nothing tells. */
  isApplied(partition: StreamPartition, offset: bigint): boolean | null;
}

/** Samples kept while the source does not move; past that every second one is dropped. */
const SAMPLES_MAX = 512;

export class Watermarks {
  private readonly partitions = new Map<string, PartitionProgress>();
  private samples: LogSample[] = [];
  private applied: ReadonlyMap<string, bigint> = new Map();
  /** One stream in commit order (logical replication): its offsets are log positions. */
  private readonly ordered: boolean;

  constructor(options: { readonly ordered: boolean }) {
    this.ordered = options.ordered;
  }

  /** The partition's progress, made if it is new. */
  partition(partition: StreamPartition): PartitionProgress {
    const id = partitionId(partition);
    let progress = this.partitions.get(id);
    if (progress === undefined) {
      progress = { partition, nextOffset: 0n, endOffset: null, watermarkUs: null, snapshotSinceUs: null };
      this.partitions.set(id, progress);
    }
    return progress;
  }

  all(): IterableIterator<PartitionProgress> {
    return this.partitions.values();
  }

  /** A change committed at `committedAtUs` was consumed: the partition is complete before it. */
  consumedChange(partition: StreamPartition, committedAtUs: bigint): void {
    const progress = this.partition(partition);
    progress.snapshotSinceUs = null;
    raise(progress, committedAtUs - COMMIT_ORDER_SLACK_US);
  }

  /** A row of a connector's initial snapshot was consumed. */
  consumedSnapshot(partition: StreamPartition, isLast: boolean): void {
    const progress = this.partition(partition);
    if (isLast) progress.snapshotSinceUs = null;
    else progress.snapshotSinceUs ??= this.samples.at(-1)?.clockUs ?? 0n;
  }

  /** Everything before `nextOffset` was consumed. */
  consumedTo(partition: StreamPartition, nextOffset: bigint, endOffset: bigint | null): void {
    const progress = this.partition(partition);
    if (nextOffset > progress.nextOffset) progress.nextOffset = nextOffset;
    if (endOffset !== null) progress.endOffset = endOffset;
    this.advance(progress);
  }

  /** Records are gone, or the partition was made anew: it goes on at `offset`, and what was known of its ends holds no more. */
  restartAt(partition: StreamPartition, offset: bigint): void {
    const progress = this.partition(partition);
    progress.nextOffset = offset;
    progress.endOffset = null;
    this.samples = [];
  }

  /** Remembers a moment of the primary's log. */
  sample(clockUs: bigint, lsn: bigint): void {
    this.remember({ clockUs: clockUs - COMMIT_ORDER_SLACK_US, lsn, ends: this.ordered ? ENDS_ARE_POSITIONS : null });
  }

  /**
   * A connector's change committed at `committedAtUs` was consumed some time ago, and its
   * partitions end here now: as it writes in commit order, they hold all that was committed before.
   */
  connectorReached(committedAtUs: bigint, ends: ReadonlyMap<string, bigint>): void {
    this.remember({ clockUs: committedAtUs - COMMIT_ORDER_SLACK_US, lsn: null, ends });
    this.prune();
  }

  private remember(sample: LogSample): void {
    const last = this.samples.at(-1);
    if (last !== undefined && last.clockUs >= sample.clockUs) {
      this.samples.push(sample);
      this.samples.sort((left, right) => (left.clockUs < right.clockUs ? -1 : left.clockUs > right.clockUs ? 1 : 0));
    } else this.samples.push(sample);
    if (this.samples.length > SAMPLES_MAX) this.samples = this.samples.filter((_, index) => index % 2 === 1);
    for (const progress of this.partitions.values()) this.advance(progress);
  }

  /** Whether a sample waits for the ends of the partitions, given that the source has read the log through `lsn`. */
  wantsEnds(sourceLsn: bigint): boolean {
    const newest = this.newestBefore(sourceLsn);
    return newest !== null && newest.ends === null;
  }

  /** Ends of the partitions, read after the source was seen to have passed `sourceLsn`. */
  sourcePassed(sourceLsn: bigint, ends: ReadonlyMap<string, bigint>): void {
    const newest = this.newestBefore(sourceLsn);
    if (newest === null) return;
    // Later ends hold later records too: what was reached already would seem not to be.
    newest.ends ??= ends;
    for (const [id, end] of ends) {
      const progress = this.partitions.get(id);
      if (progress !== undefined && (progress.endOffset === null || end > progress.endOffset)) progress.endOffset = end;
    }
    this.prune();
    for (const progress of this.partitions.values()) this.advance(progress);
  }

  /** The offsets before which the pipeline has applied everything; a partition that is absent has no known sink. */
  appliedTo(applied: ReadonlyMap<string, bigint>): void {
    this.applied = applied;
    this.prune();
  }

  /**
   * What is known at this moment about these partitions. It does not change
   * afterwards, so that it can be held against a read that began later.
   */
  evidence(partitions: readonly StreamPartition[]): PipelineEvidence {
    const applied = this.applied;
    return {
      consumedThroughUs: this.consumedThroughUs(partitions),
      appliedThroughUs: this.appliedThroughUs(partitions),
      behind: !this.ordered && partitions.some((partition) => this.isBehind(partition)),
      isApplied: (partition, offset) => {
        const through = applied.get(partitionId(partition));
        if (through === undefined) return null;
        return this.ordered ? through >= offset : through > offset;
      },
    };
  }

  /** Commit time before which everything in these partitions is consumed; null while any does not say. */
  consumedThroughUs(partitions: readonly StreamPartition[]): bigint | null {
    let through: bigint | null = null;
    for (const partition of partitions) {
      const progress = this.partitions.get(partitionId(partition));
      if (progress === undefined || progress.watermarkUs === null || progress.snapshotSinceUs !== null) return null;
      if (through === null || progress.watermarkUs < through) through = progress.watermarkUs;
    }
    return through;
  }

  /** Commit time before which everything in these partitions is applied; null: not yet; undefined: nothing tells. */
  appliedThroughUs(partitions: readonly StreamPartition[]): bigint | null | undefined {
    if (partitions.length === 0) return undefined;
    for (const partition of partitions) if (!this.applied.has(partitionId(partition))) return undefined;
    for (let index = this.samples.length - 1; index >= 0; index--) {
      const sample = this.samples[index] as LogSample;
      if (sample.ends !== null && partitions.every((partition) => this.appliedPast(sample, partition))) return sample.clockUs;
    }
    return null;
  }

  /** Whether any of these partitions is in its connector's initial snapshot. */
  snapshotInProgress(partitions: readonly StreamPartition[]): boolean {
    return partitions.some((partition) => this.partitions.get(partitionId(partition))?.snapshotSinceUs != null);
  }

  private isBehind(partition: StreamPartition): boolean {
    const progress = this.partitions.get(partitionId(partition));
    return progress !== undefined && progress.endOffset !== null && progress.endOffset > progress.nextOffset;
  }

  private appliedPast(sample: LogSample, partition: StreamPartition): boolean {
    const id = partitionId(partition);
    const end = endOf(sample, id);
    const applied = this.applied.get(id);
    return end !== undefined && applied !== undefined && applied >= end;
  }

  /** Moves a partition's watermark to the newest sample whose end it has consumed. */
  private advance(progress: PartitionProgress): void {
    const id = partitionId(progress.partition);
    for (let index = this.samples.length - 1; index >= 0; index--) {
      const sample = this.samples[index] as LogSample;
      if (sample.ends === null) continue;
      const end = endOf(sample, id);
      if (end === undefined || progress.nextOffset < end) continue;
      if (progress.snapshotSinceUs !== null && sample.clockUs > progress.snapshotSinceUs) progress.snapshotSinceUs = null;
      raise(progress, sample.clockUs);
      return;
    }
  }

  private newestBefore(lsn: bigint): LogSample | null {
    for (let index = this.samples.length - 1; index >= 0; index--) {
      const sample = this.samples[index] as LogSample;
      if (sample.lsn !== null && sample.lsn <= lsn) return sample;
    }
    return null;
  }

  /** Drops samples that no partition and no sink can still be waiting for. */
  private prune(): void {
    const ids = [...this.partitions.keys()];
    const done = this.samples.findLastIndex(
      (sample) =>
        sample.ends !== null &&
        ids.every((id) => {
          const progress = this.partitions.get(id) as PartitionProgress;
          const end = endOf(sample, id) ?? (sample.lsn === null ? null : 0n);
          const applied = this.applied.get(id);
          // A connector speaks for its own partitions only.
          if (end === null) return false;
          return progress.nextOffset >= end && (applied === undefined || applied >= end);
        }),
    );
    if (done > 0) this.samples = this.samples.slice(done);
  }
}

/** For a stream in commit order a sample's log position is itself the offset to reach. */
const ENDS_ARE_POSITIONS: ReadonlyMap<string, bigint> = new Map();

function endOf(sample: LogSample, id: string): bigint | undefined {
  return sample.ends === ENDS_ARE_POSITIONS ? (sample.lsn ?? undefined) : sample.ends?.get(id);
}

function raise(progress: PartitionProgress, toUs: bigint): void {
  if (progress.watermarkUs === null || toUs > progress.watermarkUs) progress.watermarkUs = toUs;
}
