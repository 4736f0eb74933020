import type { ByteScan } from './bytes.ts';
import {
  BACKSLASH, CLOSE_BRACE, CLOSE_BRACKET, COLON, COMMA, DOT, isFalse, isNull, isTrue, LOWER_B, LOWER_F, LOWER_N, LOWER_R, LOWER_T, MINUS, NINE,
  NOT_ASCII, OPEN_BRACE, OPEN_BRACKET, QUOTE, skipNumber, SPACE, ZERO,
} from './bytes.ts';
import { writeText } from './text-writers.ts';

/** Deeper documents are left to the class's own conversion. */
const DEPTH_MAX = 32;
/** Longer numbers may be written with an exponent. */
const NUMBER_CHARS_MAX = 40;

/** By depth: where the name before was written, and its length; nothing was where that is negative. */
const nameAt = new Int32Array(DEPTH_MAX);
const nameLength = new Int32Array(DEPTH_MAX);

/** The document within the message's string, unescaped; one for all, as none outlives its value. */
const document = new (class {
  buf: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;
  out: Uint8Array = new Uint8Array(0);
  to = 0;
})();

/** A document whose fields stand in jsonb's order already, as jsonb prints them; any other is left alone. */
export function writeJson(scan: ByteScan): boolean {
  const from = scan.to;
  // Unescaped behind where the canonical form, which is not longer, will end.
  scan.to = from + scan.end - scan.at;
  const raw = scan.to;
  if (!writeText(scan)) return false;
  document.buf = scan.out;
  document.out = scan.out;
  document.at = raw;
  document.end = scan.to;
  document.to = from;
  if (!writeValue(0)) return false;
  skipSpace();
  if (document.at !== document.end) return false;
  scan.to = document.to;
  scan.units = scan.ascii ? document.to - from : unitsIn(scan.out, from, document.to);
  return true;
}

function unitsIn(bytes: Uint8Array, from: number, to: number): number {
  let units = 0;
  for (let index = from; index < to; index++) {
    const byte = bytes[index] as number;
    if ((byte & 0xc0) !== NOT_ASCII) units += byte >= 0xf0 ? 2 : 1;
  }
  return units;
}

function skipSpace(): void {
  const { buf, end } = document;
  let { at } = document;
  while (at < end && (buf[at] === SPACE || buf[at] === 10 || buf[at] === 13 || buf[at] === 9)) at++;
  document.at = at;
}

function writeValue(depth: number): boolean {
  skipSpace();
  const { buf, at, end } = document;
  if (at >= end) return false;
  switch (buf[at] as number) {
    case QUOTE:
      return writeString();
    case OPEN_BRACE:
      return depth < DEPTH_MAX && writeObject(depth);
    case OPEN_BRACKET:
      return depth < DEPTH_MAX && writeArray(depth);
    case LOWER_T:
      return isTrue(buf, at) && copy(4);
    case LOWER_F:
      return isFalse(buf, at) && copy(5);
    case LOWER_N:
      return isNull(buf, at) && copy(4);
    default:
      return writeNumber();
  }
}

function copy(length: number): boolean {
  const { buf, out, at, to, end } = document;
  if (at + length > end) return false;
  for (let index = 0; index < length; index++) out[to + index] = buf[at + index] as number;
  document.at = at + length;
  document.to = to + length;
  return true;
}

/** Only escapes that are written the same way again. */
function isKeptEscape(byte: number | undefined): boolean {
  return byte === QUOTE || byte === BACKSLASH || byte === LOWER_N || byte === LOWER_R || byte === LOWER_T || byte === LOWER_B || byte === LOWER_F;
}

function writeString(): boolean {
  const { buf, out, end } = document;
  let { at, to } = document;
  if (buf[at] !== QUOTE) return false;
  out[to++] = QUOTE;
  at++;
  for (;;) {
    if (at >= end) return false;
    const byte = buf[at++] as number;
    if (byte === QUOTE) break;
    if (byte < SPACE) return false;
    out[to++] = byte;
    if (byte !== BACKSLASH) continue;
    const escape = buf[at++];
    if (at > end || !isKeptEscape(escape)) return false;
    out[to++] = escape as number;
  }
  out[to++] = QUOTE;
  document.at = at;
  document.to = to;
  return true;
}

function writeNumber(): boolean {
  const { buf, out, at, to, end } = document;
  const after = skipNumber(buf, at);
  if (after < 0 || after > end || after - at > NUMBER_CHARS_MAX) return false;
  let kept = 0;
  let hasPoint = false;
  let isZero = true;
  for (let index = at; index < after; index++) {
    const byte = buf[index] as number;
    out[to + index - at] = byte;
    if (byte === DOT) hasPoint = true;
    else if (byte >= ZERO && byte <= NINE) {
      if (byte !== ZERO) isZero = false;
    } else if (byte !== MINUS) return false;
    if (!hasPoint || (byte !== ZERO && byte !== DOT)) kept = index - at + 1;
  }
  if (isZero && buf[at] === MINUS) return false;
  document.at = after;
  document.to = to + kept;
  return true;
}

function writeArray(depth: number): boolean {
  const { buf, out } = document;
  out[document.to++] = OPEN_BRACKET;
  document.at++;
  skipSpace();
  if (buf[document.at] === CLOSE_BRACKET && document.at < document.end) return copy(1);
  for (;;) {
    if (!writeValue(depth + 1)) return false;
    skipSpace();
    if (document.at >= document.end) return false;
    const byte = buf[document.at];
    if (byte !== COMMA && byte !== CLOSE_BRACKET) return false;
    copy(1);
    if (byte === CLOSE_BRACKET) return true;
  }
}

function writeObject(depth: number): boolean {
  const { buf, out } = document;
  out[document.to++] = OPEN_BRACE;
  document.at++;
  skipSpace();
  if (buf[document.at] === CLOSE_BRACE && document.at < document.end) return copy(1);
  nameLength[depth] = -1;
  for (;;) {
    skipSpace();
    const at = document.to + 1;
    if (!writeString()) return false;
    const length = document.to - 1 - at;
    if (!isAfter(out, at, length, nameAt[depth] as number, nameLength[depth] as number)) return false;
    nameAt[depth] = at;
    nameLength[depth] = length;
    skipSpace();
    if (document.at >= document.end || buf[document.at] !== COLON) return false;
    copy(1);
    if (!writeValue(depth + 1)) return false;
    skipSpace();
    if (document.at >= document.end) return false;
    const byte = buf[document.at];
    if (byte !== COMMA && byte !== CLOSE_BRACE) return false;
    copy(1);
    if (byte === CLOSE_BRACE) return true;
  }
}

/** Whether a name has no escapes and comes after the one before, shorter ones first and then by bytes. */
function isAfter(out: Uint8Array, at: number, length: number, beforeAt: number, beforeLength: number): boolean {
  for (let index = at; index < at + length; index++) if (out[index] === BACKSLASH) return false;
  if (length !== beforeLength) return length > beforeLength;
  for (let index = 0; index < length; index++) {
    const byte = out[at + index] as number;
    const before = out[beforeAt + index] as number;
    if (byte !== before) return byte > before;
  }
  return false;
}
