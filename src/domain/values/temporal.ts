import type { ExactJson } from '../json.ts';
import { JsonNumber } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { DAY_US, dateText, momentUs, parseMoment, parseTime, timeText, timestampText } from './calendar.ts';
import type { FieldSchema, ValueClass } from './value-class.ts';

/** What Debezium writes for PostgreSQL's infinities, µs. */
const INFINITY_US = 9_223_372_036_825_200_000n;
const MINUS_INFINITY_US = -9_223_372_036_832_400_000n;
/** The same as days, which wrap round. */
const INFINITY_DAY = '-622191234';
const MINUS_INFINITY_DAY = '-625821272';
/** Years at which its ISO dates of the infinities stand. */
const INFINITY_ISO_DATE = /^\+292278994-/;
const MINUS_INFINITY_ISO_DATE = /^\+292269055-/;

/**
 * Without a schema the unit of a number follows from the column's precision, as the default (adaptive)
 * mode has it. Other modes give other units: numbers on the wrong side of these limits are not trusted.
 * As µs, |n| below the first is between 1961 and 1978 and may as well be ms up to the year 9999;
 * as ms, |n| above the second is after the year 5138 and may as well be µs.
 */
const MICROS_BELOW_MAY_BE_MILLIS = 253_402_300_800_000n;
const MILLIS_ABOVE_MAY_BE_MICROS = 100_000_000_000_000n;
const MILLIS_PRECISION_MAX = 3;
const DAY_MS = 86_400_000n;

const INTEGER = /^-?[0-9]+$/;
const INFINITE = /^([+-]?)infinity$/i;

function infinite(text: string): string | null {
  const match = INFINITE.exec(text);
  return match === null ? null : match[1] === '-' ? '-infinity' : 'infinity';
}

type Unit = 'ms' | 'us' | 'ns';

const UNITS: Readonly<Record<string, Unit>> = {
  'io.debezium.time.Time': 'ms',
  'io.debezium.time.MicroTime': 'us',
  'io.debezium.time.NanoTime': 'ns',
  'io.debezium.time.Timestamp': 'ms',
  'io.debezium.time.MicroTimestamp': 'us',
  'io.debezium.time.NanoTimestamp': 'ns',
  'org.apache.kafka.connect.data.Time': 'ms',
  'org.apache.kafka.connect.data.Timestamp': 'ms',
};

function keepsMillisOnly(type: SqlType): boolean {
  return type.precision !== null && type.precision <= MILLIS_PRECISION_MAX;
}

function schemaUnit(type: SqlType, encoded: ExactJson, schema: FieldSchema): Unit {
  const unit = schema.name === null ? undefined : UNITS[schema.name];
  if (unit === undefined) throw badValue(type, encoded, 'a schema that names the unit of time');
  return unit;
}

function inMicros(value: bigint, unit: Unit): bigint | undefined {
  if (unit === 'us') return value;
  if (unit === 'ms') return value * 1000n;
  return value % 1000n === 0n ? value / 1000n : undefined;
}

function decodeTimestampNumber(type: SqlType, encoded: JsonNumber, schema: FieldSchema | null): bigint | undefined {
  if (!INTEGER.test(encoded.text)) throw badValue(type, encoded, 'an integer');
  const value = BigInt(encoded.text);
  const size = value < 0n ? -value : value;
  const millisOnly = keepsMillisOnly(type);
  const unit = schema !== null ? schemaUnit(type, encoded, schema) : millisOnly ? 'ms' : 'us';
  const us = inMicros(value, unit);
  if (us === INFINITY_US || us === MINUS_INFINITY_US) return us;
  if (unit === 'ms' && !millisOnly) return undefined;
  if (schema === null && unit === 'us' && (value * 1000n === INFINITY_US || value * 1000n === MINUS_INFINITY_US)) return undefined;
  if (schema === null && value !== 0n && (unit === 'ms' ? size > MILLIS_ABOVE_MAY_BE_MICROS : size < MICROS_BELOW_MAY_BE_MILLIS)) return undefined;
  return us;
}

function timestampOrInfinity(us: bigint, zone: '' | '+00'): string {
  if (us === INFINITY_US) return 'infinity';
  if (us === MINUS_INFINITY_US) return '-infinity';
  return timestampText(us, zone);
}

function parsedTimestamp(text: string, zone: '' | '+00'): string | null {
  const named = infinite(text);
  if (named !== null) return named;
  const moment = parseMoment(text);
  if (moment === null) return null;
  return timestampOrInfinity(zone === '' ? momentUs({ ...moment, offsetS: null }) : momentUs(moment), zone);
}

