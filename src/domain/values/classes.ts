import type { SampleValue } from '../drift.ts';
import type { ExactJson } from '../json.ts';
import { JsonNumber } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { canonicalArray, decodeArray } from './arrays.ts';
import { elementClassOf } from './choose.ts';
import { decimalClass, integerClass, moneyClass } from './decimal.ts';
import { float4Class, float8Class } from './float.ts';
import { intervalClass } from './interval.ts';
import { jsonClass } from './json-document.ts';
import type { ValueClassName } from './names.ts';
import { bitsClass, booleanClass, bytesClass, opaqueTextClass, paddedTextClass, textClass, uuidClass } from './plain-text.ts';
import { dateClass, instantClass, timeClass, timestampClass, timetzClass } from './temporal.ts';
import type { FieldSchema, ValueClass } from './value-class.ts';

export type { FieldSchema } from './value-class.ts';

/** The type of an array's elements. */
function elementType(type: SqlType): SqlType {
  return { ...type, array: false, formatted: type.formatted.replace(/(?:\[\])+$/, '') };
}

function elementClass(type: SqlType): ValueClass {
  return CLASSES[elementClassOf(type)];
}

const arrayClass: ValueClass = {
  fromText: (type, text) => {
    const element = elementType(type);
    const { fromText } = elementClass(type);
    return canonicalArray(type, text, (item) => fromText(element, item));
  },
  fromDebezium: (type, encoded, schema) => {
    const element = elementType(type);
    const { fromDebezium } = elementClass(type);
    return decodeArray(type, encoded, schema, (item, itemSchema) => fromDebezium(element, item, itemSchema));
  },
  digestSql: (type, column) => {
    const element = elementClassOf(type);
    if (element === 'decimal') return trimmedNumbers(`${column}::text`);
    if (element === 'money') return trimmedNumbers(`${column}::numeric[]::text`);
    if (element === 'padded_text') return `${column}::text[]::text`;
    if (element === 'json' && type.base === 'json') {
      return `(CASE WHEN ${column}::text LIKE '%u0000%' THEN ${column}::text ELSE ${column}::text[]::jsonb[]::text END)`;
    }
    return `${column}::text`;
  },
  shown: (canonical) => canonical,
  fromInput: () => undefined,
};

/** The text of an array of numbers without the zeros that end their fractions. */
function trimmedNumbers(text: string): string {
  const shortened = `pg_catalog.regexp_replace(${text}, '(\\.[0-9]*[1-9])0+(?=[,}])', '\\1', 'g')`;
  return `pg_catalog.regexp_replace(${shortened}, '\\.0+(?=[,}])', '', 'g')`;
}

/** The one table: how each class of values is read, digested and shown. */
const CLASSES: Readonly<Record<ValueClassName, ValueClass>> = {
  integer: integerClass,
  decimal: decimalClass,
  float4: float4Class,
  float8: float8Class,
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
  uuid: uuidClass,
  json: jsonClass,
  money: moneyClass,
  bits: bitsClass,
  array: arrayClass,
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
 * The canonical form of a value in a Debezium event. `schema` is the field's Connect schema where the
 * message has one; without it the encoding follows from `type`, in Debezium's default modes.
 * Null is SQL NULL; undefined: the encoding lost something, read the row instead.
 * @throws LockstepError `bad_value` for what cannot be a value of that class at all
 */
export function canonicalFromDebezium(valueClass: ValueClassName, type: SqlType, encoded: ExactJson, schema: FieldSchema | null): string | null | undefined {
  return encoded === null ? null : CLASSES[valueClass].fromDebezium(type, encoded, schema);
}

/**
 * SQL text of `column` (a quoted reference): columns with equal canonical values give equal text, but for
 * numbers inside JSON that differ in scale only. NULL stays NULL.
 */
export function digestSql(valueClass: ValueClassName, type: SqlType, column: string): string {
  return CLASSES[valueClass].digestSql(type, column);
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
