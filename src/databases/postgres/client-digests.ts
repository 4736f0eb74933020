import createXxhash from 'xxhash-wasm';
import { LockstepError } from '../../domain/errors.ts';
import type { Pair } from '../../domain/pair.ts';
import type { RowKey } from '../../domain/row.ts';
import { keyId } from '../../domain/row.ts';
import type { BucketChoice, Digest, KeyRange, PartDigest, RowDigest } from '../../verify/ports.ts';
import { CopyReader, leadingTexts } from './copy-rows.ts';
import type { TextRow } from './session.ts';

export interface ClientDigestsOptions {
  /** COPY in binary form of a range's compared values, key texts first where they are wanted. */
  readonly copy: (pair: Pair, range: KeyRange, withKeys: boolean, onData: (piece: Buffer) => void, signal: AbortSignal) => Promise<void>;
  /** The same of many ranges; where keys are not wanted, each range's place (from 1, an int8) comes first. */
  readonly copyRanges: (pair: Pair, ranges: readonly KeyRange[], withKeys: boolean, onData: (piece: Buffer) => void, signal: AbortSignal) => Promise<void>;
  /** The same of the range's rows with these keys, each row behind its key's place (from 1) as text; with `whole`, all rows of the range behind NULL too. */
  readonly copyApart: (pair: Pair, range: KeyRange, keys: readonly RowKey[], whole: boolean, onData: (piece: Buffer) => void, signal: AbortSignal) => Promise<void>;
  readonly canonicalKey: (pair: Pair, texts: TextRow) => RowKey;
}

/** xxh64 of bytes. */
type Hash = (bytes: Uint8Array) => bigint;

const SEED = 0n;
/** Of an int8 field in COPY's binary form: its length, where the lower half of a small one stands, and where it ends. */
const PLACE_AT = 8;
const PLACE_END = 12;
/** Of a field's length in COPY's binary form. */
const LENGTH_BYTES = 4;

/** Thrown out of a COPY that has told enough. */
const ENOUGH = new LockstepError('enough_rows', 'the range holds more rows than were asked for');

/**
 * Digests of rows that are read out and hashed here: the bytes of a row's fields, each with its length before it and NULL
 * as -1, as COPY writes them. No two rows give the same bytes, and any two versions of PostgreSQL give them alike.
 */
export class ClientDigests {
  private readonly options: ClientDigestsOptions;
  private hash: Hash | null = null;

  constructor(options: ClientDigestsOptions) {
    this.options = options;
  }

  async digest(pair: Pair, range: KeyRange, signal: AbortSignal): Promise<Digest> {
    const hash = await this.hasher();
    let rows = 0;
    let sum = 0n;
    const reader = new CopyReader((tuple) => {
      rows++;
      sum += hash(tuple);
    });
    await this.options.copy(pair, range, false, (piece) => reader.push(piece), signal);
    reader.finish();
    return { rows: BigInt(rows), sum: sum.toString() };
  }

  async bucketDigests(pair: Pair, range: KeyRange, buckets: number, signal: AbortSignal): Promise<ReadonlyMap<number, Digest>> {
    const totals = new Map<number, { rows: bigint; sum: bigint }>();
    const hash = await this.hasher();
    const reader = this.keyedReader(pair, hash, (key, digest) => {
      const bucket = bucketOf(hash, key, buckets);
      const total = totals.get(bucket) ?? { rows: 0n, sum: 0n };
      total.rows++;
      total.sum += digest;
      totals.set(bucket, total);
    });
    await this.options.copy(pair, range, true, (piece) => reader.push(piece), signal);
    reader.finish();
    return new Map([...totals].map(([bucket, { rows, sum }]) => [bucket, { rows, sum: sum.toString() }]));
  }

