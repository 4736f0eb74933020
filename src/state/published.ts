import type { Pool, PoolClient } from 'pg';

/** What the writer said last, and how long ago by the state store's clock. */
export interface PublishedText {
  readonly body: string;
  readonly ageMs: number;
}

export async function writePublished(client: PoolClient, migration: string, epoch: string, body: string): Promise<void> {
  await client.query(
    `INSERT INTO lockstep.published (migration, epoch, at, body) VALUES ($1, $2, clock_timestamp(), $3)
     ON CONFLICT (migration) DO UPDATE SET epoch = EXCLUDED.epoch, at = EXCLUDED.at, body = EXCLUDED.body`,
    [migration, epoch, body],
  );
}

/** Null while no writer has said anything. */
export async function readPublished(client: Pool, migration: string): Promise<PublishedText | null> {
  const { rows } = await client.query<{ body: string; age_ms: number }>(
    `SELECT body, (extract(epoch FROM clock_timestamp() - at) * 1000)::float8 AS age_ms FROM lockstep.published WHERE migration = $1`,
    [migration],
  );
  const [row] = rows;
  return row === undefined ? null : { body: row.body, ageMs: Math.max(0, row.age_ms) };
}
