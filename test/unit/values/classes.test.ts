import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonNumber } from '../../../src/domain/json.ts';
import type { ExactJson } from '../../../src/domain/json.ts';
import type { SqlType } from '../../../src/domain/pair.ts';
import { canonicalFromDebezium, canonicalFromInput, canonicalFromText, digestSql, shownValue } from '../../../src/domain/values/classes.ts';
import type { FieldSchema } from '../../../src/domain/values/classes.ts';
import { dateText, momentUs, parseMoment, timestampText } from '../../../src/domain/values/calendar.ts';
import { canonicalDecimal } from '../../../src/domain/values/decimal.ts';
import { float8Text } from '../../../src/domain/values/float.ts';
import { canonicalJson } from '../../../src/domain/values/json-document.ts';
import { LOSS, Loss } from '../../../src/domain/values/loss.ts';
import type { ValueClassName } from '../../../src/domain/values/names.ts';
import { sqlType } from './types.ts';

const number = (text: string): JsonNumber => new JsonNumber(text);

function schema(name: string | null, type: string, parameters: Record<string, string> = {}): FieldSchema {
  return { name, type, parameters, items: null };
}

/** An unscaled integer as Debezium writes it. */
function base64Of(value: bigint): string {
  let bytes = 1;
  while (value < -(1n << BigInt(8 * bytes - 1)) || value >= 1n << BigInt(8 * bytes - 1)) bytes++;
  return Buffer.from(BigInt.asUintN(8 * bytes, value).toString(16).padStart(2 * bytes, '0'), 'hex').toString('base64');
}

const bigDecimal = fc.tuple(fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }), fc.integer({ min: 0, max: 30 }));

