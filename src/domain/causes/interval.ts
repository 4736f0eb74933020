import { DAY_US } from '../values/calendar.ts';
import type { Pattern } from './change.ts';
import { unitLost } from './temporal.ts';

const HOUR_US = 3_600_000_000n;
const MINUTE_US = 60_000_000n;
const SECOND_US = 1_000_000n;

interface Interval {
  readonly months: bigint;
  readonly days: bigint;
  readonly us: bigint;
}

const PART = '([+-]?\\d{1,12})';
const INTERVAL = new RegExp(`^(?:${PART} years? ?)?(?:${PART} mons? ?)?(?:${PART} days? ?)?(?:([+-]?)(\\d{1,12}):(\\d{2}):(\\d{2})(?:\\.(\\d{1,6}))?)?$`);

/** Reads an interval as PostgreSQL prints it (IntervalStyle postgres); null where `text` is none. */
function intervalOf(text: string): Interval | null {
  const match = text === '' ? null : INTERVAL.exec(text);
  if (match === null) return null;
  const part = (index: number): bigint => BigInt((match[index] ?? '0').replace('+', ''));
  const clock = part(5) * HOUR_US + part(6) * MINUTE_US + part(7) * SECOND_US + BigInt((match[8] ?? '').padEnd(6, '0'));
  return { months: part(1) * 12n + part(2), days: part(3), us: match[4] === '-' ? -clock : clock };
}

/** How long a month and a year are taken to be: by Debezium, by PostgreSQL's comparison, by its extract(epoch), by a plain calendar. */
const COUNTINGS: readonly (readonly [(months: bigint) => bigint, string])[] = [
  [(months) => months * 2_629_800n * SECOND_US, 'a month counted as 30.4375 days'],
  [(months) => months * 2_592_000n * SECOND_US, 'a month counted as 30 days'],
  [(months) => ((months / 12n) * 31_557_600n + (months % 12n) * 2_592_000n) * SECOND_US, 'a year counted as 365.25 days, a month as 30'],
  [(months) => ((months / 12n) * 31_536_000n + (months % 12n) * 2_592_000n) * SECOND_US, 'a year counted as 365 days, a month as 30'],
];

const INT64_MAX = 2n ** 63n - 1n;

/** Months and days as hours: what of them is left must stand for the same time, cut or rounded at most to seconds. */
const folded: Pattern = ({ from: fromText, to: toText }) => {
  const from = intervalOf(fromText);
  const to = intervalOf(toText);
  if (from === null || to === null) return null;
  const months = from.months !== 0n && to.months === 0n;
  const days = from.days !== 0n && to.days === 0n;
  if (!months && !(days && from.months === to.months)) return null;
  for (const [monthsUs, counting] of months ? COUNTINGS : COUNTINGS.slice(0, 1)) {
    const was = (months ? monthsUs(from.months) : 0n) + from.days * DAY_US + from.us;
    const is = to.days * DAY_US + to.us;
    const cut = was === is ? '' : (unitLost(was, is) ?? beyondInt64(was, is));
    if (cut === null) continue;
    const how = [months ? counting : 'a day counted as 24 hours', ...(cut === '' ? [] : [cut])];
    return { code: 'interval_folded', detail: how.join(', ') };
  }
  return null;
};

/** What no 64 bits of µs hold ends at their limit or goes round. */
function beyondInt64(was: bigint, is: bigint): string | null {
  if (was >= -INT64_MAX && was <= INT64_MAX) return null;
  const held = [was > 0n ? INT64_MAX : -INT64_MAX - 1n, BigInt.asIntN(64, was)];
  return held.some((value) => value === is || unitLost(value, is) !== null) ? 'beyond what 64 bits of µs hold' : null;
}

const negated: Pattern = ({ from: fromText, to: toText }) => {
  const from = intervalOf(fromText);
  const to = intervalOf(toText);
  if (from === null || to === null) return null;
  return from.months === -to.months && from.days === -to.days && from.us === -to.us ? { code: 'sign', detail: 'negated' } : null;
};

const precisionLost: Pattern = ({ from: fromText, to: toText }) => {
  const from = intervalOf(fromText);
  const to = intervalOf(toText);
  if (from === null || to === null || from.months !== to.months || from.days !== to.days) return null;
  const lost = unitLost(from.us, to.us);
  return lost === null ? null : { code: 'precision_lost', detail: lost };
};

export const INTERVAL_PATTERNS: readonly Pattern[] = [folded, negated, precisionLost];
