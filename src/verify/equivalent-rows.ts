import { ReadSize } from '../domain/read-size.ts';
import { isBag } from '../domain/bag.ts';
import type { Pair, Side } from '../domain/pair.ts';
import { comparesByNearness, keyId, type KeyId, type Row, type RowKey } from '../domain/row.ts';
import type { DigestPath, SchemaFinding, SweepTableProgress } from '../domain/status.ts';
import { isReadAgain } from '../domain/values/classes.ts';
import type { Database } from './ports.ts';

/** Rows that one look takes: a quick statement even where each is read from disk. */
const ROWS_PER_LOOK = 500;
/** So many equivalent rows of one sweep are no matter; more cost time, and may mean that a canonical expression is wrong. */
const EQUIVALENT_MAX = 3;

/** What is looked at, and how. */
export interface EquivalentLook {
  readonly sides: Readonly<Record<Side, Pick<Database, 'keyDigests' | 'readRows' | 'maxKeysPerRead'>>>;
  readonly pair: Pair;
  readonly path: DigestPath;
  readonly signal: AbortSignal;
}

/**
 * How many of these rows are equivalent: their digests differ between the sides and their values do not. Digests are
 * taken before and after the values, and must be the same each time: a row that was in flight does not count.
 * Where nearness decides which values are equal, digests may differ, and nothing is looked at.
 */
export async function countEquivalent(look: EquivalentLook, keys: readonly RowKey[]): Promise<number> {
  const { sides, pair, signal } = look;
  if (comparesByNearness(pair) || isBag(pair)) return 0;
  const size = new ReadSize(Math.min(ROWS_PER_LOOK, sides.old.maxKeysPerRead, sides.new.maxKeysPerRead));
  let count = 0;
  for (let asked = keys.slice(0, size.rows), done = 0; asked.length > 0; asked = keys.slice(done, done + size.rows)) {
    done += asked.length;
    const before = await digests(look, asked);
    const differing = asked.filter((key) => differ(before, keyId(key)));
    if (differing.length === 0) continue;
    const [old, neu] = await Promise.all([sides.old.readRows(pair, differing, signal), sides.new.readRows(pair, differing, signal)]);
    size.brought(old.rows.size, old.chars);
    const after = await digests(look, differing);
    for (const id of differing.map(keyId)) {
      const steady = before.old.get(id) === after.old.get(id) && before.new.get(id) === after.new.get(id);
      if (steady && sameRow(old.rows.get(id)?.row, neu.rows.get(id)?.row)) count++;
    }
  }
  return count;
}

/** What is to be said of a table whose last sweep found many equivalent rows. */
export function equivalentFindings({ id, columns }: Pair, { equivalent, strategy }: Pick<SweepTableProgress, 'equivalent' | 'strategy'>): readonly SchemaFinding[] {
  if (equivalent <= EQUIVALENT_MAX) return [];
  const what = `${id}: the ${strategy} digests of ${equivalent} rows or more differ though their values are equal, which costs a sweep a recheck of each`;
  const known = columns.filter(isReadAgain).map(({ name }) => `"${name}"`);
  if (known.length > 0) return [{ severity: 'info', message: `${what}: ${known.join(', ')} can have equal values that are written differently` }];
  return [{ severity: 'warning', message: `${what}: the digest of a column is wrong; another \`sweep.strategy\` may do better` }];
}

type SideDigests = Readonly<Record<Side, ReadonlyMap<KeyId, string>>>;

async function digests({ sides, pair, path, signal }: EquivalentLook, keys: readonly RowKey[]): Promise<SideDigests> {
  const [old, neu] = await Promise.all([sides.old.keyDigests(pair, keys, path, signal), sides.new.keyDigests(pair, keys, path, signal)]);
  return { old, new: neu };
}

/** Whether both sides have the row, with different digests. */
function differ(taken: SideDigests, id: KeyId): boolean {
  const [left, right] = [taken.old.get(id), taken.new.get(id)];
  return left !== undefined && right !== undefined && left !== right;
}

function sameRow(left: Row | undefined, right: Row | undefined): boolean {
  return left !== undefined && right !== undefined && left.every((value, index) => value === right[index]);
}