describe('decimals', () => {
  it.each([
    ['1.50', '1.5'],
    ['-0.0', '0'],
    ['007', '7'],
    ['100', '100'],
    ['1e3', '1000'],
    ['-1.20E-2', '-0.012'],
    ['.5', '0.5'],
    ['5.', '5'],
    ['NaN', 'NaN'],
    ['-infinity', '-Infinity'],
  ])('%s is %s', (text, canonical) => expect(canonicalDecimal(text)).toBe(canonical));

  it.each(['', '.', 'x', '1e', '1.2.3', '0x10', '1e999999999'])('%j is none', (text) => expect(canonicalDecimal(text)).toBeNull());

  it('an event’s bytes and PostgreSQL’s text are one value', () => {
    fc.assert(
      fc.property(bigDecimal, ([unscaled, scale]) => {
        const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
        const text = `${unscaled < 0n ? '-' : ''}${digits.slice(0, digits.length - scale)}${scale === 0 ? '' : `.${digits.slice(digits.length - scale)}`}`;
        const canonical = canonicalFromText('decimal', sqlType('numeric'), text);
        expect(canonicalFromText('decimal', sqlType('numeric'), canonical)).toBe(canonical);
        const free = { scale: number(String(scale)), value: base64Of(unscaled) };
        expect(canonicalFromDebezium('decimal', sqlType('numeric'), free, null)).toBe(canonical);
        const withSchema = schema('org.apache.kafka.connect.data.Decimal', 'bytes', { scale: String(scale) });
        expect(canonicalFromDebezium('decimal', sqlType('numeric'), base64Of(unscaled), withSchema)).toBe(canonical);
        const bare = canonicalFromDebezium('decimal', sqlType('numeric', { precision: 60, scale }), base64Of(unscaled), null);
        // Without a schema and without decimals, digits may be bytes: then nothing is claimed.
        if (!(bare instanceof Loss) || scale > 0) expect(bare).toBe(canonical);
        const asText = canonicalFromDebezium('decimal', sqlType('numeric', { precision: 60, scale }), text, null);
        if (!(asText instanceof Loss)) expect(asText).toBe(canonical);
      }),
    );
  });

  it('is one for a number written plainly and with an exponent', () => {
    fc.assert(
      fc.property(fc.bigInt(-(10n ** 12n), 10n ** 12n), fc.integer({ min: 1, max: 20 }), (unscaled, scale) => {
        const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
        const plain = `${unscaled < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
        expect(canonicalDecimal(plain)).toBe(canonicalDecimal(`${unscaled}e${-scale}`));
        expect(canonicalDecimal(`-0.${'0'.repeat(scale)}`)).toBe('0');
      }),
    );
  });

  it('different numbers have different forms', () => {
    fc.assert(
      fc.property(bigDecimal, bigDecimal, ([a, scaleA], [b, scaleB]) => {
        const left = canonicalDecimal(`${a}e${-scaleA}`);
        const right = canonicalDecimal(`${b}e${-scaleB}`);
        expect(left === right).toBe(a * 10n ** BigInt(scaleB) === b * 10n ** BigInt(scaleA));
      }),
    );
  });

  it('doubles tell a decimal only where they hold all of its digits', () => {
    expect(canonicalFromDebezium('decimal', sqlType('numeric', { precision: 20, scale: 4 }), number('100.0001'), null)).toBe(LOSS.double);
    expect(canonicalFromDebezium('decimal', sqlType('numeric', { precision: 10, scale: 2 }), number('1.50'), null)).toBe('1.5');
    expect(canonicalFromDebezium('decimal', sqlType('int8'), number('9007199254740993'), null)).toBe('9007199254740993');
  });

  it('doubles write numbers that are none as text, and those too large for them as infinite', () => {
    const double = schema(null, 'double');
    expect(canonicalFromDebezium('decimal', sqlType('numeric'), 'NaN', double)).toBe('NaN');
    expect(canonicalFromDebezium('decimal', sqlType('numeric'), 'NaN', null)).toBe('NaN');
    for (const encoding of [double, null]) expect(canonicalFromDebezium('decimal', sqlType('numeric'), '-Infinity', encoding)).toBe(LOSS.double);
    expect(canonicalFromDebezium('decimal', sqlType('numeric'), 'POSITIVE_INFINITY', null)).toBe('Infinity');
  });

  it('bytes that are no unscaled number tell nothing', () => {
    expect(canonicalFromDebezium('decimal', sqlType('numeric', { precision: 12, scale: 2 }), Buffer.from('1.50').toString('base64'), schema(null, 'bytes'))).toBe(LOSS.unsupported);
  });
});

describe('long runs of one character', () => {
  const LENGTH = 150_000;

  it('are read in one go: a pattern that tries each for a start would take minutes', () => {
    const zeros = `1${'0'.repeat(LENGTH)}1`;
    expect(canonicalFromText('json', sqlType('json'), `[${zeros}]`)).toBe(`[1${'0'.repeat(LENGTH)}1]`);
    expect(canonicalDecimal(`1.${'0'.repeat(LENGTH)}1`)).toBe(`1.${'0'.repeat(LENGTH)}1`);
    expect(() => canonicalFromText('float8', sqlType('float8'), `${'1'.repeat(LENGTH)}e`)).toThrow(expect.objectContaining({ code: 'bad_value' }));
    const blanks = `a${' '.repeat(LENGTH)}b`;
    expect(canonicalFromText('padded_text', sqlType('bpchar'), `${blanks}  `)).toBe(blanks);
  });
});

describe('integers', () => {
  it('keep every digit and read what people type', () => {
    expect(canonicalFromDebezium('integer', sqlType('int8'), number('9223372036854775807'), null)).toBe('9223372036854775807');
    expect(shownValue('integer', '9007199254740991')).toBe(9007199254740991);
    expect(shownValue('integer', '9007199254740992')).toBe('9007199254740992');
    for (const typed of [5, '5', ' 05', 5n, new JsonNumber('5')]) expect(canonicalFromInput('integer', sqlType('int4'), typed)).toBe('5');
    for (const typed of [2 ** 53, 1.5, 'x', '', null, undefined, {}, true, Number.NaN]) expect(canonicalFromInput('integer', sqlType('int4'), typed)).toBeUndefined();
    expect(() => canonicalFromDebezium('integer', sqlType('int4'), number('1.5'), null)).toThrow(expect.objectContaining({ code: 'bad_value' }));
  });
});

describe('floats', () => {
  it.each([
    ['1.0E20', '1e+20'],
    ['-0.0', '-0'],
    ['1e15', '1e+15'],
    ['123456789012345', '123456789012345'],
    ['1.0E-5', '1e-05'],
    ['0.0001', '0.0001'],
    ['1e23', '9.999999999999999e+22'],
  ])('double %s prints as %s', (text, printed) => expect(canonicalFromDebezium('float8', sqlType('float8'), number(text), null)).toBe(printed));

  it('special values arrive as text', () => {
    for (const text of ['NaN', 'Infinity', '-Infinity']) expect(canonicalFromDebezium('float4', sqlType('float4'), text, null)).toBe(text);
  });

  it('reads a double from any plain decimal as from its value', () => {
    fc.assert(
      fc.property(fc.bigInt(-(10n ** 17n), 10n ** 17n), fc.integer({ min: 0, max: 17 }), (unscaled, scale) => {
        const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
        const text = `${unscaled < 0n ? '-' : ''}${digits.slice(0, digits.length - scale)}${scale === 0 ? '' : `.${digits.slice(-scale)}`}`;
        expect(canonicalFromText('float8', sqlType('float8'), text)).toBe(float8Text(Number(text)));
      }),
      { numRuns: 2_000 },
    );
  });

  it('read back as the same double', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), (value) => {
        expect(Object.is(Number(float8Text(value)), value)).toBe(true);
        expect(canonicalFromText('float8', sqlType('float8'), float8Text(value))).toBe(float8Text(value));
      }),
    );
  });
});

describe('times', () => {
  const micros = schema('io.debezium.time.MicroTimestamp', 'int64');

  it('timestamps go there and back, BC too', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -210_866_803_200_000_000n, max: 9_223_371_331_199_999_999n }), (us) => {
        const text = timestampText(us, '');
        const moment = parseMoment(text);
        expect(moment === null ? null : momentUs(moment)).toBe(us);
        expect(canonicalFromText('timestamp', sqlType('timestamp'), text)).toBe(text);
        expect(canonicalFromDebezium('timestamp', sqlType('timestamp'), number(us.toString()), micros)).toBe(text);
        expect(canonicalFromText('instant', sqlType('timestamptz'), timestampText(us, '+00'))).toBe(timestampText(us, '+00'));
      }),
    );
  });

  it('dates go there and back', () => {
    fc.assert(
      fc.property(fc.integer({ min: -2_440_588, max: 2_145_042_905 }), (day) => {
        expect(parseMoment(dateText(day))?.day).toBe(day);
        const told = canonicalFromDebezium('date', sqlType('date'), number(String(day)), null);
        if (told !== LOSS.era) expect(told).toBe(dateText(day));
      }),
    );
  });

  it.each<[ValueClassName, SqlType, ExactJson, FieldSchema | null, string | Loss]>([
    ['timestamp', sqlType('timestamp'), number('1729993500999999'), null, '2024-10-27 01:45:00.999999'],
    ['timestamp', sqlType('timestamp', { precision: 3 }), number('1729992600123'), null, '2024-10-27 01:30:00.123'],
    ['timestamp', sqlType('timestamp'), number('1729993500999'), null, LOSS.unit],
    ['timestamp', sqlType('timestamp'), number('1729993500999'), schema('org.apache.kafka.connect.data.Timestamp', 'int64'), LOSS.milliseconds],
    ['timestamp', sqlType('timestamp'), number('1729993500999999000'), schema('io.debezium.time.NanoTimestamp', 'int64'), '2024-10-27 01:45:00.999999'],
    ['timestamp', sqlType('timestamp'), '2024-10-27T01:45:00.5Z', schema('io.debezium.time.IsoTimestamp', 'string'), '2024-10-27 01:45:00.5'],
    ['timestamp', sqlType('timestamp'), number('9223372036825200000'), null, 'infinity'],
    ['timestamp', sqlType('timestamp'), number('-9223372036832400'), schema('org.apache.kafka.connect.data.Timestamp', 'int64'), '-infinity'],
    ['instant', sqlType('timestamptz'), '2024-10-27T00:45:00.000001Z', null, '2024-10-27 00:45:00.000001+00'],
    ['instant', sqlType('timestamptz'), '2024-10-27T02:45:00.100+02:00', null, '2024-10-27 00:45:00.1+00'],
    ['instant', sqlType('timestamptz'), '+294276-12-31T23:59:59.999999Z', null, '294276-12-31 23:59:59.999999+00'],
    ['instant', sqlType('timestamptz'), '-0043-03-15T00:00:00Z', null, '0044-03-15 00:00:00+00 BC'],
    ['instant', sqlType('timestamptz'), 'infinity', null, 'infinity'],
    ['date', sqlType('date'), number('-622191234'), null, 'infinity'],
    ['date', sqlType('date'), number('-2147472692'), null, 'infinity'],
    ['date', sqlType('date'), number('-2147472691'), null, '-infinity'],
    ['date', sqlType('date'), '-5877611-06-21Z', null, 'infinity'],
    ['date', sqlType('date'), '-5877611-06-22Z', null, '-infinity'],
    ['timestamp', sqlType('timestamp'), number('-9223372036853775810'), micros, LOSS.range],
    ['timestamp', sqlType('timestamp'), number('9223372036854775807'), micros, LOSS.range],
    ['timestamp', sqlType('timestamp'), number('0'), null, LOSS.unit],
    ['timestamp', sqlType('timestamp'), number('0'), micros, '1970-01-01 00:00:00'],
    ['time', sqlType('time'), number('0'), null, LOSS.unit],
    ['time', sqlType('time'), number('0'), schema('io.debezium.time.MicroTime', 'int64'), '00:00:00'],
    ['interval', sqlType('interval'), 'P0Y0M0DT0H0M56.891132999999996S', null, '00:00:56.891133'],
    ['date', sqlType('date'), '2021-06-04Z', null, '2021-06-04'],
    ['time', sqlType('time'), number('86399999999'), null, '23:59:59.999999'],
    ['time', sqlType('time'), number('86400000000'), null, '24:00:00'],
    ['time', sqlType('time'), number('43200000'), null, LOSS.unit],
    ['time', sqlType('time', { precision: 3 }), number('43200123'), null, '12:00:00.123'],
    ['time', sqlType('time'), '12:00:00.5Z', null, '12:00:00.5'],
    ['time', sqlType('time'), '00:00:00Z', null, LOSS.end_of_day],
    ['timetz', sqlType('timetz'), '10:00:00.5Z', null, LOSS.zone],
    ['interval', sqlType('interval'), number('37091106789000'), null, LOSS.interval],
    ['interval', sqlType('interval'), 'P0Y-1M2DT-3H0M0S', null, '-1 mons +2 days -03:00:00'],
  ])('%s of an event (case %#)', (valueClass, type, encoded, fieldSchema, expected) => {
    expect(canonicalFromDebezium(valueClass, type, encoded, fieldSchema)).toBe(expected);
  });

  it('a moment in another zone is the same instant', () => {
    expect(canonicalFromText('instant', sqlType('timestamptz'), '2024-10-27 02:45:00+02')).toBe('2024-10-27 00:45:00+00');
    expect(canonicalFromInput('instant', sqlType('timestamptz'), '2024-10-27T02:45:00+0200')).toBe('2024-10-27 00:45:00+00');
    expect(canonicalFromInput('date', sqlType('date'), '2023-02-29')).toBeUndefined();
  });
});

describe('JSON documents', () => {
  it.each([
    ['{"b":1,"aa":2,"a":{"y":[ ]}}', '{"a":{"y":[]},"b":1,"aa":2}'],
    ['{"a":1,"a":2.50}', '{"a":2.5}'],
    ['[1.0,1.00,1e2,-0.0,1E400]', '[1,1,100,0,1e400]'],
    ['"\\ud83d\\ude42"', '"🙂"'],
    ['12345678901234567890.10', '12345678901234567890.1'],
    [' null ', 'null'],
  ])('%s', (text, canonical) => expect(canonicalJson(text)).toBe(canonical));

  it.each(['', '{', '[1,]', '01', '{"a"}', '"', '"\\x"', 'nul', '[1] 2', '"\n"', '+1'])('%j is none', (text) => expect(canonicalJson(text)).toBeNull());

  it('nested too deep is refused, not a crash', () => expect(canonicalJson('['.repeat(100_000))).toBeNull());

  it('the form is the same however a document is spaced, ordered and escaped', () => {
    const escaped = (value: unknown): string =>
      typeof value === 'string'
        ? `"${Array.from({ length: value.length }, (_, unit) => `\\u${value.charCodeAt(unit).toString(16).padStart(4, '0')}`).join('')}"`
        : Array.isArray(value)
          ? ` [\t${value.map(escaped).join(' ,\n')} ] `
          : typeof value === 'object' && value !== null
            ? `{ ${Object.entries(value).reverse().map(([key, item]) => `${escaped(key)}\r: ${escaped(item)}`).join(' , ')} }`
            : JSON.stringify(value);
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const canonical = canonicalJson(JSON.stringify(value));
        expect(canonicalJson(escaped(value))).toBe(canonical);
        expect(canonicalJson(`{"z":0,"z":${escaped(value)},"a":1,"z":${JSON.stringify(value)}}`)).toBe(`{"a":1,"z":${canonical}}`);
      }),
    );
  });

  it('the form says all and only what the document says', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (left, right) => {
        const canonical = canonicalJson(JSON.stringify(left));
        expect(canonicalJson(canonical ?? '')).toBe(canonical);
        expect(JSON.parse(canonical ?? '')).toEqual(JSON.parse(JSON.stringify(left)));
        if (canonical === canonicalJson(JSON.stringify(right))) expect(JSON.parse(JSON.stringify(left))).toEqual(JSON.parse(JSON.stringify(right)));
      }),
    );
  });
});

describe('arrays', () => {
  const texts = sqlType('text', { array: true });
  const literal = (items: readonly (string | null)[]): string => `{${items.map((item) => (item === null ? 'NULL' : `"${item.replace(/["\\]/g, '\\$&')}"`)).join(',')}}`;
  const items = fc.array(fc.option(fc.string({ unit: 'binary' })));

  it('an event’s array and PostgreSQL’s text are one value; no two arrays share a form', () => {
    fc.assert(
      fc.property(items, items, (left, right) => {
        const canonical = canonicalFromText('array', texts, literal(left));
        expect(canonicalFromText('array', texts, canonical)).toBe(canonical);
        const onlyNulls = left.length > 0 && left.every((item) => item === null);
        expect(canonicalFromDebezium('array', texts, left, null)).toBe(onlyNulls ? LOSS.dimensions : canonical);
        expect(canonical === canonicalFromText('array', texts, literal(right))).toBe(JSON.stringify(left) === JSON.stringify(right));
      }),
    );
  });

  it.each([
    ['{a,NULL,"NULL"}', '{"a",NULL,"NULL"}'],
    ['[0:1]={a,b}', '[0:1]={"a","b"}'],
    ['[1:2]={a,b}', '{"a","b"}'],
    ['{{a,b},{c,d}}', '{{"a","b"},{"c","d"}}'],
    ['{}', '{}'],
  ])('%s', (text, canonical) => expect(canonicalFromText('array', texts, text)).toBe(canonical));

  it.each(['', '{', '{a', '{"a', '{a}}', 'a', '{a;b}{'])('%j is none', (text) =>
    expect(() => canonicalFromText('array', texts, text)).toThrow(expect.objectContaining({ code: 'bad_value' })),
  );

  it('arrays of arrays come as nulls or as Java prints them, and tell nothing', () => {
    for (const item of ['[Ljava.lang.String;@77efe83e', '[[I@5ccbb', null]) expect(canonicalFromDebezium('array', texts, [item, item], null)).toBe(LOSS.dimensions);
    expect(canonicalFromDebezium('array', texts, ['[x]@1', null], null)).toBe('{"[x]@1",NULL}');
  });

  it('elements follow their own class; one unknown element makes all unknown', () => {
    const amounts = sqlType('numeric', { array: true, precision: 10, scale: 2 });
    expect(canonicalFromText('array', amounts, '{1.50,2.00,NULL}')).toBe('{"1.5","2",NULL}');
    expect(canonicalFromDebezium('array', amounts, ['AJY=', 'AOE=', null], null)).toBe('{"1.5","2.25",NULL}');
    expect(canonicalFromDebezium('array', sqlType('interval', { array: true }), ['P1D', number('5')], null)).toBe(LOSS.interval);
  });
});

describe('the rest', () => {
  it.each<[ValueClassName, SqlType, ExactJson, FieldSchema | null, string | null | Loss]>([
    ['text', sqlType('text'), null, null, null],
    ['text', sqlType('mood', { kind: 'enum' }), 'paid', null, 'paid'],
    ['padded_text', sqlType('bpchar', { length: 4 }), 'GB  ', null, 'GB'],
    ['boolean', sqlType('bool'), true, null, 'true'],
    ['bytes', sqlType('bytea'), 'AAAAAf8A', null, '\\x00000001ff00'],
    ['bytes', sqlType('bytea'), '00000001ff00', null, LOSS.ambiguous],
    ['bytes', sqlType('bytea'), '00ff0', schema(null, 'bytes'), LOSS.ambiguous],
    ['bytes', sqlType('bytea'), '00ff00', null, '\\x00ff00'],
    ['bytes', sqlType('bytea'), '-_8', null, '\\xfbff'],
    ['bytes', sqlType('bytea'), '', null, '\\x'],
    ['bits', sqlType('bit', { length: 8 }), 'AQ==', null, '00000001'],
    ['bits', sqlType('bit', { length: 12 }), 'AQg=', null, '100000000001'],
    ['bits', sqlType('bit', { length: 1 }), true, null, '1'],
    ['bits', sqlType('varbit'), 'Fg==', null, LOSS.leading_zeros],
    ['money', sqlType('money'), 'APo=', null, '2.5'],
    ['network', sqlType('inet'), '10.0.0.1/32', null, '10.0.0.1'],
    ['network', sqlType('inet'), '10.0.0.1/24', null, '10.0.0.1/24'],
    ['range', sqlType('tstzrange', { kind: 'range', subtype: sqlType('timestamptz') }), '["2024-01-01 02:00:00+02",)', null, '["2024-01-01 00:00:00+00",)'],
    ['range', sqlType('nummultirange', { kind: 'multirange', subtype: sqlType('numeric') }), '{[1.50,2),[3,4)}', null, '{["1.5","2"),["3","4")}'],
    ['geometric', sqlType('point'), { x: number('1.5'), y: number('-0.0') }, null, '(1.5,-0)'],
    ['geometric', sqlType('circle'), '<(1,1),2>', null, LOSS.unsupported],
    ['hstore', sqlType('hstore'), '{"bb":"1","a":null,"c":"x\\"y"}', null, '"a"=>NULL, "c"=>"x\\"y", "bb"=>"1"'],
    ['hstore', sqlType('hstore'), { bb: '1', a: null }, null, '"a"=>NULL, "bb"=>"1"'],
    ['vector', sqlType('vector'), [number('1'), number('0.10000000149011612')], null, '[1,0.1]'],
    ['vector', sqlType('sparsevec'), { dimensions: number('5'), vector: { '3': number('2'), '1': number('1.5') } }, null, '{1:1.5,3:2}/5'],
    ['opaque_text', sqlType('jsonpath'), '$.a', null, LOSS.unsupported],
  ])('%s of an event (case %#)', (valueClass, type, encoded, fieldSchema, expected) => {
    if (encoded === '00ff0') expect(() => canonicalFromDebezium(valueClass, type, encoded, fieldSchema)).toThrow();
    else expect(canonicalFromDebezium(valueClass, type, encoded, fieldSchema)).toBe(expected);
  });

  it('money as PostgreSQL prints it', () => {
    expect(canonicalFromText('money', sqlType('money'), '-$1,234.50')).toBe('-1234.5');
    expect(canonicalFromText('money', sqlType('money'), '$0.00')).toBe('0');
  });

  it('keys as people type them', () => {
    expect(canonicalFromInput('uuid', sqlType('uuid'), 'A0EEBC999C0B4EF8BB6D6BB9BD380A11')).toBe('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
    expect(canonicalFromInput('uuid', sqlType('uuid'), 'nope')).toBeUndefined();
    expect(canonicalFromInput('text', sqlType('text'), 5)).toBe('5');
    expect(canonicalFromInput('boolean', sqlType('bool'), true)).toBe('true');
  });

  it('errors never carry the value', () => {
    for (const valueClass of ['integer', 'uuid', 'instant', 'json', 'bytes', 'array'] as const) {
      try {
        canonicalFromDebezium(valueClass, sqlType('int4', { array: valueClass === 'array' }), 'se!cret', null);
        expect.unreachable();
      } catch (error) {
        expect(error).toMatchObject({ code: 'bad_value' });
        expect(String(error)).not.toContain('se!cret');
      }
    }
  });

  it('digests are text of the column', () => expect(digestSql('text', sqlType('text'), 'r."a"')).toBe('r."a"::text'));
});
