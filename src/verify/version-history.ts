import type { RowHash } from '../domain/recheck.ts';
import type { KeyId } from '../domain/row.ts';

/** Versions remembered of one key: enough to name a lost update of a row that changes often. */
const VERSIONS_PER_KEY = 4;

/** Row hashes that keys are known to have had, the least recently changed forgotten first. */
export class VersionHistory {
  private readonly keysMax: number;
  /** A key was forgotten: that none of a key's changes is known proves nothing any more. */
  private forgot = false;
  private readonly versions = new Map<string, (RowHash | undefined)[]>();

  constructor(keysMax: number) {
    this.keysMax = keysMax;
  }

  /** @param hash null: the row is gone; undefined: it changed to something that is not wholly known */
  add(table: string, key: KeyId, hash: RowHash | undefined): void {
    const id = `${table}\u0000${key}`;
    const known = this.versions.get(id);
    if (known !== undefined) {
      this.versions.delete(id);
      if (known.at(-1) !== hash) known.push(hash);
      if (known.length > VERSIONS_PER_KEY) known.shift();
      this.versions.set(id, known);
      return;
    }
    this.versions.set(id, [hash]);
    if (this.versions.size > this.keysMax) {
      const oldest = this.versions.keys().next();
      if (oldest.done !== true) this.versions.delete(oldest.value);
      this.forgot = true;
    }
  }

  /** What a key's row was last known to be; undefined where that is not known. */
  last(table: string, key: KeyId): RowHash | undefined {
    return this.versions.get(`${table}\u0000${key}`)?.at(-1);
  }

  /** Whether `hash` is the row as it was inserted, before which there was none. */
  isInsert(table: string, key: KeyId, hash: RowHash): boolean {
    const known = this.versions.get(`${table}\u0000${key}`) ?? [];
    const before = known.lastIndexOf(null);
    return hash !== null && before >= 0 && known[before + 1] === hash;
  }

  /** Whether no change of the key was ever added, and none of any key forgotten. */
  neverChanged(table: string, key: KeyId): boolean {
    return !this.forgot && !this.versions.has(`${table}\u0000${key}`);
  }

  has(table: string, key: KeyId, hash: bigint): boolean {
    return this.versions.get(`${table}\u0000${key}`)?.includes(hash) === true;
  }
}
