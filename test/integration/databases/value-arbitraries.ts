import fc from 'fast-check';
import { dateText, timeText, timestampText } from '../../../src/domain/values/calendar.ts';

/** A value as SQL input text, and another one that is close to it: equal or not is for PostgreSQL to say. */
export type Near = readonly [string, string];

export interface TypeArbitrary {
  readonly type: string;
  readonly near: fc.Arbitrary<Near>;
  /** SQL that is true where values `a` and `b` are two: PostgreSQL's own notion, by what the type stores. */
  readonly distinct: string;
}

const AS_PRINTED = 'a::text IS DISTINCT FROM b::text';

function near<T>(value: fc.Arbitrary<T>, print: (value: T) => string, change: (value: T, by: number) => T): fc.Arbitrary<Near> {
  return fc.tuple(value, fc.integer({ min: -3, max: 3 })).map(([original, by]): Near => [print(original), print(by === 0 ? original : change(original, by))]);
}

const clamp = (value: bigint, min: bigint, max: bigint): bigint => (value < min ? min : value > max ? max : value);

function integers(type: string, bits: bigint): TypeArbitrary {
  const max = 2n ** (bits - 1n) - 1n;
  const value = fc.oneof(fc.bigInt({ min: -max - 1n, max }), fc.constantFrom(0n, max, -max - 1n, 1n, -1n));
  return { type, distinct: 'a <> b', near: near(value, String, (number, by) => clamp(by === 3 ? -number : number + BigInt(by) * (by === 2 ? 2n ** (bits / 2n) : 1n), -max - 1n, max)) };
}

/** Digits, a scale, and zeros at the end that mean nothing. */
type Decimal = readonly [digits: bigint, scale: number, zeros: number];

const decimals = fc.tuple(fc.bigInt({ min: -(10n ** 60n), max: 10n ** 60n }), fc.integer({ min: 0, max: 45 }), fc.integer({ min: 0, max: 3 }));

function printDecimal([digits, scale, zeros]: Decimal): string {
  const size = (digits < 0n ? -digits : digits).toString().padStart(scale + 1, '0');
  const fraction = size.slice(size.length - scale) + '0'.repeat(zeros);
  return `${digits < 0n ? '-' : ''}${size.slice(0, size.length - scale)}${fraction === '' ? '' : `.${fraction}`}`;
}

const manyDigits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 1000 }).map((digits) => digits.join(''));
const hugeDecimals = fc.tuple(manyDigits, manyDigits);

const FLOAT_BITS = new DataView(new ArrayBuffer(8));

function doubleOf(bits: bigint): number {
  FLOAT_BITS.setBigUint64(0, BigInt.asUintN(64, bits));
  return FLOAT_BITS.getFloat64(0);
}

function floatOf(bits: number): number {
  FLOAT_BITS.setUint32(0, bits >>> 0);
  return FLOAT_BITS.getFloat32(0);
}

const printFloat = (value: number): string => (Object.is(value, -0) ? '-0' : String(value));

const MICROS_MIN = -210_863_520_000_000_000n;
const MICROS_MAX = 9_224_318_015_999_999_999n;
const micros = fc.oneof(
  fc.bigInt({ min: MICROS_MIN, max: MICROS_MAX }),
  fc.bigInt({ min: 1_600_000_000_000_000n, max: 1_800_000_000_000_000n }),
  fc.constantFrom(0n, -1n, MICROS_MIN, MICROS_MAX, -62_135_596_800_000_000n, -62_135_596_800_000_001n),
);

/** Letters that are easily taken for each other, or lost. */
const AWKWARD = ['a', 'A', 'é', 'e\u0301', 'ß', 'ſ', 'İ', 'i', '🙂', '\u200d', '\ufeff', '\uffff', '\u0001', '\t', '\n', ' ', '\u00a0', '\\', '"', "'", '{', '}', ',', '(', ')', '~', ':', '0', '1', '\u0085', '\u2028', 'NULL', '\ud7ff', '\ue000', '\u{10ffff}'];
const texts = fc.array(fc.oneof(fc.constantFrom(...AWKWARD), fc.string({ unit: 'grapheme', maxLength: 3 }).map(storable)), { maxLength: 8 });

/** PostgreSQL's text holds no NUL, and UTF-8 no lone surrogate. */
function storable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return Buffer.from(text, 'utf8').toString('utf8').replace(/\u0000/g, '');
}

function changeParts(parts: readonly string[], by: number): string[] {
  const changed = [...parts];
  const at = Math.abs(by) % (parts.length + 1);
  if (by > 0) changed.splice(at, 0, by === 2 ? ' ' : AWKWARD[(at * 7 + by) % AWKWARD.length] ?? 'x');
  else if (by === -1) changed.splice(at, 1);
  else changed.reverse();
  return changed;
}