  async rangeDigests(pair: Pair, ranges: readonly KeyRange[], signal: AbortSignal): Promise<readonly PartDigest[]> {
    const hash = await this.hasher();
    const rows = ranges.map(() => 0);
    const sums = ranges.map(() => 0n);
    const reader = new CopyReader((tuple) => {
      const index = tuple.readUInt32BE(PLACE_AT) - 1;
      rows[index] = (rows[index] ?? 0) + 1;
      sums[index] = (sums[index] ?? 0n) + hash(tuple.subarray(PLACE_END));
    });
    await this.options.copyRanges(pair, ranges, false, (piece) => reader.push(piece), signal);
    reader.finish();
    return ranges.map((_range, index) => ({ rows: rows[index] ?? 0, sum: String(sums[index]) }));
  }

  rangeRowDigests(pair: Pair, ranges: readonly KeyRange[], limit: number, signal: AbortSignal): Promise<readonly RowDigest[]> {
    const { copyRanges } = this.options;
    return this.gather(pair, limit, (onData) => copyRanges(pair, ranges, true, onData, signal), () => true);
  }

  /** The range's digest, where `whole`, and place (from 1) and digest of its rows that have these keys. */
  async apart(pair: Pair, range: KeyRange, keys: readonly RowKey[], whole: boolean, signal: AbortSignal): Promise<{ readonly whole: Digest; readonly apart: readonly (readonly [place: number, digest: string])[] }> {
    const hash = await this.hasher();
    const apart: [number, string][] = [];
    let rows = 0;
    let sum = 0n;
    const reader = new CopyReader((tuple) => {
      const length = tuple.readInt32BE(0);
      if (length < 0) {
        rows++;
        sum += hash(tuple.subarray(LENGTH_BYTES));
        return;
      }
      const end = LENGTH_BYTES + length;
      apart.push([Number(tuple.toString('latin1', LENGTH_BYTES, end)), hash(tuple.subarray(end)).toString()]);
    });
    await this.options.copyApart(pair, range, keys, whole, (piece) => reader.push(piece), signal);
    reader.finish();
    return { whole: { rows: BigInt(rows), sum: sum.toString() }, apart };
  }

  async rowDigests(pair: Pair, range: KeyRange, limit: number, signal: AbortSignal, only?: BucketChoice): Promise<readonly RowDigest[]> {
    const hash = await this.hasher();
    const chosen = only === undefined ? null : new Set(only.chosen);
    const { copy } = this.options;
    return this.gather(
      pair,
      limit,
      (onData) => copy(pair, range, true, onData, signal),
      (key) => only === undefined || chosen?.has(bucketOf(hash, key, only.buckets)) === true,
    );
  }

  /** Keys and digests of what COPY brings, at most `limit`. */
  private async gather(pair: Pair, limit: number, copy: (onData: (piece: Buffer) => void) => Promise<void>, isWanted: (key: RowKey) => boolean): Promise<readonly RowDigest[]> {
    const hash = await this.hasher();
    const digests: RowDigest[] = [];
    const reader = this.keyedReader(pair, hash, (key, digest) => {
      if (!isWanted(key)) return;
      if (digests.length >= limit) throw ENOUGH;
      digests.push({ key, digest: digest.toString() });
    });
    try {
      await copy((piece) => reader.push(piece));
      reader.finish();
    } catch (error) {
      if (error !== ENOUGH) throw error;
    }
    return digests;
  }

  private async hasher(): Promise<Hash> {
    if (this.hash === null) {
      const xxhash = await createXxhash();
      this.hash = (bytes) => xxhash.h64Raw(bytes, SEED);
    }
    return this.hash;
  }

  private keyedReader(pair: Pair, hash: Hash, onRow: (key: RowKey, digest: bigint) => void): CopyReader {
    const { canonicalKey } = this.options;
    return new CopyReader((tuple) => {
      const { texts, end } = leadingTexts(tuple, pair.key.length);
      onRow(canonicalKey(pair, texts), hash(tuple.subarray(end)));
    });
  }
}

function bucketOf(hash: Hash, key: RowKey, buckets: number): number {
  return Number(hash(Buffer.from(keyId(key))) & BigInt(buckets - 1));
}
