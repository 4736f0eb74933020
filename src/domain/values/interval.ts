import { badValue } from './bad-value.ts';
import { canonicalDecimal } from './decimal.ts';
import { LOSS } from './loss.ts';
import type { ValueClass } from './value-class.ts';

const PART = '([+-]?[0-9]{1,12})';
const ISO = new RegExp(`^P(?:${PART}Y)?(?:${PART}M)?(?:${PART}W)?(?:${PART}D)?(?:T(?:${PART}H)?(?:${PART}M)?(?:([+-]?[0-9]{1,12}(?:\\.[0-9]{1,20})?)S)?)?$`, 'i');

const MINUTE_US = 60_000_000n;
const HOUR_US = 60n * MINUTE_US;

/** Digits of µs. */
const US_DIGITS = 6;

/** µs of decimal seconds, rounded: connectors write them by way of a double (56.891132999999996). */
function secondsUs(text: string): bigint | null {
  const canonical = canonicalDecimal(text);
  if (canonical === null) return null;
  const negative = canonical.startsWith('-');
  const [whole = '0', fraction = ''] = canonical.replace('-', '').split('.');
  const up = (fraction[US_DIGITS] ?? '0') >= '5' ? 1n : 0n;
  const us = BigInt(whole) * 1_000_000n + BigInt(fraction.slice(0, US_DIGITS).padEnd(US_DIGITS, '0')) + up;
  return negative ? -us : us;
}

/** An ISO 8601 interval as PostgreSQL prints it (IntervalStyle postgres); null where `iso` is none. */
export function intervalText(iso: string): string | null {
  const match = ISO.exec(iso);
  if (match === null || iso.length < 3) return null;
  const part = (index: number): bigint => BigInt((match[index] ?? '0').replace('+', ''));
  const seconds = secondsUs(match[7] ?? '0');
  if (seconds === null) return null;
  const months = part(1) * 12n + part(2);
  const days = part(3) * 7n + part(4);
  const us = part(5) * HOUR_US + part(6) * MINUTE_US + seconds;

  let text = '';
  let before = false;
  const units: [bigint, string][] = [
    [months / 12n, 'year'],
    [months % 12n, 'mon'],
    [days, 'day'],
  ];
  for (const [value, unit] of units) {
    if (value === 0n) continue;
    text += `${text === '' ? '' : ' '}${before && value > 0n ? '+' : ''}${value} ${unit}${value === 1n ? '' : 's'}`;
    before = value < 0n;
  }
  if (text !== '' && us === 0n) return text;
  const size = us < 0n ? -us : us;
  const two = (value: bigint): string => value.toString().padStart(2, '0');
  const fraction = size % 1_000_000n;
  const sign = us < 0n ? '-' : before ? '+' : '';
  const clock = `${two(size / HOUR_US)}:${two((size / MINUTE_US) % 60n)}:${two((size / 1_000_000n) % 60n)}`;
  return `${text === '' ? '' : `${text} `}${sign}${clock}${fraction === 0n ? '' : `.${fraction.toString().padStart(6, '0').replace(/0+$/, '')}`}`;
}

/** Months, days and time are kept apart: 1 mon is not 30 days, 1 day is not 24 hours. */
export const intervalClass: ValueClass = {
  fromText: (_type, text) => (text.startsWith('P') ? (intervalText(text) ?? text) : text),
  fromDebezium: (type, encoded) => {
    // Numbers of µs count a month as 30.4 days: the parts cannot be told any more.
    if (typeof encoded !== 'string') return LOSS.interval;
    const text = intervalText(encoded);
    if (text === null) throw badValue(type, encoded, 'an ISO 8601 interval');
    return text;
  },
  digestSql: (_type, column) => `${column}::text`,
  shown: (canonical) => canonical,
  fromInput: (_type, typed) => typed.trim(),
  docs: {
    types: 'interval',
    compared: 'months, days and microseconds, each by itself: 1 month is not 30 days, 1 day is not 24 hours',
    normalised: 'ISO 8601 spelling into PostgreSQL’s; years and months count together',
    notCompared: 'nothing',
  },
};
