import { DAY_US, momentUs, parseMoment, parseTime } from '../values/calendar.ts';
import type { Pattern } from './change.ts';
import type { Finding } from './codes.ts';
import { roundingTo } from './numbers.ts';

const SECOND_US = 1_000_000n;
const MINUTE_US = 60n * SECOND_US;
/** Every time zone in use is a multiple of this off UTC. */
const ZONE_STEP_US = 15n * MINUTE_US;
/** The farthest zone, UTC+14. */
const ZONE_MAX_US = 14n * 60n * MINUTE_US;

/** What a temporal value counts in: µs since 1970 or past midnight. */
interface Count {
  readonly us: bigint;
  readonly kind: 'date' | 'time' | 'moment';
}

/** Reads a date, a time of day or a moment, its offset taken off; null for infinities and everything else. */
function countOf(text: string): Count | null {
  const time = parseTime(text);
  if (time !== null) return { us: time.timeUs - BigInt(time.offsetS ?? 0) * SECOND_US, kind: 'time' };
  const moment = parseMoment(text);
  return moment === null ? null : { us: momentUs(moment), kind: moment.timeUs === null ? 'date' : 'moment' };
}

function counts(from: string, to: string): { readonly from: Count; readonly to: Count } | null {
  const was = countOf(from);
  const is = was === null ? null : countOf(to);
  return was === null || is === null || was.kind !== is.kind ? null : { from: was, to: is };
}

const HALF_DAY_US = DAY_US / 2n;

/**
 * By how much new is ahead of old, where a clock or a zone can be that far off: a whole number of quarters of an
 * hour up to 14 hours, for dates one day. Times of day go round midnight. Null where it is none.
 */
export function clockOffsetUs(old: string, neu: string): bigint | null {
  const both = counts(old, neu);
  if (both === null) return null;
  let us = both.to.us - both.from.us;
  if (both.from.kind === 'date') return us === DAY_US || us === -DAY_US ? us : null;
  if (both.from.kind === 'time') {
    us = ((us % DAY_US) + DAY_US) % DAY_US;
    if (us > HALF_DAY_US) us -= DAY_US;
  }
  return us !== 0n && us % ZONE_STEP_US === 0n && us <= ZONE_MAX_US && us >= -ZONE_MAX_US ? us : null;
}

/** Whether a value shows seconds, so that two of them agree in their minutes and seconds by no accident. */
function showsSeconds(text: string): boolean {
  const count = countOf(text);
  return count !== null && count.kind !== 'date' && count.us % MINUTE_US !== 0n;
}

/** `+02:00:00`; for dates `+1 day`. */
export function offsetText(us: bigint): string {
  const sign = us < 0n ? '-' : '+';
  const size = us < 0n ? -us : us;
  if (size === DAY_US) return `${sign}1 day`;
  const two = (value: bigint): string => value.toString().padStart(2, '0');
  const seconds = size / SECOND_US;
  return `${sign}${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}`;
}

export function offsetFinding(us: bigint): Finding {
  return { code: 'clock_offset', detail: `${offsetText(us)} on new` };
}

const clockOffset: Pattern = ({ from, to, toIsNew }) => {
  const us = toIsNew ? clockOffsetUs(from, to) : clockOffsetUs(to, from);
  return us === null ? null : offsetFinding(us);
};

/** Whole minutes of a day are quarters of an hour apart too often: only other columns can say that it was the clock. */
const timeOffset: Pattern = (change) => (showsSeconds(change.from) ? clockOffset(change) : null);

/** The commonest comes first, the others from the finest on: the first that fits claims no more than was lost. */
const UNITS: readonly (readonly [bigint, string])[] = [
  [1_000n, 'milliseconds'],
  [10n, '5 digits of a second'],
  [100n, '4 digits of a second'],
  [10_000n, '2 digits of a second'],
  [100_000n, '1 digit of a second'],
  [SECOND_US, 'seconds'],
  [MINUTE_US, 'minutes'],
];

/** Cut or rounded to a unit of time; null where it was not. */
export function unitLost(from: bigint, to: bigint): string | null {
  for (const [unit, name] of UNITS) {
    const how = roundingTo(from, to, unit);
    if (how !== null && (how === 'cut' || unit <= SECOND_US)) return `${how} to ${name}`;
  }
  return null;
}

const DIGITS_OF_SECOND = 6;

const precisionLost: Pattern = ({ from, to, toType }) => {
  const both = counts(from, to);
  if (both === null) return null;
  if (parseTime(from)?.offsetS !== parseTime(to)?.offsetS) return null;
  const declared = toType === null || toType.array || toType.precision === null || toType.precision >= DIGITS_OF_SECOND ? null : toType.precision;
  if (declared !== null) {
    const how = roundingTo(both.from.us, both.to.us, 10n ** BigInt(DIGITS_OF_SECOND - declared));
    if (how !== null) return { code: 'precision_lost', detail: `${how} to ${unitOf(declared)}, the precision of ${toType?.formatted ?? ''}`, byType: true };
  }
  const lost = unitLost(both.from.us, both.to.us);
  if (lost !== null) return { code: 'precision_lost', detail: lost };
  // A time of whole minutes may have been set on a day that was there before.
  const midnight = both.from.kind === 'moment' && both.from.us % MINUTE_US !== 0n && both.to.us % DAY_US === 0n && both.to.us < both.from.us && both.from.us - both.to.us < DAY_US;
  return midnight ? { code: 'precision_lost', detail: 'cut to the day' } : null;
};

