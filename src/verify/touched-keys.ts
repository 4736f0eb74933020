import { columnOn, type Pair } from '../domain/pair.ts';
import { keyChars, keyId, type RowKey } from '../domain/row.ts';
import type { SweepKind } from '../domain/status.ts';
import type { KeyRange, StoredTouched, StoredTouchedKey } from './ports.ts';
import { coarsen, rangesOf, type Blocks } from './touched-blocks.ts';

/** Keys of all tables together: some 150 bytes each with the map's own, so some tens of megabytes. */
const KEYS_MAX = 200_000;
/** Characters of these keys. */
const CHARS_MAX = 16 * 1024 * 1024;

/** What the next incremental sweep of a table compares. */
export interface TouchedScope {
  readonly keys: readonly RowKey[];
  readonly ranges: readonly KeyRange[];
}

/** A sweep of a table has begun: what is touched from now on belongs to the next. */
export interface BegunScope {
  /** The epoch that begins with it. */
  readonly epoch: number;
  readonly scope: TouchedScope;
}

interface TableTouches {
  readonly pair: Pair;
  /** Fingerprint of what is compared. */
  readonly comparison: string;
  epoch: number;
  needsFull: string | null;
  lostEpoch: number;
  tracking: boolean;
  /** Null: entries are keys; else blocks of 2^shift values of the key's first column. */
  shift: number | null;
  entries: Map<string, StoredTouchedKey>;
  chars: number;
  shape: string | null;
  isDirty: boolean;
  dirtyIds: Set<string>;
  /** All stored keys are replaced by the entries. */
  isRewritten: boolean;
  /** Stored keys from before this epoch are dropped. */
  prunedBelow: number | null;
}

export interface TouchedLimits {
  readonly keys: number;
  readonly chars: number;
}

/**
 * Which keys the consumed changes have touched since each table's last full sweep began, bounded. A table's keys that
 * no longer fit become ranges where its key is a whole number, and are given up otherwise: its next sweep is a full one.
 *
 * Each sweep begins an epoch, and an entry has the epoch of its last touch: what a finished sweep has compared is what
 * has an older one. Nothing is forgotten by a sweep that fails.
 */
export class TouchedKeys {
  private readonly byTable = new Map<string, TableTouches>();
  private readonly limits: TouchedLimits;
  private keys = 0;
  private chars = 0;

  /** @param fingerprint of what is compared: another one means that earlier sweeps compared something else */
  constructor(pairs: readonly Pair[], fingerprint: (pair: Pair) => string, limits: TouchedLimits = { keys: KEYS_MAX, chars: CHARS_MAX }) {
    this.limits = limits;
    for (const pair of pairs) {
      this.byTable.set(pair.id, {
        pair,
        comparison: fingerprint(pair),
        epoch: 0,
        needsFull: 'no full sweep has ended clean yet',
        lostEpoch: 0,
        tracking: false,
        shift: null,
        entries: new Map(),
        chars: 0,
        shape: null,
        isDirty: false,
        dirtyIds: new Set(),
        isRewritten: false,
        prunedBelow: null,
      });
    }
  }

  /** Why the next sweep must be a full one; null: an incremental one is possible. */
  needsFull(table: string): string | null {
    return this.get(table).needsFull;
  }

  /** Keys, or ranges of keys, that are kept of a table. */
  count(table: string): number {
    return this.get(table).entries.size;
  }

  /** What an incremental sweep that began now would compare. */
  scope(table: string): TouchedScope {
    return scopeOf(this.get(table));
  }

  /** A change of this row was consumed, made on either side. */
  touch(pair: Pair, key: RowKey): void {
    const table = this.get(pair.id);
    if (!table.tracking) return;
    if (table.shift !== null) this.put(table, [blockOf(key, table.shift)]);
    else this.put(table, key);
    while (this.keys > this.limits.keys || this.chars > this.limits.chars) this.shrinkLargest();
  }

  /** Something happened to rows that nobody can name: only a full sweep that begins after it can tell. */
  lose(tableId: string, reason: string): void {
    const table = this.get(tableId);
    table.needsFull = reason;
    table.lostEpoch = table.epoch;
    table.tracking = false;
    this.clear(table);
  }

  /**
   * A sweep begins, before its first read.
   * @param shape of both tables: another one than when the last sweep began means that rows may have changed without events
   */
  begin(tableId: string, kind: SweepKind, shape: string): BegunScope {
    const table = this.get(tableId);
    this.noteShape(table, shape);
    table.epoch++;
    table.isDirty = true;
    if (kind === 'full') table.tracking = true;
    return { epoch: table.epoch, scope: scopeOf(table) };
  }

  /** Whether the tables are no longer as they were when the last sweep began: what was touched by that has no events. */
  isReshaped(tableId: string, shape: string): boolean {
    const known = this.get(tableId).shape;
    return known !== null && known !== shape;
  }

  /**
   * A full sweep goes on after a stop. The epoch it began may be lost with what was not yet written: then more counts as
   * touched than was. @returns its epoch; null where it can be no ground for incremental ones
   */
  resume(tableId: string, epoch: number | null, shape: string): number | null {
    const table = this.get(tableId);
    this.noteShape(table, shape);
    return epoch === null ? null : Math.min(epoch, table.epoch);
  }

  /** A sweep that began `epoch` is over and all it found is settled. */
  ended(tableId: string, kind: SweepKind, epoch: number | null): void {
    const table = this.get(tableId);
    if (kind === 'full') {
      if (epoch === null || !table.tracking || table.lostEpoch >= epoch) return;
      table.needsFull = null;
    }
    if (epoch === null || table.needsFull !== null) return;
    for (const [id, entry] of table.entries) if (entry.epoch < epoch) this.drop(table, id, entry);
    if (table.entries.size === 0) table.shift = null;
    table.prunedBelow = Math.max(table.prunedBelow ?? epoch, epoch);
    table.isDirty = true;
  }

