import type { Logger } from 'pino';
import type { Config, KafkaEvents, PostgresEvents } from '../config/config.ts';
import { DebeziumDecoder } from '../events/debezium/decoder.ts';
import type { EncodingFinding } from '../events/debezium/encoding-findings.ts';
import { createKafkaClient } from '../events/kafka/client.ts';
import { KafkaRecordRetry } from '../events/kafka/record-retry.ts';
import { KafkaPipelineOffsets } from '../events/kafka/offsets.ts';
import { KafkaChangeSource } from '../events/kafka/source.ts';
import { findTopics } from '../events/kafka/topics.ts';
import { PostgresPipelineOffsets } from '../events/postgres/offsets.ts';
import { PostgresRecordRetry } from '../events/postgres/record-retry.ts';
import { PgoutputChangeSource } from '../events/postgres/source.ts';
import { RegistryClient } from '../events/registry/client.ts';
import { RegistrySchemas } from '../events/registry/schemas.ts';
import type { LockstepError } from '../domain/errors.ts';
import type { Pair, Side } from '../domain/pair.ts';
import { otherSide, qualifiedName, tableOn } from '../domain/pair.ts';
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
      return openKafka(options, events);
    case 'postgres':
      return openPostgres(options, events);
  }
}

async function openKafka(options: PipelineOptions, events: KafkaEvents): Promise<Pipeline> {
  const { config, paired, clock, logger, consume } = options;
  const client = createKafkaClient({
    brokers: events.brokers,
    ssl: events.ssl,
    ...(events.sasl === null ? {} : { sasl: events.sasl }),
    // What comes of it is told as a finding or an error; the client's own words, one for each attempt, only explain.
    log: (_level, message, details) => logger.debug({ ...details }, `kafka: ${message}`),
  });
  const sides: readonly Side[] = ['old', 'new'];
  const wanted = paired.pairs.flatMap((pair) =>
    sides
      .filter((side) => side === config.primary || pair.topic[side] !== undefined)
      .map((side) => ({ pairId: pair.id, side, table: tableOn(pair, side), ...givenTopic(pair, side) })),
  );
  const found = await findTopics(client, wanted);
  const pairOf = new Map(paired.pairs.map((pair) => [pair.id, pair]));
  const topics = found.map(({ pairId, side, topic }) => ({ pair: pairOf.get(pairId) as Pair, side, topic }));
  const connectors = new Map(
    topics.filter(({ side }) => side === config.primary).map(({ pair, side, topic }) => [topic, connectorName(topic, qualifiedName(tableOn(pair, side)))]),
  );
  const offsets = new KafkaPipelineOffsets({
    connectors: [...new Set(connectors.values())],
    client,
    topics: [...new Set(found.map(({ topic }) => topic))],
    appliedTopics: [...new Set(found.filter(({ side }) => side === config.primary).map(({ topic }) => topic))],
    ownGroup: events.group,
    ...(events.sinkGroup === null ? {} : { sinkGroup: events.sinkGroup }),
    nowMs: () => clock.nowMs(),
  });
  const counted = new Map(found.map(({ pairId, side, topic, partitions }) => [`${pairId}/${side}`, { topic, partitions }]));
  const findings = new Map<string, SchemaFinding[]>();
  const onEncodingFinding = ({ pairId, side, message }: EncodingFinding): void => {
    const told = `events of ${side}: ${message}`;
    const known = findings.get(pairId) ?? [];
    if (known.some((finding) => finding.message === told)) return;
    findings.set(pairId, [...known, { severity: 'info', message: told }]);
    logger.info({ table: pairId }, told);
  };
  const decoder = new DebeziumDecoder({
    pairs: paired.pairs,
    topics,
    replicaIdentity: paired.replicaIdentity,
    placeholder: events.unavailablePlaceholder,
    onEncodingFinding,
    ...(events.registry === null ? {} : { registry: new RegistrySchemas({ client: new RegistryClient(events.registry), nowMs: () => clock.nowMs() }) }),
  });
  const records = new KafkaRecordRetry({ client, decoder });
  const source = consume ? new KafkaChangeSource({ client, group: events.group, topics, decoder, onTrouble: options.onTrouble }) : null;
  return {
    source,
    records,
    offsets,
    slotName: events.slot,
    connectorOf: (topic) => connectors.get(topic) ?? topic,
    topicsOf: (connector) => new Set([...connectors].filter(([, name]) => name === connector).map(([topic]) => topic)),
    sharing: (topic) => topics.filter((entry) => entry.topic === topic).map(({ pair }) => pair),
    ordered: false,
    encodingFindings: (pairId) => findings.get(pairId) ?? [],
    partitions: (pair, side) => {
      const topic = counted.get(`${pair.id}/${side}`);
      return topic === undefined ? [] : Array.from({ length: topic.partitions }, (_, partition) => ({ topic: topic.topic, partition }));
    },
    close: async () => {
      await Promise.all([offsets.close(), records.close()]);
    },
  };
}

/** Debezium's default topic is `PREFIX.schema.table`; a topic of another shape stands for itself. */
function connectorName(topic: string, table: string): string {
  return topic.endsWith(`.${table}`) ? topic.slice(0, -table.length - 1) : topic;
}

function givenTopic(pair: Pair, side: Side): { given?: string } {
  const given = pair.topic[side];
  return given === undefined ? {} : { given };
}

function openPostgres(options: PipelineOptions, events: PostgresEvents): Pipeline {
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
