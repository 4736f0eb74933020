import { BAG_ROWS_PER_READ, hashRow, isBag } from '../domain/bag.ts';
import type { Pair } from '../domain/pair.ts';
import { ReadSize } from '../domain/read-size.ts';
import type { ConfirmReads, Hasher } from '../domain/recheck.ts';
import { alignedTo, comparesByNearness, keyId, type Row, type RowKey } from '../domain/row.ts';
import type { Health } from './health.ts';
import type { Clock, Database, RowsRead } from './ports.ts';
import { within } from './within.ts';

/** A read by key that takes longer is given up: some hundred rows by index take milliseconds. */
const READ_LIMIT_MS = 15_000;
/** A bag is read as a whole. */
const BAG_READ_LIMIT_MS = 1_800_000;
export interface RowReadsParts {
  readonly primary: Database;
  readonly replica: Database;
  readonly health: Pick<Health, 'reachable'>;
  readonly clock: Clock;
  readonly hasher: Hasher;
  readonly batchKeys: number;
}

/** Three reads of some keys. */
export interface ReadThrice {
  readonly of: (id: string) => ThreeReads;
  /** When the replica was asked, µs: what has settled only since then may have been missing from its answer. */
  readonly replicaAskedAtUs: bigint;
}

export interface ThreeReads extends ConfirmReads {
  /** Commit time of the replica's row on its own clock, µs; null where that is not recorded. */
  readonly replicaCommittedAtUs: bigint | null;
}

/** Reads rows by key for the recheck: once on the replica, or on the primary, the replica and the primary again. */
export class RowReads {
  private readonly parts: RowReadsParts;
  private readonly sizes = new Map<string, ReadSize>();

  constructor(parts: RowReadsParts) {
    this.parts = parts;
  }

  /** How many keys of a pair the next read should ask for. */
  keysPerRead(pair: Pair): number {
    return isBag(pair) ? BAG_ROWS_PER_READ : this.sizeOf(pair).rows;
  }

  /** One look at the replica. */
  onReplica(pair: Pair, keys: readonly RowKey[], signal: AbortSignal): Promise<RowsRead> {
    return this.read(this.parts.replica, pair, keys, signal);
  }

  /**
   * Reads keys on the primary, the replica and the primary again. The first read brings marks alone where the primary can
   * tell them: rows are held no longer than they are looked at. A row with another mark was changed in between, or is as
   * good as changed: it is read thrice in full.
   */
  async thrice(pair: Pair, keys: readonly RowKey[], signal: AbortSignal): Promise<ReadThrice> {
    const { primary, replica, clock } = this.parts;
    const marks = await within(primary.side, readLimitMs(pair), signal, (limited) => primary.readMarks(pair, keys, limited));
    if (marks === null) return this.thriceInFull(pair, keys, signal);
    const replicaAskedAtUs = clock.nowUs();
    const middle = await this.read(replica, pair, keys, signal);
    const after = await this.read(primary, pair, keys, signal, true);
    const isSteady = (id: string): boolean => (after.rows.get(id)?.mark ?? null) === (marks.get(id) ?? null);
    const moved = keys.filter((key) => !isSteady(keyId(key)));
    const inFull = moved.length === 0 ? null : await this.thriceInFull(pair, moved, signal);
    const steady = this.threeReads(pair, after, middle, after);
    // The times of those that did not move are the earlier ones, and true of the others too.
    return { of: (id) => (inFull === null || isSteady(id) ? steady(id) : inFull.of(id)), replicaAskedAtUs };
  }

  private async thriceInFull(pair: Pair, keys: readonly RowKey[], signal: AbortSignal): Promise<ReadThrice> {
    const { primary, replica, clock } = this.parts;
    const before = await this.read(primary, pair, keys, signal);
    const replicaAskedAtUs = clock.nowUs();
    const middle = await this.read(replica, pair, keys, signal);
    const after = await this.read(primary, pair, keys, signal);
    return { of: this.threeReads(pair, before, middle, after), replicaAskedAtUs };
  }

  private threeReads(pair: Pair, before: RowsRead, middle: RowsRead, after: RowsRead): (id: string) => ThreeReads {
    const { hasher } = this.parts;
    const nearness = comparesByNearness(pair);
    const rowOf = (read: RowsRead, id: string): Row | null => read.rows.get(id)?.row ?? null;
    return (id) => {
      const primaryRow = rowOf(before, id);
      const reread = rowOf(after, id);
      const read = rowOf(middle, id);
      const replicaRow = nearness && primaryRow !== null && read !== null ? alignedTo(pair, primaryRow, read) : read;
      const primaryBefore = hashRow(hasher, pair, primaryRow);
      return {
        primaryBefore,
        replica: hashRow(hasher, pair, replicaRow),
        primaryAfter: reread === primaryRow ? primaryBefore : hashRow(hasher, pair, reread),
        primaryRow,
        replicaRow,
        replicaCommittedAtUs: middle.rows.get(id)?.committedAtUs ?? null,
        rereadAtUs: after.readAtUs,
      };
    };
  }

  private async read(database: Database, pair: Pair, keys: readonly RowKey[], signal: AbortSignal, marked = false): Promise<RowsRead> {
    const read = await within(database.side, readLimitMs(pair), signal, (limited) => database.readRows(pair, keys, limited, marked));
    this.parts.health.reachable(database.side);
    if (!isBag(pair)) this.sizeOf(pair).brought(read.rows.size, read.chars);
    return read;
  }

  private sizeOf(pair: Pair): ReadSize {
    const { batchKeys, replica } = this.parts;
    const known = this.sizes.get(pair.id);
    if (known !== undefined) return known;
    const size = new ReadSize(Math.min(batchKeys, replica.maxKeysPerRead));
    this.sizes.set(pair.id, size);
    return size;
  }
}

function readLimitMs(pair: Pair): number {
  return isBag(pair) ? BAG_READ_LIMIT_MS : READ_LIMIT_MS;
}
