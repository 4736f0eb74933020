/** Days and microseconds to text as PostgreSQL prints it (DateStyle ISO), and back. Years before 1 are BC: 0 is 1 BC. */

export const DAY_US = 86_400_000_000n;
const SECOND_US = 1_000_000n;
const HOUR_S = 3600;
const MINUTE_S = 60;

/** Proleptic Gregorian date of a day since 1970-01-01 (H. Hinnant, chrono-compatible low-level date algorithms). */
function civilOf(day: number): { year: number; month: number; day: number } {
  const shifted = day + 719_468;
  const era = Math.floor(shifted / 146_097);
  const ofEra = shifted - era * 146_097;
  const yearOfEra = Math.floor((ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365);
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * ofYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: ofYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1,
  };
}

function dayOf(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const ofYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const ofEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + ofYear;
  return era * 146_097 + ofEra - 719_468;
}

const pad2 = (value: number): string => value.toString().padStart(2, '0');

function dateParts(day: number): { text: string; era: string } {
  const civil = civilOf(day);
  const year = civil.year > 0 ? civil.year : 1 - civil.year;
  return { text: `${year.toString().padStart(4, '0')}-${pad2(civil.month)}-${pad2(civil.day)}`, era: civil.year > 0 ? '' : ' BC' };
}

/** `2024-02-29`, `0044-03-15 BC`; `day` counts from 1970-01-01. */
export function dateText(day: number): string {
  const { text, era } = dateParts(day);
  return text + era;
}

/** `04:05:06.789` from µs past midnight; 24:00:00 is the end of the day. */
export function timeText(us: bigint): string {
  const seconds = Number(us / SECOND_US);
  const fraction = us % SECOND_US;
  const clock = `${pad2(Math.floor(seconds / HOUR_S))}:${pad2(Math.floor(seconds / MINUTE_S) % MINUTE_S)}:${pad2(seconds % MINUTE_S)}`;
  return fraction === 0n ? clock : `${clock}.${fraction.toString().padStart(6, '0').replace(/0+$/, '')}`;
}

/** `2024-02-29 04:05:06.789` from µs since 1970, with `zone` before the era as PostgreSQL puts it. */
export function timestampText(us: bigint, zone: '' | '+00'): string {
  let day = us / DAY_US;
  let time = us % DAY_US;
  if (time < 0n) {
    day -= 1n;
    time += DAY_US;
  }
  const { text, era } = dateParts(Number(day));
  return `${text} ${timeText(time)}${zone}${era}`;
}

export interface ParsedMoment {
  /** Since 1970-01-01, as written. */
  readonly day: number;
  /** Past midnight, as written; null for a date alone. */
  readonly timeUs: bigint | null;
  /** East of UTC; null where the text has none. */
  readonly offsetS: number | null;
}

const OFFSET = '(Z|[+-]\\d{1,2}(?::?\\d{2}(?::?\\d{2})?)?)';
const CLOCK = '(\\d{2}):(\\d{2})(?::(\\d{2})(?:\\.(\\d{1,9}))?)?';
const MOMENT = new RegExp(`^([+-]?\\d{1,9})-(\\d{1,2})-(\\d{1,2})(?:[T ]${CLOCK})?\\s*${OFFSET}?(\\s?BC)?$`, 'i');
const TIME = new RegExp(`^${CLOCK}\\s*${OFFSET}?$`, 'i');
const MONTH_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

function clockUs(hour: string, minute: string, second: string | undefined, fraction: string | undefined): bigint | null {
  const s = Number(second ?? 0);
  const m = Number(minute);
  const digits = (fraction ?? '').padEnd(9, '0');
  if (m > 59 || s > 59 || !digits.endsWith('000')) return null;
  const us = BigInt(Number(hour) * HOUR_S + m * MINUTE_S + s) * SECOND_US + BigInt(digits.slice(0, 6));
  return us > DAY_US ? null : us;
}

function offsetS(text: string | undefined): number | null {
  if (text === undefined) return null;
  if (/^z$/i.test(text)) return 0;
  const [, hours = '0', minutes = '0', seconds = '0'] = /^[+-](\d{1,2}):?(\d{2})?:?(\d{2})?$/.exec(text) ?? [];
  const size = Number(hours) * HOUR_S + Number(minutes) * MINUTE_S + Number(seconds);
  return text.startsWith('-') ? -size : size;
}

/** Reads a date or a moment, ISO 8601 or as PostgreSQL prints it; null where `text` is none or finer than µs. */
export function parseMoment(text: string): ParsedMoment | null {
  const match = MOMENT.exec(text);
  if (match === null) return null;
  const [, yearText = '', monthText = '', dayText = '', hour, minute, second, fraction, offset, era] = match;
  const month = Number(monthText);
  const day = Number(dayText);
  const year = era === undefined ? Number(yearText) : 1 - Number(yearText);
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (month < 1 || month > 12 || day < 1 || day > (month === 2 && !leap ? 28 : (MONTH_DAYS[month - 1] as number))) return null;
  const timeUs = hour === undefined || minute === undefined ? null : clockUs(hour, minute, second, fraction);
  if (hour !== undefined && timeUs === null) return null;
  return { day: dayOf(year, month, day), timeUs, offsetS: offsetS(offset) };
}

/** Reads a time of day; null where `text` is none or finer than µs. */
export function parseTime(text: string): { readonly timeUs: bigint; readonly offsetS: number | null } | null {
  const match = TIME.exec(text);
  if (match === null) return null;
  const [, hour = '', minute = '', second, fraction, offset] = match;
  const timeUs = clockUs(hour, minute, second, fraction);
  return timeUs === null ? null : { timeUs, offsetS: offsetS(offset) };
}

/** µs since 1970 of a moment, its offset (default UTC) taken off. */
export function momentUs(moment: ParsedMoment): bigint {
  return BigInt(moment.day) * DAY_US + (moment.timeUs ?? 0n) - BigInt(moment.offsetS ?? 0) * SECOND_US;
}
