import { dateText } from '../../../domain/values/calendar.ts';
import type { ByteScan } from './bytes.ts';
import { COLON, DOT, MINUS, NINE, PLUS, QUOTE, SPACE, UPPER_T, UPPER_Z, ZERO } from './bytes.ts';
import { takeInteger } from './number-writers.ts';
import type { ValueWriter } from './text-writers.ts';

const DAY_S = 86_400;
const HOUR_S = 3_600;
const MINUTE_S = 60;
const SECOND_US = 1_000_000;
const DATE_CHARS = 10;
/** Dates from the year 1000 up to 3000: no others are printed otherwise, or not believed. */
const DAY_MIN = -354_285;
const DAY_MAX = 376_199;
/** Of each column the newest dates are kept as text: they repeat. */
const DATES_MAX = 4_096;

/** Writes the date of a day as ten characters. */
class Dates {
  readonly #texts = new Map<number, Uint8Array>();
  #day = Number.NaN;
  #text: Uint8Array = new Uint8Array(DATE_CHARS);

  write(out: Uint8Array, to: number, day: number): void {
    if (day !== this.#day) {
      this.#text = this.#textOf(day);
      this.#day = day;
    }
    for (let index = 0; index < DATE_CHARS; index++) out[to + index] = this.#text[index] as number;
  }

  #textOf(day: number): Uint8Array {
    const known = this.#texts.get(day);
    if (known !== undefined) return known;
    const text = Buffer.from(dateText(day), 'latin1');
    if (this.#texts.size >= DATES_MAX) this.#texts.clear();
    this.#texts.set(day, text);
    return text;
  }
}

function write2(out: Uint8Array, to: number, value: number): void {
  const tens = Math.floor(value / 10);
  out[to] = ZERO + tens;
  out[to + 1] = ZERO + value - tens * 10;
}

/** Writes ` hh:mm:ss.ffffff` without zeros at its end; the place after it. */
function writeClock(out: Uint8Array, from: number, second: number, us: number): number {
  let to = from;
  const hours = Math.floor(second / HOUR_S);
  const minutes = Math.floor(second / MINUTE_S) - hours * MINUTE_S;
  out[to] = SPACE;
  write2(out, to + 1, hours);
  out[to + 3] = COLON;
  write2(out, to + 4, minutes);
  out[to + 6] = COLON;
  write2(out, to + 7, second - hours * HOUR_S - minutes * MINUTE_S);
  to += 9;
  if (us === 0) return to;
  out[to++] = DOT;
  let left = us;
  for (let unit = SECOND_US / 10; left > 0; unit /= 10) {
    const digit = Math.floor(left / unit);
    out[to++] = ZERO + digit;
    left -= digit * unit;
  }
  return to;
}

/**
 * A timestamp without zone as a count since 1970.
 * @param unitsPerSecond 1,000 or 1,000,000
 * @param least what is less may be in another unit
 * @param most what is more may be in another unit
 */
export function timestampWriter(unitsPerSecond: number, least: number, most: number): ValueWriter {
  const dates = new Dates();
  return (scan) => {
    const value = takeInteger(scan);
    if (value < least || value > most || value < 0) return false;
    const { out, to } = scan;
    const seconds = Math.floor(value / unitsPerSecond);
    const day = Math.floor(seconds / DAY_S);
    if (day > DAY_MAX) return false;
    dates.write(out, to, day);
    scan.to = writeClock(out, to + DATE_CHARS, seconds - day * DAY_S, (value - seconds * unitsPerSecond) * (SECOND_US / unitsPerSecond));
    scan.units = scan.to - to;
    return true;
  };
}

/** A date as days since 1970. */
export function dateWriter(): ValueWriter {
  const dates = new Dates();
  return (scan) => {
    const isNegative = scan.buf[scan.at] === MINUS;
    if (isNegative) scan.at++;
    const size = takeInteger(scan);
    const day = isNegative ? -size : size;
    if (size < (isNegative ? 1 : 0) || day < DAY_MIN || day > DAY_MAX) return false;
    dates.write(scan.out, scan.to, day);
    scan.to += DATE_CHARS;
    scan.units = DATE_CHARS;
    return true;
  };
}

function digit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

function two(buf: Uint8Array, at: number): number {
  const tens = buf[at] as number;
  const ones = buf[at + 1] as number;
  return digit(tens) && digit(ones) ? (tens - ZERO) * 10 + ones - ZERO : 100;
}

/** Days that every month has; of the others the class itself knows which month has them. */
const DAYS_SURE = 28;
const FRACTION_MAX = 6;

/** An instant as ISO text in UTC. */
export function writeInstant(scan: ByteScan): boolean {
  const { buf, out, at, to } = scan;
  const day = two(buf, at + 9);
  const month = two(buf, at + 6);
  if (buf[at] !== QUOTE || buf[at + 5] !== MINUS || buf[at + 8] !== MINUS || buf[at + 11] !== UPPER_T || buf[at + 14] !== COLON || buf[at + 17] !== COLON) return false;
  // Years before 1000 are left alone: a year 0 is not written so.
  if (buf[at + 1] === ZERO || two(buf, at + 1) > 99 || two(buf, at + 3) > 99 || month < 1 || month > 12 || day < 1 || (day > DAYS_SURE && !isLastDay(two(buf, at + 1) * 100 + two(buf, at + 3), month, day))) return false;
  if (two(buf, at + 12) > 23 || two(buf, at + 15) > 59 || two(buf, at + 18) > 59) return false;
  for (let index = 0; index < 19; index++) out[to + index] = buf[at + 1 + index] as number;
  out[to + DATE_CHARS] = SPACE;
  let length = 19;
  let index = at + 20;
  if (buf[index] === DOT) {
    index++;
    const first = index;
    let significant = 0;
    while (digit(buf[index])) {
      if (index - first >= FRACTION_MAX) return false;
      if (buf[index] !== ZERO) significant = index - first + 1;
      index++;
    }
    if (index === first) return false;
    if (significant > 0) {
      out[to + length++] = DOT;
      for (let place = 0; place < significant; place++) out[to + length++] = buf[first + place] as number;
    }
  }
  if (buf[index] !== UPPER_Z || buf[index + 1] !== QUOTE) return false;
  out[to + length] = PLUS;
  out[to + length + 1] = ZERO;
  out[to + length + 2] = ZERO;
  scan.at = index + 2;
  scan.to = to + length + 3;
  scan.units = length + 3;
  return true;
}

/** Whether a month has such a day. */
function isLastDay(year: number, month: number, day: number): boolean {
  if (month === 2) return day === 29 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return day <= (month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31);
}
