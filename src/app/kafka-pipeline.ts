import createXxhash from 'xxhash-wasm';
import type { KafkaEvents } from '../config/config.ts';
import { DebeziumDecoder } from '../events/debezium/decoder.ts';
import type { EncodingFinding } from '../events/debezium/encoding-findings.ts';
import { createKafkaClient } from '../events/kafka/client.ts';
import { KafkaRecordRetry } from '../events/kafka/record-retry.ts';
import { KafkaPipelineOffsets } from '../events/kafka/offsets.ts';
import { KafkaChangeSource } from '../events/kafka/source.ts';
import { findTopics } from '../events/kafka/topics.ts';
import { RegistryClient } from '../events/registry/client.ts';
import { RegistrySchemas } from '../events/registry/schemas.ts';
import { isBag } from '../domain/bag.ts';
import type { Pair, Side } from '../domain/pair.ts';
import { qualifiedName, tableOn } from '../domain/pair.ts';
import type { SchemaFinding } from '../domain/status.ts';
import type { Pipeline, PipelineOptions } from './pipeline.ts';

/** The pipeline through Kafka. */
export async function openKafka(options: PipelineOptions, events: KafkaEvents): Promise<Pipeline> {
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
      .map((side) => ({ pairId: pair.id, side, table: tableOn(pair, side), optional: isBag(pair), ...givenTopic(pair, side) })),
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
  const xxhash = await createXxhash();
  const decoder = new DebeziumDecoder({
    hashBytes: (bytes) => xxhash.h64Raw(bytes),
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
