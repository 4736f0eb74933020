import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CanonicalValue } from '../../../src/domain/row.ts';
import { dateText, timestampText, timeText } from '../../../src/domain/values/calendar.ts';
import { canonicalDecimal } from '../../../src/domain/values/decimal.ts';
import { float8Text } from '../../../src/domain/values/float.ts';
import { intervalText } from '../../../src/domain/values/interval.ts';
import { canonicalJson } from '../../../src/domain/values/json-document.ts';
import type { ValueClassName } from '../../../src/domain/values/names.ts';
import { causeOf, columnOf, TYPES } from './columns.ts';

const CLASSES = Object.keys(TYPES) as ValueClassName[];

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
/** µs between the years 1700 and 2300. */
const moment = fc.bigInt({ min: -8_520_336_000_000_000n, max: 10_413_792_000_000_000n });
const timeOfDay = fc.bigInt({ min: 0n, max: 86_399_999_999n });
const decimal = fc
  .tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.integer({ min: 0, max: 25 }))
  .map(([unscaled, scale]) => canonicalDecimal(`${unscaled}e-${scale}`) ?? '0');
const interval = fc
  .tuple(fc.integer({ min: -5_000, max: 5_000 }), fc.integer({ min: -5_000, max: 5_000 }), fc.bigInt({ min: -86_399_999_999n, max: 86_399_999_999n }))
  .map(([months, days, us]) => ({ months, days, us }));

function printInterval({ months, days, us }: { months: number; days: number; us: bigint }): string {
  const size = us < 0n ? -us : us;
  const seconds = `${us < 0n ? '-' : ''}${size / 1_000_000n}.${(size % 1_000_000n).toString().padStart(6, '0')}`;
  return intervalText(`P${months}M${days}DT${seconds}S`) ?? '';
}

/** Applies a change to random values: wherever it changes one, it is named, or one of `others`, which are more specific. */
function named<T>(valueClass: ValueClassName, arbitrary: fc.Arbitrary<T>, change: (value: T) => readonly [string, string], code: string, others: readonly string[] = []): void {
  fc.assert(
    fc.property(arbitrary, (value) => {
      const [from, to] = change(value);
      fc.pre(from !== to);
      const found = causeOf(columnOf(valueClass), from, to);
      expect([code, ...others], `${JSON.stringify(from)} → ${JSON.stringify(to)}`).toContain(found?.code);
      expect(causeOf(columnOf(valueClass), to, from, 'new')?.code).toBe(found?.code);
    }),
  );
}

