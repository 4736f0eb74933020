import type { ByteScan } from './bytes.ts';
import { BACKSLASH, CLOSE_BRACKET, COMMA, isNull, LOWER_B, LOWER_F, LOWER_N, LOWER_R, LOWER_T, LOWER_U, NOT_ASCII, OPEN_BRACKET, QUOTE, SLASH, SPACE } from './bytes.ts';

/**
 * Writes the canonical form of the value at `scan.at`, moves on past it and sets `scan.units`; false where it leaves the
 * value to the class's own conversion, `scan` then being of no use but for its places before the value.
 */
export type ValueWriter = (scan: ByteScan) => boolean;

const UTF8_CONTINUATION = 0xc0;
const FOUR_BYTES = 0xf0;
const SURROGATES_FROM = 0xd800;
const SURROGATES_TO = 0xdfff;

/** UTF-16 units that a byte of UTF-8 begins. */
function unitsOf(byte: number): number {
  return (byte & UTF8_CONTINUATION) === NOT_ASCII ? 0 : byte >= FOUR_BYTES ? 2 : 1;
}

/** The character that a short escape stands for; -1 for another escape. */
function unescaped(byte: number | undefined): number {
  switch (byte ?? 0) {
    case QUOTE:
    case BACKSLASH:
    case SLASH:
      return byte as number;
    case LOWER_N:
      return 10;
    case LOWER_T:
      return 9;
    case LOWER_R:
      return 13;
    case LOWER_B:
      return 8;
    case LOWER_F:
      return 12;
    default:
      return -1;
  }
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** The UTF-16 unit of `\uXXXX`, its digits beginning at `at`; -1 where they are none, or half of a character alone. */
function escapedUnit(buf: Uint8Array, at: number): number {
  let unit = 0;
  for (let index = at; index < at + 4; index++) {
    const digit = hexDigit(buf[index]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit >= SURROGATES_FROM && unit <= SURROGATES_TO ? -1 : unit;
}

function writeUnit(out: Uint8Array, to: number, unit: number): number {
  if (unit < NOT_ASCII) {
    out[to] = unit;
    return to + 1;
  }
  if (unit < 0x800) {
    out[to] = 0xc0 | (unit >> 6);
    out[to + 1] = 0x80 | (unit & 0x3f);
    return to + 2;
  }
  out[to] = 0xe0 | (unit >> 12);
  out[to + 1] = 0x80 | ((unit >> 6) & 0x3f);
  out[to + 2] = 0x80 | (unit & 0x3f);
  return to + 3;
}

/** Characters as they are. */
export function writeText(scan: ByteScan): boolean {
  const { buf, out, end } = scan;
  let { at, to } = scan;
  if (buf[at] !== QUOTE) return false;
  at++;
  let units = 0;
  for (;;) {
    if (at >= end) return false;
    const byte = buf[at] as number;
    if (byte === QUOTE) break;
    if (byte === BACKSLASH) {
      if (buf[at + 1] === LOWER_U) {
        const unit = escapedUnit(buf, at + 2);
        if (unit < 0) return false;
        to = writeUnit(out, to, unit);
        at += 6;
      } else {
        const character = unescaped(buf[at + 1]);
        if (character < 0) return false;
        out[to++] = character;
        at += 2;
      }
      units++;
      continue;
    }
    if (byte < SPACE) return false;
    units += byte < NOT_ASCII ? 1 : unitsOf(byte);
    out[to++] = byte;
    at++;
  }
  scan.at = at + 1;
  scan.to = to;
  scan.units = units;
  return true;
}

/** Characters without the blanks at their end. */
export function writePaddedText(scan: ByteScan): boolean {
  const from = scan.to;
  if (!writeText(scan)) return false;
  while (scan.to > from && scan.out[scan.to - 1] === SPACE) {
    scan.to--;
    scan.units--;
  }
  return true;
}

const UUID_CHARS = 36;
const DASH = 45;

/** A uuid as PostgreSQL prints it. */
export function writeUuid(scan: ByteScan): boolean {
  const { buf, out, at, to } = scan;
  if (buf[at] !== QUOTE || buf[at + 1 + UUID_CHARS] !== QUOTE) return false;
  for (let index = 0; index < UUID_CHARS; index++) {
    const byte = buf[at + 1 + index] as number;
    const isDash = index === 8 || index === 13 || index === 18 || index === 23;
    if (isDash ? byte !== DASH : !((byte >= 48 && byte <= 57) || (byte >= 97 && byte <= 102))) return false;
    out[to + index] = byte;
  }
  scan.at = at + UUID_CHARS + 2;
  scan.to = to + UUID_CHARS;
  scan.units = UUID_CHARS;
  return true;
}

/** An array of texts, each element quoted. `mayBeLeftOut`: whether the string at a place may be a stand-in for a value. */
export function textArrayWriter(mayBeLeftOut: (buf: Uint8Array, at: number) => boolean): ValueWriter {
  return (scan) => {
    const { buf, out, end } = scan;
    let { at, to } = scan;
    if (buf[at] !== OPEN_BRACKET) return false;
    at++;
    out[to++] = 123;
    let units = 2;
    let hasText = false;
    if (buf[at] === CLOSE_BRACKET) at++;
    else {
      for (;;) {
        if (isNull(buf, at)) {
          out.set(NULL, to);
          to += NULL.length;
          units += NULL.length;
          at += NULL.length;
        } else {
          // Java's own text of an array within an array begins so.
          if (buf[at] !== QUOTE || buf[at + 1] === OPEN_BRACKET || mayBeLeftOut(buf, at)) return false;
          hasText = true;
          out[to++] = QUOTE;
          at++;
          units += 2;
          for (;;) {
            if (at >= end) return false;
            const byte = buf[at] as number;
            if (byte === QUOTE) break;
            if (byte === BACKSLASH) {
              const character = unescaped(buf[at + 1]);
              if (character < 0) return false;
              if (character === QUOTE || character === BACKSLASH) {
                out[to++] = BACKSLASH;
                units++;
              }
              out[to++] = character;
              units++;
              at += 2;
              continue;
            }
            if (byte < SPACE) return false;
            units += byte < NOT_ASCII ? 1 : unitsOf(byte);
            out[to++] = byte;
            at++;
          }
          out[to++] = QUOTE;
          at++;
        }
        const byte = buf[at++];
        if (byte === CLOSE_BRACKET) break;
        if (byte !== COMMA) return false;
        out[to++] = COMMA;
        units++;
      }
      // Nulls alone stand for an array of arrays as well.
      if (!hasText) return false;
    }
    out[to++] = 125;
    scan.at = at;
    scan.to = to;
    scan.units = units;
    return true;
  };
}

const NULL = Buffer.from('NULL');
