import type { SqlType } from '../pair.ts';
import { canonicalDecimal } from '../values/decimal.ts';
import { withoutEnd } from '../values/ends.ts';
import { float4Text } from '../values/float.ts';
import type { Pattern, ValueChange } from './change.ts';
import type { Finding } from './codes.ts';
import { counted } from './text.ts';

/** A finite decimal: unscaled × 10^-scale. */
export interface Decimal {
  readonly unscaled: bigint;
  readonly scale: number;
}

const PLAIN = /^(-?)([0-9]+)(?:\.([0-9]+))?$/;
/** A longer number goes through no float that keeps it recognisable. */
const DIGITS_MAX = 1_100;

/** Reads a canonical finite number in any notation; null for NaN, the infinities and what is too long to matter. */
export function decimalOf(text: string): Decimal | null {
  const plain = PLAIN.test(text) ? text : canonicalDecimal(text);
  const match = plain === null || plain.length > DIGITS_MAX ? null : PLAIN.exec(plain);
  if (match === null) return null;
  const [, sign = '', whole = '0', fraction = ''] = match;
  return { unscaled: BigInt(`${sign}${whole}${fraction}`), scale: fraction.length };
}

function equal(left: Decimal, right: Decimal): boolean {
  const scale = Math.max(left.scale, right.scale);
  return atScale(left, scale) === atScale(right, scale);
}

function atScale({ unscaled, scale }: Decimal, wanted: number): bigint {
  return unscaled * 10n ** BigInt(wanted - scale);
}

export type Rounding = 'cut' | 'rounded';

/** How `whole`, cut or rounded (half up or half even) to a multiple of `unit`, becomes `part`; null where neither does. */
export function roundingTo(whole: bigint, part: bigint, unit: bigint): Rounding | null {
  if (unit <= 1n || whole % unit === 0n || part % unit !== 0n) return null;
  const floor = whole - (((whole % unit) + unit) % unit);
  if (part === (whole / unit) * unit || part === floor) return 'cut';
  const above = floor + unit;
  return part === above && 2n * (whole - floor) >= unit ? 'rounded' : null;
}

const SIGNS: Pattern = ({ from, to }) => {
  if (from === '-0' || to === '-0') return zero(from) && zero(to) ? { code: 'sign', detail: from === '-0' ? 'negative zero became zero' : 'zero became negative zero' } : null;
  return from === `-${to}` || to === `-${from}` ? { code: 'sign', detail: 'negated' } : null;
};

function zero(text: string): boolean {
  return text === '0' || text === '-0';
}

/** What a column of floats prints for its largest value. */
const LARGEST = new Set(['1.7976931348623157e+308', '3.4028235e+38']);
const NULLISH_NUMBERS = new Set(['0', '-0']);

const specialReplaced: Pattern = ({ from, to }) => {
  if (from === 'NaN' && NULLISH_NUMBERS.has(to)) return { code: 'nan_replaced', detail: 'by 0' };
  if (from !== 'Infinity' && from !== '-Infinity') return null;
  if (NULLISH_NUMBERS.has(to)) return { code: 'infinity_replaced', detail: 'by 0' };
  if (to === 'NaN') return { code: 'infinity_replaced', detail: 'by NaN' };
  if (to === (from === 'Infinity' ? '-Infinity' : 'Infinity')) return { code: 'infinity_replaced', detail: 'by the other infinity' };
  return LARGEST.has(to.replace('-', '')) ? { code: 'infinity_replaced', detail: 'by the largest number' } : null;
};

/** Digits that any double keeps (DBL_DIG) and any float (FLT_DIG): PostgreSQL's cast to numeric has no more. */
const DOUBLE_DIGITS = 15;
const FLOAT_DIGITS = 6;
const FLOAT_BASES: ReadonlySet<string> = new Set(['float4', 'float8']);

/** A double's value, every digit of it. */
function exactly(value: number): Decimal {
  let unscaled = value;
  let scale = 0;
  // Doubling is exact: after so many the number is whole, and BigInt takes it as it is.
  while (!Number.isInteger(unscaled)) {
    unscaled *= 2;
    scale++;
  }
  return { unscaled: BigInt(unscaled) * 5n ** BigInt(scale), scale };
}

/** What a decimal may look like once a float has held it. */
function heldBy(value: number, shortest: string, digits: number): Decimal[] {
  return [decimalOf(shortest), exactly(value), decimalOf(value.toPrecision(digits))].filter((decimal) => decimal !== null);
}

/** Below this distance a whole number may as well have been counted up or down. */
const COUNTED = 1_000n;