const joined = near(texts, (parts) => parts.join(''), changeParts);

const jsonNumbers = fc.tuple(fc.integer({ min: -1000, max: 1000 }), fc.constantFrom('', '.0', '.50', '.5', 'e2', 'E-2', 'e0')).map(([whole, rest]) => `${whole}${rest}`);
const jsonTexts: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('null', 'true', 'false'),
    jsonNumbers,
    texts.map((parts) => JSON.stringify(parts.join(''))),
    fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(' , ')}]`),
    fc.array(fc.tuple(fc.constantFrom('a', 'b', 'aa', 'é', ''), tie('value')), { maxLength: 3 }).map((entries) => `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(', ')}}`),
  ),
})).value;

const jsonNear: fc.Arbitrary<Near> = fc.tuple(jsonTexts, jsonTexts, fc.integer({ min: 0, max: 4 })).map(([one, other, how]): Near => {
  switch (how) {
    case 0:
      return [one, ` ${one} `];
    case 1:
      return [`{"a":${one},"b":${other}}`, `{"b":${other},"a":${one}}`];
    case 2:
      return [`[${one},${other}]`, `[${other},${one}]`];
    case 3:
      return [`{"a":${other},"a":${one}}`, `{"a":${one}}`];
    default:
      return [one, other];
  }
});

function literal(items: readonly (string | null)[], quote: string = '"'): string {
  return items.map((item) => (item === null ? 'NULL' : `${quote}${item.replace(/["\\]/g, '\\$&')}${quote}`)).join(',');
}

const textItems = fc.array(fc.option(texts.map((parts) => parts.join('')), { freq: 4 }), { maxLength: 4 });

function textArrays(): fc.Arbitrary<Near> {
  return fc.tuple(textItems, fc.integer({ min: 0, max: 4 })).map(([items, how]): Near => {
    const one = `{${literal(items)}}`;
    if (how === 0 || items.length === 0) return [one, one];
    if (how === 1) return [one, `{{${literal(items)}}}`];
    if (how === 2) return [one, `[0:${items.length - 1}]={${literal(items)}}`];
    if (how === 3) return [one, `{${literal(items.map((item) => (item === null ? 'NULL' : item)))}}`];
    return [one, `{${literal(items.slice(1))}}`];
  });
}

const intervals = fc.tuple(fc.integer({ min: -5000, max: 5000 }), fc.integer({ min: -5000, max: 5000 }), fc.bigInt({ min: -(10n ** 12n), max: 10n ** 12n }));

function printInterval([months, days, us]: readonly [number, number, bigint]): string {
  return `${months} mons ${days} days ${us} microseconds`;
}

/** Same length in the eyes of a calendar that folds: 1 month is 30 days, 1 day is 24 hours. */
function foldInterval([months, days, us]: readonly [number, number, bigint], by: number): readonly [number, number, bigint] {
  if (by === 1) return [months - 1, days + 30, us];
  if (by === 2) return [months, days - 1, us + 86_400_000_000n];
  if (by === 3) return [months, days, us + 1n];
  return [-months, -days, -us];
}

const bytes = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 20 });
const hex = (values: readonly number[]): string => `\\x${values.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
const bits = fc.array(fc.constantFrom('0', '1'), { maxLength: 40 });

/** 4714-11-24 BC and 5874897-12-31. */
const DAY_MIN = -2_440_588;
const DAY_MAX = 2_145_042_905;
const dates = fc.oneof(fc.integer({ min: DAY_MIN, max: DAY_MAX }), fc.integer({ min: -1000, max: 30_000 }));

export const TYPE_ARBITRARIES: readonly TypeArbitrary[] = [
  integers('int2', 16n),
  integers('int4', 32n),
  integers('int8', 64n),
  { type: 'numeric', distinct: 'a <> b', near: near<Decimal>(decimals, printDecimal, ([digits, scale, zeros], by) => (by === 3 ? [-digits, scale, zeros] : by === -3 ? [digits, scale, (zeros + 1) % 4] : [digits + BigInt(by), scale, zeros])) },
  { type: 'numeric', distinct: 'a <> b', near: near<readonly [string, string]>(hugeDecimals, ([whole, fraction]) => `${whole}.${fraction}`, ([whole, fraction], by) => (by > 0 ? [whole, `${fraction.slice(0, -1)}${(Number(fraction.at(-1)) + by) % 10}`] : [whole, `${fraction}0`])) },
  { type: 'float8', distinct: AS_PRINTED, near: near(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (bitsOf) => printFloat(doubleOf(bitsOf)), (bitsOf, by) => (by === 3 ? bitsOf ^ (1n << 63n) : bitsOf + BigInt(by))) },
  { type: 'float4', distinct: AS_PRINTED, near: near(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (bitsOf) => printFloat(floatOf(bitsOf)), (bitsOf, by) => (by === 3 ? (bitsOf ^ 0x80000000) >>> 0 : (bitsOf + by) >>> 0)) },
  { type: 'money', distinct: 'a <> b', near: near(fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), (cents) => printDecimal([cents, 2, 0]), (cents, by) => (by === 3 ? -cents : cents + BigInt(by))) },
  { type: 'text', distinct: 'a COLLATE "C" <> b COLLATE "C"', near: joined },
  { type: 'varchar(400)', distinct: 'a COLLATE "C" <> b COLLATE "C"', near: joined },
  { type: 'char(200)', distinct: 'a COLLATE "C" <> b COLLATE "C"', near: joined },
  { type: 'bool', distinct: 'a <> b', near: fc.tuple(fc.boolean(), fc.boolean()).map(([one, other]): Near => [String(one), String(other)]) },
  { type: 'bytea', distinct: 'a <> b', near: near(bytes, hex, (values, by) => (by > 0 ? [...values, 0] : values.map((value, index) => (index === values.length - 1 ? value ^ 1 : value)))) },
  { type: 'varbit', distinct: 'a <> b', near: near<readonly string[]>(bits, (values) => values.join(''), (values, by) => (by > 0 ? ['0', ...values] : [...values, '0'])) },
  { type: 'uuid', distinct: 'a <> b', near: fc.tuple(fc.uuid(), fc.boolean()).map(([uuid, same]): Near => [uuid, same ? uuid.toUpperCase() : `${uuid.slice(0, -1)}${uuid.endsWith('0') ? '1' : '0'}`]) },
  { type: 'date', distinct: 'a <> b', near: near(dates, dateText, (day, by) => Math.max(DAY_MIN, Math.min(day + by, DAY_MAX))) },
  { type: 'timestamp', distinct: 'a <> b', near: near(micros, (us) => timestampText(us, ''), (us, by) => clamp(us + BigInt(by), MICROS_MIN, MICROS_MAX)) },
  { type: 'timestamptz', distinct: 'a <> b', near: near(micros, (us) => timestampText(us, '+00'), (us, by) => clamp(us + BigInt(by), MICROS_MIN, MICROS_MAX)) },
  { type: 'time', distinct: 'a <> b', near: near(fc.bigInt({ min: 0n, max: 86_400_000_000n }), timeText, (us, by) => clamp(us + BigInt(by), 0n, 86_400_000_000n)) },
  { type: 'interval', distinct: 'interval_send(a) <> interval_send(b)', near: near(intervals, printInterval, foldInterval) },
  { type: 'json', distinct: 'a::jsonb <> b::jsonb', near: jsonNear },
  { type: 'jsonb', distinct: 'a <> b', near: jsonNear },
  { type: 'text[]', distinct: 'array_send(a) <> array_send(b)', near: textArrays() },
  { type: 'numeric[]', distinct: 'a <> b', near: near<readonly Decimal[]>(fc.array(decimals, { maxLength: 4 }), (items) => `{${items.map(printDecimal).join(',')}}`, (items, by) => (by > 0 ? items.map(([digits, scale, zeros]) => [digits, scale, (zeros + by) % 4] as const) : items.slice(1))) },
  { type: 'numrange', distinct: 'a <> b', near: near<readonly [Decimal, bigint]>(fc.tuple(decimals, fc.bigInt({ min: 1n, max: 10n ** 20n })), ([[digits, scale, zeros], more]) => `[${printDecimal([digits, scale, zeros])},${printDecimal([digits + more, scale, zeros])})`, ([[digits, scale, zeros], more], by) => [[digits, scale, by > 0 ? (zeros + 1) % 4 : zeros], by > 0 ? more : more + 1n]) },
  { type: 'public.composed', distinct: 'record_send(a) <> record_send(b)', near: fc.tuple(textItems, fc.boolean()).map(([items, same]): Near => { const fields = [items[0] ?? null, items[1] ?? null].map((item) => (item === null ? '' : `"${item.replace(/["\\]/g, '\\$&')}"`)); return [`(${fields.join(',')})`, same ? `(${fields.join(',')})` : `(${[...fields].reverse().join(',')})`]; }) },
  { type: 'public.hstore', distinct: AS_PRINTED, near: fc.tuple(textItems, textItems, fc.boolean()).map(([names, values, reversed]): Near => { const entries = names.filter((name) => name !== null).map((name, index) => `${literal([name])}=>${literal([values[index] ?? null])}`); return [entries.join(','), (reversed ? [...entries].reverse() : entries.slice(1)).join(',')]; }) },
];
