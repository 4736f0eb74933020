import type { ExactJson } from '../json.ts';
import { JsonNumber } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { bytesOfBase64, bytesOfBase64Url } from './base64.ts';
import type { ValueClass } from './value-class.ts';

function stringOf(type: SqlType, encoded: ExactJson): string {
  if (typeof encoded !== 'string') throw badValue(type, encoded, 'text');
  return encoded;
}

const asText = (_type: SqlType, column: string): string => `${column}::text`;
const shownAsText = (canonical: string): string => canonical;

/** text, varchar, name, and enum by its labels. */
export const textClass: ValueClass = {
  fromText: (_type, text) => text,
  fromDebezium: stringOf,
  digestSql: asText,
  shown: shownAsText,
  fromInput: (_type, typed) => typed,
};

function withoutPadding(text: string): string {
  return text.endsWith(' ') ? text.replace(/ +$/, '') : text;
}

/** char(n), alone or against text: blanks at the end mean nothing. */
export const paddedTextClass: ValueClass = {
  fromText: (_type, text) => withoutPadding(text),
  fromDebezium: (type, encoded) => withoutPadding(stringOf(type, encoded)),
  digestSql: (_type, column) => `pg_catalog.rtrim(${column}::text, ' ')`,
  shown: shownAsText,
  fromInput: (_type, typed) => withoutPadding(typed),
};

const BOOLEANS: Readonly<Record<string, string>> = { t: 'true', f: 'false', true: 'true', false: 'false', '1': 'true', '0': 'false' };

function booleanOf(text: string): string | undefined {
  return Object.hasOwn(BOOLEANS, text) ? BOOLEANS[text] : undefined;
}

/** boolean, alone or against bit(1). */
export const booleanClass: ValueClass = {
  fromText: (type, text) => {
    const canonical = booleanOf(text);
    if (canonical === undefined) throw badValue(type, text, 'a boolean');
    return canonical;
  },
  fromDebezium: (type, encoded) => {
    if (typeof encoded === 'boolean') return encoded ? 'true' : 'false';
    throw badValue(type, encoded, 'a boolean');
  },
  digestSql: (type, column) => (type.base === 'bit' ? `(CASE ${column} WHEN B'1' THEN 'true' WHEN B'0' THEN 'false' END)` : `${column}::text`),
  shown: (canonical) => canonical === 'true',
  fromInput: (_type, typed) => booleanOf(typed.trim().toLowerCase()),
};

const UUID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/;

function uuidOf(text: string): string | null {
  const lower = text.toLowerCase();
  if (!UUID.test(lower)) return null;
  if (lower.length === 36) return lower;
  const hex = lower.replaceAll('-', '');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function uuidFromText(type: SqlType, text: string): string {
  const canonical = uuidOf(text);
  if (canonical === null) throw badValue(type, text, 'a uuid');
  return canonical;
}

export const uuidClass: ValueClass = {
  fromText: uuidFromText,
  fromDebezium: (type, encoded) => uuidFromText(type, stringOf(type, encoded)),
  digestSql: asText,
  shown: shownAsText,
  fromInput: (_type, typed) => uuidOf(typed.trim()) ?? undefined,
};

const HEX_BYTES = /^\\x(?:[0-9a-f]{2})*$/;
const BARE_HEX = /^(?:[0-9a-f]{2})*$/;

/** bytea as `\x…`. Events carry base64, URL-safe base64 or bare hex; what could be two of them tells nothing. */
export const bytesClass: ValueClass = {
  fromText: (type, text) => {
    const lower = text.toLowerCase();
    if (!HEX_BYTES.test(lower)) throw badValue(type, text, 'bytes as \\x…');
    return lower;
  },
  fromDebezium: (type, encoded, schema) => {
    const text = stringOf(type, encoded);
    if (text === '') return '\\x';
    const standard = bytesOfBase64(text);
    if (schema?.type !== 'bytes' && BARE_HEX.test(text)) return standard === null ? `\\x${text}` : undefined;
    const bytes = standard ?? (schema?.type === 'bytes' ? null : bytesOfBase64Url(text));
    if (bytes === null) throw badValue(type, encoded, 'base64 or hexadecimal bytes');
    return `\\x${bytes.toString('hex')}`;
  },
  digestSql: asText,
  shown: shownAsText,
  fromInput: (_type, typed) => {
    const lower = typed.trim().toLowerCase();
    return HEX_BYTES.test(lower) ? lower : undefined;
  },
};

const BIT_STRING = /^[01]*$/;

/** bit(n) and bit varying as 0s and 1s. */
export const bitsClass: ValueClass = {
  fromText: (type, text) => {
    if (!BIT_STRING.test(text)) throw badValue(type, text, 'a bit string');
    return text;
  },
  fromDebezium: (type, encoded) => {
    const length = type.base === 'bit' ? (type.length ?? 1) : null;
    if (typeof encoded === 'boolean') return length === 1 ? (encoded ? '1' : '0') : undefined;
    const bytes = bytesOfBase64(stringOf(type, encoded));
    if (bytes === null) throw badValue(type, encoded, 'base64 of little-endian bits');
    // Zeros in front of a varying bit string are gone.
    if (length === null) return undefined;
    const hex = Buffer.from(bytes).reverse().toString('hex');
    const bits = hex === '' ? '' : BigInt(`0x${hex}`).toString(2);
    const trimmed = bits === '0' ? '' : bits;
    if (trimmed.length > length) throw badValue(type, encoded, `${length} bits`);
    return trimmed.padStart(length, '0');
  },
  digestSql: asText,
  shown: shownAsText,
  fromInput: (_type, typed) => (BIT_STRING.test(typed.trim()) ? typed.trim() : undefined),
};

/** Types that events carry as the same text that PostgreSQL prints, whatever the session. */
const TEXT_IN_EVENTS: ReadonlySet<string> = new Set([
  'inet',
  'cidr',
  'macaddr',
  'macaddr8',
  'xml',
  'tsvector',
  'citext',
  'ltree',
  'int4range',
  'int8range',
  'numrange',
  'tsrange',
  'daterange',
]);

/** A host's full mask: inet prints it as a cast to text and leaves it out otherwise. */
function opaqueText(type: SqlType, text: string): string {
  if (type.base !== 'inet') return text;
  return text.includes(':') ? text.replace(/\/128$/, '') : text.replace(/\/32$/, '');
}

/** Everything else: compared as the text that PostgreSQL prints, between columns of one type. */
export const opaqueTextClass: ValueClass = {
  fromText: opaqueText,
  fromDebezium: (type, encoded) => {
    if (encoded instanceof JsonNumber || typeof encoded !== 'string') return undefined;
    return TEXT_IN_EVENTS.has(type.base) ? opaqueText(type, encoded) : undefined;
  },
  digestSql: asText,
  shown: shownAsText,
  fromInput: (type, typed) => opaqueText(type, typed),
};