describe('a known change of any value is named', () => {
  it('text cut', () => {
    const cut = fc.tuple(text, fc.nat()).filter(([value]) => Array.from(value).length > 8);
    named('text', cut, ([value, at]) => [value, Array.from(value).slice(0, 8 + (at % (Array.from(value).length - 8))).join('')], 'truncated', ['padding', 'whitespace']);
  });
  it('letter case', () => {
    named('text', text, (value) => [value, value.toUpperCase()], 'case');
    named('text', text, (value) => [value, value.toLowerCase()], 'case');
  });
  it('Unicode form', () => {
    for (const form of ['NFC', 'NFD', 'NFKC', 'NFKD'] as const) named('text', text, (value) => [value, value.normalize(form)], 'unicode_form', ['case']);
  });
  it('text decoded in the wrong charset', () => {
    named('text', text, (value) => [value, Buffer.from(value, 'utf8').toString('latin1')], 'mojibake');
    named('text', text, (value) => [value, new TextDecoder('windows-1252').decode(Buffer.from(value, 'utf8'))], 'mojibake');
    named('text', text, (value) => [value, value.replaceAll(/\P{ASCII}/gu, '?')], 'mojibake', ['case', 'unicode_form']);
  });
  it('spaces around', () => {
    named('text', fc.tuple(text, fc.integer({ min: 1, max: 9 })), ([value, count]) => [value, value.padEnd(value.length + count)], 'padding');
    named('text', text.filter((value) => value.trim() !== ''), (value) => [` ${value}\n`, value], 'whitespace');
  });
  it('base64', () => named('text', text.filter((value) => Buffer.byteLength(value) >= 4), (value) => [value, Buffer.from(value).toString('base64')], 'text_encoding'));
  it('a clock that is off', () => {
    const shifted = fc.tuple(moment, fc.integer({ min: -56, max: 56 }).map((quarters) => BigInt(quarters) * 900_000_000n));
    named('timestamp', shifted, ([us, by]) => [timestampText(us, ''), timestampText(us + by, '')], 'clock_offset', ['precision_lost']);
    named('instant', shifted, ([us, by]) => [timestampText(us, '+00'), timestampText(us + by, '+00')], 'clock_offset', ['precision_lost']);
    named('date', fc.integer({ min: -100_000, max: 100_000 }), (day) => [dateText(day), dateText(day + 1)], 'clock_offset');
  });
  it('time cut or rounded', () => {
    for (const unit of [1_000n, 1_000_000n, 86_400_000_000n]) {
      named('timestamp', moment.filter((us) => us % 60_000_000n !== 0n), (us) => [timestampText(us, ''), timestampText(us - (((us % unit) + unit) % unit), '')], 'precision_lost');
    }
    for (const unit of [1_000n, 1_000_000n]) named('time', timeOfDay, (us) => [timeText(us), timeText(((us + unit / 2n) / unit) * unit)], 'precision_lost');
  });
  it('time zones moved', () => {
    const zones = fc.tuple(timeOfDay, fc.integer({ min: -12, max: 14 }).filter((hours) => hours !== 0));
    const zone = (hours: number): string => `${hours < 0 ? '-' : '+'}${Math.abs(hours).toString().padStart(2, '0')}`;
    named(
      'timetz',
      zones,
      ([us, hours]) => {
        const utc = (us - BigInt(hours) * 3_600_000_000n + 2n * 86_400_000_000n) % 86_400_000_000n;
        return [`${timeText(us)}${zone(hours)}`, `${timeText(utc)}+00`];
      },
      'zone_moved',
    );
  });
  it('units of time mistaken', () => {
    named('timestamp', fc.bigInt({ min: 1_000_000_000_000n, max: 9_000_000_000_000n }), (us) => [timestampText(us, ''), timestampText(us * 1_000n, '')], 'epoch_unit');
    named('integer', fc.bigInt({ min: 1_000_000_000n, max: 4_000_000_000n }), (s) => [s.toString(), (s * 1_000n).toString()], 'epoch_unit');
  });
  it('intervals folded', () => {
    // Microseconds of Debezium's numeric mode, and seconds as its sink writes them.
    const folded = ({ months, days, us }: { months: number; days: number; us: bigint }): bigint => BigInt(months) * 2_629_800_000_000n + BigInt(days) * 86_400_000_000n + us;
    const some = interval.filter(({ months, days }) => months !== 0 || days !== 0);
    const hours = (us: bigint): string => {
      const size = us < 0n ? -us : us;
      return intervalText(`PT${us < 0n ? '-' : ''}${size / 1_000_000n}.${(size % 1_000_000n).toString().padStart(6, '0')}S`) ?? '';
    };
    named('interval', some, (value) => [printInterval(value), hours(folded(value))], 'interval_folded');
    named('interval', some, (value) => [printInterval(value), hours((folded(value) / 1_000_000n) * 1_000_000n)], 'interval_folded');
  });
  it('numbers through a double', () => {
    named('decimal', decimal, (value) => [value, canonicalDecimal(Number(value).toString()) ?? value], 'through_float', ['precision_lost']);
    named('integer', fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }), (value) => [value.toString(), BigInt(Number(value)).toString()], 'through_float');
  });
  it('digits cut', () => {
    const cut = (value: string): string => canonicalDecimal(value.replace(/(\.\d\d).*/, '$1')) ?? value;
    named('decimal', decimal.filter((value) => /\.\d{5}/.test(value)), (value) => [value, cut(value)], 'precision_lost', ['through_float']);
  });
  it('numbers negated', () => {
    const negated = (value: string): string => (value.startsWith('-') ? value.slice(1) : value === '0' ? '0' : `-${value}`);
    named('decimal', decimal, (value) => [value, negated(value)], 'sign');
    named('float8', fc.double({ noNaN: true, noDefaultInfinity: true }).map(float8Text), (value) => [value, value.startsWith('-') ? value.slice(1) : `-${value}`], 'sign');
  });
  it('within documents and arrays', () => {
    const cut = fc.tuple(text, text, text).filter(([value]) => Array.from(value).length > 8 && value.trim() === value);
    const first = (value: string): string => Array.from(value).slice(0, 8).join('');
    const document = (value: string, other: string, key: string): string => canonicalJson(JSON.stringify({ [key]: [value, 1, null], [`${key}x`]: other })) ?? '';
    named('json', cut, ([value, other, key]) => [document(value, other, key), document(first(value), other, key)], 'truncated', ['whitespace', 'padding']);
    const quoted = (values: readonly string[]): string => `{${values.map((value) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`;
    named('array', cut, ([value, other, third]) => [quoted([other, value, third]), quoted([other, first(value), third])], 'truncated', ['whitespace', 'padding']);
  });
});

