import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SourceRecord } from '../../../src/domain/change.ts';
import { DebeziumDecoder } from '../../../src/events/debezium/decoder.ts';
import { MariaDbServer, detectMariaDb } from '../../stack/mariadb-server.ts';
import { decodeFile } from './decode-file.ts';
import { buildShopInMariaDb, canonicalRow, pairOfColumns, printedVersions } from './mariadb-history.ts';
import type { MariaModes, ShopInMariaDb } from './mariadb-history.ts';
import { replay } from './replay.ts';
import type { FileTold } from './replay.ts';

const maria = detectMariaDb();
if (!maria.ok) console.warn(`SKIPPED: captured messages of MariaDB cannot be tested here: ${maria.reason}`);

/** What is left of a table without a key after its changes; a row may be there twice. */
function rowsLeft(records: readonly SourceRecord[]): string[] {
  const rows: string[] = [];
  for (const record of records) {
    if (record.type !== 'row') continue;
    if (record.before !== null) rows.splice(rows.indexOf(record.before.join()), 1);
    if (record.image !== null) rows.push(record.image.join());
  }
  return rows.toSorted();
}

const KEYS = { items: ['id'], order_lines: ['order_id', 'line_no'] } as const;

describe.skipIf(!maria.ok)('captured messages of MariaDB tell what the database held', () => {
  let server: MariaDbServer;
  let shop: ShopInMariaDb;
  beforeAll(async () => {
    server = await MariaDbServer.create();
    shop = await buildShopInMariaDb(server, KEYS);
  });
  afterAll(() => server?.stop());

  async function tell(name: string, prefix: string, modes: MariaModes): Promise<FileTold> {
    const pairs = Object.entries(KEYS).map(([table, key]) => pairOfColumns(table, shop.columns.get(table) ?? [], key, modes));
    const noKey = pairOfColumns('nopk', shop.noKey.columns, ['a'], modes);
    const decoder = new DebeziumDecoder({
      pairs: [...pairs, noKey],
      topics: [...pairs, noKey].map((pair) => ({ topic: `${prefix}.shop.${pair.old.name}`, pair, side: 'old' as const })),
      replicaIdentity: new Map([...pairs, noKey].map((pair) => [pair.id, { old: 'full' }])),
    });
    const { byTopic, none } = await decodeFile(name, decoder);
    const tables = Object.fromEntries(
      pairs.map((pair) => [
        pair.old.name,
        replay({
          pair,
          records: byTopic.get(`${prefix}.shop.${pair.old.name}`) ?? [],
          versions: printedVersions(shop, pair),
          snapshotAfter: 0,
          from: 1,
          through: 1,
          truncates: true,
          // Written by current_timestamp() with each change.
          undetermined: (column, key) => column === 'ts' && ['1', '2', '3', '4', '5', '64', '1000'].includes(key),
        }),
      ]),
    );
    expect(rowsLeft(byTopic.get(`${prefix}.shop.nopk`) ?? [])).toEqual(shop.noKey.rows.map((row) => canonicalRow(noKey, row).join()).toSorted());
    return { tables, none };
  }

  it('h-mariadb', async () => {
    const { tables, none } = await tell('h-mariadb', 'mdb', { tinyIntOneIsBoolean: false, unsignedBigint: 'long' });
    expect(tables).toMatchObject({
      items: {
        images: 56,
        // TIME reaches beyond a day, as an interval does, and is a number of microseconds.
        unknown: ['t', 't6'],
        // A zero date is null; the scale of a decimal whose column has changed; unsigned numbers beyond 2^63 wrap.
        wrong: ['dt of 64', 'price of 2', 'ubig'],
      },
      order_lines: { images: 53, unknown: [], wrong: [] },
    });
    // `extra` was dropped.
    expect(none).toEqual({ tombstone: 6, transaction: 33, unmapped: 2 });
  });

  it('h-mariadb-alt-schemas-string-iso', async () => {
    const { tables, none } = await tell('h-mariadb-alt-schemas-string-iso', 'mdbalt', { tinyIntOneIsBoolean: true, unsignedBigint: 'precise' });
    expect(tables).toMatchObject({
      // A zero date is null, and so is a TIME that no time of day can write.
      items: { images: 44, unknown: [], wrong: ['dt of 64', 't', 't6'] },
      order_lines: { images: 42, unknown: [], wrong: [] },
    });
    expect(none).toEqual({ tombstone: 6, unmapped: 2 });
  });
});
