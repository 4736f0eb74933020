import { makePair } from '../../../src/domain/pairing.ts';
import type { PairRules } from '../../../src/domain/pairing.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import type { PostgresDatabase } from '../../../src/databases/postgres/database.ts';

/** The pair of `public.<name>` on both databases. */
export async function pairOf(old: PostgresDatabase, neu: PostgresDatabase, name: string, rules: Partial<PairRules> = {}): Promise<Pair> {
  const table = { schema: 'public', name };
  const [left, right] = [await old.describeTable(table), await neu.describeTable(table)];
  if (left === null || right === null) throw new Error(`no table ${name}`);
  const made = makePair({ old: table, new: table, ...rules }, left, right);
  if (made.kind === 'problems') throw new Error(made.problems.join('\n'));
  return made.pair;
}
