import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PostgresDatabase } from '../../src/databases/postgres/database.ts';
import type { RowChange, SourceBatch, SourceRecord } from '../../src/domain/change.ts';
import type { Pair } from '../../src/domain/pair.ts';
import type { Row } from '../../src/domain/row.ts';
import { DebeziumDecoder } from '../../src/events/debezium/decoder.ts';
import { createKafkaClient } from '../../src/events/kafka/client.ts';
import { PgoutputChangeSource } from '../../src/events/postgres/source.ts';
import { KafkaChangeSource } from '../../src/events/kafka/source.ts';
import type { SourceListener } from '../../src/verify/ports.ts';
import { pairOf } from '../integration/databases/pairs.ts';
import { TYPES_SQL } from '../integration/databases/samples.ts';
import type { ConnectorConfig } from '../stack/connect.ts';
import { debeziumSource } from '../stack/connectors.ts';
import { detectJava } from '../stack/java.ts';
import { type Stack, startStack } from '../stack/stack.ts';
import { createWideTable, insertRows, wideColumns } from './torture/wide-table.ts';

const java = detectJava();
if (!java.ok) console.warn(`SKIPPED: values through a real connector cannot be tested here: ${java.reason}`);

/** Fixed, so that a run can be told from the next; other seeds are tried by hand. */
const SEED = Number(process.env['LOCKSTEP_SEED'] ?? 1);
const SNAPSHOT_ROWS = 100;
const ROWS = 200;
const ARRIVES = { timeout: 240_000, interval: 200 };
/** For all of it on a machine that has much else to do. */
const BUSY_MS = 360_000;

/** A row with the longest samples, with its schema. */
const LARGE_MESSAGE = '8388608';

interface Mode {
  readonly schemas: boolean;
  readonly extra: ConnectorConfig;
  readonly told: Told;
}

const FLAT: ConnectorConfig = {
  transforms: 'unwrap',
  'transforms.unwrap.type': 'io.debezium.transforms.ExtractNewRecordState',
  'transforms.unwrap.add.fields': 'op,table,lsn,source.ts_us',
  'time.precision.mode': 'adaptive_time_microseconds',
};

/** All tables into one topic. */
const ROUTED: ConnectorConfig = {
  transforms: 'route',
  'transforms.route.type': 'io.debezium.transforms.ByLogicalTableRouter',
  'transforms.route.topic.regex': 'routed\\.public\\.(.*)',
  'transforms.route.topic.replacement': 'routed.all',
};

const TEXT: ConnectorConfig = {
  'decimal.handling.mode': 'string',
  'time.precision.mode': 'isostring',
  'binary.handling.mode': 'hex',
  'hstore.handling.mode': 'json',
  'interval.handling.mode': 'string',
};
const DOUBLE: ConnectorConfig = { 'decimal.handling.mode': 'double', 'time.precision.mode': 'connect', 'hstore.handling.mode': 'map' };

/** Intervals as a number of microseconds. */
const PARTS = ['interval', 'interval random 19'];
/** Without a schema the first seconds of a day may be milliseconds of all of it; ISO text has no 24:00. */
const TIMES = ['some time', 'some time random 18'];
/** Beyond 64 bits, or without a schema so far from now that the unit cannot be told. */
const FAR_AWAY = ['some timestamp', 'some timestamp random 16'];
/** What a double cannot hold. */
const DOUBLES = ['money', 'money random 7', 'numeric random 3', 'numeric random 4', 'some numeric', 'some numeric(20,4)', 'some numeric[] random 23'];
const MILLISECONDS = ['time', 'time random 18'];
/** Hexadecimal digits that are base64 as well. */
const BYTES = ['bytea[]', 'some bytea random 12'];

const BOUNDS = 'lower bounds of an array';
const NAN = 'NULL for a number that is none';
const FAR = 'NULL for a timestamp beyond 64 bits of nanoseconds';
const MILLIS = 'milliseconds after the year 9999 taken for microseconds';

