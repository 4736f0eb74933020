import type { ExactJson } from '../json.ts';
import { JsonNumber, isJsonObject } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { canonicalDecimal } from './decimal.ts';
import { float8Text } from './float.ts';
import { LOSS } from './loss.ts';
import type { Loss } from './loss.ts';
import type { ClassDocs, ValueClass } from './value-class.ts';

/** Types whose text is compared as PostgreSQL prints it. */

const asText = (_type: SqlType, column: string): string => `${column}::text`;
const shownAsText = (canonical: string): string => canonical;

function printedClass(
  fromText: (type: SqlType, text: string) => string,
  fromDebezium: (type: SqlType, encoded: Exclude<ExactJson, null>) => string | Loss,
  docs: ClassDocs,
): ValueClass {
  return { fromText, fromDebezium, digestSql: asText, shown: shownAsText, fromInput: fromText, docs };
}

function printedText(_type: SqlType, text: string): string {
  return text;
}

function textOf(type: SqlType, encoded: Exclude<ExactJson, null>): string {
  if (typeof encoded !== 'string') throw badValue(type, encoded, 'text');
  return encoded;
}

/** A host's full mask: a cast to text prints it, everything else leaves it out. */
function networkText(_type: SqlType, text: string): string {
  return text.includes(':') ? text.replace(/\/128$/, '') : text.replace(/\/32$/, '');
}

export const networkClass = printedClass(networkText, (type, encoded) => networkText(type, textOf(type, encoded)), {
  types: 'inet, cidr, also against each other and text',
  compared: 'address and mask',
  normalised: 'the mask of a single host, which may be left out',
  notCompared: 'nothing',
  readAgain: 'against text: a single host',
});

/** Coordinates of `{x, y, …}`, Debezium's struct for a point; null where it is none. */
function pointText(encoded: Exclude<ExactJson, null>): string | null {
  if (!isJsonObject(encoded)) return null;
  const { x, y } = encoded;
  if (!(x instanceof JsonNumber) || !(y instanceof JsonNumber)) return null;
  if (canonicalDecimal(x.text) === null || canonicalDecimal(y.text) === null) return null;
  return `(${float8Text(Number(x.text))},${float8Text(Number(y.text))})`;
}

export const geometricClass = printedClass(
  printedText,
  (type, encoded) => {
    if (type.base !== 'point') return LOSS.unsupported;
    if (typeof encoded === 'string') return LOSS.unsupported;
    const point = pointText(encoded);
    if (point === null) throw badValue(type, encoded, 'a point with x and y');
    return point;
  },
  {
    types: 'point, line, lseg, box, path, polygon, circle',
    compared: 'every coordinate, all 64 bits of it, in order',
    normalised: 'nothing: PostgreSQL’s own equality of shapes is within 1e-6, this is exact',
    notCompared: 'nothing',
  },
);

// Queries come as bytes, if at all (include.unknown.datatypes).
export const textSearchClass = printedClass(printedText, (type, encoded) => (type.base === 'tsvector' ? textOf(type, encoded) : LOSS.unsupported), {
  types: 'tsvector, tsquery',
  compared: 'lexemes with their positions and weights',
  normalised: 'nothing: PostgreSQL keeps lexemes sorted',
  notCompared: 'the text search configuration that made them',
});

export const xmlClass = printedClass(printedText, textOf, {
  types: 'xml, alone or against text',
  compared: 'the text as it is stored, white space and order of attributes included',
  normalised: 'nothing',
  notCompared: 'whether two documents mean the same: they may be equal to an XML parser and differ here',
});

/** Types that events carry as the same text that PostgreSQL prints, whatever the session. */
const TEXT_IN_EVENTS: ReadonlySet<string> = new Set(['ltree', 'macaddr', 'macaddr8']);

export const opaqueTextClass = printedClass(
  printedText,
  (type, encoded) => (typeof encoded === 'string' && TEXT_IN_EVENTS.has(type.base) ? encoded : LOSS.unsupported),
  {
    types: 'every other type, against the type of the same name or text; the table’s findings name types that are not known',
    compared: 'the text that PostgreSQL prints for a cast to text',
    normalised: 'nothing',
    notCompared: 'what the type’s output leaves out; two spellings of one value differ',
  },
);
