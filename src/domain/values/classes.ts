import type { SampleValue } from '../drift.ts';
import type { ExactJson } from '../json.ts';
import { JsonNumber } from '../json.ts';
import type { PairColumn, SqlType } from '../pair.ts';
import { canonicalArray, decodeArray } from './arrays.ts';
import { classOf, elementClassOf, elementType } from './choose.ts';
import { decimalClass, integerClass, moneyClass } from './decimal.ts';
import { float4Class, float8Class, mixedFloatClass } from './float.ts';
import { hstoreClass } from './hstore.ts';
import { intervalClass } from './interval.ts';
import { jsonClass } from './json-document.ts';
import type { Loss } from './loss.ts';
import type { ValueClassName } from './names.ts';
import { compositeClass, rangeClass } from './nested.ts';
import { geometricClass, networkClass, opaqueTextClass, textSearchClass, xmlClass } from './opaque.ts';
import { bitsClass, booleanClass, bytesClass, paddedTextClass, textClass, uuidClass } from './plain-text.ts';
import { dateClass, instantClass, timeClass, timestampClass, timetzClass } from './temporal.ts';
import type { ClassDocs, FieldSchema, ValueClass } from './value-class.ts';
import { vectorClass } from './vector.ts';

export type { FieldSchema } from './value-class.ts';

/** Arrays whose elements are compared in the class `elements`. */
export function arrayOf(elements: ValueClassName): ValueClass {
  const { fromText } = CLASSES[elements];
  return {
    fromText: (type, text) => {
      const element = elementType(type);
      return canonicalArray(type, text, (item) => fromText(element, item));
    },
    fromDebezium: (type, encoded, schema) => {
      const element = elementType(type);
      const { fromDebezium } = CLASSES[elements];
      return decodeArray(type, encoded, schema, (item, itemSchema) => fromDebezium(element, item, itemSchema));
    },
    digestSql: (type, column) => arrayDigestSql(elements, type, column),
    shown: (canonical) => canonical,
    fromInput: () => undefined,
    docs: ARRAY_DOCS,
  };
}

const ARRAY_DOCS: ClassDocs = {
  types: 'arrays of every type, alone or against text',
  compared: 'shape (dimensions and lower bounds) and every element, each as its own class does; a NULL element is no empty text',
  normalised: 'each element as its own class does',
  notCompared: 'nothing; events leave out lower bounds other than 1',
};

function arrayDigestSql(element: ValueClassName, type: SqlType, column: string): string {
  if (!type.array) return `${column}::text`;
  if (type.base === 'money') return trimmedNumbers(`${column}::numeric[]::text`);
  if (element === 'decimal') return trimmedNumbers(`${column}::text`);
  if (element === 'padded_text') return `${column}::text[]::text`;
  if (element !== 'json' || type.base !== 'json') return `${column}::text`;
  return `(CASE WHEN ${column}::text LIKE '%u0000%' THEN ${column}::text ELSE ${column}::text[]::jsonb[]::text END)`;
}

/** The text of an array of numbers without the zeros that end their fractions. */
function trimmedNumbers(text: string): string {
  const shortened = `pg_catalog.regexp_replace(${text}, '(\\.[0-9]*[1-9])0+(?=[,}])', '\\1', 'g')`;
  return `pg_catalog.regexp_replace(${shortened}, '\\.0+(?=[,}])', '', 'g')`;
}

const ownClass = (type: SqlType): ValueClass => (type.array ? arrayOf(elementClassOf(type)) : CLASSES[classOf(type)]);

/** An array compared with an array of its own type. */
const ownArrayClass: ValueClass = {
  fromText: (type, text) => ownClass(type).fromText(type, text),
  fromDebezium: (type, encoded, schema) => ownClass(type).fromDebezium(type, encoded, schema),
  digestSql: (type, column) => ownClass(type).digestSql(type, column),
  shown: (canonical) => canonical,
  fromInput: () => undefined,
  docs: ARRAY_DOCS,
};

