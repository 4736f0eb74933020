import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresDatabase } from '../../../src/databases/postgres/database.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import { canonicalFromText } from '../../../src/domain/values/classes.ts';
import { DebeziumDecoder } from '../../../src/events/debezium/decoder.ts';
import type { DebeziumDecoderOptions } from '../../../src/events/debezium/decoder.ts';
import { RegistryClient } from '../../../src/events/registry/client.ts';
import { RegistrySchemas } from '../../../src/events/registry/schemas.ts';
import type { OnePostgres } from '../../stack/postgres-server.ts';
import { startPostgres } from '../../stack/postgres-server.ts';
import { fixture } from '../../unit/events/debezium/support.ts';
import { pairOf } from '../databases/pairs.ts';
import { decodeFile } from './decode-file.ts';
import { startRegistry } from './registry-server.ts';
import type { RegistryServer } from './registry-server.ts';
import { replay } from './replay.ts';
import type { FileTold, Told } from './replay.ts';
import { SHOP_KEYS, buildShop, shopSql, versionsOf } from './shop-history.ts';
import type { Version } from './shop-history.ts';

let server: OnePostgres;
let old: PostgresDatabase;
let neu: PostgresDatabase;
let registry: RegistryServer;
const pairs = new Map<string, Pair>();
const versions = new Map<string, readonly Version[]>();

beforeAll(async () => {
  registry = await startRegistry();
  server = await startPostgres({ database: 'app' });
  await server.server.createDatabase('replica');
  await buildShop(server.url());
  await server.server.query(`${shopSql('schema.sql')} ALTER TABLE payments ALTER b1 TYPE boolean USING (b1 = B'1'); ALTER TABLE customers ADD loyalty int;`, 'replica');
  old = new PostgresDatabase({ side: 'old', url: server.url(), pool: 2 });
  neu = new PostgresDatabase({ side: 'new', url: server.url('replica'), pool: 2 });
  for (const [table, key] of Object.entries(SHOP_KEYS)) {
    const pair = await pairOf(old, neu, table, { key });
    pairs.set(table, pair);
    versions.set(table, await versionsOf(old, server.url(), pair));
  }
});
afterAll(async () => {
  await old?.close();
  await neu?.close();
  await registry?.stop();
  await server?.stop();
});

interface Capture {
  readonly prefix: string;
  readonly side?: 'old' | 'new';
  /** The first and the last file of changes that the topics have. */
  readonly from?: number;
  readonly through?: number;
  readonly snapshotAfter?: number | 'any';
  readonly truncates?: boolean;
  readonly decoder?: Partial<DebeziumDecoderOptions>;
}

/** Values of now(): known from the messages alone. */
function undetermined(table: string) {
  return (column: string, key: string): boolean =>
    (table === 'outbox' && column === 'created') ||
    (table === 'audit_log' && column === 'at') ||
    (table === 'orders' && column === 'placed_at' && key === '7/1') ||
    (table === 'customers' && column === 'created_at' && ['151', '20', '152', '50'].includes(key));
}

/** Decodes a whole file, and lays each table's messages beside its history. */
async function tell(name: string, { prefix, side = 'old', from = 1, through = 2, snapshotAfter = 0, truncates = true, decoder: more = {} }: Capture): Promise<FileTold> {
  const topics = [...pairs].map(([table, pair]) => ({ topic: `${prefix}.public.${table}`, pair, side }));
  const decoder = new DebeziumDecoder({
    pairs: [...pairs.values()],
    topics,
    replicaIdentity: new Map([['public.orders', { old: 'full', new: 'full' }]]),
    registry: new RegistrySchemas({ client: new RegistryClient({ url: registry.url }), nowMs: () => performance.now() }),
    ...more,
  });
  const { byTopic, none } = await decodeFile(name, decoder);
  const tables: Record<string, Told> = {};
  for (const { topic, pair } of topics) {
    const records = byTopic.get(topic);
    if (records === undefined) continue;
    const table = pair.old.name;
    tables[table] = replay({
      pair,
      records,
      versions: versions.get(table) ?? [],
      snapshotAfter,
      from,
      through,
      truncates,
      undetermined: undetermined(table),
      added: table === 'customers' ? ['loyalty'] : [],
    });
  }
  return { tables, none };
}

