import { LockstepError } from '../../domain/errors.ts';

/** Confluent's wire format begins with this byte; no JSON does. */
const MAGIC = 0;
const SHORT_ID_BYTES = 4;
const LONG_ID_BYTES = 8;

/** Where in a registry a schema is. */
export interface SchemaId {
  /** `content`: as the Confluent API counts; `global`: Apicurio's own count of versions. */
  readonly kind: 'content' | 'global';
  /** Decimal text: ids may have 64 bits. */
  readonly id: string;
}

export interface FramedBytes {
  readonly schema: SchemaId;
  /** The encoded value alone. */
  readonly body: Buffer;
}

type HeaderValue = Buffer | string;

/** Record headers by name, as kafkajs has them. */
export type RecordHeaders = Readonly<Record<string, HeaderValue | readonly HeaderValue[] | undefined>>;

/** A header's bytes, of a repeated one the last; null where there is none. */
export function headerOf(headers: RecordHeaders, name: string): Buffer | null {
  const value = headers[name];
  const last = Array.isArray(value) ? (value as readonly HeaderValue[]).at(-1) : (value as HeaderValue | undefined);
  if (last === undefined) return null;
  return typeof last === 'string' ? Buffer.from(last, 'utf8') : last;
}

/**
 * The schema id of a key or value, from Apicurio's record headers or from Confluent's
 * framing (with Apicurio's long ids too); null where it has none and so is JSON.
 * Throws `bad_framing`.
 */
export function unframe(part: 'key' | 'value', bytes: Buffer, headers: RecordHeaders | undefined): FramedBytes | null {
  if (headers !== undefined) {
    const content = headerOf(headers, `apicurio.${part}.contentId`);
    const id = content ?? headerOf(headers, `apicurio.${part}.globalId`);
    if (id !== null) {
      if (id.length !== LONG_ID_BYTES) throw new LockstepError('bad_framing', 'the header with the schema id has no eight bytes');
      const encoding = headerOf(headers, `apicurio.${part}.encoding`)?.toString('latin1') ?? 'BINARY';
      if (encoding !== 'BINARY') throw new LockstepError('bad_framing', 'the value is Avro in its JSON encoding: set the converter to BINARY');
      return { schema: { kind: content === null ? 'global' : 'content', id: String(id.readBigInt64BE()) }, body: bytes };
    }
  }
  if (bytes[0] !== MAGIC) return null;
  if (bytes.length < 1 + SHORT_ID_BYTES) throw new LockstepError('bad_framing', 'it begins as Avro and ends within the schema id');
  const short = bytes.readInt32BE(1);
  if (short !== 0) return { schema: { kind: 'content', id: String(short) }, body: bytes.subarray(1 + SHORT_ID_BYTES) };
  // Registries count from one: four zeros are the upper half of a long id.
  if (bytes.length < 1 + LONG_ID_BYTES) throw new LockstepError('bad_framing', 'it begins as Avro and has no schema id');
  return { schema: { kind: 'content', id: String(bytes.readBigInt64BE(1)) }, body: bytes.subarray(1 + LONG_ID_BYTES) };
}

/** An id as one string. */
export function schemaKey({ kind, id }: SchemaId): string {
  return kind === 'content' ? id : `${kind} ${id}`;
}
