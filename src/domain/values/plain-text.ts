import type { ExactJson } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { bytesOfBase64, bytesOfBase64Url } from './base64.ts';
import { withoutEnd } from './ends.ts';
import { LOSS } from './loss.ts';
import type { ValueClass } from './value-class.ts';

function stringOf(type: SqlType, encoded: ExactJson): string {
  if (typeof encoded !== 'string') throw badValue(type, encoded, 'text');
  return encoded;
}

const asText = (_type: SqlType, column: string): string => `${column}::text`;
const shownAsText = (canonical: string): string => canonical;

/** text, varchar, name, citext, and enum by its labels. */
export const textClass: ValueClass = {
  fromText: (_type, text) => text,
  fromDebezium: stringOf,
  digestSql: asText,
  shown: shownAsText,
  fromInput: (_type, typed) => typed,
  docs: {
    types: 'text, varchar, name, citext, enum; enum against text',
    compared: 'the characters, code point by code point; an enum by its label, not by its number on the server',
    normalised: 'nothing; `case: insensitive` and `trim: true` on request',
    notCompared: 'the collation; the order of an enum’s labels',
    readAgain: 'under `case: insensitive`, letters beyond ASCII in different case',
  },
};

function withoutPadding(text: string): string {
  return withoutEnd(text, ' ');
}

/** char(n), alone or against text: blanks at the end mean nothing. */
export const paddedTextClass: ValueClass = {
  fromText: (_type, text) => withoutPadding(text),
  fromDebezium: (type, encoded) => withoutPadding(stringOf(type, encoded)),
  digestSql: (_type, column) => `pg_catalog.rtrim(${column}::text, ' ')`,
  shown: shownAsText,
  fromInput: (_type, typed) => withoutPadding(typed),
  docs: {
    types: 'char(n), alone or against text',
    compared: 'the characters',
    normalised: 'blanks at the end, which mean nothing in char(n)',
    notCompared: 'the declared length',
  },
};

const BOOLEANS: Readonly<Record<string, string>> = { t: 'true', f: 'false', true: 'true', false: 'false', '1': 'true', '0': 'false' };

function booleanOf(text: string): string | undefined {
  return Object.hasOwn(BOOLEANS, text) ? BOOLEANS[text] : undefined;
}

const INTEGER = /^-?[0-9]+$/;

/** A text column's value against booleans: `t`, `true`, `f`, `false`; all else stands for itself. */
export function booleanInText(text: string): string {
  return text === 't' || text === 'true' ? 'true' : text === 'f' || text === 'false' ? 'false' : text;
}

/** boolean, alone or against bit(1) and integers. */
export const booleanClass: ValueClass = {
  fromText: (type, text) => {
    const canonical = booleanOf(text);
    if (canonical !== undefined) return canonical;
    // An integer that is neither 0 nor 1 is no boolean, and equals none.
    if (type.base.startsWith('int') && INTEGER.test(text)) return text;
    throw badValue(type, text, 'a boolean');
  },
  fromDebezium: (type, encoded) => {
    if (typeof encoded === 'boolean') return encoded ? 'true' : 'false';
    throw badValue(type, encoded, 'a boolean');
  },
  digestSql: (type, column) => {
    if (type.base === 'bit') return `(CASE ${column} WHEN B'1' THEN 'true' WHEN B'0' THEN 'false' END)`;
    if (type.base.startsWith('int')) return `(CASE ${column} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE ${column}::text END)`;
    return `${column}::text`;
  },
  shown: (canonical) => (canonical === 'true' ? true : canonical === 'false' ? false : canonical),
  fromInput: (_type, typed) => booleanOf(typed.trim().toLowerCase()),
  docs: {
    types: 'boolean; boolean, bit(1), integers and text against each other',
    compared: 'true or false',
    normalised: '1 and 0 of an integer or a bit, `t`, `true`, `f` and `false` of a text; any other value equals none',
    notCompared: 'nothing',
  },
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
  docs: {
    types: 'uuid, alone or against text',
    compared: 'the 128 bits',
    normalised: 'upper and lower case, dashes',
    notCompared: 'nothing',
    readAgain: 'a text in upper case or without dashes',
  },
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
    if (schema?.type !== 'bytes' && BARE_HEX.test(text)) return standard === null ? `\\x${text}` : LOSS.ambiguous;
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
  docs: {
    types: 'bytea',
    compared: 'the bytes',
    normalised: 'the encoding: hexadecimal, base64, URL-safe base64',
    notCompared: 'nothing',
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
    if (typeof encoded === 'boolean') return length === 1 ? (encoded ? '1' : '0') : LOSS.ambiguous;
    const bytes = bytesOfBase64(stringOf(type, encoded));
    if (bytes === null) throw badValue(type, encoded, 'base64 of little-endian bits');
    // Zeros in front of a varying bit string are gone.
    if (length === null) return LOSS.leading_zeros;
    const hex = Buffer.from(bytes).reverse().toString('hex');
    const bits = hex === '' ? '' : BigInt(`0x${hex}`).toString(2);
    const trimmed = bits === '0' ? '' : bits;
    if (trimmed.length > length) throw badValue(type, encoded, `${length} bits`);
    return trimmed.padStart(length, '0');
  },
  digestSql: asText,
  shown: shownAsText,
  fromInput: (_type, typed) => (BIT_STRING.test(typed.trim()) ? typed.trim() : undefined),
  docs: {
    types: 'bit(n), bit varying',
    compared: 'the bits and their number',
    normalised: 'nothing',
    notCompared: 'nothing',
  },
};