/** The one table: how each class of values is read, digested, shown and documented. */
export const CLASSES: Readonly<Record<ValueClassName, ValueClass>> = {
  integer: integerClass,
  decimal: decimalClass,
  money: moneyClass,
  float4: float4Class,
  float8: float8Class,
  float: mixedFloatClass,
  text: textClass,
  padded_text: paddedTextClass,
  boolean: booleanClass,
  date: dateClass,
  time: timeClass,
  timetz: timetzClass,
  timestamp: timestampClass,
  instant: instantClass,
  interval: intervalClass,
  bytes: bytesClass,
  bits: bitsClass,
  uuid: uuidClass,
  json: jsonClass,
  network: networkClass,
  geometric: geometricClass,
  text_search: textSearchClass,
  xml: xmlClass,
  hstore: hstoreClass,
  vector: vectorClass,
  range: rangeClass(ownClass),
  composite: compositeClass(ownClass),
  array: ownArrayClass,
  opaque_text: opaqueTextClass,
};

/**
 * The canonical form of what PostgreSQL prints under the settings that sessions pin (also what pgoutput
 * carries), and of a canonical form itself.
 * @throws LockstepError `bad_value`
 */
export function canonicalFromText(valueClass: ValueClassName, type: SqlType, text: string): string {
  return CLASSES[valueClass].fromText(type, text);
}

/**
 * The canonical form of a value of `type`'s own class in a Debezium event. `schema` is the field's Connect schema
 * where the message has one; without it the encoding follows from `type`, in Debezium's default modes.
 * Null is SQL NULL; a `Loss`: the encoding lost something, read the row instead.
 * @throws LockstepError `bad_value` for what cannot be a value of that class at all
 */
export function canonicalFromDebezium(valueClass: ValueClassName, type: SqlType, encoded: ExactJson, schema: FieldSchema | null): string | null | Loss {
  return encoded === null ? null : CLASSES[valueClass].fromDebezium(type, encoded, schema);
}

/**
 * SQL text of `column` (a quoted reference): columns with equal text have equal canonical values; the reverse holds
 * but for what docs/values.md names. NULL stays NULL.
 */
export function digestSql(valueClass: ValueClassName, type: SqlType, column: string): string {
  return CLASSES[valueClass].digestSql(type, column);
}

/** Of these, one and the same type prints equal values in several ways. */
const PRINTED_IN_SEVERAL_WAYS: ReadonlySet<ValueClassName> = new Set(['json', 'range', 'composite']);

/** Whether equal values of a column are known to have different digests at times: docs/values.md names which. */
export function isReadAgain({ valueClass, old, new: neu, rules }: Pick<PairColumn, 'valueClass' | 'old' | 'new' | 'rules'>): boolean {
  if (CLASSES[valueClass].docs.readAgain === undefined) return false;
  return PRINTED_IN_SEVERAL_WAYS.has(valueClass) || old.type.base !== neu.type.base || rules?.foldCase === true;
}

/** A canonical value as JSON shows it: integers that a double holds as numbers, booleans, all else as text. */
export function shownValue(valueClass: ValueClassName, canonical: string): SampleValue {
  return CLASSES[valueClass].shown(canonical);
}

/** The canonical form of a key value that a person typed (5, "5", true, a uuid); undefined where it is no such value. */
export function canonicalFromInput(valueClass: ValueClassName, type: SqlType, value: unknown): string | undefined {
  if (typeof value === 'string') return CLASSES[valueClass].fromInput(type, value);
  if (value instanceof JsonNumber) return CLASSES[valueClass].fromInput(type, value.text);
  if (typeof value === 'bigint' || typeof value === 'boolean') return CLASSES[valueClass].fromInput(type, value.toString());
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
  // Beyond 2^53 a number is no longer the one that was typed.
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? undefined : CLASSES[valueClass].fromInput(type, value.toString());
}
