import type { PoolClient } from 'pg';
import { LockstepError } from '../domain/errors.ts';
import type { RowKey } from '../domain/row.ts';
import type { DigestPath } from '../domain/status.ts';
import { leaseId, type BoardLook, type ChunkCounts, type ChunkLease, type OfferedChunk } from '../verify/ports.ts';
import { keyFromStore, keyToStore } from './encoding.ts';
import { ALIVE_UNTIL } from './replicas.ts';

/** Finished chunks that the writer takes note of at once. */
const DONE_MAX = 64;

/** Nobody holds it: never leased, refused, or its holder has not renewed it in time. */
const UNHELD = `NOT c.done AND (c.holder IS NULL OR c.refused OR c.leased_until < clock_timestamp())`;

interface ChunkRow {
  readonly epoch: string;
  readonly seq: string;
  readonly lease: number;
  readonly table_name: string;
  readonly path: DigestPath;
  readonly rows_about: number;
  readonly likely_differs: boolean;
  readonly from_key: string[] | null;
  readonly to_key: string[] | null;
}

function bound(key: RowKey | null): string | null {
  return key === null ? null : keyToStore(key);
}

export async function lookAtChunks(client: PoolClient, migration: string, epoch: string, self: string): Promise<BoardLook> {
  const { rows: others } = await client.query<{ helpers: number }>(
    'SELECT count(*)::int AS helpers FROM lockstep.replicas WHERE migration = $1 AND id <> $2 AND helps AND alive_until > clock_timestamp()',
    [migration, self],
  );
  const helpers = others[0]?.helpers ?? 0;
  const { rows: lost } = await client.query<{ lost: number }>(
    `SELECT count(*)::int AS lost FROM lockstep.sweep_chunks AS c
     WHERE c.migration = $1 AND c.epoch = $2 AND ${UNHELD} AND (c.holder IS NOT NULL OR c.refused OR $3 = 0)`,
    [migration, epoch, helpers],
  );
  const { rows: done } = await client.query<{ seq: string; equal_rows: string; old_rows: string; new_rows: string }>(
    'SELECT seq, equal_rows, old_rows, new_rows FROM lockstep.sweep_chunks WHERE migration = $1 AND epoch = $2 AND done ORDER BY seq LIMIT $3',
    [migration, epoch, DONE_MAX],
  );
  return {
    helpers,
    lost: lost[0]?.lost ?? 0,
    done: done.map((row) => ({ seq: Number(row.seq), equalRows: BigInt(row.equal_rows), oldRows: BigInt(row.old_rows), newRows: BigInt(row.new_rows) })),
  };
}

export async function offerChunk(client: PoolClient, migration: string, epoch: string, fingerprint: string, chunk: OfferedChunk): Promise<void> {
  await client.query(
    `INSERT INTO lockstep.sweep_chunks (migration, epoch, seq, table_name, fingerprint, path, likely_differs, from_key, to_key, rows_about)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text[], $9::text[], $10) ON CONFLICT (migration, epoch, seq) DO NOTHING`,
    [migration, epoch, chunk.seq, chunk.table, fingerprint, chunk.path, chunk.likelyDiffers, bound(chunk.range.from), bound(chunk.range.to), chunk.rows],
  );
}

export async function readSuspects(client: PoolClient, migration: string, epoch: string, seq: number, page: number): Promise<readonly RowKey[] | null> {
  const { rows } = await client.query<{ keys: string }>(
    'SELECT keys FROM lockstep.sweep_suspects WHERE migration = $1 AND epoch = $2 AND seq = $3 AND page = $4',
    [migration, epoch, seq, page],
  );
  return rows[0] === undefined ? null : (JSON.parse(rows[0].keys) as RowKey[]);
}

export async function removeChunk(client: PoolClient, migration: string, epoch: string, seq: number): Promise<void> {
  await client.query('DELETE FROM lockstep.sweep_chunks WHERE migration = $1 AND epoch = $2 AND seq = $3', [migration, epoch, seq]);
}

/** Removes the oldest chunk that nobody holds: what a late holder writes finds no chunk any more. */
export async function takeBackChunk(client: PoolClient, migration: string, epoch: string): Promise<number | null> {
  const { rows } = await client.query<{ seq: string }>(
    // Materialized: a subquery with a limit may be run again for each row, and would take more than one.
    `WITH free AS MATERIALIZED (
       SELECT c.epoch, c.seq FROM lockstep.sweep_chunks AS c WHERE c.migration = $1 AND c.epoch = $2 AND ${UNHELD}
       ORDER BY c.seq LIMIT 1 FOR UPDATE SKIP LOCKED)
     DELETE FROM lockstep.sweep_chunks AS l USING free WHERE l.migration = $1 AND l.epoch = free.epoch AND l.seq = free.seq RETURNING l.seq`,
    [migration, epoch],
  );
  return rows[0] === undefined ? null : Number(rows[0].seq);
}

export async function clearChunks(client: PoolClient, migration: string): Promise<void> {
  await client.query('DELETE FROM lockstep.sweep_chunks WHERE migration = $1', [migration]);
}

