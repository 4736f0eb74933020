import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import type { Admin } from 'kafkajs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { shopSql, statementsOf } from '../integration/captured/shop-history.ts';
import { endCommands, lockstep } from '../integration/cli/command.ts';
import { debeziumSource, jdbcSink } from '../stack/connectors.ts';
import { detectJava } from '../stack/java.ts';
import { freePort } from '../stack/ports.ts';
import { type Stack, startStack } from '../stack/stack.ts';
import { Service } from './scenario/service.ts';
import { comparePlainly } from './torture/plain-difference.ts';
import type { PlainComparison, PlainDifference } from './torture/plain-difference.ts';

const java = detectJava();
if (!java.ok) console.warn(`SKIPPED: what a sink does to data cannot be tested here: ${java.reason}`);

const ARRIVES = { timeout: 120_000, interval: 100 };
/** For a start or a round on a machine that has much else to do. */
const BUSY_MS = 360_000;
const KEYS: Readonly<Record<string, readonly string[]>> = { customers: ['id'], orders: ['tenant_id', 'order_id'], payments: ['id'], edge: ['id'] };
const TABLES = Object.keys(KEYS);

/** The sink stops on arrays of numeric, points, 24:00 and infinite moments with a zone. */
const NOT_WRITTEN: Readonly<Record<string, readonly string[]>> = { payments: ['nums2', 'pt'], edge: ['t', 'tz'] };
const EXCLUDED = Object.entries(NOT_WRITTEN).flatMap(([table, columns]) => columns.map((column) => `shop.public.${table}:${column}`));

interface Round {
  readonly name: string;
  readonly files: readonly string[];
  /** Messages of each topic by when the round is over. */
  readonly messages: Readonly<Record<string, number>>;
  /** Ways to sweep that must find the same as the one chosen by itself. */
  readonly strategies?: readonly string[];
}

const ROUNDS: readonly Round[] = [
  { name: 'the snapshot', files: [], messages: { customers: 150, orders: 200, payments: 100, edge: 7 } },
  {
    name: 'inserts, updates, deletes, key changes, a new column',
    files: ['changes-1.sql'],
    messages: { customers: 173, orders: 210, payments: 111, edge: 10 },
    strategies: ['portable', 'client', 'fast'],
  },
  { name: 'a truncate and more of the same', files: ['changes-2.sql', 'changes-3.sql'], messages: { customers: 195, orders: 220, payments: 116, edge: 18 } },
];

const EDGE_ROWS = 7;

const NEW_DATABASES = ['app', 'app_auto'] as const;
const SINKS = { app: 'sink', app_auto: 'auto' } as const;

interface CheckJson {
  readonly verdict: string;
  readonly tables: readonly { readonly table: string; readonly rows: { readonly old: number; readonly new: number } }[];
  readonly drift: readonly {
    readonly table: string;
    readonly kind: string;
    readonly key: Readonly<Record<string, unknown>>;
    readonly columns: readonly string[];
    readonly cause: { readonly code: string } | null;
    readonly column_causes: Readonly<Record<string, string>>;
  }[];
}

