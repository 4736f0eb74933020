import { bagRow, isBag } from '../../../../src/domain/bag.ts';
import type { Pair, Side } from '../../../../src/domain/pair.ts';
import { encodeValues, keyId, keyOf, type KeyId, type Row, type RowKey } from '../../../../src/domain/row.ts';
import type { DigestPath } from '../../../../src/domain/status.ts';
import type { Pressure } from '../../../../src/domain/sweep-pause.ts';
import type { ApartDigest, BucketChoice, ClockSample, Database, Digest, KeyRange, LogProgress, PartDigest, RowDigest, RowHashCounts, RowRead, RowsRead } from '../../../../src/verify/ports.ts';
import { hasher } from './samples.ts';
import type { VirtualClock } from './virtual-clock.ts';

export interface MemoryDatabaseOptions {
  readonly side: Side;
  readonly clock: VirtualClock;
  /** This database's clock less the host's. */
  readonly offsetMs?: number;
  /** How long the next step of a read takes. */
  readonly delayMs?: () => number;
}

/** One table in memory; reads take their time and see one moment of it. */
export class MemoryDatabase implements Database {
  readonly side: Side;
  readonly maxKeysPerRead = 1_000;
  readonly rows = new Map<KeyId, { row: Row; committedAtUs: bigint | null }>();
  /** Rows of a table without a key. */
  bag: readonly Row[] = [];
  progress: () => Omit<LogProgress, 'clockUs'> = () => ({ insertLsn: 0n, slots: [], slotWalLimitBytes: null });
  pressureNow: () => Pressure = () => ({ lockWaits: 0, activeSessions: 0, standbyLagMs: 0 });
  /** Called before each question; throws to make it fail. */
  trouble: (question: string) => void = () => undefined;
  readonly #clock: VirtualClock;
  readonly #offsetUs: bigint;
  readonly #delayMs: () => number;

  constructor(options: MemoryDatabaseOptions) {
    this.side = options.side;
    this.#clock = options.clock;
    this.#offsetUs = BigInt(options.offsetMs ?? 0) * 1000n;
    this.#delayMs = options.delayMs ?? ((): number => 0);
  }

  nowUs(): bigint {
    return this.#clock.nowUs() + this.#offsetUs;
  }

  put(pair: Pair, row: Row, committedAtUs: bigint | null = null): void {
    this.rows.set(keyId(keyOf(pair, row) as RowKey), { row, committedAtUs });
  }

  row(key: RowKey): Row | null {
    return this.rows.get(keyId(key))?.row ?? null;
  }

  drop(key: RowKey): void {
    this.rows.delete(keyId(key));
  }

  /** Whether rows can be told by marks. */
  hasMarks = true;

  async readMarks(pair: Pair, keys: readonly RowKey[], signal: AbortSignal): Promise<ReadonlyMap<KeyId, string> | null> {
    if (isBag(pair) || !this.hasMarks) return null;
    const { rows } = await this.readRows(pair, keys, signal);
    return new Map([...rows].map(([id, { row }]) => [id, encodeValues(row)]));
  }

  async readRows(pair: Pair, keys: readonly RowKey[], signal: AbortSignal, marked = false): Promise<RowsRead> {
    await this.#work('readRows', signal);
    const readAtUs = this.nowUs();
    await this.#pause(signal);
    const rows = new Map<KeyId, RowRead>();
    const copies = isBag(pair) ? this.#copies() : null;
    for (const key of keys) {
      const count = copies?.get(key[0] as string);
      if (count !== undefined) rows.set(keyId(key), { row: bagRow(this.bag.find((row) => bagHash(row) === key[0]) as Row, count.toString()), committedAtUs: null });
      const found = this.rows.get(keyId(key));
      if (found !== undefined) rows.set(keyId(key), marked ? { ...found, mark: encodeValues(found.row) } : found);
    }
    await this.#pause(signal);
    signal.throwIfAborted();
    const chars = [...rows.values()].flatMap(({ row }) => row).reduce((sum, value) => sum + String(value).length, 0);
    return { rows, readAtUs, chars };
  }

