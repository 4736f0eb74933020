import type { DigestPath } from '../domain/status.ts';
import type { Database } from './ports.ts';

/** How the rows of a pair are digested, and why so. */
export interface Strategy {
  readonly path: DigestPath;
  readonly reason: string;
}

/** What configuration or a caller may ask for. */
export type AskedStrategy = DigestPath | 'auto';

/** Rows without a key are known by their hashes, which drift is kept by: they must outlive the servers' versions. */
export const BAG_STRATEGY: Strategy = { path: 'portable', reason: 'the table has no key: its rows are known by hashes that any two servers compute alike, canonical text and md5 in SQL on both sides' };

/**
 * Chooses the path: as asked, where both servers can; by itself the cheapest that is sure. Asked anew for each sweep,
 * because a server may be another one by then.
 */
export async function chooseStrategy(asked: AskedStrategy, old: Database, neu: Database, signal: AbortSignal): Promise<Strategy> {
  switch (asked) {
    case 'portable':
      return { path: 'portable', reason: 'portable was asked for: canonical text and md5 in SQL on both sides' };
    case 'client':
      return { path: 'client', reason: 'client was asked for: rows are read out in binary form and hashed here' };
    case 'auto':
    case 'fast': {
      const [left, right] = await Promise.all([old.hashFingerprint(signal), neu.hashFingerprint(signal)]);
      if (left !== null && left === right) return { path: 'fast', reason: 'the hash functions of both servers give the same results for all test values' };
      const why = left === null || right === null ? `${left === null ? 'old' : 'new'} lacks a hash function` : 'the hash functions of the two servers give different results';
      return { path: 'client', reason: `${why}: rows are read out in binary form and hashed here` };
    }
  }
}
