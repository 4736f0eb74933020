/** Bytes of JSON's own characters, and of what canonical values are made of. */
export const SPACE = 32;
export const QUOTE = 34;
export const PLUS = 43;
export const COMMA = 44;
export const MINUS = 45;
export const DOT = 46;
export const SLASH = 47;
export const ZERO = 48;
export const NINE = 57;
export const COLON = 58;
export const QUESTION = 63;
export const UPPER_E = 69;
export const UPPER_T = 84;
export const UPPER_Z = 90;
export const OPEN_BRACKET = 91;
export const BACKSLASH = 92;
export const CLOSE_BRACKET = 93;
export const LOWER_A = 97;
export const LOWER_B = 98;
export const LOWER_E = 101;
export const LOWER_F = 102;
export const LOWER_N = 110;
export const LOWER_R = 114;
export const LOWER_T = 116;
export const LOWER_U = 117;
export const OPEN_BRACE = 123;
export const CLOSE_BRACE = 125;
export const TILDE = 126;
/** From here on a byte is part of a character of several bytes. */
export const NOT_ASCII = 128;

/** Deeper values are left to the slow decoder, which counts and refuses. */
const DEPTH_MAX = 64;

/** Node's own slices of one encoding, which its types leave out: half the cost of `toString`. */
export interface SlicedBuffer extends Buffer {
  latin1Slice(from: number, to: number): string;
  utf8Slice(from: number, to: number): string;
}

/** What is being read and what is being written; shared, so that a value costs no object. */
export class ByteScan {
  /** The message's bytes. */
  buf: SlicedBuffer = Buffer.alloc(0) as SlicedBuffer;
  /** The next byte to read. */
  at = 0;
  /** Where the payload ends. */
  end = 0;
  /** Whether the payload is ASCII alone. */
  ascii = true;
  /** Where canonical values are written. */
  out: SlicedBuffer = Buffer.alloc(0) as SlicedBuffer;
  /** The next byte to write. */
  to = 0;
  /** UTF-16 units of the value written last. */
  units = 0;
}

/** The place after a string that begins at `at`; -1 where it does not end. */
export function skipString(buf: Uint8Array, at: number, end: number): number {
  for (let index = at + 1; index < end; index++) {
    const byte = buf[index] as number;
    if (byte === QUOTE) return index + 1;
    if (byte === BACKSLASH) index++;
  }
  return -1;
}

/** The place after a JSON number that begins at `at`; -1 where there is none. */
export function skipNumber(buf: Uint8Array, at: number): number {
  let index = at;
  if (buf[index] === MINUS) index++;
  if (buf[index] === ZERO) index++;
  else {
    const digits = skipDigits(buf, index);
    if (digits === index) return -1;
    index = digits;
  }
  if (buf[index] === DOT) {
    const digits = skipDigits(buf, index + 1);
    if (digits === index + 1) return -1;
    index = digits;
  }
  if (buf[index] === LOWER_E || buf[index] === UPPER_E) {
    index++;
    if (buf[index] === PLUS || buf[index] === MINUS) index++;
    const digits = skipDigits(buf, index);
    if (digits === index) return -1;
    index = digits;
  }
  return index;
}

function skipDigits(buf: Uint8Array, at: number): number {
  let index = at;
  for (let byte = buf[index] as number; byte >= ZERO && byte <= NINE; byte = buf[index] as number) index++;
  return index;
}

/** Whether `null` stands at `at`. */
export function isNull(buf: Uint8Array, at: number): boolean {
  return buf[at] === LOWER_N && buf[at + 1] === LOWER_U && buf[at + 2] === 108 && buf[at + 3] === 108;
}

export function isTrue(buf: Uint8Array, at: number): boolean {
  return buf[at] === LOWER_T && buf[at + 1] === LOWER_R && buf[at + 2] === LOWER_U && buf[at + 3] === LOWER_E;
}

export function isFalse(buf: Uint8Array, at: number): boolean {
  return buf[at] === LOWER_F && buf[at + 1] === LOWER_A && buf[at + 2] === 108 && buf[at + 3] === 115 && buf[at + 4] === LOWER_E;
}

/** The place after the value at `at`; -1 where it is none, or written with white space, which no converter does. */
export function skipValue(buf: Uint8Array, at: number, end: number, depth = 0): number {
  switch (buf[at] as number) {
    case QUOTE:
      return skipString(buf, at, end);
    case OPEN_BRACE:
      return skipNested(buf, at, end, depth, true);
    case OPEN_BRACKET:
      return skipNested(buf, at, end, depth, false);
    case LOWER_N:
      return isNull(buf, at) ? at + 4 : -1;
    case LOWER_T:
      return isTrue(buf, at) ? at + 4 : -1;
    case LOWER_F:
      return isFalse(buf, at) ? at + 5 : -1;
    default:
      return skipNumber(buf, at);
  }
}

function skipNested(buf: Uint8Array, from: number, end: number, depth: number, named: boolean): number {
  const close = named ? CLOSE_BRACE : CLOSE_BRACKET;
  if (depth >= DEPTH_MAX) return -1;
  let at = from + 1;
  if (buf[at] === close) return at + 1;
  for (;;) {
    if (named) {
      if (buf[at] !== QUOTE) return -1;
      at = skipString(buf, at, end);
      if (at < 0 || buf[at++] !== COLON) return -1;
    }
    at = skipValue(buf, at, end, depth + 1);
    if (at < 0) return -1;
    const byte = buf[at++];
    if (byte === close) return at;
    if (byte !== COMMA) return -1;
  }
}

/** Integers of so many digits may be larger than a double holds exactly. */
const SAFE_DIGITS_MAX = 16;

/** The whole number from `from` to `to`; -1 where it is not written plainly, or a double might not hold it exactly. */
export function safeInteger(buf: Uint8Array, from: number, to: number): number {
  if (to - from > SAFE_DIGITS_MAX || (buf[from] === ZERO && to - from > 1)) return -1;
  let value = 0;
  for (let index = from; index < to; index++) {
    const byte = buf[index] as number;
    if (byte < ZERO || byte > NINE) return -1;
    value = value * 10 + (byte - ZERO);
  }
  return value <= Number.MAX_SAFE_INTEGER && to > from ? value : -1;
}
