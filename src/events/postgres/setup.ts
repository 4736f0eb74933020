import pg from 'pg';
import { isBag } from '../../domain/bag.ts';
import { LockstepError } from '../../domain/errors.ts';
import { columnOn, qualifiedName, tableOn } from '../../domain/pair.ts';
import type { Pair, Side, TableName } from '../../domain/pair.ts';
import { sqlState } from './failure.ts';
import { parseLsn } from './lsn.ts';

export interface SlotState {
  /** Nothing before this position is sent any more. */
  readonly confirmedLsn: bigint;
  /** The end of the primary's log. */
  readonly endLsn: bigint;
}

interface SlotRow {
  readonly plugin: string | null;
  readonly database: string | null;
  readonly here: boolean;
  readonly active: boolean;
  readonly confirmed: string | null;
  readonly status: string | null;
}

/** `"schema"."name"`, as SQL. */
function quoted(table: TableName): string {
  return `${pg.escapeIdentifier(table.schema)}.${pg.escapeIdentifier(table.name)}`;
}

/**
 * Makes sure that the publication has all tables whose rows have a key and that the slot
 * is there, each made if it is missing and we may. Of a table without one changes are only counted, where they come.
 * Throws `publication_missing`, `publication_incomplete`, `no_replica_identity`,
 * `table_missing`, `slot_mismatch`, `slot_in_use`.
 */
export async function prepareStream(
  client: pg.Client,
  options: { readonly slot: string; readonly publication: string; readonly pairs: readonly Pair[]; readonly side: Side },
): Promise<SlotState> {
  const { slot, publication, pairs, side } = options;
  const streamed = await checkIdentities(client, pairs, side);
  await preparePublication(client, publication, {
    needed: pairs.filter((pair) => !isBag(pair)).map((pair) => tableOn(pair, side)),
    published: streamed.map((pair) => tableOn(pair, side)),
  });
  const confirmedLsn = await prepareSlot(client, slot);
  const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return { confirmedLsn, endLsn: parseLsn(rows[0]?.lsn ?? '0/0') };
}

/**
 * A published table without an identity for its rows refuses its users' updates; one that lacks our key hides deletes from us.
 * @returns the pairs whose tables can be published
 */
async function checkIdentities(client: pg.Client, pairs: readonly Pair[], side: Side): Promise<readonly Pair[]> {
  const tables = pairs.map((pair) => tableOn(pair, side));
  const { rows } = await client.query<{ place: number; kind: string | null; identity: string | null; columns: string[] | null }>(
    `SELECT t.place::int - 1 AS place, c.relkind::text AS kind, c.relreplident::text AS identity,
       (SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
       ) AS columns
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t (schema, name, place)
     LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND c.relkind IN ('r', 'p'))
       ON n.nspname = t.schema AND c.relname = t.name
     ORDER BY t.place`,
    [tables.map((table) => table.schema), tables.map((table) => table.name)],
  );
  const publishable: Pair[] = [];
  for (const row of rows) {
    const pair = pairs[row.place] as Pair;
    if (!isBag(pair) || row.identity === 'f' || (row.columns ?? []).length > 0) publishable.push(pair);
    const table = tableOn(pair, side);
    const name = qualifiedName(table);
    if (row.identity === null) {
      throw new LockstepError('table_missing', `there is no table ${name} on ${side}`, { about: { table: name, side } });
    }
    if (row.identity === 'f') continue;
    const columns = new Set(row.columns ?? []);
    const missing = pair.key.map((index) => pair.columns[index]).find((column) => column === undefined || !columns.has(columnOn(column, side).name));
    if (missing === undefined) continue;
    const what =
      columns.size === 0
        ? `table ${name} has no replica identity: its deletes would not be told, and once published its updates would be refused`
        : `the replica identity of table ${name} lacks key column ${columnOn(missing, side).name}: its deletes would not tell the key`;
    throw new LockstepError('no_replica_identity', what, {
      about: { table: name, side },
      hint: `give it a primary key on the pair's key, or run: ALTER TABLE ${quoted(table)} REPLICA IDENTITY FULL`,
    });
  }
  return publishable;
}

