import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { LockstepError } from '../domain/errors.ts';
import type { Pair } from '../domain/pair.ts';
import type { SchemaFinding } from '../domain/status.ts';
import type { ChangeSource, Clock, PartitionsOf, PipelineOffsets, RecordRetry } from '../verify/ports.ts';
import type { PairedDatabases } from './pairs.ts';

/** What is known of the way changes take from the primary to the replica. */
export interface Pipeline {
  /** null where the stream is only asked about, not consumed. */
  readonly source: ChangeSource | null;
  readonly records: RecordRetry;
  readonly offsets: PipelineOffsets;
  readonly partitions: PartitionsOf;
  readonly slotName: string | null;
  /** The connector that writes a topic: what comes before `.schema.table` in its name. */
  readonly connectorOf: (topic: string) => string;
  readonly topicsOf: (connector: string) => ReadonlySet<string>;
  /** Pairs whose changes may stand in a topic. */
  readonly sharing: (topic: string) => readonly Pair[];
  /** One stream in commit order, its offsets being log positions. */
  readonly ordered: boolean;
  /** What a table's events have shown not to tell, so far. */
  readonly encodingFindings: (pairId: string) => readonly SchemaFinding[];
  close(): Promise<void>;
}

export interface PipelineOptions {
  readonly config: Config;
  readonly paired: PairedDatabases;
  readonly consume: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onTrouble: (error: LockstepError | null) => void;
}

/** The pipeline that the configuration names; null where it names none. */
export async function openPipeline(options: PipelineOptions): Promise<Pipeline | null> {
  const { events } = options.config;
  if (events === null) return null;
  switch (events.kind) {
    case 'kafka':
      return (await import('./kafka-pipeline.ts')).openKafka(options, events);
    case 'postgres':
      return (await import('./postgres-pipeline.ts')).openPostgres(options, events);
  }
}
