import { isJsonObject } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { canonicalJson, compareKeys, parseFlatObject } from './json-document.ts';
import type { ValueClass } from './value-class.ts';

const ENTRY = /\s*(?:"((?:[^"\\]|\\[\s\S])*)"|([^\s",=>]+))\s*=>\s*(?:"((?:[^"\\]|\\[\s\S])*)"|([^\s",]+))\s*(?:,|$)/y;

function unescaped(text: string): string {
  return text.replace(/\\([\s\S])/g, '$1');
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

function printed(entries: ReadonlyMap<string, string | null>): string {
  const keys = [...entries.keys()].sort(compareKeys);
  return keys.map((key) => `${quoted(key)}=>${mapped(entries.get(key) ?? null)}`).join(', ');
}

function mapped(value: string | null): string {
  return value === null ? 'NULL' : quoted(value);
}

/** Reads hstore's own text; null where `text` is none. */
function parseHstore(text: string): Map<string, string | null> | null {
  const entries = new Map<string, string | null>();
  let at = 0;
  while (at < text.length) {
    ENTRY.lastIndex = at;
    const match = ENTRY.exec(text);
    if (match === null) return text.slice(at).trim() === '' ? entries : null;
    const [, quotedKey, bareKey, quotedValue, bareValue] = match;
    const key = quotedKey === undefined ? (bareKey ?? '') : unescaped(quotedKey);
    const value = quotedValue !== undefined ? unescaped(quotedValue) : (bareValue ?? '').toUpperCase() === 'NULL' ? null : (bareValue ?? '');
    // As hstore does, the first of equal keys counts.
    if (!entries.has(key)) entries.set(key, value);
    at = ENTRY.lastIndex;
  }
  return entries;
}

/** The canonical form of hstore text or of a JSON object of texts; null where `text` is neither. */
function canonicalHstore(text: string): string | null {
  if (text.trimStart().startsWith('{')) {
    const document = canonicalJson(text);
    const entries = document === null ? null : parseFlatObject(document);
    return entries === null ? null : printed(entries);
  }
  const entries = parseHstore(text);
  return entries === null ? null : printed(entries);
}

function hstoreFromText(type: SqlType, text: string): string {
  const canonical = canonicalHstore(text);
  if (canonical === null) throw badValue(type, text, 'hstore entries');
  return canonical;
}

/** Keys with texts or NULLs. Events carry them as a JSON document (`hstore.handling.mode` json) or as a map. */
export const hstoreClass: ValueClass = {
  fromText: hstoreFromText,
  fromDebezium: (type, encoded) => {
    if (typeof encoded === 'string') return hstoreFromText(type, encoded);
    if (!isJsonObject(encoded)) throw badValue(type, encoded, 'a map of texts');
    const entries = new Map<string, string | null>();
    for (const [key, value] of Object.entries(encoded)) {
      if (value !== null && typeof value !== 'string') throw badValue(type, value, 'a text');
      entries.set(key, value);
    }
    return printed(entries);
  },
  digestSql: (_type, column) => `${column}::text`,
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => canonicalHstore(typed) ?? undefined,
  docs: {
    types: 'hstore, alone or against json, jsonb and text',
    compared: 'every key with its text or NULL',
    normalised: 'the order of keys; a JSON object of texts and nulls is the same map',
    notCompared: 'nothing',
    readAgain: 'against json, jsonb and text: all of them',
  },
};
