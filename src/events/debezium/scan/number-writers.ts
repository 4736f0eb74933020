import type { ByteScan } from './bytes.ts';
import { BACKSLASH, COMMA, CLOSE_BRACE, DOT, isFalse, isTrue, MINUS, NINE, QUOTE, safeInteger, skipNumber, ZERO } from './bytes.ts';
import type { ValueWriter } from './text-writers.ts';

/** Whether a value ends at `at`. */
function isEnd(byte: number | undefined): boolean {
  return byte === COMMA || byte === CLOSE_BRACE;
}

/** An integer of any length, digit by digit. */
export function writeInteger(scan: ByteScan): boolean {
  const { buf, out, at, to } = scan;
  let index = at;
  if (buf[index] === MINUS) out[to + index++ - at] = MINUS;
  const first = index;
  for (let byte = buf[index] as number; byte >= ZERO && byte <= NINE; byte = buf[index] as number) {
    out[to + index - at] = byte;
    index++;
  }
  const digits = index - first;
  // A zero in front, alone or negative is for the class itself to judge.
  if (digits === 0 || !isEnd(buf[index]) || (buf[first] === ZERO && (digits > 1 || first > at))) return false;
  scan.at = index;
  scan.to = to + index - at;
  scan.units = index - at;
  return true;
}

export function writeBoolean(scan: ByteScan): boolean {
  const { buf, out, at, to } = scan;
  const length = isTrue(buf, at) ? 4 : isFalse(buf, at) ? 5 : 0;
  if (length === 0) return false;
  for (let index = 0; index < length; index++) out[to + index] = buf[at + index] as number;
  scan.at = at + length;
  scan.to = to + length;
  scan.units = length;
  return true;
}

/** Base64 digits by byte; -1 for others. */
const BASE64 = new Int8Array(256).fill(-1);
Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1').forEach((byte, value) => {
  BASE64[byte] = value;
});
const PADDING = 61;
/** Base64 of up to six bytes, 48 bits: a double holds such a number exactly. */
const BASE64_CHARS_MAX = 8;
/** As base64 this would be a number; without a schema it is what a double in its place would read. */
const UPPER_I = 73;

/** Digits of a number below 2^48, last first. */
const DIGITS = new Uint8Array(20);

/** A decimal as base64 of its unscaled two's complement, `scale` digits of it behind the point. */
export function unscaledWriter(scale: number): ValueWriter {
  return (scan) => {
    const { buf, out, at } = scan;
    if (buf[at] !== QUOTE) return false;
    let chars = 0;
    let padding = 0;
    let high = 0;
    let low = 0;
    let index = at + 1;
    for (; ; index++) {
      const byte = buf[index] as number;
      if (byte === QUOTE) break;
      if (byte === PADDING) {
        if (++padding > 2) return false;
        continue;
      }
      const value = BASE64[byte] ?? -1;
      if (value < 0 || padding > 0 || ++chars > BASE64_CHARS_MAX) return false;
      // 24 bits each, so that all arithmetic stays within 32.
      if (chars <= 4) high = (high << 6) | value;
      else low = (low << 6) | value;
    }
    if (chars === 0 || (chars + padding) % 4 !== 0 || (chars === BASE64_CHARS_MAX && buf[at + 1] === UPPER_I)) return false;
    const bits = 6 * chars - 2 * padding;
    let unscaled: number;
    if (chars <= 4) unscaled = high >>> (2 * padding);
    else {
      const lowBits = 6 * (chars - 4) - 2 * padding;
      unscaled = high * 2 ** lowBits + (low >>> (2 * padding));
    }
    if (unscaled >= 2 ** (bits - 1)) unscaled -= 2 ** bits;
    scan.at = index + 1;
    writeScaled(scan, out, unscaled, scale);
    return true;
  };
}

/** Writes `unscaled` × 10^-scale without zeros at the end of its fraction. */
function writeScaled(scan: ByteScan, out: Uint8Array, unscaled: number, scale: number): void {
  const from = scan.to;
  let { to } = scan;
  let left = Math.abs(unscaled);
  let fraction = scale;
  if (left === 0) fraction = 0;
  while (fraction > 0 && left % 10 === 0) {
    left = left / 10;
    fraction--;
  }
  let count = 0;
  do {
    const rest = Math.floor(left / 10);
    DIGITS[count++] = left - rest * 10;
    left = rest;
  } while (left > 0);
  if (unscaled < 0) out[to++] = MINUS;
  if (count <= fraction) {
    out[to++] = ZERO;
    out[to++] = DOT;
    for (let zeros = fraction - count; zeros > 0; zeros--) out[to++] = ZERO;
    while (count > 0) out[to++] = ZERO + (DIGITS[--count] as number);
  } else {
    while (count > 0) {
      if (count === fraction) out[to++] = DOT;
      out[to++] = ZERO + (DIGITS[--count] as number);
    }
  }
  scan.to = to;
  scan.units = to - from;
}

