import type { CompareRules, PairColumn, SqlType } from '../pair.ts';
import { DAY_US, momentUs, parseMoment, parseTime } from './calendar.ts';
import { decimalDistance, exceeds } from './decimal-distance.ts';
import { midnightSql } from './temporal.ts';

/**
 * Rules under which nearness, not a common form, makes two values equal: such an equality carries over no third
 * value, so it can only be decided between both sides' values.
 */

const UNIT_US: Readonly<Record<NonNullable<CompareRules['precision']>, bigint>> = { s: 1_000_000n, ms: 1_000n, us: 1n };
const UNIT_DIGITS: Readonly<Record<NonNullable<CompareRules['precision']>, number>> = { s: 0, ms: 3, us: 6 };
const TRUNC_FIELD: Readonly<Record<NonNullable<CompareRules['precision']>, string>> = { s: 'second', ms: 'milliseconds', us: 'microseconds' };

/** Whether a column's values are equal by nearness. */
export function isApproximate(rules: CompareRules | undefined): boolean {
  return rules?.tolerance !== undefined || rules?.precision !== undefined;
}

/** Whether two canonical values of `column` are as near as its rules ask; equal ones always are. */
export function nearEnough(column: PairColumn, left: string, right: string): boolean {
  if (left === right) return true;
  const { tolerance, precision } = column.rules ?? {};
  if (tolerance !== undefined) {
    const distance = decimalDistance(left, right);
    return distance !== null && !exceeds(distance, tolerance);
  }
  if (precision === undefined) return false;
  const leftUs = microseconds(column, left);
  const rightUs = microseconds(column, right);
  if (leftUs === null || rightUs === null) return false;
  const apartUs = leftUs > rightUs ? leftUs - rightUs : rightUs - leftUs;
  return apartUs < UNIT_US[precision];
}

/** µs of a canonical time or moment; null for infinities and what is none. */
function microseconds(column: PairColumn, canonical: string): bigint | null {
  if (column.valueClass === 'time') {
    const time = parseTime(canonical);
    return time === null || time.timeUs > DAY_US ? null : time.timeUs;
  }
  const moment = parseMoment(canonical);
  return moment === null ? null : momentUs(moment);
}

/**
 * SQL text that is the same only for values that are near enough, and for most that are: values that lie close
 * together on two sides of a step digest differently, and are compared one by one.
 */
export function quantisedSql(column: PairColumn, type: SqlType, reference: string): string {
  const { tolerance, precision } = column.rules ?? {};
  if (tolerance !== undefined) return toleranceSql(type, reference, tolerance);
  return precision === undefined ? `${reference}::text` : precisionSql(column, type, reference, precision);
}

/** The exact quotient towards zero, with the sign apart: steps are as wide as the tolerance. */
function toleranceSql(type: SqlType, reference: string, tolerance: string): string {
  const text = `${reference}::text`;
  const number = type.base === 'money' ? `${reference}::numeric` : `${text}::numeric`;
  const step = `(CASE WHEN ${number} < 0 THEN '-' ELSE '+' END) || pg_catalog.abs(pg_catalog.div(${number}, ${tolerance}::numeric))::text`;
  return `(CASE WHEN ${text} IN ('NaN', 'Infinity', '-Infinity') THEN ${text} ELSE ${step} END)`;
}

/** A side that keeps no more digits than the rule was rounded by PostgreSQL: then both are; else both are cut. */
function precisionSql(column: PairColumn, type: SqlType, reference: string, precision: NonNullable<CompareRules['precision']>): string {
  const digits = UNIT_DIGITS[precision];
  const isRounded = [column.old.type, column.new.type].some((side) => side.precision !== null && side.precision <= digits);
  if (column.valueClass === 'time') {
    if (isRounded) return `${reference}::time(${digits})::text`;
    const finer = `(pg_catalog.date_part('microseconds', ${reference})::int8 % ${UNIT_US[precision]}) * interval '1 microsecond'`;
    // Arithmetic would make 00:00 of 24:00.
    return `(CASE WHEN ${reference} = '24:00'::time THEN ${reference} ELSE ${reference} - ${finer} END)::text`;
  }
  const moment = type.base === 'date' ? midnightSql(reference) : reference;
  const name = type.base === 'timestamptz' ? 'timestamptz' : 'timestamp';
  const cut = isRounded ? `${moment}::${name}(${digits})` : `pg_catalog.date_trunc('${TRUNC_FIELD[precision]}', ${moment})`;
  return column.valueClass === 'instant' && type.base !== 'timestamptz' ? `(${cut} AT TIME ZONE 'UTC')::text` : `(${cut})::text`;
}