function momentClass(zone: '' | '+00', printed: RegExp): ValueClass {
  const fromText = (type: SqlType, text: string): string => {
    if (printed.test(text)) return text;
    const canonical = parsedTimestamp(text, zone);
    if (canonical === null) throw badValue(type, text, 'a timestamp');
    return canonical;
  };
  return {
    fromText,
    fromDebezium: (type, encoded, schema) => {
      if (typeof encoded === 'string') return fromText(type, encoded);
      if (!(encoded instanceof JsonNumber)) throw badValue(type, encoded, 'a timestamp');
      if (zone !== '' && schema === null) return undefined;
      const us = decodeTimestampNumber(type, encoded, schema);
      return us === undefined ? undefined : timestampOrInfinity(us, zone);
    },
    digestSql: (_type, column) => `${column}::text`,
    shown: (canonical) => canonical,
    fromInput: (_type, typed) => parsedTimestamp(typed.trim(), zone) ?? undefined,
  };
}

const CLOCK = '\\d\\d:\\d\\d:\\d\\d(?:\\.\\d{0,5}[1-9])?';
const DATE = '\\d{4,6}-\\d\\d-\\d\\d';

export const timestampClass: ValueClass = momentClass('', new RegExp(`^(?:${DATE} ${CLOCK}(?: BC)?|-?infinity)$`));
export const instantClass: ValueClass = momentClass('+00', new RegExp(`^(?:${DATE} ${CLOCK}\\+00(?: BC)?|-?infinity)$`));

function parsedDate(text: string): string | null {
  const named = infinite(text);
  if (named !== null) return named;
  if (INFINITY_ISO_DATE.test(text)) return 'infinity';
  if (MINUS_INFINITY_ISO_DATE.test(text)) return '-infinity';
  const moment = parseMoment(text);
  return moment === null || (moment.timeUs !== null && moment.timeUs !== 0n) ? null : dateText(moment.day);
}

function dateFromText(type: SqlType, text: string): string {
  const canonical = parsedDate(text);
  if (canonical === null) throw badValue(type, text, 'a date');
  return canonical;
}

/** PostgreSQL's dates end in the year 5874897. */
const DAYS_MAX = 2_145_042_905;

export const dateClass: ValueClass = {
  fromText: dateFromText,
  fromDebezium: (type, encoded) => {
    if (typeof encoded === 'string') return dateFromText(type, encoded);
    if (!(encoded instanceof JsonNumber) || !INTEGER.test(encoded.text)) throw badValue(type, encoded, 'days since 1970');
    if (encoded.text === INFINITY_DAY) return 'infinity';
    if (encoded.text === MINUS_INFINITY_DAY) return '-infinity';
    const day = Number(encoded.text);
    if (Math.abs(day) > DAYS_MAX) throw badValue(type, encoded, 'days within the range of dates');
    return dateText(day);
  },
  digestSql: (_type, column) => `${column}::text`,
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => parsedDate(typed.trim()) ?? undefined,
};

function parsedTimeOfDay(text: string): string | null {
  const time = parseTime(text);
  return time === null ? null : timeText(time.timeUs);
}

function timeFromText(type: SqlType, text: string): string {
  const canonical = parsedTimeOfDay(text);
  if (canonical === null) throw badValue(type, text, 'a time of day');
  return canonical;
}

function decodeTimeNumber(type: SqlType, encoded: JsonNumber, schema: FieldSchema | null): string | undefined {
  if (!INTEGER.test(encoded.text)) throw badValue(type, encoded, 'an integer');
  const value = BigInt(encoded.text);
  const millisOnly = keepsMillisOnly(type);
  let unit: Unit;
  if (schema !== null) unit = schemaUnit(type, encoded, schema);
  else unit = millisOnly && value <= DAY_MS ? 'ms' : 'us';
  if (unit === 'ms' && !millisOnly) return undefined;
  // As µs these are the first 86 seconds of a day; as ms they are all of it.
  if (schema === null && unit === 'us' && value !== 0n && value <= DAY_MS) return undefined;
  const us = inMicros(value, unit);
  if (us === undefined) return undefined;
  if (us < 0n || us > DAY_US) throw badValue(type, encoded, 'a time within a day');
  return timeText(us);
}

export const timeClass: ValueClass = {
  fromText: timeFromText,
  fromDebezium: (type, encoded, schema) => {
    if (encoded instanceof JsonNumber) return decodeTimeNumber(type, encoded, schema);
    if (typeof encoded !== 'string') throw badValue(type, encoded, 'a time of day');
    const canonical = timeFromText(type, encoded);
    // ISO text has no 24:00 and writes it as 00:00.
    return canonical === '00:00:00' ? undefined : canonical;
  },
  digestSql: (_type, column) => `${column}::text`,
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => parsedTimeOfDay(typed.trim()) ?? undefined,
};

/** Kept as printed: 12:00+02 and 10:00+00 are two values. Events move it to UTC, so they never tell. */
export const timetzClass: ValueClass = {
  fromText: (_type, text) => text,
  fromDebezium: () => undefined,
  digestSql: (_type, column) => `${column}::text`,
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => typed.trim(),
};
