import { createHash } from 'node:crypto';
import type { Config } from '../config/config.ts';
import type { PairedDatabases } from './pairs.ts';

/**
 * What two processes must have alike before one compares chunks for the other, by table: version, databases, columns,
 * rules and filters. A process that compared something else would call rows equal that nobody has compared.
 */
export async function fingerprints(config: Config, { databases, pairs }: PairedDatabases, version: string): Promise<ReadonlyMap<string, string>> {
  const identities = {
    old: (await databases.old.identity()) ?? placeOf(config.databases.old.url),
    new: (await databases.new.identity()) ?? placeOf(config.databases.new.url),
  };
  return new Map(pairs.map((pair) => [pair.id, createHash('sha256').update(JSON.stringify([version, identities, pair])).digest('hex')]));
}

/** Host, port and database of a URL, without its secrets. */
function placeOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`;
}
