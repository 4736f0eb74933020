import type { ExactJson } from '../json.ts';
import { JsonNumber } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import type { ClassDocs, ValueClass } from './value-class.ts';

/** From 10^this on PostgreSQL prints an exponent (DBL_DIG and FLT_DIG). */
const FLOAT8_EXPONENT_FROM = 15;
const FLOAT4_EXPONENT_FROM = 6;
/** And below 10^this. */
const EXPONENT_BELOW = -4;
/** This many digits tell any two floats apart (IEEE 754 binary32). */
const FLOAT4_DIGITS_MAX = 9;

/** And this many any two doubles. */
const FLOAT8_DIGITS_MAX = 17;
/** From here on a short decimal can lie exactly between two doubles; up to there (5^24 has more than 54 bits). */
const FLOAT8_TIES_FROM = 2 ** 53;
const FLOAT8_TIES_TO = 1e41;

/** More digits than decide how any float, or a double among FLOAT8_TIES, is rounded. */
const EXACT_DIGITS = 60;

/**
 * As PostgreSQL's float8out prints it with extra_float_digits 1: the shortest text that reads back as the same
 * double. Unlike JavaScript, PostgreSQL passes over a decimal that lies exactly between two doubles, though it would
 * be rounded to the right one (1e23 is printed 9.999999999999999e+22; src/common/d2s.c, acceptBounds).
 */
export function float8Text(value: number): string {
  const named = special(value);
  if (named !== null) return named;
  const shortest = value.toExponential();
  const size = Math.abs(value);
  if (size <= FLOAT8_TIES_FROM || size >= FLOAT8_TIES_TO || !isTie8(shortest, value)) return layOut(shortest, FLOAT8_EXPONENT_FROM);
  return layOut(
    shortestOf(value, FLOAT8_DIGITS_MAX, (text) => Number(text) === value && !isTie8(text, value)),
    FLOAT8_EXPONENT_FROM,
  );
}

/** As PostgreSQL's float4out prints it; `value` is rounded to the nearest float first. */
export function float4Text(value: number): string {
  const float = Math.fround(value);
  const named = special(float);
  if (named !== null) return named;
  const readsBack = (text: string): boolean => {
    const read = Number(text);
    return Math.fround(read) === float && !isTie4(read, float);
  };
  return layOut(shortestOf(float, FLOAT4_DIGITS_MAX, readsBack), FLOAT4_EXPONENT_FROM);
}

/** The decimal of fewest digits that reads back, of those the nearest, of two as near the even one; as `d.ddde±x`. */
function shortestOf(value: number, digitsMax: number, readsBack: (text: string) => boolean): string {
  const sign = value < 0 ? '-' : '';
  const [mantissa = '', exponentText = ''] = Math.abs(value).toExponential(EXACT_DIGITS).split('e');
  const exact = mantissa.replace('.', '');
  const exponent = Number(exponentText);
  for (let count = 1; count <= digitsMax; count++) {
    const below = exact.slice(0, count);
    const above = (BigInt(below) + 1n).toString();
    const belowText = `${sign}${below[0]}.${below.slice(1)}0e${exponent}`;
    const aboveText = `${sign}${above[0]}.${above.slice(1)}0e${above.length > count ? exponent + 1 : exponent}`;
    const belowReads = readsBack(belowText);
    const aboveReads = readsBack(aboveText);
    if (belowReads && aboveReads) {
      const rest = exact.slice(count).padEnd(EXACT_DIGITS, '0');
      const half = '5'.padEnd(rest.length, '0');
      const up = rest === half ? (below.charCodeAt(count - 1) - 48) % 2 === 1 : rest > half;
      return up ? aboveText : belowText;
    }
    if (belowReads) return belowText;
    if (aboveReads) return aboveText;
  }
  return value.toExponential(digitsMax - 1);
}

/** Whether the decimal lies exactly between `value` and a neighbour: then its mirror image is that neighbour. */
function isTie8(exponential: string, value: number): boolean {
  const [mantissa = '', exponent = ''] = exponential.split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const decimal = BigInt(whole + fraction) * 10n ** BigInt(Math.max(Number(exponent) - fraction.length, 0));
  const exact = BigInt(value);
  const mirrored = 2n * decimal - exact;
  return decimal !== exact && BigInt(Number(mirrored)) === mirrored;
}

/** The same for floats; a point halfway between two floats is a double. */
function isTie4(decimal: number, float: number): boolean {
  const mirrored = 2 * decimal - float;
  return decimal !== float && Math.fround(mirrored) === mirrored;
}

function special(value: number): string | null {
  if (Number.isNaN(value)) return 'NaN';
  if (value === Infinity) return 'Infinity';
  if (value === -Infinity) return '-Infinity';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  return null;
}