describe.skipIf(!java.ok)('what the JDBC sink does to data', () => {
  let stack: Stack;
  let admin: Admin;
  let folder = '';

  beforeAll(async () => {
    stack = await startStack({ kafka: true });
    folder = mkdtempSync(join(tmpdir(), 'lockstep-sink-'));
    chmodSync(folder, 0o755);
    await stack.new.createDatabase('app_auto');
    await stack.old.query(shopSql('schema.sql'));
    await stack.old.query(shopSql('seed.sql'));
    // Bits of one arrive as booleans, and a sink that may not alter tables stops on a new column.
    await stack.new.query(`${shopSql('schema.sql')} ALTER TABLE payments ALTER b1 TYPE boolean USING (b1 = B'1'); ALTER TABLE customers ADD loyalty int;`);
    admin = new Kafka({ brokers: [...(stack.kafka?.brokers ?? [])], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    await stack.connect?.putConnector('source', debeziumSource({ port: stack.old.port, database: 'app', topicPrefix: 'shop', tables: TABLES.map((table) => `public.${table}`) }));
    await arrived(ROUNDS[0]?.messages ?? {});
    for (const database of NEW_DATABASES) {
      const extra: Record<string, string> = database === 'app_auto' ? { 'schema.evolution': 'basic' } : {};
      await stack.connect?.putConnector(SINKS[database], jdbcSink({ port: stack.new.port, database, topics: TABLES.map(topicOf), excludedFields: EXCLUDED, extra }));
    }
  }, BUSY_MS);
  afterAll(async () => {
    await endCommands();
    await admin?.disconnect();
    await stack?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const topicOf = (table: string): string => `shop.public.${table}`;

  /** Waits until the topics have these many messages. */
  async function arrived(messages: Readonly<Record<string, number>>): Promise<void> {
    const ends = async (table: string): Promise<number> => {
      const offsets = await admin.fetchTopicOffsets(topicOf(table)).catch(() => []);
      return Number(offsets[0]?.high ?? 0);
    };
    await vi.waitFor(async () => expect(Object.fromEntries(await Promise.all(TABLES.map(async (table) => [table, await ends(table)] as const)))).toEqual(messages), ARRIVES);
  }

  /** Waits until a sink has applied these many messages. */
  async function applied(sink: string, messages: Readonly<Record<string, number>>): Promise<void> {
    await vi.waitFor(async () => {
      expect((await stack.connect?.status(sink))?.tasks.flatMap((task) => task.cause ?? [])).toEqual([]);
      const offsets = await admin.fetchOffsets({ groupId: `connect-${sink}`, topics: TABLES.map(topicOf) });
      expect(Object.fromEntries(offsets.map(({ topic, partitions }) => [topic.replace('shop.public.', ''), Number(partitions[0]?.offset ?? 0)]))).toEqual(messages);
    }, ARRIVES);
  }

  /** A configuration for old and a database on new; columns that new has not got, or the sink does not write, are ignored. */
  function configure(database: string, more = ''): string {
    const file = join(folder, `${database}.yaml`);
    const ignored = (table: string): string => (NOT_WRITTEN[table] ?? []).map((column) => `${column}: { ignore: true }`).join(', ');
    writeFileSync(
      file,
      `migration: shop
databases:
  old: { url: "${stack.old.url()}" }
  new: { url: "${stack.new.url(database)}" }
samples: { values: full }
tables:
${TABLES.map((table) => `  - { old: public.${table}, columns: { ${ignored(table)} } }`).join('\n')}
${more}
`,
    );
    return file;
  }

  async function check(database: string, strategy = 'auto'): Promise<CheckJson> {
    const file = configure(database, 'slo: { settle: 1s }');
    const { code, stdout, stderr } = await lockstep(['check', '-c', file, '--format', 'json', '--strategy', strategy]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    return JSON.parse(stdout) as CheckJson;
  }

  async function compareAll(database: string): Promise<ReadonlyMap<string, PlainComparison>> {
    const plain = new Map<string, PlainComparison>();
    for (const [table, key] of Object.entries(KEYS)) plain.set(table, await comparePlainly(stack.old.url(), stack.new.url(database), table, key));
    return plain;
  }

  for (const { name, files, messages, strategies = [] } of ROUNDS) {
    describe(name, () => {
      const found = new Map<string, Found>();

      beforeAll(async () => {
        const client = new pg.Client({ connectionString: stack.old.url() });
        await client.connect();
        for (const file of files) for (const statement of statementsOf(file)) await client.query(statement);
        await client.end();
        await arrived(messages);
        for (const database of NEW_DATABASES) {
          await applied(SINKS[database], messages);
          found.set(database, { plain: await compareAll(database), checked: await check(database) });
        }
      }, BUSY_MS);

      it.each(NEW_DATABASES)('%s: each column that the sink changed is reported, and none that it kept', (database) => {
        const { plain, checked } = found.get(database) as Found;
        const expected: unknown[] = [];
        for (const [table, { different, missing, extra, rows }] of plain) {
          expect({ table, missing, extra }).toEqual({ table, missing: [], extra: [] });
          expect(checked.tables.find((one) => one.table === `public.${table}`)?.rows).toEqual(rows);
          for (const { key, columns } of written(table, different)) expected.push({ table: `public.${table}`, kind: 'different', key, columns });
        }
        const reported = checked.drift.map(({ table, kind, key, columns }) => ({ table, kind, key: Object.values(key).map(String), columns: columns.toSorted() }));
        expect(reported.toSorted(byText)).toEqual(expected.toSorted(byText));
        expect(checked.verdict).toBe('drift');
      });

      const ways = strategies.flatMap((strategy) => NEW_DATABASES.map((database) => [database, strategy] as const));
      if (ways.length > 0) {
        it.each(ways)('%s: a %s sweep finds the same', async (database, strategy) => {
          const outline = ({ drift, tables }: CheckJson): unknown => ({
            drift: drift.map(({ table, kind, key, columns, column_causes: causes }) => ({ table, kind, key, columns, causes })).toSorted(byText),
            tables: tables.map(({ table, rows }) => ({ table, rows })),
          });
          expect(outline(await check(database, strategy))).toEqual(outline((found.get(database) as Found).checked));
        });
      }

      it.each(NEW_DATABASES)('%s: each change has its cause named', (database) => {
        const { plain, checked } = found.get(database) as Found;
        const expected = new Map<string, string>();
        for (const [table, { different }] of plain) {
          for (const { key, columns, values } of written(table, different)) {
            for (const column of columns) expected.set(`public.${table} ${key.join('/')} ${column}`, causeOf(column, values[column]?.old ?? null, values[column]?.new ?? null));
          }
        }
        const named = checked.drift.flatMap(({ table, key, columns, column_causes: causes }) =>
          columns.map((column) => [`${table} ${Object.values(key).map(String).join('/')} ${column}`, causes[column] ?? 'none'] as const),
        );
        expect(Object.fromEntries(named)).toEqual(Object.fromEntries(expected));
        for (const { columns, cause, column_causes: causes } of checked.drift) expect(columns.map((column) => causes[column])).toContain(cause?.code);
      });
    });
  }

  describe('beside lockstep run', () => {
    let service: Service;
    let plain: ReadonlyMap<string, PlainComparison>;
    beforeAll(async () => {
      const port = await freePort();
      const events = `events: { kafka: { brokers: [${stack.kafka?.brokers.join(', ')}], group: lockstep-sink } }`;
      const configFile = configure('app', `${events}\nslo: { settle: 3s }\nhttp: { port: ${port} }\ndata_dir: ${join(folder, 'data')}`);
      service = new Service({ configFile, port, logFile: join(folder, 'lockstep.log') });
      await service.start();
      const payments = Number((await stack.old.query<{ count: string }>('SELECT count(*) FROM payments'))[0]?.count);
      const hardRows = statementsOf('seed.sql').filter((statement) => statement.startsWith('INSERT INTO edge'));
      await stack.old.query(hardRows.join(';'));
      await stack.old.query('UPDATE payments SET ok = NOT ok');
      const { messages } = ROUNDS.at(-1) as Round;
      const after = { ...messages, payments: (messages['payments'] ?? 0) + payments, edge: (messages['edge'] ?? 0) + EDGE_ROWS };
      await arrived(after);
      await applied(SINKS.app, after);
      plain = await compareAll('app');
    }, BUSY_MS);
    afterAll(() => service?.stop());

    it('finds every change by sweep and stream, and never calls anything else drift', async () => {
      const expected = [...plain].flatMap(([table, { different }]) => written(table, different).map(({ key, columns }) => ({ table: `public.${table}`, kind: 'different', key, columns })));
      const recorded = async (): Promise<unknown[]> => {
        const { items } = await service.get<{ items: CheckJson['drift'] }>('/v1/drift?limit=500');
        return items.map(({ table, kind, key, columns }) => ({ table, kind, key: Object.values(key).map(String), columns: columns.toSorted() })).toSorted(byText);
      };
      await expect.poll(recorded, ARRIVES).toEqual(expected.toSorted(byText));
    });

    it('groups it by column and cause', async () => {
      const expected: Record<string, number> = {};
      for (const [table, { different }] of plain) {
        for (const { columns, values } of written(table, different)) {
          for (const column of columns) {
            const group = `public.${table} ${column} ${causeOf(column, values[column]?.old ?? null, values[column]?.new ?? null)}`;
            expected[group] = (expected[group] ?? 0) + 1;
          }
        }
      }
      const { items } = await service.get<{ items: { table: string; column: string; cause: { code: string } | null; rows: number }[] }>('/v1/drift?group=cause&status=open');
      expect(Object.fromEntries(items.map(({ table, column, cause, rows }) => [`${table} ${column} ${cause?.code ?? 'none'}`, rows]))).toEqual(expected);
      expect((await service.get<{ verdict: string }>('/v1/gate')).verdict).toBe('fail');
    });
  });
});

function byText(left: unknown, right: unknown): number {
  return JSON.stringify(left) < JSON.stringify(right) ? -1 : 1;
}

interface Found {
  readonly plain: ReadonlyMap<string, PlainComparison>;
  readonly checked: CheckJson;
}

/** Differences in the columns that the sink writes. */
function written(table: string, different: readonly PlainDifference[]): PlainDifference[] {
  const left = different.map((one) => ({ ...one, columns: one.columns.filter((column) => NOT_WRITTEN[table]?.includes(column) !== true).toSorted() }));
  return left.filter(({ columns }) => columns.length > 0);
}

/** What a look at both values says. */
function causeOf(column: string, old: string | null, neu: string | null): string {
  if (neu === '__debezium_unavailable_value') return 'placeholder_written';
  if (column === 'fee' || column === 'n') return 'through_float';
  // The sink cuts intervals to seconds, too.
  if (column === 'iv') return neu === '00:00:00' ? 'precision_lost' : 'interval_folded';
  if (column === 'ttz') return 'zone_moved';
  if (old === 'NaN') return 'nan_replaced';
  if (old?.toLowerCase().endsWith('infinity') === true) return 'infinity_replaced';
  if (old?.endsWith(' BC') === true) return 'era_lost';
  if (old === '-0') return 'sign';
  return 'none';
}
