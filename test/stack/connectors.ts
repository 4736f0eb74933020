import type { ConnectorConfig } from './connect.ts';

export interface SourceOptions {
  /** Port and database of the PostgreSQL whose changes are read. */
  readonly port: number;
  readonly database: string;
  /** First part of the topics' names: `PREFIX.public.payments`. */
  readonly topicPrefix: string;
  /** Qualified names: `public.payments`. */
  readonly tables: readonly string[];
  readonly slot?: string;
  readonly publication?: string;
  /** Whether each message carries its schema; true by default, and the JDBC sink needs it. */
  readonly schemas?: boolean;
  readonly heartbeatMs?: number;
  readonly extra?: ConnectorConfig;
}

/** A Debezium PostgreSQL source: pgoutput, JSON, events readable some 20 ms after their commit. */
export function debeziumSource(options: SourceOptions): ConnectorConfig {
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'tasks.max': '1',
    'plugin.name': 'pgoutput',
    'database.hostname': '127.0.0.1',
    'database.port': String(options.port),
    'database.user': 'postgres',
    'database.password': 'unused',
    'database.dbname': options.database,
    'topic.prefix': options.topicPrefix,
    'slot.name': options.slot ?? 'debezium',
    'publication.name': options.publication ?? 'debezium',
    'publication.autocreate.mode': 'filtered',
    'table.include.list': options.tables.join(','),
    'skipped.operations': 'none',
    'slot.drop.on.stop': 'false',
    'snapshot.mode': 'initial',
    'poll.interval.ms': '10',
    'status.update.interval.ms': '1000',
    'heartbeat.interval.ms': String(options.heartbeatMs ?? 1000),
    ...jsonConverters(options.schemas ?? true),
    ...options.extra,
  };
}

export interface SinkOptions {
  /** Port and database of the PostgreSQL that is written to. */
  readonly port: number;
  readonly database: string;
  readonly topics: readonly string[];
  /** `TOPIC:COLUMN` entries that are not written: columns that the sink stops on. */
  readonly excludedFields?: readonly string[];
  readonly extra?: ConnectorConfig;
}

/** A Debezium JDBC sink: upserts and deletes by the record's key into tables that exist. */
export function jdbcSink(options: SinkOptions): ConnectorConfig {
  return {
    'connector.class': 'io.debezium.connector.jdbc.JdbcSinkConnector',
    'tasks.max': '1',
    topics: options.topics.join(','),
    // Enums arrive as text; without this the driver declares them as such and the insert fails.
    'connection.url': `jdbc:postgresql://127.0.0.1:${options.port}/${options.database}?stringtype=unspecified`,
    'connection.username': 'postgres',
    'connection.password': 'unused',
    'insert.mode': 'upsert',
    'delete.enabled': 'true',
    'truncate.enabled': 'true',
    'primary.key.mode': 'record_key',
    'schema.evolution': 'none',
    'collection.name.format': '${source.table}',
    'consumer.override.max.poll.records': '2000',
    'consumer.override.metadata.max.age.ms': '5000',
    ...(options.excludedFields === undefined ? {} : { 'field.exclude.list': options.excludedFields.join(',') }),
    ...jsonConverters(true),
    ...options.extra,
  };
}

function jsonConverters(schemas: boolean): ConnectorConfig {
  return {
    'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'key.converter.schemas.enable': String(schemas),
    'value.converter.schemas.enable': String(schemas),
  };
}