/** Up to this year an event does not say whether a year is before Christ. */
const ERA = 'd of 2 3';
/** Changes that did not touch the large text; a message about any of these rows that holds it is compared. */
const LARGE_TEXT = 'long_text of 2 4 c ffffffff-0000-4000-8000-000000000001';

/** A NULL that could be an array with NaN in it. */
const NO_NUMBERS = 'nums2 of aaaaaaaa-0000-4000-8000-000000000001';

// No message has the months and days of an interval (iv), the zone of a time (ttz), the zeros in front of varying bits (vb).
type Expected = Readonly<Record<string, Partial<Told>>>;

/** What a table's messages tell where nothing is lost or wrong. */
const all = (images: number): Partial<Told> => ({ images, unknown: [], wrong: [] });

const FILES: readonly (readonly [file: string, capture: Capture, tables: Expected, tombstones: number])[] = [
  ['a-json-schemas.customers', { prefix: 'old' }, { customers: all(112) }, 4],
  ['a-json-schemas.orders', { prefix: 'old' }, { orders: all(120) }, 2],
  ['a-json-schemas.payments', { prefix: 'old' }, { payments: { images: 56, unknown: ['iv', LARGE_TEXT, NO_NUMBERS, 'ttz', 'vb'], wrong: [] } }, 2],
  ['a-json-schemas.edge', { prefix: 'old' }, { edge: { images: 9, unknown: [ERA, 'iv'], wrong: [] } }, 1],
  ['a-json-schemas.outbox-auditlog', { prefix: 'old' }, { outbox: all(31), audit_log: all(6) }, 1],
  [
    'b-json-plain-old-side-gzip',
    { prefix: 'vplain', through: 3 },
    {
      customers: { ...all(34), thinned: 11 },
      orders: all(50),
      payments: { images: 44, unknown: ['iv', LARGE_TEXT.replace('of', 'of 10'), NO_NUMBERS, 'ttz', 'vb'], wrong: [] },
      // Without a schema midnight is no time of its own, and far from now one year's milliseconds are another's microseconds.
      edge: { images: 12, unknown: [ERA, 'iv', 't of 1', 'ts of 3 7'], wrong: [] },
      outbox: all(32),
      audit_log: all(6),
    },
    18,
  ],
  [
    'b-json-plain.new-side',
    { prefix: 'new', side: 'new', snapshotAfter: 'any', from: 3, through: 3 },
    {
      customers: all(52),
      orders: all(60),
      // What the sink made of old's rows stands as wrong: a placeholder, and columns that it does not write.
      payments: { images: 58, unknown: ['iv', 'long_text of 10', 'nums2', 'ttz', 'vb'], wrong: ['long_text of 2 4 ffffffff-0000-4000-8000-000000000001', 'pt'] },
      edge: { images: 19, unknown: [ERA, 'iv', 'ts of 3'], wrong: ['d of 5', 'f4 of 3 5', 'f8 of 3 5', 't', 'tz'] },
      outbox: all(31),
    },
    8,
  ],
  [
    'f-string-isostring-lz4',
    { prefix: 'vstr' },
    {
      customers: all(42),
      orders: all(50),
      // Hexadecimal digits are base64 as well, and there is no schema.
      payments: { images: 46, unknown: ['bin', LARGE_TEXT, NO_NUMBERS, 'ttz', 'vb'], wrong: [] },
      // ISO text has no 24:00 and writes 00:00.
      edge: { images: 9, unknown: [ERA, 't of 1 2'], wrong: [] },
      outbox: all(31),
      audit_log: all(6),
    },
    10,
  ],
  [
    'f-double-connect-zstd',
    { prefix: 'vdbl' },
    {
      customers: { images: 42, unknown: ['balance', 'updated_at'], wrong: [] },
      orders: all(50),
      // Decimals as doubles, times in milliseconds.
      payments: { images: 46, unknown: ['amount', 'fee', 'iv', 'local_ts', LARGE_TEXT, 'm', NO_NUMBERS, 't', 'ttz', 'vb'], wrong: [] },
      // Year 12024 in milliseconds is 1980 in microseconds: without a schema nothing tells them apart.
      edge: { images: 9, unknown: [ERA, 'iv', 'n', 'n2', 't', 'ts of 1 2 3 4 5 6'], wrong: ['ts of 7'] },
      outbox: all(31),
      audit_log: all(6),
    },
    10,
  ],
  [
    'f-micro-placeholder',
    { prefix: 'vmicro', decoder: { placeholder: '@@TOASTED@@' } },
    { payments: { images: 96, unknown: ['iv', LARGE_TEXT, NO_NUMBERS, 'ttz', 'vb'], wrong: [] }, edge: { images: 9, unknown: [ERA, 'iv', 't of 1', 'ts of 3 7'], wrong: [] } },
    3,
  ],
  [
    'c-flat-snappy',
    { prefix: 'vflat', truncates: false },
    {
      customers: all(46),
      orders: all(50),
      payments: { images: 48, unknown: ['iv', LARGE_TEXT, NO_NUMBERS, 'ttz', 'vb'], wrong: [] },
      edge: { images: 9, unknown: [ERA, 'iv', 't of 1', 'ts of 3 7'], wrong: [] },
      outbox: all(31),
      audit_log: all(6),
    },
    0,
  ],
  [
    'g-avro-confluent',
    { prefix: 'vavro2', snapshotAfter: 3, from: 4, through: 4 },
    { customers: all(73), orders: all(76), payments: { images: 75, unknown: ['iv', 'long_text of 14', NO_NUMBERS, 'ttz', 'vb'], wrong: [] }, outbox: all(31) },
    1,
  ],
  [
    'g-avro-apicurio-headers',
    { prefix: 'vavro' },
    {
      customers: all(42),
      orders: all(50),
      payments: { images: 46, unknown: ['iv', LARGE_TEXT, NO_NUMBERS, 'ttz', 'vb'], wrong: [] },
      edge: { images: 9, unknown: [ERA, 'iv'], wrong: [] },
      outbox: all(31),
      audit_log: all(6),
    },
    10,
  ],
];

