import type { PostgresServer } from '../../stack/postgres-server.ts';

/** What makes changes of one table on old arrive on new. */
export interface Replication {
  readonly old: PostgresServer;
  readonly new: PostgresServer;
  readonly table: string;
  /** Where new reaches old, on 127.0.0.1; its own port by default. */
  readonly port?: number;
}

/** Native logical replication of a table that has the same rows on both sides. */
export async function replicate({ old, new: replica, table, port = old.port }: Replication): Promise<void> {
  await old.query(`CREATE PUBLICATION pipeline FOR TABLE ${table}`);
  await replica.query(`ALTER SYSTEM SET wal_receiver_status_interval = '1s'`);
  await replica.query('SELECT pg_reload_conf()');
  const database = new URL(old.url()).pathname.slice(1);
  await old.query(`SELECT pg_create_logical_replication_slot('pipeline', 'pgoutput')`);
  await replica.query(
    `CREATE SUBSCRIPTION pipeline CONNECTION 'host=127.0.0.1 port=${port} dbname=${database} user=postgres' PUBLICATION pipeline WITH (copy_data = false, create_slot = false)`,
  );
}
