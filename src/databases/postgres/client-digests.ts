import createXxhash from 'xxhash-wasm';
import { LockstepError } from '../../domain/errors.ts';
import type { Pair } from '../../domain/pair.ts';
import type { RowKey } from '../../domain/row.ts';
import { keyId } from '../../domain/row.ts';
import type { BucketChoice, Digest, KeyRange, RowDigest } from '../../verify/ports.ts';
import { CopyReader, leadingTexts } from './copy-rows.ts';
import type { TextRow } from './session.ts';

export interface ClientDigestsOptions {
  /** COPY in binary form of a range's compared values, key texts first where they are wanted. */
  readonly copy: (pair: Pair, range: KeyRange, withKeys: boolean, onData: (piece: Buffer) => void, signal: AbortSignal) => Promise<void>;
  readonly canonicalKey: (pair: Pair, texts: TextRow) => RowKey;
}

/** xxh64 of bytes. */
type Hash = (bytes: Uint8Array) => bigint;

const SEED = 0n;

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
    await this.read(pair, range, false, signal, (tuple) => {
      rows++;
      sum += hash(tuple);
    });
    return { rows: BigInt(rows), sum: sum.toString() };
  }

  async bucketDigests(pair: Pair, range: KeyRange, buckets: number, signal: AbortSignal): Promise<ReadonlyMap<number, Digest>> {
    const totals = new Map<number, { rows: bigint; sum: bigint }>();
    const hash = await this.hasher();
    await this.readKeyed(pair, range, hash, signal, (key, digest) => {
      const bucket = bucketOf(hash, key, buckets);
      const total = totals.get(bucket) ?? { rows: 0n, sum: 0n };
      total.rows++;
      total.sum += digest;
      totals.set(bucket, total);
    });
    return new Map([...totals].map(([bucket, { rows, sum }]) => [bucket, { rows, sum: sum.toString() }]));
  }

  async rowDigests(pair: Pair, range: KeyRange, limit: number, signal: AbortSignal, only?: BucketChoice): Promise<readonly RowDigest[]> {
    const hash = await this.hasher();
    const digests: RowDigest[] = [];
    const chosen = only === undefined ? null : new Set(only.chosen);
    try {
      await this.readKeyed(pair, range, hash, signal, (key, digest) => {
        if (only !== undefined && chosen?.has(bucketOf(hash, key, only.buckets)) !== true) return;
        if (digests.length >= limit) throw ENOUGH;
        digests.push({ key, digest: digest.toString() });
      });
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

  private readKeyed(pair: Pair, range: KeyRange, hash: Hash, signal: AbortSignal, onRow: (key: RowKey, digest: bigint) => void): Promise<void> {
    const { canonicalKey } = this.options;
    return this.read(pair, range, true, signal, (tuple) => {
      const { texts, end } = leadingTexts(tuple, pair.key.length);
      onRow(canonicalKey(pair, texts), hash(tuple.subarray(end)));
    });
  }

  private async read(pair: Pair, range: KeyRange, withKeys: boolean, signal: AbortSignal, onTuple: (tuple: Buffer) => void): Promise<void> {
    const reader = new CopyReader(onTuple);
    await this.options.copy(pair, range, withKeys, (piece) => reader.push(piece), signal);
    reader.finish();
  }
}

function bucketOf(hash: Hash, key: RowKey, buckets: number): number {
  return Number(hash(Buffer.from(keyId(key))) & BigInt(buckets - 1));
}