function unitOf(digits: number): string {
  const size = 10n ** BigInt(DIGITS_OF_SECOND - digits);
  return UNITS.find(([unit]) => unit === size)?.[1] ?? 'seconds';
}

/** Below this a count says too little to be taken for another one's thousandth. */
const EPOCH_COUNT_FROM = 1_000_000n;
const EPOCH_FACTORS: readonly (readonly [bigint, string, string])[] = [
  [1_000n, 'by 1,000 too small', 'by 1,000 too large'],
  [1_000_000n, 'by 1,000,000 too small', 'by 1,000,000 too large'],
];

const epochUnit: Pattern = ({ from, to }) => {
  const both = counts(from, to);
  if (both === null || both.from.kind === 'date') return null;
  const was = both.from.us;
  const is = both.to.us;
  if (was === 0n || is === 0n) return null;
  for (const [factor, small, large] of EPOCH_FACTORS) {
    if (size(was) >= EPOCH_COUNT_FROM && was / factor === is) return { code: 'epoch_unit', detail: small };
    if (size(is) >= EPOCH_COUNT_FROM && was * factor === is) return { code: 'epoch_unit', detail: large };
  }
  return null;
};

function size(value: bigint): bigint {
  return value < 0n ? -value : value;
}

const YEAR_AND_REST = /^(\d{4,9})-(.*?)( BC)?$/;

/** The year of a date before Christ without its era, counted with or without a year 0. */
const eraLost: Pattern = ({ from, to }) => {
  const was = YEAR_AND_REST.exec(from);
  const is = YEAR_AND_REST.exec(to);
  if (was?.[3] === undefined || is === null || is[3] !== undefined || was[2] !== is[2]) return null;
  const years = Number(was[1]) - Number(is[1]);
  return years === 0 || years === 1 ? { code: 'era_lost', detail: null } : null;
};

/** Where 64 bits of µs end, and Java's of ms. */
const FAR_YEAR = /^(?:29[0-9]{4}|29[0-9]{7})-/;
/** Dates that stand for no end and no beginning. */
const SENTINEL = /^(?:9999-12-31|0001-01-01|1970-01-01)(?: |$)/;

const infinityReplaced: Pattern = ({ from, to }) => {
  if (from !== 'infinity' && from !== '-infinity') return null;
  if (to === (from === 'infinity' ? '-infinity' : 'infinity')) return { code: 'infinity_replaced', detail: `by ${to}` };
  const far = FAR_YEAR.exec(to);
  if (far !== null) return { code: 'infinity_replaced', detail: `by the year ${/^\d+/.exec(to)?.[0] ?? ''}${to.endsWith(' BC') ? ' BC' : ''}` };
  return SENTINEL.test(to) ? { code: 'infinity_replaced', detail: `by ${to.slice(0, 10)}` } : null;
};

const END_OF_DAY = /^24:00:00/;
const START_OF_DAY = /^00:00:00/;

const endOfDay: Pattern = ({ from, to }) =>
  END_OF_DAY.test(from) && START_OF_DAY.test(to) && from.replace(END_OF_DAY, '') === to.replace(START_OF_DAY, '') ? { code: 'end_of_day', detail: null } : null;

/** The same instant of the day in another zone; 24:00 may become 00:00 on the way. */
const zoneMoved: Pattern = ({ from, to }) => {
  const was = parseTime(from);
  const is = parseTime(to);
  if (was === null || is === null || was.offsetS === null || is.offsetS === null || was.offsetS === is.offsetS) return null;
  const apart = was.timeUs - BigInt(was.offsetS) * SECOND_US - (is.timeUs - BigInt(is.offsetS) * SECOND_US);
  if (apart % DAY_US === 0n) return { code: 'zone_moved', detail: `to ${zoneText(is.offsetS)}` };
  return was.timeUs === is.timeUs ? { code: 'clock_offset', detail: `zone ${zoneText(was.offsetS)} taken for ${zoneText(is.offsetS)}` } : null;
};

function zoneText(offsetS: number): string {
  if (offsetS === 0) return 'UTC';
  return offsetText(BigInt(offsetS) * SECOND_US).replace(/:00$/, '');
}

export const DATE_PATTERNS: readonly Pattern[] = [infinityReplaced, eraLost, clockOffset];
export const TIME_PATTERNS: readonly Pattern[] = [endOfDay, precisionLost, epochUnit, timeOffset];
export const TIMETZ_PATTERNS: readonly Pattern[] = [endOfDay, zoneMoved, precisionLost, timeOffset];
export const MOMENT_PATTERNS: readonly Pattern[] = [infinityReplaced, eraLost, precisionLost, epochUnit, clockOffset];