describe('unrelated values', () => {
  /** Two values drawn apart: none of a class's patterns fits but by an accident that does not happen. */
  const UNRELATED: Partial<Record<ValueClassName, fc.Arbitrary<string>>> = {
    integer: fc.bigInt({ min: 10n ** 6n, max: 2n ** 63n - 1n }).map(String),
    decimal: fc.bigInt({ min: 10n ** 12n, max: 10n ** 30n }).map((unscaled) => canonicalDecimal(`${unscaled}e-7`) ?? ''),
    float8: fc.double({ noNaN: true, noDefaultInfinity: true, min: 1e-6, max: 1e15 }).map(float8Text),
    text: fc.uuid(),
    date: fc.integer({ min: -400_000, max: 400_000 }).map(dateText),
    time: timeOfDay.map(timeText),
    timestamp: moment.map((us) => timestampText(us, '')),
    instant: moment.map((us) => timestampText(us, '+00')),
    interval: interval.map(printInterval),
    bytes: fc.uint8Array({ minLength: 8, maxLength: 40 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`),
    json: fc.uuid().map((value) => JSON.stringify({ a: value })),
  };

  it.each(Object.keys(UNRELATED) as ValueClassName[])('of class %s have no cause', (valueClass) => {
    const one = UNRELATED[valueClass] as fc.Arbitrary<string>;
    // Small differences are what fast-check is good at: they must be unlike, not just unequal.
    const apart = fc.tuple(fc.noBias(one), fc.noBias(one)).filter(([from, to]) => from !== to);
    fc.assert(
      fc.property(apart, ([from, to]) => {
        expect(causeOf(columnOf(valueClass), from, to)).toBeNull();
        expect(causeOf(columnOf(valueClass), from, to, 'new')).toBeNull();
      }),
      { numRuns: 500 },
    );
  });
});

it('any two texts in any class are looked at without an error', () => {
  const odd = fc.oneof(
    text,
    decimal,
    moment.map((us) => timestampText(us, '')),
    fc.json(),
    fc.constantFrom('NaN', '-0', 'infinity', '{', '{{', '[0:1]={a', '"\\q"', '{"a":"\\q"}', '1e400', '99:99:99', '0000-00-00', '\\x0', 'P1Y', '-', '__debezium_unavailable_value'),
    fc.string({ unit: 'binary' }),
  );
  const value: fc.Arbitrary<CanonicalValue> = fc.option(odd);
  fc.assert(
    fc.property(fc.constantFrom(...CLASSES), value, value, fc.constantFrom('old' as const, 'new' as const), (valueClass, old, neu, primary) => {
      const found = causeOf(columnOf(valueClass), old, neu, primary);
      if (old === neu) expect(found).toBeNull();
    }),
    { numRuns: 1_000 },
  );
});
