import type { ExactJson } from '../json.ts';
import { JsonNumber } from '../json.ts';
import type { SqlType } from '../pair.ts';
import { badValue } from './bad-value.ts';
import { DAY_US, dateText, momentUs, parseMoment, parseTime, timeText, timestampText } from './calendar.ts';
import { LOSS, Loss } from './loss.ts';
import type { ClassDocs, FieldSchema, ValueClass } from './value-class.ts';

/** What Debezium writes for PostgreSQL's infinities, µs. */
const INFINITY_US = 9_223_372_036_825_200_000n;
const MINUS_INFINITY_US = -9_223_372_036_832_400_000n;
/** The same as days, which wrap round: from a snapshot, and from the log. */
const INFINITY_DAYS: ReadonlySet<string> = new Set(['-622191234', '-2147472692']);
const MINUS_INFINITY_DAYS: ReadonlySet<string> = new Set(['-625821272', '-2147472691']);
/** Where its ISO dates of the infinities stand: from a snapshot, and from the log. */
const INFINITY_ISO_DATE = /^(?:\+292278994-|-5877611-06-21)/;
const MINUS_INFINITY_ISO_DATE = /^(?:\+292269055-|-5877611-06-22)/;
/** PostgreSQL's timestamps begin in 4714 BC. What an event has before that has wrapped round 2^63, or stopped there. */
const TIMESTAMP_MIN_US = -210_866_803_200_000_000n;
const TIMESTAMP_SATURATED_US = 9_223_372_036_854_775_807n;

/**
 * Without a schema the unit of a number follows from the column's precision, as the default (adaptive)
 * mode has it. Other modes give other units: numbers on the wrong side of these limits are not trusted.
 * As µs, |n| below the first is between 1961 and 1978 and may as well be ms up to the year 9999;
 * as ms, |n| above the second is after the year 5138 and may as well be µs or ns.
 */
const MICROS_BELOW_MAY_BE_MILLIS = 253_402_300_800_000n;
const MILLIS_ABOVE_MAY_BE_MICROS = 100_000_000_000_000n;
/** As µs, |n| above this is after the year 5138 and may as well be ns since 1973. */
const MICROS_ABOVE_MAY_BE_NANOS = 100_000_000_000_000_000n;
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

function inMicros(value: bigint, unit: Unit): bigint | Loss {
  if (unit === 'us') return value;
  if (unit === 'ms') return value * 1000n;
  return value % 1000n === 0n ? value / 1000n : LOSS.nanoseconds;
}

function isInfinite(us: bigint): boolean {
  return us === INFINITY_US || us === MINUS_INFINITY_US;
}

function decodeTimestampNumber(type: SqlType, encoded: JsonNumber, schema: FieldSchema | null): bigint | Loss {
  if (!INTEGER.test(encoded.text)) throw badValue(type, encoded, 'an integer');
  const value = BigInt(encoded.text);
  const size = value < 0n ? -value : value;
  const millisOnly = keepsMillisOnly(type);
  const unit = schema !== null ? schemaUnit(type, encoded, schema) : millisOnly ? 'ms' : 'us';
  const us = inMicros(value, unit);
  if (us instanceof Loss || isInfinite(us)) return us;
  if (us < TIMESTAMP_MIN_US || us >= TIMESTAMP_SATURATED_US) return LOSS.range;
  if (unit === 'ms' && !millisOnly) return LOSS.milliseconds;
  if (schema !== null) return us;
  if (unit === 'ms') return size > MILLIS_ABOVE_MAY_BE_MICROS ? LOSS.unit : us;
  return size < MICROS_BELOW_MAY_BE_MILLIS || size > MICROS_ABOVE_MAY_BE_NANOS || isInfinite(value * 1000n) ? LOSS.unit : us;
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

/** Dates past this have no timestamp: PostgreSQL's timestamps end in the year 294276. */
const TIMESTAMP_DATE_MAX = '294276-12-31';

/** SQL of the midnight that a date begins with; NULL for one that no timestamp reaches. */
export function midnightSql(column: string): string {
  return `(CASE WHEN pg_catalog.isfinite(${column}) AND ${column} > '${TIMESTAMP_DATE_MAX}'::date THEN NULL ELSE ${column}::timestamp END)`;
}

function momentClass(zone: '' | '+00', printed: RegExp, docs: ClassDocs): ValueClass {
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
      if (zone !== '' && schema === null) return LOSS.unit;
      const us = decodeTimestampNumber(type, encoded, schema);
      return us instanceof Loss ? us : timestampOrInfinity(us, zone);
    },
    digestSql: (type, column) => {
      const moment = type.base === 'date' ? midnightSql(column) : column;
      const own = zone === '' || type.base === 'timestamptz' ? `${moment}::text` : `(${moment} AT TIME ZONE 'UTC')::text`;
      return type.base === 'date' ? `(CASE WHEN ${column} IS NULL THEN NULL ELSE coalesce(${own}, ${column}::text) END)` : own;
    },
    shown: (canonical) => canonical,
    fromInput: (_type, typed) => parsedTimestamp(typed.trim(), zone) ?? undefined,
    docs,
  };
}