/** All that changes an encoding, each value of it at least once. A `name` comes as NULL from the log. */
const MODES: Readonly<Record<string, Mode>> = {
  default_schemas: {
    schemas: true,
    extra: { 'producer.override.compression.type': 'gzip' },
    told: { unknown: [...PARTS, ...FAR_AWAY, 'some name'], wrong: [NAN, BOUNDS] },
  },
  default_plain: {
    schemas: false,
    extra: { 'producer.override.compression.type': 'snappy' },
    told: { unknown: [...PARTS, ...TIMES, ...FAR_AWAY, 'some name'], wrong: [NAN, BOUNDS] },
  },
  text_plain: {
    schemas: false,
    extra: { ...TEXT, 'producer.override.compression.type': 'lz4' },
    told: { unknown: [...TIMES, ...BYTES, 'some name'], wrong: [BOUNDS] },
  },
  text_schemas: {
    schemas: true,
    extra: TEXT,
    told: { unknown: [...TIMES, ...BYTES, 'some name'], wrong: [BOUNDS] },
  },
  double_plain: {
    schemas: false,
    extra: { ...DOUBLE, 'binary.handling.mode': 'base64-url-safe', 'producer.override.compression.type': 'zstd' },
    told: { unknown: [...PARTS, ...FAR_AWAY, ...DOUBLES, ...MILLISECONDS, 'some name'], wrong: [BOUNDS, MILLIS] },
  },
  double_schemas: {
    schemas: true,
    extra: { ...DOUBLE, 'binary.handling.mode': 'base64' },
    told: { unknown: [...PARTS, ...DOUBLES, ...MILLISECONDS, 'some name', 'some timestamp', 'timestamp random 16'], wrong: [BOUNDS] },
  },
  micros: {
    schemas: true,
    extra: { 'time.precision.mode': 'microseconds', 'include.unknown.datatypes': 'true' },
    told: { unknown: [...PARTS, ...FAR_AWAY], wrong: [NAN, BOUNDS] },
  },
  nanos: {
    schemas: true,
    extra: { 'time.precision.mode': 'nanoseconds' },
    told: { unknown: [...PARTS, 'some name', 'some timestamp'], wrong: [NAN, FAR, BOUNDS] },
  },
  nanos_plain: {
    schemas: false,
    extra: { 'time.precision.mode': 'nanoseconds', 'binary.handling.mode': 'base64' },
    told: { unknown: [...PARTS, ...TIMES, ...FAR_AWAY, 'some name'], wrong: [NAN, FAR, BOUNDS] },
  },
  routed: {
    schemas: true,
    extra: ROUTED,
    told: { unknown: [...PARTS, ...FAR_AWAY, 'some name'], wrong: [NAN, BOUNDS] },
  },
  flat: {
    schemas: false,
    extra: FLAT,
    told: { unknown: [...PARTS, ...TIMES, ...FAR_AWAY, 'some name'], wrong: [NAN, BOUNDS] },
  },
};

/** Keeps what a source delivers. */
class Collector implements SourceListener {
  readonly records: SourceRecord[] = [];
  resumeFrom(): ReadonlyMap<string, string> {
    return new Map();
  }
  onGap(): void {
    throw new Error('a gap');
  }
  onBatch(batch: SourceBatch): Promise<void> {
    this.records.push(...batch.records);
    return Promise.resolve();
  }
  rows(): RowChange[] {
    return this.records.filter((record) => record.type === 'row');
  }
  onAssigned(): void {
    // Nothing to prepare.
  }
  onRevoked(): void {
    // Nothing to end.
  }
}

/** What no mode tells. */
const NEVER_TOLD: readonly string[] = [
  // Types that the connector leaves out.
  'box', 'box[]', 'circle', 'interval[]', 'jsonpath', 'line', 'lseg', 'money[]', 'nummultirange', 'path', 'pg_lsn', 'point[]',
  'polygon', 'public.composed random 25', 'public.mood_range', 'public.pair_of', 'public.pair_of[]', 'public.positives', 'regclass', 'tsquery', 'tstzmultirange', 'varbit[]', 'xid8',
  // Zeros in front of varying bits, the zone of a time, the era of a date.
  'varbit', 'varbit random 13', 'timetz', 'some date', 'some date random 15', 'date[]',
  // Arrays of arrays, and arrays with a NaN, which come as NULL.
  'some int4[][][]', 'some text[]', 'some text[] random 22', 'numeric[]',
];

interface Told {
  /** Columns that no image tells, and with `some` those that a part of the images does not tell. */
  readonly unknown: readonly string[];
  /** Why an image tells another value than the database held. */
  readonly wrong: readonly string[];
}

/** What encodings get wrong and no decoder can see; null: a defect. */
function inherent(mode: string, base: string, held: string | null, told: string | null): string | null {
  if (held !== null && told === held.replace(/^(?:\[-?\d+:-?\d+\])+=/, '')) return BOUNDS;
  if (told === null && base === 'numeric' && /^(?:NaN|-?Infinity)$/.test(held ?? '')) return NAN;
  if (told === null && mode.startsWith('nanos') && base === 'timestamp') return FAR;
  if (mode === 'double_plain' && base === 'timestamp' && /^\d{5,}-/.test(held ?? '')) return MILLIS;
  return null;
}