const throughFloat: Pattern = (change) => {
  const from = decimalOf(change.from);
  const to = decimalOf(change.to);
  if (from === null || to === null) return null;
  const asDouble = Number(change.from);
  if (!Number.isFinite(asDouble) || equal(from, to)) return null;
  const plain = plainRounding(from, to) !== null;
  const typed = change.toType !== null && !change.toType.array && FLOAT_BASES.has(change.toType.base);
  const shown = (held: readonly Decimal[]): boolean => held.some((decimal) => equal(decimal, to) || isNearest(decimal, to));
  const digits = to.unscaled.toString().replace('-', '').length;
  // Where a plain rounding says the same, the type decides, or that only a double stops after so many digits.
  const doubleLike = !plain || typed || (digits >= DOUBLE_DIGITS && change.toType?.scale !== to.scale);
  if (doubleLike && !equal(exactly(asDouble), from) && shown(heldBy(asDouble, asDouble.toString(), DOUBLE_DIGITS))) {
    return { code: 'through_float', detail: 'a double' };
  }
  const asFloat = Math.fround(asDouble);
  const apart = from.unscaled - to.unscaled;
  const counted = from.scale === 0 && to.scale === 0 && apart < COUNTED && apart > -COUNTED;
  if (((!plain && !counted) || typed) && Number.isFinite(asFloat) && !equal(exactly(asFloat), from) && shown(heldBy(asFloat, float4Text(asFloat), FLOAT_DIGITS))) {
    return { code: 'through_float', detail: 'a 4-byte float' };
  }
  return null;
};

/** Whether `to` is `decimal` rounded to as many digits. */
function isNearest(decimal: Decimal, to: Decimal): boolean {
  if (decimal.scale <= to.scale || to.unscaled === 0n) return false;
  const apart = decimal.unscaled - atScale(to, decimal.scale);
  return 2n * (apart < 0n ? -apart : apart) <= 10n ** BigInt(decimal.scale - to.scale);
}

function plainRounding(from: Decimal, to: Decimal): Rounding | null {
  if (from.scale <= to.scale) return null;
  return roundingTo(from.unscaled, atScale(to, from.scale), 10n ** BigInt(from.scale - to.scale));
}

/** A number that ends sooner may be an earlier value: 100 of 100.25. Fractions of more digits than money has are not made by hand. */
const KEPT_DIGITS_MIN = 2;
const LOST_DIGITS_MIN = 3;

const INTEGER_BASES: ReadonlySet<string> = new Set(['int2', 'int4', 'int8']);

/** Digits after the point that a column can hold; null for any. */
function scaleOf(type: SqlType | null): number | null {
  if (type === null || type.array) return null;
  return INTEGER_BASES.has(type.base) ? 0 : type.scale;
}

const digitsLost: Pattern = ({ from: fromText, to: toText, toType }) => {
  const from = decimalOf(fromText);
  const to = decimalOf(toText);
  if (from === null || to === null || from.scale <= to.scale) return null;
  const scale = scaleOf(toType);
  // Zeros at the end are gone from the canonical form: the column's own scale comes first.
  if (scale !== null && scale > to.scale && scale < from.scale) {
    const how = roundingTo(from.unscaled, atScale(to, from.scale), 10n ** BigInt(from.scale - scale));
    if (how !== null) return lost(how, scale, toType);
  }
  const how = plainRounding(from, to);
  if (how === null) return null;
  if (scale === to.scale) return lost(how, to.scale, toType);
  return to.scale >= KEPT_DIGITS_MIN || from.scale - to.scale >= LOST_DIGITS_MIN ? lost(how, to.scale, null) : null;
};

/** @param type whose scale these digits are; null for none */
function lost(how: Rounding, digits: number, type: SqlType | null): Finding {
  const detail = `${how} to ${counted(digits, 'digit')} after the point`;
  return type === null ? { code: 'precision_lost', detail } : { code: 'precision_lost', detail: `${detail}, the scale of ${type.formatted}`, byType: true };
}

/** Fewer significant digits of a float say too little. */
const SIGNIFICANT_MIN = 6;
const SIGNIFICANT_MAX = 16;

const significantLost: Pattern = ({ from, to }) => {
  const value = Number(from);
  const was = decimalOf(from);
  const wanted = decimalOf(to);
  if (!Number.isFinite(value) || was === null || wanted === null) return null;
  const had = digitsOf(was).digits.replace('-', '').length;
  for (let digits = SIGNIFICANT_MAX; digits >= SIGNIFICANT_MIN; digits--) {
    if (digits < DOUBLE_DIGITS && had - digits < LOST_DIGITS_MIN) continue;
    const rounded = decimalOf(value.toPrecision(digits));
    if (rounded !== null && equal(rounded, wanted)) return { code: 'precision_lost', detail: `rounded to ${digits} significant digits` };
  }
  return null;
};

