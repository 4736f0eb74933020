import type { ExactJson } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { LOSS, Loss } from './loss.ts';
import type { FieldSchema } from './value-class.ts';

/** One level of an array literal: elements (null is NULL) or arrays. */
type Level = readonly (string | null | Level)[];

interface ArrayLiteral {
  /** `[2:3][1:2]` where a lower bound is not 1; else empty. */
  readonly bounds: string;
  readonly items: Level;
}

const BOUNDS = /^((?:\[-?\d+:-?\d+\])+)=/;
const ALL_FROM_ONE = /^(?:\[1:\d+\])+$/;

/** PostgreSQL's MAXDIM. */
const DIMENSIONS_MAX = 6;

/** Reads what PostgreSQL prints for an array; null where `text` is none. `delimiter` is `;` for boxes, else a comma. */
function parseArray(text: string, delimiter: string): ArrayLiteral | null {
  const bounds = BOUNDS.exec(text)?.[1] ?? '';
  let at = bounds === '' ? 0 : bounds.length + 1;

  const level = (depth: number): Level | null => {
    if (depth > DIMENSIONS_MAX || text[at] !== '{') return null;
    at++;
    const items: (string | null | Level)[] = [];
    if (text[at] === '}') {
      at++;
      return items;
    }
    for (;;) {
      const start = text[at];
      if (start === undefined) return null;
      if (start === '{') {
        const inner = level(depth + 1);
        if (inner === null) return null;
        items.push(inner);
      } else if (start === '"') {
        const item = quoted();
        if (item === null) return null;
        items.push(item);
      } else {
        items.push(bare());
      }
      const next = text[at++];
      if (next === '}') return items;
      if (next !== delimiter) return null;
    }
  };

  const quoted = (): string | null => {
    let item = '';
    at++;
    for (;;) {
      const character = text[at++];
      if (character === undefined) return null;
      if (character === '"') return item;
      if (character === '\\') item += text[at++] ?? '';
      else item += character;
    }
  };

  const bare = (): string | null => {
    const start = at;
    let item = '';
    while (at < text.length && text[at] !== delimiter && text[at] !== '}') {
      if (text[at] === '\\') at++;
      item += text[at++] ?? '';
    }
    return text.slice(start, at).toUpperCase() === 'NULL' ? null : item;
  };

  const items = level(1);
  return items === null || at !== text.length ? null : { bounds: ALL_FROM_ONE.test(bounds) ? '' : bounds, items };
}

/** An array literal again: every element quoted, so that no two arrays share a text. */
function printLevel(items: Level, element: (text: string) => string): string {
  const printed = items.map((item) => (item === null ? 'NULL' : typeof item === 'string' ? quote(element(item)) : printLevel(item, element)));
  return `{${printed.join(',')}}`;
}

function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** The canonical form of an array's text, each element brought to its own by `element`. */
export function canonicalArray(type: SqlType, text: string, element: (text: string) => string): string {
  const parsed = parseArray(text, type.base === 'box' && !BOUNDS.test(text) && !text.startsWith('{"') ? ';' : ',');
  if (parsed === null) throw badValue(type, text, 'an array');
  return (parsed.bounds === '' ? '' : `${parsed.bounds}=`) + printLevel(parsed.items, element);
}

/** What Java prints for an array within an array: its class and where it lay in memory. */
const JAVA_ARRAY = /^\[+(?:L[\w.$]+;|[ZBCSIJFD])@[0-9a-f]+$/;

/**
 * The canonical form of an event's array; a loss as soon as one element is lost. Connectors carry one dimension
 * alone: of more they write nulls or Java's own text.
 */
export function decodeArray(
  type: SqlType,
  encoded: Exclude<ExactJson, null>,
  schema: FieldSchema | null,
  element: (encoded: Exclude<ExactJson, null>, schema: FieldSchema | null) => string | Loss,
): string | Loss {
  if (!Array.isArray(encoded)) throw badValue(type, encoded, 'a JSON array');
  const items = encoded as readonly ExactJson[];
  if (items.length > 0 && items.every((item) => item === null)) return LOSS.dimensions;
  const printed: string[] = [];
  for (const item of items) {
    if (typeof item === 'string' && JAVA_ARRAY.test(item)) return LOSS.dimensions;
    if (item === null) {
      printed.push('NULL');
      continue;
    }
    const nested = Array.isArray(item);
    const text = nested ? decodeArray(type, item, schema?.items ?? null, element) : element(item, schema?.items ?? null);
    if (text instanceof Loss) return text;
    printed.push(nested ? text : quote(text));
  }
  return `{${printed.join(',')}}`;
}
