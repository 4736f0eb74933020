import { keyChars, type RowKey } from '../domain/row.ts';

/** An even sample of the keys that are offered, bounded by count and by characters: the more come, the fewer of them are taken. */
export class KeySample {
  private readonly maxKeys: number;
  private readonly maxChars: number;
  private keys: RowKey[] = [];
  private chars = 0;
  private offered = 0;
  /** One of so many keys is taken. */
  private stride = 1;

  constructor(maxKeys: number, maxChars: number) {
    this.maxKeys = maxKeys;
    this.maxChars = maxChars;
  }

  offer(key: RowKey): void {
    if (this.offered++ % this.stride !== 0) return;
    this.keys.push(key);
    this.chars += keyChars(key);
    while (this.keys.length > this.maxKeys || this.chars > this.maxChars) {
      this.keys = this.keys.length === 1 ? [] : this.keys.filter((_, index) => index % 2 === 0);
      this.chars = this.keys.reduce((sum, kept) => sum + keyChars(kept), 0);
      this.stride *= 2;
    }
  }

  /** What is kept, in the order of the offers. */
  all(): readonly RowKey[] {
    return this.keys;
  }
}