  /** A sweep has failed or was cancelled. */
  abandoned(tableId: string): void {
    const table = this.get(tableId);
    if (table.needsFull === null || !table.tracking) return;
    // Without a full sweep before it, what is touched says nothing.
    table.tracking = false;
    table.lostEpoch = table.epoch;
    this.clear(table);
  }

  restore(stored: StoredTouched): void {
    const table = this.byTable.get(stored.table);
    if (table === undefined) return;
    Object.assign(table, { epoch: stored.epoch, needsFull: stored.needsFull, lostEpoch: stored.lostEpoch, tracking: stored.tracking, shift: stored.shift, shape: stored.shape });
    if (stored.comparison !== table.comparison) {
      this.lose(stored.table, 'what is compared has changed since the last full sweep');
      return;
    }
    for (const entry of stored.keys) this.put(table, entry.key, entry.epoch);
    table.dirtyIds.clear();
  }

  /** What changed since the last call, as the state store keeps it. */
  drainChanges(): { touched: StoredTouched[]; undo: () => void } {
    const drained: { table: TableTouches; ids: Set<string>; rewritten: boolean; prunedBelow: number | null }[] = [];
    const touched: StoredTouched[] = [];
    for (const table of this.byTable.values()) {
      if (!table.isDirty && table.dirtyIds.size === 0) continue;
      const { dirtyIds: ids, isRewritten: rewritten, prunedBelow } = table;
      const keys = rewritten ? [...table.entries.values()] : [...ids].flatMap((id) => table.entries.get(id) ?? []);
      const { comparison, epoch, needsFull, lostEpoch, tracking, shift, shape } = table;
      touched.push({ table: table.pair.id, epoch, needsFull, lostEpoch, tracking, shift, shape, comparison, rewritten, prunedBelow, keys });
      drained.push({ table, ids, rewritten, prunedBelow });
      Object.assign(table, { isDirty: false, dirtyIds: new Set<string>(), isRewritten: false, prunedBelow: null });
    }
    return {
      touched,
      undo: () => {
        for (const { table, ids, rewritten, prunedBelow } of drained) {
          table.isDirty = true;
          for (const id of ids) table.dirtyIds.add(id);
          table.isRewritten ||= rewritten;
          table.prunedBelow ??= prunedBelow;
        }
      },
    };
  }

  private get(tableId: string): TableTouches {
    const table = this.byTable.get(tableId);
    if (table === undefined) throw new RangeError(`no such table: ${tableId}`);
    return table;
  }

  private noteShape(table: TableTouches, shape: string): void {
    // What is known already, a truncate for one, says more.
    if (table.shape !== null && table.shape !== shape) this.lose(table.pair.id, table.needsFull ?? 'the table was altered or rewritten since the last sweep');
    table.shape = shape;
    table.isDirty = true;
  }

  private put(table: TableTouches, key: RowKey, epoch = table.epoch): void {
    const id = keyId(key);
    const known = table.entries.get(id);
    if (known?.epoch === epoch) return;
    if (known === undefined) {
      const chars = keyChars(key);
      this.keys++;
      this.chars += chars;
      table.chars += chars;
    }
    // Entries are shared with what a sweep took: a new one instead of another epoch for the same.
    table.entries.set(id, { key, epoch });
    table.dirtyIds.add(id);
  }

  private drop(table: TableTouches, id: string, { key }: StoredTouchedKey): void {
    table.entries.delete(id);
    table.dirtyIds.delete(id);
    const chars = keyChars(key);
    this.keys--;
    this.chars -= chars;
    table.chars -= chars;
  }

  private clear(table: TableTouches): void {
    this.keys -= table.entries.size;
    this.chars -= table.chars;
    Object.assign(table, { entries: new Map(), chars: 0, shift: null, dirtyIds: new Set<string>(), isRewritten: true, isDirty: true });
  }

  private shrinkLargest(): void {
    const byKeys = this.keys > this.limits.keys;
    const sizeOf = (table: TableTouches): number => (byKeys ? table.entries.size : table.chars);
    let largest: TableTouches | null = null;
    for (const table of this.byTable.values()) if (largest === null || sizeOf(table) > sizeOf(largest)) largest = table;
    if (largest !== null) this.shrink(largest);
  }

  private shrink(table: TableTouches): void {
    const blocks: Blocks | null = hasWholeNumbers(table.pair) ? coarsen([...table.entries.values()], table.shift) : null;
    if (blocks === null) {
      this.lose(table.pair.id, 'more rows were touched since the last sweep than are kept track of');
      return;
    }
    this.clear(table);
    table.shift = blocks.shift;
    for (const [block, epoch] of blocks.epochs) this.put(table, [block], epoch);
  }
}

function scopeOf({ shift, entries }: TableTouches): TouchedScope {
  const keys = [...entries.values()].map(({ key }) => key);
  return shift === null ? { keys, ranges: [] } : { keys: [], ranges: rangesOf(keys.map(([block]) => BigInt(block as string)), shift) };
}

/** The block of 2^shift values that the key's first value is in. */
function blockOf(key: RowKey, shift: number): string {
  return (BigInt(key[0] as string) >> BigInt(shift)).toString();
}

/** Whether both databases order the key's first column as whole numbers, so that neighbours of keys are keys. */
function hasWholeNumbers(pair: Pair): boolean {
  const column = pair.columns[pair.key[0] ?? -1];
  if (column === undefined) return false;
  return (['old', 'new'] as const).every((side) => {
    const { type, expression } = columnOn(column, side);
    return expression === undefined && !type.array && /^int[248]$/.test(type.base);
  });
}