/** A 4-byte float's nearest value in a column of doubles, or printed again from one. */
const throughFloat4: Pattern = ({ from, to, toType }) => {
  const value = Number(from);
  if (!Number.isFinite(value)) return null;
  const float = Math.fround(value);
  if (float === value || !Number.isFinite(float)) return null;
  const was = decimalOf(from);
  const is = decimalOf(to);
  const plain = was !== null && is !== null && plainRounding(was, is) !== null;
  const printed = (!plain || toType?.base === 'float4') && Number(to) === Number(float4Text(float));
  return printed || Number(to) === float ? { code: 'through_float', detail: 'a 4-byte float' } : null;
};

/** Epochs from 2001 to 2100, in seconds; in other units times 10^3, 10^6, 10^9. */
const EPOCH_FROM_S = 978_307_200n;
const EPOCH_TO_S = 4_102_444_800n;
const EPOCH_UNITS: readonly (readonly [bigint, string])[] = [
  [1n, 's'],
  [1_000n, 'ms'],
  [1_000_000n, 'µs'],
  [1_000_000_000n, 'ns'],
];

function epochUnit(value: bigint): readonly [bigint, string] | null {
  return EPOCH_UNITS.find(([unit]) => value >= EPOCH_FROM_S * unit && value < EPOCH_TO_S * unit) ?? null;
}

const epochNumber: Pattern = (change) => {
  const from = wholeOf(change.from);
  const to = wholeOf(change.to);
  if (from === null || to === null) return null;
  const was = epochUnit(from);
  const is = epochUnit(to);
  if (was === null || is === null || was[0] === is[0]) return null;
  const same = was[0] > is[0] ? from / (was[0] / is[0]) === to : from * (is[0] / was[0]) === to;
  return same ? { code: 'epoch_unit', detail: `${was[1]} became ${is[1]}` } : null;
};

function wholeOf(text: string): bigint | null {
  const decimal = decimalOf(text);
  return decimal === null || decimal.scale > 0 ? null : decimal.unscaled;
}

/** With fewer digits one number is too often ten times another. */
const POINT_DIGITS_MIN = 4;

const pointMoved: Pattern = ({ from: fromText, to: toText }) => {
  const from = decimalOf(fromText);
  const to = decimalOf(toText);
  if (from === null || to === null) return null;
  const was = digitsOf(from);
  const is = digitsOf(to);
  if (was.digits !== is.digits || was.digits.replace('-', '').length < POINT_DIGITS_MIN || was.exponent === is.exponent) return null;
  return { code: 'point_moved', detail: `by ${counted(Math.abs(is.exponent - was.exponent), 'digit')} to the ${is.exponent > was.exponent ? 'right' : 'left'}` };
};

function digitsOf({ unscaled, scale }: Decimal): { readonly digits: string; readonly exponent: number } {
  const all = unscaled.toString();
  const digits = withoutEnd(all, '0');
  return { digits, exponent: all.length - digits.length - scale };
}

/** The reversed bytes of an integer of its column's size. */
const INTEGER_BYTES: Readonly<Record<string, number>> = { int2: 2, int4: 4, int8: 8 };
/** Numbers below it are the same few bytes too often. */
const BYTE_ORDER_FROM = 256n;

const byteOrder: Pattern = (change: ValueChange) => {
  const size = change.fromType === null || change.fromType.array ? undefined : INTEGER_BYTES[change.fromType.base];
  const from = wholeOf(change.from);
  const to = wholeOf(change.to);
  if (size === undefined || from === null || to === null || (from < BYTE_ORDER_FROM && to < BYTE_ORDER_FROM)) return null;
  const hex = (value: bigint): string => BigInt.asUintN(8 * size, value).toString(16).padStart(2 * size, '0');
  return Buffer.from(hex(from), 'hex').reverse().toString('hex') === hex(to) ? { code: 'byte_order', detail: null } : null;
};

/** What becomes of integers and decimals, the most specific first. */
export const NUMBER_PATTERNS: readonly Pattern[] = [specialReplaced, SIGNS, byteOrder, throughFloat, digitsLost, epochNumber, pointMoved];

/** What becomes of floats. */
export const FLOAT_PATTERNS: readonly Pattern[] = [specialReplaced, SIGNS, throughFloat4, digitsLost, significantLost, pointMoved];