  async pressure(signal: AbortSignal): Promise<Pressure> {
    signal.throwIfAborted();
    return this.pressureNow();
  }

  async clock(signal: AbortSignal): Promise<ClockSample> {
    const sentUs = this.#clock.nowUs();
    await this.#work('clock', signal);
    const databaseUs = this.nowUs();
    await this.#pause(signal);
    return { databaseUs, sentUs, receivedUs: this.#clock.nowUs() };
  }

  async logProgress(signal: AbortSignal): Promise<LogProgress> {
    await this.#work('logProgress', signal);
    const progress = { clockUs: this.nowUs(), ...this.progress() };
    await this.#pause(signal);
    return progress;
  }

  subscriptionSlots(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async estimateRows(_pair: Pair, signal: AbortSignal): Promise<bigint> {
    await this.#work('estimateRows', signal);
    return BigInt(this.rows.size);
  }

  hashFingerprint(): Promise<string | null> {
    return Promise.resolve('memory');
  }

  /** Statistics that somebody took; none by default. */
  splits: readonly string[] = [];

  async splitKeys(_pair: Pair, after: RowKey | null, signal: AbortSignal): Promise<readonly RowKey[]> {
    await this.#work('splitKeys', signal);
    return this.splits.filter((key) => after === null || key > (after[0] as string)).map((key) => [key]);
  }

  keysAreScattered(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async digest(pair: Pair, range: KeyRange, _path: DigestPath, signal: AbortSignal): Promise<Digest> {
    await this.#work('digest', signal);
    return digestOf(this.#within(pair, range));
  }

  async bucketDigests(pair: Pair, range: KeyRange, buckets: number, _path: DigestPath, signal: AbortSignal): Promise<ReadonlyMap<number, Digest>> {
    await this.#work('bucketDigests', signal);
    const rows = new Map<number, Row[]>();
    for (const row of this.#within(pair, range)) {
      const bucket = bucketOf(pair, row, buckets);
      rows.set(bucket, [...(rows.get(bucket) ?? []), row]);
    }
    return new Map([...rows].map(([bucket, within]) => [bucket, digestOf(within)]));
  }

  async keyDigests(pair: Pair, keys: readonly RowKey[], _path: DigestPath, signal: AbortSignal, range: KeyRange = { from: null, to: null }): Promise<ReadonlyMap<KeyId, string>> {
    await this.#work('keyDigests', signal);
    return this.#digestsOf(pair, range, keys);
  }

  async digestApart(pair: Pair, range: KeyRange, keys: readonly RowKey[], _path: DigestPath, signal: AbortSignal): Promise<ApartDigest> {
    await this.#work('digestApart', signal);
    const apart = this.#digestsOf(pair, range, keys);
    return { rest: digestOf(this.#within(pair, range).filter((row) => !apart.has(keyId(keyOf(pair, row) as RowKey)))), apart };
  }

  #digestsOf(pair: Pair, range: KeyRange, keys: readonly RowKey[]): ReadonlyMap<KeyId, string> {
    const asked = new Set(keys.map(keyId));
    const rows = this.#within(pair, range).map((row) => ({ id: keyId(keyOf(pair, row) as RowKey), row }));
    return new Map(rows.filter(({ id }) => asked.has(id)).map(({ id, row }) => [id, hasher(encodeValues(row)).toString()]));
  }

  async bagDigests(_pair: Pair, buckets: number, signal: AbortSignal): Promise<ReadonlyMap<number, Digest>> {
    await this.#work('bagDigests', signal);
    const rows = new Map<number, Row[]>();
    for (const row of this.bag) {
      const bucket = bagBucket(bagHash(row), buckets);
      rows.set(bucket, [...(rows.get(bucket) ?? []), row]);
    }
    return new Map([...rows].map(([bucket, within]) => [bucket, digestOf(within)]));
  }

  async bagHashes(_pair: Pair, { buckets, chosen }: BucketChoice, limit: number, signal: AbortSignal): Promise<RowHashCounts> {
    await this.#work('bagHashes', signal);
    return new Map([...this.#copies()].filter(([hash]) => chosen.includes(bagBucket(hash, buckets))).slice(0, limit));
  }

  #copies(): Map<string, bigint> {
    const copies = new Map<string, bigint>();
    for (const row of this.bag) copies.set(bagHash(row), (copies.get(bagHash(row)) ?? 0n) + 1n);
    return copies;
  }

  shapeNow = '';

  shape(): Promise<string> {
    return Promise.resolve(this.shapeNow);
  }

  async keyAfter(pair: Pair, range: KeyRange, rows: number, signal: AbortSignal): Promise<RowKey | null> {
    await this.#work('keyAfter', signal);
    const row = this.#within(pair, range)[rows];
    return row === undefined ? null : keyOf(pair, row);
  }

  /** Whether ranges are told at once, as where an index finds them; else buckets are. */
  hasIndex = false;

  findsRanges(): Promise<boolean> {
    return Promise.resolve(this.hasIndex);
  }

  async keysEvery(pair: Pair, range: KeyRange, rows: number, signal: AbortSignal): Promise<readonly RowKey[]> {
    await this.#work('keysEvery', signal);
    return this.#within(pair, range).flatMap((row, place) => (place > 0 && place % rows === 0 ? [keyOf(pair, row) as RowKey] : []));
  }

  async rangeDigests(pair: Pair, ranges: readonly KeyRange[], path: DigestPath, signal: AbortSignal): Promise<readonly PartDigest[]> {
    const digests = await Promise.all(ranges.map((range) => this.digest(pair, range, path, signal)));
    return digests.map(({ rows, sum }) => ({ rows: Number(rows), sum }));
  }

  async rangeRowDigests(pair: Pair, ranges: readonly KeyRange[], limit: number, path: DigestPath, signal: AbortSignal): Promise<readonly RowDigest[]> {
    return (await Promise.all(ranges.map((range) => this.rowDigests(pair, range, limit, path, signal)))).flat().slice(0, limit);
  }

  async rowDigests(pair: Pair, range: KeyRange, limit: number, _path: DigestPath, signal: AbortSignal, only?: BucketChoice): Promise<readonly RowDigest[]> {
    await this.#work('rowDigests', signal);
    return this.#within(pair, range)
      .filter((row) => only === undefined || only.chosen.includes(bucketOf(pair, row, only.buckets)))
      .slice(0, limit)
      .map((row) => ({ key: keyOf(pair, row) as RowKey, digest: hasher(encodeValues(row)).toString() }));
  }

  #within(pair: Pair, range: KeyRange): Row[] {
    const key = (row: Row): string => row[pair.key[0] as number] as string;
    const { from, to } = range;
    return [...this.rows.values()]
      .map(({ row }) => row)
      .filter((row) => (from === null || key(row) >= (from[0] as string)) && (to === null || key(row) < (to[0] as string)))
      .sort((left, right) => (key(left) < key(right) ? -1 : 1));
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const ms = this.#delayMs();
    if (ms > 0) await this.#clock.sleep(ms, signal);
  }

  async #work(question: string, signal: AbortSignal): Promise<void> {
    await this.#pause(signal);
    signal.throwIfAborted();
    this.trouble(question);
  }
}

function digestOf(rows: readonly Row[]): Digest {
  const sum = rows.reduce((total, row) => total + hasher(encodeValues(row)), 0n);
  return { rows: BigInt(rows.length), sum: sum.toString() };
}

/** The hash by which a row of a bag is known. */
export function bagHash(row: Row): string {
  return hasher(encodeValues(row)).toString(16).padStart(16, '0');
}

function bagBucket(hash: string, buckets: number): number {
  return Number(BigInt(`0x${hash}`) & BigInt(buckets - 1));
}

function bucketOf(pair: Pair, row: Row, buckets: number): number {
  return Number(hasher(keyId(keyOf(pair, row) as RowKey)) % BigInt(buckets));
}
