import type { RowHash } from '../domain/recheck.ts';
import type { KeyId } from '../domain/row.ts';

/** Versions remembered of one key: enough to name a lost update of a row that changes often. */
const VERSIONS_PER_KEY = 4;

interface KeyHistory {
  readonly hashes: (RowHash | undefined)[];
  /** How many records of the table nobody could decode when the last hash was learned. */
  gaps: number;
}

/** Row hashes that keys are known to have had, the least recently changed forgotten first. */
export class VersionHistory {
  private readonly keysMax: number;
  /** A key was forgotten: that none of a key's changes is known proves nothing any more. */
  private forgot = false;
  private readonly versions = new Map<string, KeyHistory>();
  private readonly gaps = new Map<string, number>();

  constructor(keysMax: number) {
    this.keysMax = keysMax;
  }

  /** @param hash null: the row is gone; undefined: it changed to something that is not wholly known */
  add(table: string, key: KeyId, hash: RowHash | undefined): void {
    const id = `${table}\u0000${key}`;
    const known = this.versions.get(id);
    const gaps = this.gaps.get(table) ?? 0;
    if (known !== undefined) {
      this.versions.delete(id);
      if (known.hashes.at(-1) !== hash) known.hashes.push(hash);
      if (known.hashes.length > VERSIONS_PER_KEY) known.hashes.shift();
      known.gaps = gaps;
      this.versions.set(id, known);
      return;
    }
    this.versions.set(id, { hashes: [hash], gaps });
    if (this.versions.size > this.keysMax) {
      const oldest = this.versions.keys().next();
      if (oldest.done !== true) this.versions.delete(oldest.value);
      this.forgot = true;
    }
  }

  /** A version that came before the last that is known. */
  addEarlier(table: string, key: KeyId, hash: RowHash): void {
    const known = this.versions.get(`${table}\u0000${key}`);
    if (known === undefined || known.hashes.length >= VERSIONS_PER_KEY || known.hashes.includes(hash)) return;
    known.hashes.unshift(hash);
  }

  /** Any key of the table may have changed to something that nobody could decode. */
  gap(table: string): void {
    this.gaps.set(table, (this.gaps.get(table) ?? 0) + 1);
  }

  /** What a key's row was last known to be; undefined where that is not known. */
  last(table: string, key: KeyId): RowHash | undefined {
    const known = this.versions.get(`${table}\u0000${key}`);
    return known !== undefined && known.gaps === (this.gaps.get(table) ?? 0) ? known.hashes.at(-1) : undefined;
  }

  /** Whether `hash` is the row as it was inserted, before which there was none. */
  isInsert(table: string, key: KeyId, hash: RowHash): boolean {
    const known = this.versions.get(`${table}\u0000${key}`)?.hashes ?? [];
    const before = known.lastIndexOf(null);
    return hash !== null && before >= 0 && known[before + 1] === hash;
  }

  /** Whether no change of the key was ever added, none of any key forgotten, and none of the table undecodable. */
  neverChanged(table: string, key: KeyId): boolean {
    return !this.forgot && !this.gaps.has(table) && !this.versions.has(`${table}\u0000${key}`);
  }

  has(table: string, key: KeyId, hash: bigint): boolean {
    return this.versions.get(`${table}\u0000${key}`)?.hashes.includes(hash) === true;
  }
}