describe('captured messages tell what the database held', () => {
  it.each(FILES)('%s', async (name, capture, tables, tombstone) => {
    const told = await tell(name, capture);
    expect(told).toMatchObject({ tables, none: tombstone === 0 ? {} : { tombstone } });
    expect(Object.keys(told.tables)).toEqual(Object.keys(tables));
    for (const [table, { images, equal, thinned }] of Object.entries(told.tables)) {
      expect(thinned).toBe(tables[table]?.thinned);
      expect(equal).toBeGreaterThanOrEqual(images);
    }
  });

  it('e-outbox-router: payloads of the outbox, and nothing of its rows', async () => {
    const pair = pairs.get('outbox') as Pair;
    const decoder = new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map() });
    const { none } = await decodeFile('e-outbox-router', decoder);
    expect(none).toEqual({ message: 1, unmapped: 31 });
    const payload = pair.columns.findIndex(({ name }) => name === 'payload');
    const rows = new Map((versions.get('outbox') ?? []).map(({ row }) => [row?.[0], row]));
    const topics = ['voutbox.order', 'voutbox.payment'].map((topic) => ({ topic, pair, side: 'old' as const }));
    const mapped = new DebeziumDecoder({ pairs: [pair], topics, replicaIdentity: new Map() });
    for (const message of fixture('e-outbox-router')) {
      if (message.topic === 'voutbox.message') continue;
      const row = rows.get(message.headers['id']?.toString());
      expect(canonicalFromText('json', (pair.columns[payload] as Pair['columns'][number]).old.type, String(message.value))).toBe(row?.[payload]);
      expect(mapped.decode(message)).toMatchObject({ type: 'undecodable', reason: 'outbox_event' });
    }
  });

  it.each([
    ['d-heartbeat', { heartbeat: 28 }],
    ['d-transaction', { transaction: 124 }],
    ['d-logical-message', { message: 2 }],
    ['h-mariadb-schema-changes', { schema_change: 28 }],
  ] as const)('%s: nothing of rows', async (name, none) => {
    expect((await tell(name, { prefix: 'old' })).none).toEqual(none);
  });
});
