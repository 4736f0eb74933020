import type { ExactJson } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { LOSS } from './loss.ts';
import type { Loss } from './loss.ts';
import type { ValueClass } from './value-class.ts';

/** Classes of values that hold values of other types: ranges, multiranges, composites. */

/** The class of a type compared with itself. */
export type ClassOfType = (type: SqlType) => ValueClass;

/** A text, quoted as PostgreSQL quotes a part, and where the next begins; null text is an empty part. */
interface Part {
  readonly text: string | null;
  readonly end: number;
}

/** Reads a part of a range or a composite up to one of `ends`; quotes are doubled or escaped within quotes. */
function readPart(text: string, start: number, ends: string): Part | null {
  let at = start;
  let part = '';
  let isQuoted = false;
  for (;;) {
    const character = text[at];
    if (character === undefined) return null;
    if (character === '"') {
      isQuoted = true;
      at++;
      for (;;) {
        const inner = text[at];
        if (inner === undefined) return null;
        if (inner === '\\') {
          part += text[at + 1] ?? '';
          at += 2;
        } else if (inner === '"') {
          if (text[at + 1] !== '"') break;
          part += '"';
          at += 2;
        } else {
          part += inner;
          at++;
        }
      }
      at++;
    } else if (character === '\\') {
      part += text[at + 1] ?? '';
      at += 2;
    } else if (ends.includes(character)) {
      return { text: part === '' && !isQuoted ? null : part, end: at };
    } else {
      part += character;
      at++;
    }
  }
}

function quoted(text: string | null): string {
  return text === null ? '' : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

interface ParsedRange {
  readonly canonical: string;
  readonly end: number;
}

/** One range at `start`; null where there is none. */
function readRange(text: string, start: number, bound: (text: string) => string): ParsedRange | null {
  if (text.startsWith('empty', start)) return { canonical: 'empty', end: start + 5 };
  const opening = text[start];
  if (opening !== '[' && opening !== '(') return null;
  const lower = readPart(text, start + 1, ',');
  const upper = lower === null ? null : readPart(text, lower.end + 1, ')]');
  if (lower === null || upper === null) return null;
  const print = (part: string | null): string => quoted(part === null ? null : bound(part));
  return { canonical: `${opening}${print(lower.text)},${print(upper.text)}${text[upper.end] ?? ''}`, end: upper.end + 1 };
}

function readMultirange(text: string, bound: (text: string) => string): string | null {
  if (!text.startsWith('{') || !text.endsWith('}')) return null;
  const ranges: string[] = [];
  let at = 1;
  while (at < text.length - 1) {
    const range = readRange(text, at, bound);
    if (range === null) return null;
    ranges.push(range.canonical);
    at = range.end;
    if (text[at] === ',') at++;
  }
  return `{${ranges.join(',')}}`;
}

const RANGE_START = /^(?:[[({]|empty$)/;

/** Ranges and multiranges, their bounds brought to the form of their own class. */
export function rangeClass(classOf: ClassOfType): ValueClass {
  const fromText = (type: SqlType, text: string): string => {
    const { subtype } = type;
    const bound = (part: string): string => (subtype === undefined ? part : classOf(subtype).fromText(subtype, part));
    if (text.startsWith('{')) {
      const ranges = readMultirange(text, bound);
      if (ranges === null) throw badValue(type, text, 'a multirange');
      return ranges;
    }
    const range = readRange(text, 0, bound);
    if (range === null || range.end !== text.length) throw badValue(type, text, 'a range');
    return range.canonical;
  };
  return {
    fromText,
    fromDebezium: (type, encoded) => {
      if (typeof encoded !== 'string') return LOSS.unsupported;
      // Multiranges come as bytes, if at all (include.unknown.datatypes): base64 has no brackets.
      return RANGE_START.test(encoded) ? fromText(type, encoded) : LOSS.unsupported;
    },
    digestSql: (_type, column) => `${column}::text`,
    shown: (canonical) => canonical,
    fromInput: (type, typed) => fromText(type, typed.trim()),
    docs: {
      types: 'int4range, int8range, numrange, tsrange, tstzrange, daterange, ranges of one’s own, and multiranges of all of them',
      compared: 'both bounds, and whether each is within; infinite and absent bounds are two things, as they are to PostgreSQL',
      normalised: 'each bound as its own class does (1.50 is 1.5)',
      notCompared: 'nothing',
      readAgain: 'bounds that differ in their spelling alone (1.50 and 1.5)',
    },
  };
}

function readComposite(type: SqlType, text: string, classOf: ClassOfType): string | null {
  const fields = type.fields ?? [];
  if (!text.startsWith('(')) return null;
  const parts: string[] = [];
  let at = 1;
  for (;;) {
    const part = readPart(text, at, ',)');
    if (part === null) return null;
    const field = fields[parts.length];
    parts.push(part.text === null || field === undefined ? quoted(part.text) : quoted(classOf(field.type).fromText(field.type, part.text)));
    at = part.end + 1;
    if (text[part.end] === ')') break;
  }
  return at === text.length ? `(${parts.join(',')})` : null;
}

/** Composite types, each field brought to the form of its own class. */
export function compositeClass(classOf: ClassOfType): ValueClass {
  const fromText = (type: SqlType, text: string): string => {
    const canonical = readComposite(type, text, classOf);
    if (canonical === null) throw badValue(type, text, 'a composite value');
    return canonical;
  };
  return {
    fromText,
    fromDebezium: (_type: SqlType, _encoded: Exclude<ExactJson, null>): Loss => LOSS.unsupported,
    digestSql: (_type, column) => `${column}::text`,
    shown: (canonical) => canonical,
    fromInput: (type, typed) => fromText(type, typed),
    docs: {
      types: 'composite types',
      compared: 'every field, in order; a NULL field is not an empty text',
      normalised: 'each field as its own class does',
      notCompared: 'the names of the fields',
      readAgain: 'fields that differ in their spelling alone (1.50 and 1.5)',
    },
  };
}
