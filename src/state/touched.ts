import type { PoolClient } from 'pg';
import { keyChars } from '../domain/row.ts';
import type { StoredTouched, StoredTouchedKey } from '../verify/ports.ts';
import { keyFromStore, keyHash, keyToStore, shownText } from './encoding.ts';
import { chunks } from './statement-rows.ts';

/** Writes what changed of tables' touched keys within the transaction that `client` has open. */
export async function writeTouched(client: PoolClient, migration: string, touched: readonly StoredTouched[]): Promise<void> {
  for (const table of touched) {
    await client.query(
      `INSERT INTO lockstep.touched (migration, table_name, epoch, needs_full, lost_epoch, tracking, shift, comparison, shape)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
       ON CONFLICT (migration, table_name) DO UPDATE SET epoch = EXCLUDED.epoch, needs_full = EXCLUDED.needs_full,
         lost_epoch = EXCLUDED.lost_epoch, tracking = EXCLUDED.tracking, shift = EXCLUDED.shift,
         comparison = EXCLUDED.comparison, shape = EXCLUDED.shape`,
      [
        migration,
        table.table,
        table.epoch,
        table.needsFull === null ? null : shownText(table.needsFull),
        table.lostEpoch,
        table.tracking,
        table.shift,
        table.comparison,
        table.shape,
      ],
    );
    if (table.rewritten === true) await client.query('DELETE FROM lockstep.touched_keys WHERE migration = $1 AND table_name = $2', [migration, table.table]);
    else if (typeof table.prunedBelow === 'number') {
      await client.query('DELETE FROM lockstep.touched_keys WHERE migration = $1 AND table_name = $2 AND epoch < $3', [migration, table.table, table.prunedBelow]);
    }
    await writeKeys(client, migration, table);
  }
}

async function writeKeys(client: PoolClient, migration: string, { table, keys }: StoredTouched): Promise<void> {
  for (const chunk of chunks(keys, ({ key }) => keyChars(key))) {
    await client.query(
      `INSERT INTO lockstep.touched_keys (migration, table_name, key_hash, key_values, epoch)
       SELECT $1, $2, key_hash, key_values::text[], epoch FROM unnest($3::bytea[], $4::text[], $5::bigint[]) AS t (key_hash, key_values, epoch)
       ON CONFLICT (migration, table_name, key_hash) DO UPDATE SET epoch = EXCLUDED.epoch`,
      [migration, table, chunk.map(({ key }) => keyHash(key)), chunk.map(({ key }) => keyToStore(key)), chunk.map(({ epoch }) => epoch)],
    );
  }
}

/** What is known of tables' touched keys. */
export async function readTouched(client: PoolClient, migration: string): Promise<readonly StoredTouched[]> {
  const { rows: keys } = await client.query<{ table_name: string; key_values: string[]; epoch: string }>(
    'SELECT table_name, key_values, epoch FROM lockstep.touched_keys WHERE migration = $1',
    [migration],
  );
  const byTable = new Map<string, StoredTouchedKey[]>();
  for (const { table_name: table, key_values: key, epoch } of keys) {
    const known = byTable.get(table) ?? [];
    known.push({ key: keyFromStore(key), epoch: Number(epoch) });
    byTable.set(table, known);
  }
  const { rows } = await client.query<{
    table_name: string;
    epoch: string;
    needs_full: string | null;
    lost_epoch: string;
    tracking: boolean;
    shift: number | null;
    comparison: string;
    shape: string | null;
  }>('SELECT table_name, epoch, needs_full, lost_epoch, tracking, shift, comparison, shape FROM lockstep.touched WHERE migration = $1 ORDER BY table_name', [migration]);
  return rows.map((row) => ({
    table: row.table_name,
    epoch: Number(row.epoch),
    needsFull: row.needs_full,
    lostEpoch: Number(row.lost_epoch),
    tracking: row.tracking,
    shift: row.shift,
    comparison: row.comparison,
    shape: row.shape,
    keys: byTable.get(row.table_name) ?? [],
  }));
}
