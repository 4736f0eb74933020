import type { StreamPartition } from '../../src/domain/change.ts';
import type { Row } from '../../src/domain/row.ts';
import type { MemoryDatabase } from '../unit/verify/memory/memory-database.ts';
import type { Random } from '../unit/verify/memory/random.ts';
import type { VirtualClock } from '../unit/verify/memory/virtual-clock.ts';
import type { Pair } from '../../src/domain/pair.ts';
import type { Settings } from './plan.ts';

/** One committed change of one row on the primary. */
export interface Change {
  readonly table: number;
  readonly key: string;
  readonly row: Row | null;
  readonly before: Row | null;
  readonly committedAtUs: bigint;
  readonly lsn: bigint;
}

/** What the sink makes of a change. */
export type Applied = { readonly is: 'right' } | { readonly is: 'left_out' } | { readonly is: 'wrong'; readonly row: Row | null };

/** A topic's partition, with its sink. */
export interface Lane {
  readonly partition: StreamPartition;
  readonly table: number;
  readonly records: Change[];
  /** Of the sink: the next record, and the one that it would begin anew with. */
  next: number;
  committed: number;
  readonly grown: Gate;
}

export interface PipelineParts {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly settings: Settings;
  readonly pairs: readonly Pair[];
  readonly databases: { readonly new: readonly MemoryDatabase[] };
  readonly apply: (change: Change) => Applied;
  /** Whether the connector writes an event of it. */
  readonly makesEvent: (change: Change) => boolean;
  /** The sink has passed a change for good. */
  readonly onApplied: (change: Change, how: Applied) => void;
}

/** Wakes all who wait for something new. */
export class Gate {
  private waiting: (() => void)[] = [];

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
    });
  }

  open(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** A connector that writes the primary's log to lanes, and a sink for each that writes them to the replica. */
export class SimulatedPipeline {
  readonly log: Change[] = [];
  readonly lanes: readonly Lane[];
  lsn = 1_000n;
  confirmedLsn = 1_000n;
  private readonly parts: PipelineParts;
  private readonly committed = new Gate();
  private nextOfLog = 0;
  private connectorRestsUntilMs = 0;
  private readonly sinkRestsUntilMs: number[];
  private ended = false;

  constructor(parts: PipelineParts) {
    this.parts = parts;
    const { settings, pairs } = parts;
    this.lanes = pairs.flatMap((pair, table) =>
      Array.from({ length: settings.partitions }, (_, partition) => ({
        partition: { topic: pair.topic.old as string, partition },
        table,
        records: [],
        next: 0,
        committed: 0,
        grown: new Gate(),
      })),
    );
    this.sinkRestsUntilMs = pairs.map(() => 0);
  }

  /** Runs until `end`; rejects only where the simulation itself is wrong. */
  async run(): Promise<void> {
    await Promise.all([this.connector(), ...this.lanes.map((lane) => this.sink(lane))]);
  }

  end(): void {
    this.ended = true;
  }

  commit(changes: readonly Change[]): void {
    this.log.push(...changes);
    this.committed.open();
  }

  connectorRestarts(): void {
    const first = this.log.findIndex((change) => change.lsn > this.confirmedLsn);
    if (first >= 0) this.nextOfLog = Math.min(this.nextOfLog, first);
    this.committed.open();
  }

  connectorPauses(forMs: number): void {
    this.connectorRestsUntilMs = this.parts.clock.nowMs() + forMs;
  }

  sinkRestarts(table: number): void {
    for (const lane of this.lanes) {
      if (lane.table !== table) continue;
      lane.next = lane.committed;
      lane.grown.open();
    }
  }

  sinkPauses(table: number, forMs: number): void {
    this.sinkRestsUntilMs[table] = this.parts.clock.nowMs() + forMs;
  }

  /** Whether all has come through. */
  get isIdle(): boolean {
    return this.nextOfLog === this.log.length && this.confirmedLsn === this.lsn && this.lanes.every((lane) => lane.committed === lane.records.length);
  }

  private async connector(): Promise<void> {
    const { clock, random, makesEvent } = this.parts;
    while (!this.ended) {
      if (this.nextOfLog === this.log.length && this.confirmedLsn === this.lsn) await this.committed.wait();
      await clock.sleep(random.chance(0.15) ? random.between(30, 120) : random.between(1, 25));
      await clock.sleep(this.connectorRestsUntilMs - clock.nowMs());
      const batch = this.log.slice(this.nextOfLog, this.nextOfLog + random.between(1, 12));
      this.nextOfLog += batch.length;
      for (const change of batch) {
        if (!makesEvent(change)) continue;
        const lane = this.laneOf(change);
        lane.records.push(change);
        lane.grown.open();
      }
      if (batch.length === 0 || random.chance(0.3)) this.confirmedLsn = this.nextOfLog === this.log.length ? this.lsn : (this.log[this.nextOfLog - 1]?.lsn ?? this.confirmedLsn);
    }
  }

  /** Of a table's partitions one key is always in the same. */
  private laneOf({ table, key }: Change): Lane {
    const { partitions } = this.parts.settings;
    return this.lanes[table * partitions + (key.charCodeAt(key.length - 1) % partitions)] as Lane;
  }

  private async sink(lane: Lane): Promise<void> {
    const { clock, random, settings } = this.parts;
    while (!this.ended) {
      if (lane.committed === lane.records.length) await lane.grown.wait();
      await clock.sleep(random.chance(0.1) ? random.between(0, settings.sinkRestMs) : random.between(1, 15));
      await clock.sleep((this.sinkRestsUntilMs[lane.table] ?? 0) - clock.nowMs());
      const from = lane.next;
      const batch = lane.records.slice(from, from + random.between(1, 8));
      const writes = settings.sinkBatches ? lastOfEach(batch) : batch;
      for (const change of shuffledAcrossKeys(writes, random)) {
        this.write(change);
        if (!settings.sinkBatches && random.chance(0.2)) await clock.sleep(random.between(1, 4));
      }
      // It may have begun anew meanwhile.
      if (lane.next !== from) continue;
      lane.next += batch.length;
      for (const change of batch) this.parts.onApplied(change, this.parts.apply(change));
      if (batch.length === 0 || random.chance(0.5)) lane.committed = lane.next;
    }
  }

  private write(change: Change): void {
    const how = this.parts.apply(change);
    if (how.is === 'left_out') return;
    this.put(change.table, change.key, how.is === 'right' ? change.row : how.row);
  }

  /** Writes a row on the replica. */
  put(table: number, key: string, row: Row | null): void {
    const { databases, pairs, random } = this.parts;
    const database = databases.new[table] as MemoryDatabase;
    if (row === null) database.drop([key]);
    else database.put(pairs[table] as Pair, row, random.chance(0.5) ? database.nowUs() : null);
  }
}

function lastOfEach(batch: readonly Change[]): Change[] {
  return batch.filter((change, index) => !batch.slice(index + 1).some(({ key }) => key === change.key));
}

/** Another order in which each key's changes still come one after the other. */
function shuffledAcrossKeys(batch: readonly Change[], random: Random): Change[] {
  const left = [...batch];
  const shuffled: Change[] = [];
  while (left.length > 0) {
    const { key } = left[random.between(0, left.length - 1)] as Change;
    shuffled.push(...left.splice(left.findIndex((change) => change.key === key), 1));
  }
  return shuffled;
}