const CLOCK = '\\d\\d:\\d\\d:\\d\\d(?:\\.\\d{0,5}[1-9])?';
const DATE = '\\d{4,6}-\\d\\d-\\d\\d';

export const timestampClass: ValueClass = momentClass('', new RegExp(`^(?:${DATE} ${CLOCK}(?: BC)?|-?infinity)$`), {
  types: 'timestamp without time zone, alone or against date (its midnight)',
  compared: 'date and time of day to the microsecond, infinities and years before Christ included',
  normalised: 'ISO 8601 spelling into PostgreSQL’s',
  notCompared: 'the declared precision; `precision:` leaves out what is finer',
});
export const instantClass: ValueClass = momentClass('+00', new RegExp(`^(?:${DATE} ${CLOCK}\\+00(?: BC)?|-?infinity)$`), {
  types: 'timestamp with time zone, alone or against timestamp or date, which are taken as UTC unless `zone:` says otherwise',
  compared: 'the instant to the microsecond, infinities and years before Christ included',
  normalised: 'the zone in which it is written',
  notCompared: 'the zone in which it was entered, which PostgreSQL does not store; the declared precision',
  readAgain: 'against text: other spellings than PostgreSQL’s own; under `precision:`, times close to a step on both its sides',
});

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

/**
 * Debezium writes 44 BC as the year 44: a date in years where that is likely (before 1000, and around 4713, where
 * PostgreSQL's dates begin) is not trusted.
 */
function mayBeBeforeChrist(date: string): boolean {
  const year = /^(\d+)-/.exec(date)?.[1];
  return year !== undefined && (Number(year) < 1000 || (Number(year) >= 4000 && Number(year) <= 4800));
}

function trustedDate(date: string): string | Loss {
  return mayBeBeforeChrist(date) ? LOSS.era : date;
}

export const dateClass: ValueClass = {
  fromText: dateFromText,
  fromDebezium: (type, encoded) => {
    if (typeof encoded === 'string') return trustedDate(dateFromText(type, encoded));
    if (!(encoded instanceof JsonNumber) || !INTEGER.test(encoded.text)) throw badValue(type, encoded, 'days since 1970');
    if (INFINITY_DAYS.has(encoded.text)) return 'infinity';
    if (MINUS_INFINITY_DAYS.has(encoded.text)) return '-infinity';
    const day = Number(encoded.text);
    if (Math.abs(day) > DAYS_MAX) throw badValue(type, encoded, 'days within the range of dates');
    return trustedDate(dateText(day));
  },
  digestSql: (_type, column) => `${column}::text`,
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => parsedDate(typed.trim()) ?? undefined,
  docs: {
    types: 'date',
    compared: 'the day, infinities and years before Christ included',
    normalised: 'nothing',
    notCompared: 'nothing',
  },
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

function timeWithinDay(type: SqlType, encoded: JsonNumber, us: bigint): string {
  if (us < 0n || us > DAY_US) throw badValue(type, encoded, 'a time within a day');
  return timeText(us);
}

function decodeTimeNumber(type: SqlType, encoded: JsonNumber, schema: FieldSchema | null): string | Loss {
  if (!INTEGER.test(encoded.text)) throw badValue(type, encoded, 'an integer');
  const value = BigInt(encoded.text);
  const millisOnly = keepsMillisOnly(type);
  let unit: Unit;
  if (schema !== null) unit = schemaUnit(type, encoded, schema);
  else if (value > DAY_US) unit = 'ns';
  else unit = millisOnly && value <= DAY_MS ? 'ms' : 'us';
  if (unit === 'ms' && !millisOnly) return LOSS.milliseconds;
  // As µs these are the first 86 seconds of a day; as ms they are all of it.
  if (schema === null && unit === 'us' && value <= DAY_MS) return LOSS.unit;
  const us = inMicros(value, unit);
  return us instanceof Loss ? us : timeWithinDay(type, encoded, us);
}

export const timeClass: ValueClass = {
  fromText: timeFromText,
  fromDebezium: (type, encoded, schema) => {
    if (encoded instanceof JsonNumber) return decodeTimeNumber(type, encoded, schema);
    if (typeof encoded !== 'string') throw badValue(type, encoded, 'a time of day');
    const canonical = timeFromText(type, encoded);
    // ISO text has no 24:00 and writes it as 00:00.
    return canonical === '00:00:00' ? LOSS.end_of_day : canonical;
  },
  digestSql: (_type, column) => `${column}::text`,
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => parsedTimeOfDay(typed.trim()) ?? undefined,
  docs: {
    types: 'time without time zone',
    compared: 'the time of day to the microsecond; 24:00 is not 00:00',
    normalised: 'nothing',
    notCompared: 'the declared precision; `precision:` leaves out what is finer',
  },
};

/** Kept as printed: 12:00+02 and 10:00+00 are two values. Events move it to UTC, so they never tell. */
export const timetzClass: ValueClass = {
  fromText: (_type, text) => text,
  fromDebezium: () => LOSS.zone,
  digestSql: (_type, column) => `${column}::text`,
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => typed.trim(),
  docs: {
    types: 'time with time zone',
    compared: 'time of day and offset: 12:00+02 and 10:00+00 are two values, as PostgreSQL stores them',
    normalised: 'nothing',
    notCompared: 'nothing',
  },
};
