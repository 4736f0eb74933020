import type { PostgresEvents } from '../config/config.ts';
import { PostgresPipelineOffsets } from '../events/postgres/offsets.ts';
import { PostgresRecordRetry } from '../events/postgres/record-retry.ts';
import { PgoutputChangeSource } from '../events/postgres/source.ts';
import { otherSide } from '../domain/pair.ts';
import type { Pipeline, PipelineOptions } from './pipeline.ts';

/** The pipeline by logical replication. */
export function openPostgres(options: PipelineOptions, events: PostgresEvents): Pipeline {
  const { config, paired, consume } = options;
  const side = config.primary;
  const replica = paired.databases[otherSide(side)];
  const partition = { topic: `postgres:${events.slot}`, partition: 0 };
  const { url } = config.databases[side];
  const offsets = new PostgresPipelineOffsets({
    url,
    slot: events.slot,
    subscriptionSlots: (signal) => replica.subscriptionSlots(signal),
  });
  return {
    source: consume ? new PgoutputChangeSource({ url, slot: events.slot, publication: events.publication, pairs: paired.pairs, side }) : null,
    records: new PostgresRecordRetry(),
    offsets,
    slotName: events.slot,
    connectorOf: () => events.slot,
    topicsOf: () => new Set([partition.topic]),
    // Each change tells its table.
    sharing: () => [],
    ordered: true,
    encodingFindings: () => [],
    partitions: (_pair, asked) => (asked === side ? [partition] : []),
    close: () => offsets.close(),
  };
}
