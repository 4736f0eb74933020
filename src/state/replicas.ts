import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { PoolClient } from 'pg';
import { identityOf, stillRuns } from './process-identity.ts';

/** A process that does not renew for so long is taken to be dead; a busy machine may hold one up for seconds. */
const ALIVE_MS = 10_000;

/** SQL of the time until which a process that renews now is taken to live. */
export const ALIVE_UNTIL = `clock_timestamp() + interval '${ALIVE_MS} ms'`;

/** A process of a migration, as others see it. */
export interface Replica {
  readonly id: string;
  readonly machine: string;
  readonly pid: number;
  readonly started: string | null;
}

/** What process numbers are unique in: a boot of a machine and a namespace of processes; elsewhere the host's name. */
function machine(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname();
  }
}

/** This process. */
export function thisReplica(id: string): Replica {
  return { id, machine: machine(), ...identityOf(process.pid) };
}

/** How taking the writing role ended. */
export type Claim = { readonly kind: 'taken'; readonly epoch: string } | { readonly kind: 'held' };

/**
 * Takes the writing role unless a process that lives holds it, within the transaction that `client` has open. One of
 * this machine whose process is gone does not live, whatever its row says.
 */
export async function claimRole(client: PoolClient, migration: string, self: Replica): Promise<Claim> {
  await client.query('INSERT INTO lockstep.writers (migration, epoch) VALUES ($1, 0) ON CONFLICT (migration) DO NOTHING', [migration]);
  const { rows } = await client.query<{ holder: string | null }>('SELECT holder FROM lockstep.writers WHERE migration = $1 FOR UPDATE', [migration]);
  const holder = rows[0]?.holder ?? null;
  const { rows: alive } = await client.query<Omit<Replica, 'id'>>(
    'SELECT machine, pid, started FROM lockstep.replicas WHERE migration = $1 AND id = $2 AND id <> $3 AND alive_until > clock_timestamp()',
    [migration, holder, self.id],
  );
  if (alive.some((other) => other.machine !== self.machine || stillRuns(other))) return { kind: 'held' };
  const taken = await client.query<{ epoch: string }>(
    'UPDATE lockstep.writers SET epoch = epoch + 1, holder = $2, taken_at = now() WHERE migration = $1 RETURNING epoch',
    [migration, self.id],
  );
  await client.query('DELETE FROM lockstep.replicas WHERE migration = $1 AND id = $2', [migration, holder]);
  await writeReplica(client, migration, self, false);
  return { kind: 'taken', epoch: (taken.rows[0] as { epoch: string }).epoch };
}

/** Says that the process lives, and forgets those that are long gone. @param helps whether it takes chunks of the writer's sweeps */
export async function writeReplica(client: PoolClient, migration: string, self: Replica, helps: boolean): Promise<void> {
  await client.query(
    `INSERT INTO lockstep.replicas (migration, id, machine, pid, started, helps, alive_until) VALUES ($1, $2, $3, $4, $5, $6, ${ALIVE_UNTIL})
     ON CONFLICT (migration, id) DO UPDATE SET helps = EXCLUDED.helps, alive_until = EXCLUDED.alive_until`,
    [migration, self.id, self.machine, self.pid, self.started, helps],
  );
  await client.query(`DELETE FROM lockstep.replicas WHERE migration = $1 AND alive_until < clock_timestamp() - interval '1 hour'`, [migration]);
}