/** Leases chunks of the present writer, oldest first. @param tables fingerprint by table */
export async function leaseChunks(client: PoolClient, migration: string, self: string, tables: ReadonlyMap<string, string>, limit: number): Promise<readonly ChunkLease[]> {
  const { rows } = await client.query<ChunkRow>(
    `WITH free AS MATERIALIZED (
       SELECT c.epoch, c.seq FROM lockstep.sweep_chunks AS c
       JOIN lockstep.writers AS w ON w.migration = c.migration AND w.epoch = c.epoch
       JOIN unnest($3::text[], $4::text[]) AS t (table_name, fingerprint) ON t.table_name = c.table_name AND t.fingerprint = c.fingerprint
       WHERE c.migration = $1 AND NOT c.refused AND ${UNHELD} ORDER BY c.seq LIMIT $5 FOR UPDATE OF c SKIP LOCKED)
     UPDATE lockstep.sweep_chunks AS l SET holder = $2, lease = l.lease + 1, leased_until = ${ALIVE_UNTIL} FROM free
     WHERE l.migration = $1 AND l.epoch = free.epoch AND l.seq = free.seq
     RETURNING l.epoch, l.seq, l.lease, l.table_name, l.path, l.rows_about, l.likely_differs, l.from_key, l.to_key`,
    [migration, self, [...tables.keys()], [...tables.values()], limit],
  );
  const again = rows.filter((row) => row.lease > 1);
  for (const { epoch, seq } of again) {
    await client.query('DELETE FROM lockstep.sweep_suspects WHERE migration = $1 AND epoch = $2 AND seq = $3', [migration, epoch, seq]);
  }
  return rows.map((row) => ({
    epoch: row.epoch,
    seq: Number(row.seq),
    lease: row.lease,
    table: row.table_name,
    path: row.path,
    rows: row.rows_about,
    likelyDiffers: row.likely_differs,
    range: { from: row.from_key === null ? null : keyFromStore(row.from_key), to: row.to_key === null ? null : keyFromStore(row.to_key) },
  }));
}

/** Prolongs the leases of a process. @returns those that it still holds, by `leaseId` */
export async function renewLeases(client: PoolClient, migration: string, self: string): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ epoch: string; seq: string; lease: number }>(
    `UPDATE lockstep.sweep_chunks AS c SET leased_until = ${ALIVE_UNTIL} FROM lockstep.writers AS w
     WHERE w.migration = c.migration AND w.epoch = c.epoch AND c.migration = $1 AND c.holder = $2 AND NOT c.done RETURNING c.epoch, c.seq, c.lease`,
    [migration, self],
  );
  return new Set(rows.map(({ epoch, seq, lease }) => leaseId({ epoch, seq: Number(seq), lease })));
}

/** Keeps a chunk for its holder until the transaction ends; rejects with `lease_lost` where the lease or its writer is another one by now. */
async function holding(client: PoolClient, migration: string, self: string, { epoch, seq, lease }: ChunkLease): Promise<void> {
  const { rowCount } = await client.query(
    `SELECT 1 FROM lockstep.sweep_chunks AS c JOIN lockstep.writers AS w ON w.migration = c.migration AND w.epoch = c.epoch
     WHERE c.migration = $1 AND c.epoch = $2 AND c.seq = $3 AND c.holder = $4 AND c.lease = $5 AND NOT c.done FOR UPDATE OF c FOR SHARE OF w`,
    [migration, epoch, seq, self, lease],
  );
  if (rowCount !== 1) throw new LockstepError('lease_lost', 'another process has the chunk by now, or its sweep is over', { about: { migration, chunk: seq } });
}

export async function writeSuspects(client: PoolClient, migration: string, self: string, lease: ChunkLease, page: number, keys: readonly RowKey[]): Promise<void> {
  await holding(client, migration, self, lease);
  await client.query(
    `INSERT INTO lockstep.sweep_suspects (migration, epoch, seq, page, keys) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (migration, epoch, seq, page) DO UPDATE SET keys = EXCLUDED.keys`,
    [migration, lease.epoch, lease.seq, page, JSON.stringify(keys)],
  );
}

export async function finishChunk(client: PoolClient, migration: string, self: string, lease: ChunkLease, counts: ChunkCounts): Promise<void> {
  await holding(client, migration, self, lease);
  await client.query(
    'UPDATE lockstep.sweep_chunks SET done = true, equal_rows = $4, old_rows = $5, new_rows = $6 WHERE migration = $1 AND epoch = $2 AND seq = $3',
    [migration, lease.epoch, lease.seq, counts.equalRows.toString(), counts.oldRows.toString(), counts.newRows.toString()],
  );
}

export async function giveBackChunk(client: PoolClient, migration: string, self: string, { epoch, seq, lease }: ChunkLease, refused: boolean): Promise<void> {
  await client.query(
    `UPDATE lockstep.sweep_chunks SET holder = NULL, leased_until = NULL, refused = refused OR $6
     WHERE migration = $1 AND epoch = $2 AND seq = $3 AND holder = $4 AND lease = $5 AND NOT done`,
    [migration, epoch, seq, self, lease, refused],
  );
}
