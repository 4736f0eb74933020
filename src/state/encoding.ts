import { createHash } from 'node:crypto';
import { LockstepError } from '../domain/errors.ts';
import { encodeValues } from '../domain/row.ts';
import type { RecordHeaders } from '../domain/change.ts';
import type { RowKey } from '../domain/row.ts';

/** PostgreSQL's text holds no NUL and jsonb no lone surrogate; a stream from elsewhere may carry both. */
// oxlint-disable-next-line no-control-regex
const UNSTORABLE_JSON = /\\u(?:0000|d[89a-f])/u;

/** What stands for NUL where a text is only to be read by people. */
const SHOWN_NUL = '\u2400';

/** A key's identity: sha256 of its injective encoding, as PostgreSQL's hex input. */
export function keyHash(key: RowKey): string {
  return `\\x${createHash('sha256').update(encodeValues(key)).digest('hex')}`;
}

/** A key as a text[] literal; NUL is escaped so that `keyFromStore` gives back the same key. */
export function keyToStore(key: RowKey): string {
  let literal = '';
  for (const value of key) {
    // oxlint-disable-next-line no-control-regex
    const storable = value.replace(/[\u0000\u0001]/gu, (char) => (char === '\u0001' ? '\u0001\u0001' : '\u0001\u0002'));
    literal += `${literal === '' ? '' : ','}"${storable.replace(/["\\]/gu, '\\$&')}"`;
  }
  return `{${literal}}`;
}

/** The key that `keyToStore` was given, from the driver's array. */
export function keyFromStore(values: readonly string[]): RowKey {
  return values.map((value) =>
    // oxlint-disable-next-line no-control-regex
    value.replace(/\u0001([\u0001\u0002])/gu, (_, second: string) => (second === '\u0001' ? '\u0001' : '\u0000')),
  );
}

/** A record's headers as bytes; null where there are none. */
export function encodeHeaders(headers: RecordHeaders): Buffer | null {
  if (headers.length === 0) return null;
  return Buffer.from(JSON.stringify(headers.map(([name, value]) => [name, value?.toString('base64') ?? null])), 'utf8');
}

/** The headers that `encodeHeaders` was given. */
export function decodeHeaders(bytes: Buffer | null): RecordHeaders {
  if (bytes === null) return [];
  const pairs = JSON.parse(bytes.toString('utf8')) as readonly (readonly [string, string | null])[];
  return pairs.map(([name, value]) => [name, value === null ? null : Buffer.from(value, 'base64')] as const);
}

/** Text that people read, without what PostgreSQL cannot hold. */
export function shownText(text: string): string {
  return text.replaceAll('\u0000', SHOWN_NUL);
}

/** `value` as JSON that jsonb accepts. */
export function toJsonb(value: unknown): string {
  const json = JSON.stringify(value);
  if (!UNSTORABLE_JSON.test(json)) return json;
  return JSON.stringify(storable(value));
}

function storable(value: unknown): unknown {
  if (typeof value === 'string') return Buffer.from(shownText(value), 'utf8').toString('utf8');
  if (Array.isArray(value)) return value.map(storable);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [storable(name), storable(member)]));
  }
  return value;
}

/** A bigint column as the driver gives it. */
export function bigintOrNull(text: string | null): bigint | null {
  return text === null ? null : BigInt(text);
}

/** A `_ms` column, which the driver gives as text. */
export function msOrNull(text: string | null): number | null {
  return text === null ? null : Number(text);
}

/** A page's end as an opaque text. */
export function encodeCursor(parts: readonly string[]): string {
  return Buffer.from(JSON.stringify(parts), 'utf8').toString('base64url');
}

/** The parts of a cursor; throws `bad_cursor` when it is not one of ours. */
export function decodeCursor(cursor: string, kinds: readonly ('integer' | 'text')[]): readonly string[] {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    parts = null;
  }
  if (
    Array.isArray(parts) &&
    parts.length === kinds.length &&
    parts.every((part, index) => typeof part === 'string' && (kinds[index] === 'text' ? !part.includes('\u0000') : /^-?\d{1,18}$|^\d{1,20}$/u.test(part)))
  ) {
    return parts as string[];
  }
  throw new LockstepError('bad_cursor', 'the cursor is not one that this list gave', {
    hint: 'begin again without a cursor',
  });
}