function tell(mode: string, pair: Pair, changes: readonly RowChange[], rows: ReadonlyMap<string, Row>): Told {
  const unknown: string[] = [];
  const wrong = new Set<string>();
  for (const [index, { name, old }] of pair.columns.entries()) {
    let [values, untold] = [0, 0];
    for (const { key, op, image } of changes) {
      const held = rows.get(key[0] as string)?.[index] as string | null;
      const told = image?.[index];
      // A NULL says nothing of how a column's values fare.
      if (held === null && told === null) continue;
      values++;
      if (told === undefined) untold++;
      else if (told !== held) wrong.add(inherent(mode, old.type.base, held, told) ?? `${name} of ${op} ${key[0]}: ${JSON.stringify([held, told])}`);
    }
    if (untold > 0) unknown.push(untold === values ? name : `some ${name}`);
  }
  return { unknown: unknown.toSorted(), wrong: [...wrong].toSorted() };
}

describe.skipIf(!java.ok)(`values through every road (LOCKSTEP_SEED=${SEED})`, () => {
  let stack: Stack;
  let database: PostgresDatabase;
  let pair: Pair;
  const rows = new Map<string, Row>();
  const changes = new Map<string, RowChange[]>();
  const native = new Collector();

  beforeAll(async () => {
    const columns = wideColumns(ROWS, SEED);
    stack = await startStack({ kafka: true });
    await stack.old.query(`${TYPES_SQL} CREATE TYPE public.composed AS (one text, other text); ${createWideTable(columns)}`);
    await stack.old.query(insertRows(columns, 0, SNAPSHOT_ROWS));
    database = new PostgresDatabase({ side: 'old', url: stack.old.url(), pool: 2 });
    pair = await pairOf(database, database, 'wide');
    const topics = Object.keys(MODES).map((name) => ({ topic: name === 'routed' ? 'routed.all' : `${name}.public.wide`, pair, side: 'old' as const }));
    const put = async ([name, { schemas, extra }]: [string, Mode]): Promise<void> => {
      const limits = { 'producer.override.max.request.size': LARGE_MESSAGE };
      await stack.connect?.putConnector(
        name,
        debeziumSource({ port: stack.old.port, database: 'app', topicPrefix: name, tables: ['public.wide'], slot: name, publication: name, schemas, extra: { ...extra, ...limits } }),
      );
    };
    const abort = new AbortController();
    const replication = new PgoutputChangeSource({ url: stack.old.url(), slot: 'native', publication: 'native', pairs: [pair], side: 'old' });
    const ended: Promise<void>[] = [replication.run(native, abort.signal)];
    try {
      await Promise.all(Object.entries(MODES).map(put));
      const active = async (): Promise<number> => Number((await stack.old.query<{ count: string }>('SELECT count(*) FROM pg_replication_slots WHERE active'))[0]?.count);
      await vi.waitFor(async () => expect(await active()).toBe(topics.length + 1), ARRIVES);
      await stack.old.query(insertRows(columns, SNAPSHOT_ROWS, ROWS));
      const read = await database.readRows(pair, Array.from({ length: ROWS }, (_, id) => [String(id)]), new AbortController().signal);
      for (const [key, { row }] of read.rows) rows.set(key, row);

      const collector = new Collector();
      const client = createKafkaClient({ brokers: stack.kafka?.brokers ?? [] });
      const decoder = new DebeziumDecoder({ pairs: [pair], topics, replicaIdentity: new Map() });
      ended.push(new KafkaChangeSource({ client, group: 'values', topics, decoder }).run(collector, abort.signal));
      await vi.waitFor(() => expect(collector.records.length).toBeGreaterThanOrEqual(topics.length * ROWS), ARRIVES);
      await vi.waitFor(() => expect(native.rows().length).toBeGreaterThanOrEqual(ROWS - SNAPSHOT_ROWS), ARRIVES);
      for (const record of collector.records) {
        if (record.type !== 'row') throw new Error(`${record.type} in ${record.position.topic} at ${record.position.offset}: ${'message' in record ? record.message : ''}`);
      }
      for (const change of collector.rows()) {
        const mode = change.position.topic.split('.')[0] as string;
        changes.set(mode, [...(changes.get(mode) ?? []), change]);
      }
    } finally {
      abort.abort();
      await Promise.allSettled(ended);
    }
  }, BUSY_MS);
  afterAll(async () => {
    await database?.close();
    await stack?.stop();
  });

  it.each(Object.entries(MODES))('%s', (mode, { told }) => {
    const all = changes.get(mode) ?? [];
    expect(all.filter(({ op }) => op === 'snapshot')).toHaveLength(SNAPSHOT_ROWS);
    expect(all.filter(({ op }) => op === 'create')).toHaveLength(ROWS - SNAPSHOT_ROWS);
    expect(tell(mode, pair, all, rows)).toEqual({ unknown: [...NEVER_TOLD, ...told.unknown].toSorted(), wrong: told.wrong });
  });

  it('logical replication', () => {
    expect(native.rows()).toHaveLength(ROWS - SNAPSHOT_ROWS);
    expect(tell('native', pair, native.rows(), rows)).toEqual({ unknown: [], wrong: [] });
  });
});