/** @param tables those that a publication must have, and those that one which is made here has */
async function preparePublication(client: pg.Client, publication: string, tables: { readonly needed: readonly TableName[]; readonly published: readonly TableName[] }): Promise<void> {
  const of = tables.published.length === 0 ? '' : ` FOR TABLE ${tables.published.map(quoted).join(', ')}`;
  const create = `CREATE PUBLICATION ${pg.escapeIdentifier(publication)}${of} WITH (publish_via_partition_root = true)`;
  const found = await client.query<{ complete: boolean }>(
    'SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AS complete FROM pg_publication WHERE pubname = $1',
    [publication],
  );
  const about = { publication };
  if (found.rows[0] === undefined) {
    try {
      await client.query(create);
      return;
    } catch (error) {
      // Another Lockstep may have made it since we looked.
      if (sqlState(error) !== '42710') {
        throw new LockstepError('publication_missing', `there is no publication ${publication}, and we may not make it`, {
          cause: error,
          about,
          hint: `run as the tables' owner: ${create}`,
        });
      }
    }
  } else if (!found.rows[0].complete) {
    throw new LockstepError('publication_incomplete', `publication ${publication} does not publish all operations`, {
      about,
      hint: `run: ALTER PUBLICATION ${pg.escapeIdentifier(publication)} SET (publish = 'insert, update, delete, truncate')`,
    });
  }
  const { rows } = await client.query<{ schemaname: string; tablename: string }>(
    'SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = $1',
    [publication],
  );
  const published = new Set(rows.map((row) => qualifiedName({ schema: row.schemaname, name: row.tablename })));
  const missing = tables.needed.filter((table) => !published.has(qualifiedName(table)));
  if (missing.length > 0) {
    throw new LockstepError('publication_incomplete', `publication ${publication} lacks ${missing.map(qualifiedName).join(', ')}`, {
      about: { ...about, table: qualifiedName(missing[0] as TableName) },
      hint: `run as the tables' owner: ALTER PUBLICATION ${pg.escapeIdentifier(publication)} ADD TABLE ${missing.map(quoted).join(', ')} (of partitioned tables publish the root: SET (publish_via_partition_root = true))`,
    });
  }
}

async function prepareSlot(client: pg.Client, slot: string): Promise<bigint> {
  const { rows } = await client.query<SlotRow>(
    `SELECT plugin, database, database = current_database() AS here, active, confirmed_flush_lsn::text AS confirmed,
       wal_status AS status
     FROM pg_replication_slots WHERE slot_name = $1`,
    [slot],
  );
  const row = rows[0];
  const about = { slot };
  if (row !== undefined) {
    if (row.plugin !== 'pgoutput' || !row.here) {
      throw new LockstepError(
        'slot_mismatch',
        `replication slot ${slot} is ${row.plugin === null ? 'physical' : `of plugin ${row.plugin} for database ${row.database}`}`,
        { about, hint: 'name another slot in events.postgres.slot; it is made if it is missing' },
      );
    }
    if (row.active) {
      throw new LockstepError('slot_in_use', `replication slot ${slot} is used by another connection`, {
        retry: 'retry',
        about,
        hint: 'stop the other reader, or give this migration a slot of its own (events.postgres.slot)',
      });
    }
    if (row.status !== 'lost' && row.confirmed !== null) return parseLsn(row.confirmed);
    // The server has removed log that it needs: it can never be read again, and only stands in the way.
    await client.query('SELECT pg_drop_replication_slot($1)', [slot]);
  }
  const created = await client.query<{ lsn: string }>(`SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  return parseLsn(created.rows[0]?.lsn ?? '0/0');
}