/** A decimal as plain text, in quotes. */
export function writeDecimalText(scan: ByteScan): boolean {
  const { buf, at } = scan;
  if (buf[at] !== QUOTE) return false;
  const length = writePlainNumber(scan, at + 1, QUOTE);
  if (length < 0) return false;
  scan.at = at + 1 + length + 1;
  return true;
}

/** Writes a number without exponent that stands at `at` and ends at `ending`, with no zeros at the end of its fraction; its length, -1 where it is none. */
export function writePlainNumber(scan: ByteScan, at: number, ending: number): number {
  const { buf, out, to } = scan;
  if (buf[at] === BACKSLASH) return -1;
  const end = skipNumber(buf, at);
  if (end < 0 || buf[end] !== ending) return -1;
  let kept = 0;
  let point = -1;
  let isZero = true;
  for (let index = at; index < end; index++) {
    const byte = buf[index] as number;
    out[to + index - at] = byte;
    if (byte === DOT) point = index - at;
    else if (byte >= ZERO && byte <= NINE) {
      if (byte !== ZERO) isZero = false;
    } else if (byte !== MINUS) return -1;
    if (point < 0 || (byte !== ZERO && byte !== DOT)) kept = index - at + 1;
  }
  if (isZero && buf[at] === MINUS) return -1;
  scan.to = to + kept;
  scan.units = kept;
  return end - at;
}

/** PostgreSQL prints doubles of this size without an exponent, and JavaScript does the same. */
const FLOAT_PLAIN_FROM = 1e-4;
const FLOAT8_PLAIN_TO = 1e15;
const FLOAT4_PLAIN_TO = 1e6;
/** Any decimal of so many digits comes back from a float (FLT_DIG), and so many tell any two floats apart. */
const FLOAT4_DIGITS_SURE = 6;
const FLOAT4_DIGITS_MAX = 9;
/** A longer number is no double's shortest form. */
const FLOAT_CHARS_MAX = 32;

function floatAt(scan: ByteScan): number {
  const { buf, at } = scan;
  const end = skipNumber(buf, at);
  if (end < 0 || !isEnd(buf[end]) || end - at > FLOAT_CHARS_MAX) return Number.NaN;
  scan.at = end;
  return Number(buf.latin1Slice(at, end));
}

function writeAscii(scan: ByteScan, text: string): void {
  const { out, to } = scan;
  for (let index = 0; index < text.length; index++) out[to + index] = text.charCodeAt(index);
  scan.to = to + text.length;
  scan.units = text.length;
}

/** A double: the shortest decimal that reads back, which JavaScript finds as well. */
export function writeFloat8(scan: ByteScan): boolean {
  const value = floatAt(scan);
  const size = Math.abs(value);
  if (!(size >= FLOAT_PLAIN_FROM && size < FLOAT8_PLAIN_TO)) return false;
  writeAscii(scan, String(value));
  return true;
}

const FLOAT_BITS = new Float32Array(1);
const FLOAT_WORD = new Uint32Array(FLOAT_BITS.buffer);
const MANTISSA = 0x7fffff;

/** A float: the shortest decimal that reads back. Powers of two, whose neighbours are not as far on both sides, are left alone. */
export function writeFloat4(scan: ByteScan): boolean {
  const { at } = scan;
  const written = floatAt(scan);
  const value = Math.fround(written);
  const size = Math.abs(value);
  if (!(size >= FLOAT_PLAIN_FROM && size < FLOAT4_PLAIN_TO)) return false;
  if (scan.at - at <= FLOAT4_DIGITS_SURE && written >= FLOAT_PLAIN_FROM) {
    // So few digits are the shortest already.
    writeAscii(scan, String(written));
    return true;
  }
  FLOAT_BITS[0] = value;
  if (((FLOAT_WORD[0] as number) & MANTISSA) === 0) return false;
  for (let digits = FLOAT4_DIGITS_SURE; digits <= FLOAT4_DIGITS_MAX; digits++) {
    const text = value.toPrecision(digits);
    const read = Number(text);
    if (Math.fround(read) !== value) continue;
    const mirrored = 2 * read - value;
    // Exactly between two floats: PostgreSQL passes over it.
    if (read !== value && Math.fround(mirrored) === mirrored) return false;
    // Exactly between two decimals: PostgreSQL takes the even one.
    const longer = value.toPrecision(digits + 1);
    if (longer.endsWith('5') && Number(longer) === value) return false;
    writeAscii(scan, String(read));
    return true;
  }
  return false;
}

/** The whole number at `scan.at`, which moves past it; -1 where there is none that is positive, plain and exact. */
export function takeInteger(scan: ByteScan): number {
  const { buf, at } = scan;
  let index = at;
  for (let byte = buf[index] as number; byte >= ZERO && byte <= NINE; byte = buf[index] as number) index++;
  if (!isEnd(buf[index])) return -1;
  scan.at = index;
  return safeInteger(buf, at, index);
}
