import type { RowChange, SourceRecord, TableTruncated } from '../../../src/domain/change.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import type { Row, RowImage, RowKey } from '../../../src/domain/row.ts';
import { keyId } from '../../../src/domain/row.ts';
import type { Version } from './shop-history.ts';

/** What a topic's messages tell of a table, beside what the table held. Lists are `column of key`, or `column` where it is so in every row. */
export interface Told {
  /** Row images compared. */
  readonly images: number;
  /** Values that are compared and equal. */
  readonly equal: number;
  /** Columns that an image does not tell. */
  readonly unknown: readonly string[];
  /** Columns that an image tells otherwise than the database. */
  readonly wrong: readonly string[];
  /** Changes at the front that the file does not have. */
  readonly thinned?: number;
}

type Change = RowChange | TableTruncated;

/** How keys are written in lists: short, and the same for both sides. */
function shortKey(key: RowKey): string {
  return key.map((part) => part.replace(/^0{8}-0000-4000-8000-0*/, '')).join('/');
}

/** Collects `column of key` and writes it as `column` once it is so for all rows with a value there. */
class Findings {
  readonly #keys = new Map<string, Set<string>>();
  readonly #values = new Map<string, number>();
  readonly #found = new Map<string, number>();

  value(column: string): void {
    this.#values.set(column, (this.#values.get(column) ?? 0) + 1);
  }

  found(column: string, key: string): void {
    const keys = this.#keys.get(column) ?? new Set();
    this.#keys.set(column, keys.add(key));
    this.#found.set(column, (this.#found.get(column) ?? 0) + 1);
  }

  list(): string[] {
    return [...this.#keys].map(([column, keys]) => (this.#found.get(column) === this.#values.get(column) ? column : `${column} of ${[...keys].sort().join(' ')}`)).sort();
  }
}

/** Everything that a file's messages say. */
export interface FileTold {
  readonly tables: Readonly<Record<string, Told>>;
  /** Messages that say nothing of a row, by why. */
  readonly none: Readonly<Record<string, number>>;
}

export interface Replay {
  readonly pair: Pair;
  /** All messages of the topic, decoded, in order. */
  readonly records: readonly SourceRecord[];
  /** All versions of the table's rows, in order. */
  readonly versions: readonly Version[];
  /** After which file the snapshot was taken; `any` where it was taken again and again. */
  readonly snapshotAfter: number | 'any';
  /** The first file whose changes the topic has. */
  readonly from: number;
  /** The last file whose changes the topic has. */
  readonly through: number;
  /** Whether the topic tells of a truncate. */
  readonly truncates: boolean;
  /** Whether the SQL does not determine a value: it is what now() gave. */
  readonly undetermined: (column: string, key: string) => boolean;
  /** Columns that the changes add: images before that have not got them. */
  readonly added?: readonly string[];
}

/** Rows by key as they stand after `file`. */
function stateAfter(pair: Pair, versions: readonly Version[], file: number): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const { op, row, file: made } of versions) {
    if (made > file) break;
    if (row === null) rows.clear();
    else if (op === 'delete') rows.delete(keyOfRow(pair, row));
    else rows.set(keyOfRow(pair, row), row);
  }
  return rows;
}

function keyOfRow(pair: Pair, row: Row): string {
  return keyId(pair.key.map((index) => row[index] as string));
}

/** The version of a row that an image differs least from. */
function nearest(pair: Pair, versions: readonly Version[], key: RowKey, image: RowImage): Row | undefined {
  const rows = versions.flatMap(({ row }) => (row !== null && keyOfRow(pair, row) === keyId(key) ? [row] : []));
  const distance = (row: Row): number => image.filter((value, index) => value !== undefined && value !== row[index]).length;
  return rows.toSorted((left, right) => distance(left) - distance(right))[0];
}

/**
 * Lays a topic's changes beside the table's history: each snapshot row beside the row that stood then, each change
 * beside the change of the same place. @throws Error where an op, a key or the number of changes differs
 */
export function replay({ pair, records, versions, snapshotAfter, from, through, truncates, undetermined, added = [] }: Replay): Told {
  const unknown = new Findings();
  const wrong = new Findings();
  let images = 0;
  let equal = 0;
  const compare = (image: RowImage, row: Row, key: RowKey): void => {
    images++;
    for (const [index, { name }] of pair.columns.entries()) {
      const told = image[index];
      const held = row[index] as string | null;
      if (held === null && told === undefined && added.includes(name)) continue;
      // A NULL says nothing of how a column's values fare.
      if (held === null && told === null) {
        equal++;
        continue;
      }
      unknown.value(name);
      wrong.value(name);
      if (told === undefined) unknown.found(name, shortKey(key));
      else if (undetermined(name, shortKey(key))) continue;
      else if (told === held) equal++;
      else wrong.found(name, shortKey(key));
    }
  };
  const changes = records.filter((record): record is Change => record.type === 'row' || record.type === 'truncate');
  const state = stateAfter(pair, versions, from - 1);
  const standing = snapshotAfter === 'any' ? null : stateAfter(pair, versions, snapshotAfter);
  for (const change of changes) {
    if (change.type === 'truncate' || change.op !== 'snapshot') continue;
    const { key, image } = change;
    const row = image === null ? undefined : standing === null ? nearest(pair, versions, key, image) : standing.get(keyId(key));
    if (row === undefined || image === null) throw new Error(`${pair.id}: a snapshot of a row that was not there, ${shortKey(key)}`);
    compare(image, row, key);
  }
  const told = changes.filter((change) => change.type === 'truncate' || change.op !== 'snapshot');
  const all = versions.filter(({ file, op }) => file >= from && file <= through && (truncates || op !== 'truncate'));
  const thinned = Math.max(0, all.length - told.length);
  const made = all.slice(thinned);
  const line = (op: string, key: string | null): string => (key === null ? op : `${op} ${key}`);
  const toldLines = told.map((change) => (change.type === 'truncate' ? 'truncate' : line(change.op, shortKey(change.key))));
  const madeLines = made.map(({ op, row }) => line(op, row === null ? null : shortKey(pair.key.map((index) => row[index] as string))));
  if (toldLines.join('\n') !== madeLines.join('\n')) throw new Error(`${pair.id}: told\n${toldLines.join('\n')}\nmade\n${madeLines.join('\n')}`);
  const before = new Map(state);
  for (const [index, change] of told.entries()) {
    const { op, row } = made[index] as Version;
    if (change.type === 'truncate' || row === null) {
      before.clear();
      continue;
    }
    const id = keyId(change.key);
    if (change.image !== null) compare(change.image, row, change.key);
    const earlier = before.get(id);
    if (change.before !== null && earlier !== undefined) compare(change.before, earlier, change.key);
    if (op === 'delete') before.delete(id);
    else before.set(id, row);
  }
  return { images, equal, unknown: unknown.list(), wrong: wrong.list(), ...(thinned === 0 ? {} : { thinned }) };
}
