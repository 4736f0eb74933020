import type { ExactJson } from '../json.ts';
import { JsonNumber } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import type { ValueClass } from './value-class.ts';

/** From 10^this on PostgreSQL prints an exponent (DBL_DIG and FLT_DIG). */
const FLOAT8_EXPONENT_FROM = 15;
const FLOAT4_EXPONENT_FROM = 6;
/** And below 10^this. */
const EXPONENT_BELOW = -4;
/** This many digits tell any two floats apart (IEEE 754 binary32). */
const FLOAT4_DIGITS_MAX = 9;

/** As PostgreSQL's float8out prints it with extra_float_digits 1: the shortest text that reads back as the same double. */
export function float8Text(value: number): string {
  return special(value) ?? layOut(value.toExponential(), FLOAT8_EXPONENT_FROM);
}

/** As PostgreSQL's float4out prints it; `value` is rounded to the nearest float first. */
export function float4Text(value: number): string {
  const float = Math.fround(value);
  const named = special(float);
  if (named !== null) return named;
  for (let digits = 1; digits < FLOAT4_DIGITS_MAX; digits++) {
    const shortest = float.toExponential(digits - 1);
    if (Math.fround(Number(shortest)) === float) return layOut(shortest, FLOAT4_EXPONENT_FROM);
  }
  return layOut(float.toExponential(FLOAT4_DIGITS_MAX - 1), FLOAT4_EXPONENT_FROM);
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

const NUMBER = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const NAMED = /^([+-]?)(nan|inf|infinity)$/i;

function parseFloatText(text: string): number | null {
  if (NUMBER.test(text)) return Number(text);
  const named = NAMED.exec(text);
  if (named === null) return null;
  if (/nan/i.test(text)) return Number.NaN;
  return named[1] === '-' ? -Infinity : Infinity;
}

function floatClass(print: (value: number) => string): ValueClass {
  const canonical = (type: SqlType, text: string, encoded: ExactJson): string => {
    const value = parseFloatText(text);
    if (value === null) throw badValue(type, encoded, 'a number, NaN or ±Infinity');
    return print(value);
  };
  return {
    fromText: (type, text) => canonical(type, text, text),
    fromDebezium: (type, encoded) => {
      if (encoded instanceof JsonNumber) return canonical(type, encoded.text, encoded);
      if (typeof encoded === 'string') return canonical(type, encoded, encoded);
      throw badValue(type, encoded, 'a number, NaN or ±Infinity');
    },
    digestSql: (_type, column) => `${column}::text`,
    shown: (text) => text,
    fromInput: (_type, typed) => {
      const value = parseFloatText(typed.trim());
      return value === null ? undefined : print(value);
    },
  };
}

export const float4Class = floatClass(float4Text);
export const float8Class = floatClass(float8Text);