/** Lays `d.ddde±x` out as PostgreSQL does. */
function layOut(exponential: string, exponentFrom: number): string {
  const split = exponential.indexOf('e');
  let mantissa = exponential.slice(0, split);
  const exponent = Number(exponential.slice(split + 1));
  const sign = mantissa.startsWith('-') ? '-' : '';
  mantissa = mantissa.slice(sign.length);
  const digits = mantissa.replace('.', '').replace(/0+$/, '');
  if (exponent < EXPONENT_BELOW || exponent >= exponentFrom) {
    const point = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
    const size = Math.abs(exponent).toString().padStart(2, '0');
    return `${sign}${point}e${exponent < 0 ? '-' : '+'}${size}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const fraction = digits.slice(exponent + 1);
  return fraction === '' ? sign + whole : `${sign}${whole}.${fraction}`;
}

/**
 * A double of at most 15 digits as PostgreSQL prints it: no other decimal of so few digits is rounded to the same double
 * (DBL_DIG), so that it is the shortest one already.
 */
const SHORT_FLOAT8 = /^-?(?:[1-9][0-9]{0,7}|0(?=\.[1-9]))(?:\.[0-9]{0,6}[1-9])?$/;

const NUMBER = /^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const NAMED = /^([+-]?)(nan|inf|infinity)$/i;

function parseFloatText(text: string): number | null {
  if (NUMBER.test(text)) return Number(text);
  const named = NAMED.exec(text);
  if (named === null) return null;
  if (/nan/i.test(text)) return Number.NaN;
  return named[1] === '-' ? -Infinity : Infinity;
}

function floatText(type: SqlType, text: string, encoded: ExactJson, print: (value: number) => string): string {
  const value = parseFloatText(text);
  if (value === null) throw badValue(type, encoded, 'a number, NaN or ±Infinity');
  return print(value);
}

function floatClass(print: (value: number) => string, fromText: ValueClass['fromText'], digestSql: ValueClass['digestSql'], docs: ClassDocs): ValueClass {
  return {
    fromText,
    fromDebezium: (type, encoded) => {
      if (encoded instanceof JsonNumber) return floatText(type, encoded.text, encoded, print);
      if (typeof encoded === 'string') return floatText(type, encoded, encoded, print);
      throw badValue(type, encoded, 'a number, NaN or ±Infinity');
    },
    digestSql,
    shown: (text) => text,
    fromInput: (_type, typed) => {
      const value = parseFloatText(typed.trim());
      return value === null ? undefined : print(value);
    },
    docs,
  };
}

const asText = (_type: SqlType, column: string): string => `${column}::text`;
const NORMALISED = 'nothing: -0 and 0 differ, NaN equals NaN';

export const float4Class = floatClass(float4Text, (type, text) => floatText(type, text, text, float4Text), asText, {
  types: 'real',
  compared: 'all 32 bits, as the shortest decimal that reads back as the same float',
  normalised: NORMALISED,
  notCompared: 'the payload of a NaN',
});

export const float8Class = floatClass(float8Text, (type, text) => (SHORT_FLOAT8.test(text) ? text : floatText(type, text, text, float8Text)), asText, {
  types: 'double precision',
  compared: 'all 64 bits, as the shortest decimal that reads back as the same double',
  normalised: NORMALISED,
  notCompared: 'the payload of a NaN',
});

/** The float4 that a double came from, by widening its bits or by way of its text; else the double itself. */
function mixedText(value: number): string {
  const text = float4Text(value);
  return Object.is(Math.fround(value), value) || Object.is(Number(text), value) ? text : float8Text(value);
}

/** A double within the range of real: outside it PostgreSQL refuses the cast. */
const IN_FLOAT4_RANGE = (column: string): string =>
  `${column} = 0 OR pg_catalog.abs(${column}) BETWEEN 1.4e-45::float8 AND 3.4028234663852886e38::float8`;

/** float4 against float8. */
export const mixedFloatClass = floatClass(
  mixedText,
  (type, text) => floatText(type, text, text, type.base === 'float4' ? float4Text : mixedText),
  (type, column) =>
    type.base === 'float4'
      ? `${column}::text`
      : `(CASE WHEN ${IN_FLOAT4_RANGE(column)} THEN (CASE WHEN ${column}::float4::float8 = ${column} OR ${column}::float4::text::float8 = ${column} THEN ${column}::float4::text ELSE ${column}::text END) ELSE ${column}::text END)`,
  {
    types: 'real against double precision',
    compared: 'the double is the real’s bits widened, or the real’s shortest decimal: both are faithful copies; anything else differs',
    normalised: 'which of the two ways the real was widened',
    notCompared: 'the payload of a NaN',
  },
);
