import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { canonicalJsonNumber } from './decimal.ts';
import type { ValueClass } from './value-class.ts';

/** Deeper documents than this are refused before they exhaust the stack; PostgreSQL's own limit is of this order. */
const DEPTH_MAX = 3000;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
/** A text between its quotes that is written as it is read: without escapes, control characters and halves of a surrogate pair. */
const PLAIN_STRING = /"[ !#-[\]-\ud7ff\ue000-\uffff]*"/y;
const ASCII = /^[\0-\x7f]*$/;

/** Why a text is no JSON document. */
class NotJson extends Error {}

/** Keys in jsonb's order: shorter (in UTF-8) first, then by bytes. */
export function compareKeys(left: string, right: string): number {
  if (ASCII.test(left) && ASCII.test(right)) return left.length - right.length || (left < right ? -1 : left > right ? 1 : 0);
  const byLength = Buffer.byteLength(left) - Buffer.byteLength(right);
  return byLength !== 0 ? byLength : Buffer.compare(Buffer.from(left), Buffer.from(right));
}

/** Reads a document and writes its canonical form, in one pass. */
class DocumentReader {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  document(): string {
    const value = this.value(0);
    this.space();
    if (this.at !== this.text.length) throw new NotJson();
    return value;
  }

  private value(depth: number): string {
    if (depth > DEPTH_MAX) throw new NotJson();
    this.space();
    const start = this.text[this.at];
    if (start === '{') return this.object(depth);
    if (start === '[') return this.array(depth);
    if (start === '"') return this.string();
    for (const word of ['true', 'false', 'null']) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return word;
      }
    }
    const number = canonicalJsonNumber(this.take(NUMBER));
    if (number === null) throw new NotJson();
    return number;
  }

  private object(depth: number): string {
    const keys: string[] = [];
    const fields: string[] = [];
    // jsonb writes them in order, and most documents come from it.
    let isSorted = true;
    this.at++;
    this.space();
    if (this.skip('}')) return '{}';
    do {
      this.space();
      const name = this.string();
      this.space();
      if (!this.skip(':')) throw new NotJson();
      const key = name.includes('\\') ? String(JSON.parse(name)) : name.slice(1, -1);
      const last = keys.at(-1);
      if (last !== undefined && compareKeys(last, key) >= 0) isSorted = false;
      keys.push(key);
      fields.push(`${name}:${this.value(depth + 1)}`);
      this.space();
    } while (this.skip(','));
    if (!this.skip('}')) throw new NotJson();
    return `{${(isSorted ? fields : sortedFields(keys, fields)).join(',')}}`;
  }

  private array(depth: number): string {
    const items: string[] = [];
    this.at++;
    this.space();
    if (this.skip(']')) return '[]';
    do {
      items.push(this.value(depth + 1));
      this.space();
    } while (this.skip(','));
    if (!this.skip(']')) throw new NotJson();
    return `[${items.join(',')}]`;
  }

  /** A text as it is written: in quotes, with those escapes alone that it needs. */
  private string(): string {
    PLAIN_STRING.lastIndex = this.at;
    if (PLAIN_STRING.test(this.text)) {
      const plain = this.text.slice(this.at, PLAIN_STRING.lastIndex);
      this.at = PLAIN_STRING.lastIndex;
      return plain;
    }
    if (this.text[this.at] !== '"') throw new NotJson();
    let end = this.at + 1;
    for (;;) {
      const character = this.text[end];
      if (character === undefined) throw new NotJson();
      if (character === '"') break;
      end += character === '\\' ? 2 : 1;
    }
    const parsed: unknown = JSON.parse(this.text.slice(this.at, end + 1));
    this.at = end + 1;
    return JSON.stringify(parsed);
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d) return;
      this.at++;
    }
  }

  private skip(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  private take(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match === null) throw new NotJson();
    this.at = pattern.lastIndex;
    return match[0];
  }
}

/** Fields in the order of their keys; of equal keys the last one. */
function sortedFields(keys: readonly string[], fields: readonly string[]): string[] {
  const last = new Map<string, string>();
  for (const [place, key] of keys.entries()) last.set(key, fields[place] ?? '');
  return [...last.entries()].sort(([left], [right]) => compareKeys(left, right)).map(([, field]) => field);
}

/**
 * A JSON document in one form: keys sorted as jsonb sorts them, the last of equal keys wins, numbers by
 * value and exact, strings by their characters. Null where `text` is no JSON.
 */
export function canonicalJson(text: string): string | null {
  try {
    return new DocumentReader(text).document();
  } catch (error) {
    if (error instanceof NotJson || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** The entries of a canonical document that is an object of texts and nulls; null where it is none. */
export function parseFlatObject(canonical: string): Map<string, string | null> | null {
  const parsed: unknown = JSON.parse(canonical);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return null;
  const entries = new Map<string, string | null>();
  for (const [key, value] of Object.entries(parsed)) {
    if (value !== null && typeof value !== 'string') return null;
    entries.set(key, value);
  }
  return entries;
}

function jsonFromText(type: SqlType, text: string): string {
  const canonical = canonicalJson(text);
  if (canonical === null) throw badValue(type, text, 'a JSON document');
  return canonical;
}

export const jsonClass: ValueClass = {
  fromText: jsonFromText,
  fromDebezium: (type, encoded) => {
    if (typeof encoded !== 'string') throw badValue(type, encoded, 'a JSON document as text');
    return jsonFromText(type, encoded);
  },
  // jsonb cannot hold the escape of character 0; there only the text itself is left to compare.
  // Numbers keep their scale here (1.0, 1.00): equal documents may digest differently, never the reverse.
  digestSql: (type, column) =>
    type.base === 'jsonb' ? `${column}::text` : `(CASE WHEN ${column}::text LIKE '%\\\\u0000%' THEN ${column}::text ELSE ${column}::jsonb::text END)`,
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => canonicalJson(typed) ?? undefined,
  docs: {
    types: 'json, jsonb, and text against either',
    compared: 'the document: fields by name, items in order, numbers by value with all their digits, strings by their characters',
    normalised: 'white space, the order of fields, repeated names (the last one counts), escapes, 1.0 and 1e0; `as: text` compares json as it is written',
    notCompared: 'nothing',
    readAgain: 'numbers that differ in their zeros alone (1.0 and 1), text against jsonb that is spaced otherwise, documents with \\u0000',
  },
};
