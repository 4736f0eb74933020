import { partitionId } from '../../../src/domain/change.ts';
import type { RowChange, SourceBatch, SourceRecord, StreamPartition } from '../../../src/domain/change.ts';
import type { ColumnDescription, Pair, PairColumn } from '../../../src/domain/pair.ts';
import type { ValueClassName } from '../../../src/domain/values/names.ts';
import type { PgoutputChangeSource } from '../../../src/events/postgres/source.ts';
import type { SourceListener } from '../../../src/verify/ports.ts';

/** A listener that keeps what it is given, and where to go on. */
export class Listening implements SourceListener {
  readonly batches: SourceBatch[] = [];
  readonly gaps: [string, string][] = [];
  readonly assignments: string[] = [];
  offset: string | null;
  /** Held up while set. */
  gate: Promise<void> | null = null;

  constructor(offset: string | null = null) {
    this.offset = offset;
  }

  resumeFrom(partitions: readonly StreamPartition[]): ReadonlyMap<string, string> {
    return new Map(this.offset === null ? [] : partitions.map((partition) => [partitionId(partition), this.offset as string]));
  }
  onGap(_partition: StreamPartition, expected: string, low: string): void {
    this.gaps.push([expected, low]);
  }
  async onBatch(batch: SourceBatch): Promise<void> {
    if (this.gate !== null) await this.gate;
    this.batches.push(batch);
    this.offset = batch.nextOffset;
  }
  onAssigned(partitions: readonly StreamPartition[]): void {
    this.assignments.push(...partitions.map((partition) => `+${partitionId(partition)}`));
  }
  onRevoked(partitions: readonly StreamPartition[]): void {
    this.assignments.push(...partitions.map((partition) => `-${partitionId(partition)}`));
  }

  get records(): SourceRecord[] {
    return this.batches.flatMap((batch) => batch.records);
  }
  get changes(): RowChange[] {
    return this.records.filter((record) => record.type === 'row');
  }
  /** `op key` of each change, in order. */
  get told(): string[] {
    return this.records.map((record) => (record.type === 'row' ? `${record.op} ${record.key.join(',')}` : record.type));
  }
}

export interface Running {
  readonly source: PgoutputChangeSource;
  readonly listening: Listening;
  /** Resolves to what run() rejected with, or null. */
  readonly ended: Promise<unknown>;
  stop(): Promise<void>;
}

export function run(source: PgoutputChangeSource, listening: Listening): Running {
  const controller = new AbortController();
  const ended = source.run(listening, controller.signal).then(
    () => null,
    (error: unknown) => error,
  );
  return {
    source,
    listening,
    ended,
    stop: async () => {
      controller.abort();
      const error = await ended;
      if (error !== null) throw error;
    },
  };
}

export function columnOf(name: string, formatted: string, valueClass: ValueClassName, base: string = formatted, array = false): PairColumn {
  const description: ColumnDescription = {
    name,
    nullable: true,
    type: { formatted, base, kind: 'base', array, precision: null, scale: null, length: null },
  };
  return { name, old: description, new: description, valueClass, sensitive: false };
}

export function pairOf(table: string, columns: readonly PairColumn[], key: readonly number[] = [0]): Pair {
  const name = { schema: 'public', name: table };
  return { id: `public.${table}`, old: name, new: name, columns, key, where: {}, topic: {} };
}
