import { describe, expect, it } from 'vitest';
import type { SqlType } from '../../../src/domain/pair.ts';
import type { CanonicalValue } from '../../../src/domain/row.ts';
import type { ValueClassName } from '../../../src/domain/values/names.ts';
import { sqlType } from '../values/types.ts';
import { causeOf, columnOf } from './columns.ts';

type Types = { readonly old?: SqlType; readonly new?: SqlType };
type Case = readonly [valueClass: ValueClassName, old: CanonicalValue, neu: CanonicalValue, code: string | null, message?: string | undefined, types?: Types];

const numeric = (precision: number, scale: number): SqlType => sqlType('numeric', { precision, scale, formatted: `numeric(${precision},${scale})` });
const varchar = (length: number): SqlType => sqlType('varchar', { length, formatted: `character varying(${length})` });
const arrayOf = (base: string): Types => ({ old: sqlType(base, { array: true, formatted: `${base}[]` }) });

function check(cases: readonly Case[]): void {
  for (const [valueClass, old, neu, code, message, types] of cases) {
    it(`${valueClass}: ${JSON.stringify(old)} → ${JSON.stringify(neu)} is ${code ?? 'nothing known'}${types === undefined ? '' : `, in ${(types.new ?? types.old)?.formatted}`}`, () => {
      const found = causeOf(columnOf(valueClass, types), old, neu);
      expect(found?.code ?? null).toBe(code);
      if (message !== undefined) expect(found?.message).toBe(message);
      const turned = types?.old === undefined ? {} : { old: types.new ?? types.old, new: types.old };
      expect(causeOf(columnOf(valueClass, turned), neu, old, 'new')?.code ?? null, 'with new as the primary').toBe(code);
    });
  }
}

describe('what a Debezium JDBC sink does', () => {
  check([
    ['text', 'a long text', '__debezium_unavailable_value', 'placeholder_written', 'placeholder of an unavailable value written'],
    ['text', 'a long text', '@@TOASTED@@', 'placeholder_written'],
    ['text', null, '__debezium_unavailable_value', 'placeholder_written'],
    ['bytes', '\\x00ff', `\\x${Buffer.from('__debezium_unavailable_value').toString('hex')}`, 'placeholder_written'],
    ['bytes', '\\x00ff', `\\x${Buffer.from(Buffer.from('__debezium_unavailable_value').toString('base64')).toString('hex')}`, 'placeholder_written'],
    ['text', 'a long text', Buffer.from('__debezium_unavailable_value').toString('base64'), 'placeholder_written'],
    ['text', 'a long text', Buffer.from('__debezium_unavailable_value').toString('hex'), 'placeholder_written'],
    ['array', '{"a","b"}', '{"__debezium_unavailable_value"}', 'placeholder_written'],
    ['array', '{"1","2"}', `{${[...Buffer.from('__debezium_unavailable_value')].map((byte) => `"${byte}"`).join(',')}}`, 'placeholder_written', undefined, arrayOf('int4')],
    ['array', '{"a","b"}', '{"a","__debezium_unavailable_value"}', 'placeholder_written', 'placeholder of an unavailable value written: in the elements'],
    ['json', '{"a":1}', '"__debezium_unavailable_value"', 'placeholder_written'],
    ['json', '{"a":1}', '{"__debezium_unavailable_value":"__debezium_unavailable_value"}', 'placeholder_written'],
    ['json', '{"a":"x"}', '{"a":"__debezium_unavailable_value"}', 'placeholder_written'],
    ['opaque_text', '"a"=>"b"', '"__debezium_unavailable_value"=>"__debezium_unavailable_value"', 'placeholder_written'],
    ['opaque_text', "'fox':1", "'__debezium_unavailable_value'", 'placeholder_written'],
    ['text', 'a much longer text than that', '__debezium_unavailab', 'placeholder_written', undefined, { old: sqlType('text'), new: varchar(20) }],
    ['text', 'a long text', '__debezium_unavailable_valu', null],

    ['interval', '1 year 2 mons 3 days 04:05:06.789', '10303:05:06', 'interval_folded', 'interval folded to hours: a month counted as 30.4375 days, cut to seconds'],
    ['interval', '1 year 2 mons 3 days 04:05:06.789', '10303:05:06.789', 'interval_folded', 'interval folded to hours: a month counted as 30.4375 days'],
    ['interval', '-1 mons +2 days -03:00:00', '-685:30:00', 'interval_folded'],
    ['interval', '100 years', '876600:00:00', 'interval_folded'],
    ['interval', '1 day', '24:00:00', 'interval_folded', 'interval folded to hours: a day counted as 24 hours'],
    ['interval', '1 mon', '720:00:00', 'interval_folded', 'interval folded to hours: a month counted as 30 days'],
    ['interval', '1 mon', '30 days', 'interval_folded'],
    ['interval', '1 year 1 mon', '9486:00:00', 'interval_folded', 'interval folded to hours: a year counted as 365.25 days, a month as 30'],
    ['interval', '178000000 years', '2562047788:00:54.775807', 'interval_folded'],
    ['interval', '1 year 2 mons', '10303:05:06', null],
    ['interval', '1 day', '25:00:00', null],
    ['interval', '00:00:00.000001', '00:00:00', 'precision_lost', 'precision lost: cut to milliseconds'],
    ['interval', '04:05:06.789', '04:05:06', 'precision_lost', 'precision lost: cut to seconds'],
    ['interval', '1 day 02:00:00', '-1 days -02:00:00', 'sign'],

    ['float8', 'NaN', '0', 'nan_replaced', 'NaN replaced: by 0'],
    ['float4', 'Infinity', '0', 'infinity_replaced', 'infinity replaced: by 0'],
    ['float8', '-Infinity', '0', 'infinity_replaced'],
    ['float8', 'NaN', null, 'nan_replaced', 'NaN replaced: by NULL'],
    ['decimal', 'NaN', null, 'nan_replaced'],
    ['float8', '-Infinity', '-1.7976931348623157e+308', 'infinity_replaced'],
    ['float8', '-0', '0', 'sign', 'sign changed: negative zero became zero'],
    ['float8', 'NaN', '1', null],
    ['float8', 'Infinity', '2', null],

    ['date', '4713-01-01 BC', '4713-01-01', 'era_lost', 'BC dropped'],
    ['date', '0044-03-15 BC', '0043-03-15', 'era_lost'],
    ['timestamp', '0044-03-15 10:00:00 BC', '0044-03-15 10:00:00', 'era_lost'],
    ['instant', '0044-03-15 10:00:00+00 BC', '0044-03-15 10:00:00+00', 'era_lost'],
    ['date', '0044-03-15 BC', '0044-03-16', null],
    ['date', '0044-03-15 BC', '0042-03-15', null],
    ['date', 'infinity', '-infinity', 'infinity_replaced', 'infinity replaced: by -infinity'],
    ['timestamp', 'infinity', '294247-01-09 20:00:25.2', 'infinity_replaced', 'infinity replaced: by the year 294247'],
    ['timestamp', '-infinity', '290278-12-22 19:59:05.224193 BC', 'infinity_replaced'],
    ['instant', 'infinity', null, 'infinity_replaced', 'infinity replaced: by NULL'],
    ['date', 'infinity', '9999-12-31', 'infinity_replaced', 'infinity replaced: by 9999-12-31'],
    ['date', 'infinity', '2024-05-06', null],

    ['timetz', '12:00:00.5+02', '10:00:00.5+00', 'zone_moved', 'time zone moved, the instant kept: to UTC'],
    ['timetz', '01:00:00+02', '23:00:00+00', 'zone_moved'],
    ['timetz', '12:00:00+02', '12:00:00+00', 'clock_offset'],
    ['timetz', '12:00:00+02', '10:00:01+00', null],
    ['time', '24:00:00', '00:00:00', 'end_of_day', '24:00 written as 00:00'],
    ['timetz', '24:00:00+02', '00:00:00+02', 'end_of_day'],
    ['time', '24:00:00', '00:00:01', null],

    ['decimal', '12345678901234567890.123456789', '12345678901234567000', 'through_float', 'number through a float: a double'],
    ['decimal', '12345678901234567890.123456789', '12345678901234567168', 'through_float'],
    ['decimal', '12345678901234567890.123456789', '12345678901234600000', 'through_float'],
    ['decimal', '0.1', '0.1000000000000000055511151231257827', 'through_float'],
    ['decimal', '0.1', '0.100000001490116', 'through_float', 'number through a float: a 4-byte float'],
    ['decimal', '0.1', '0.10000000149011612', 'through_float'],
    ['integer', '9007199254740993', '9007199254740992', 'through_float'],
    ['integer', '9223372036854775807', '9223372036854776000', 'through_float'],
    ['decimal', '16777217', '16777216', null],
    ['integer', '9000000123', '9000000512', null],
    ['integer', '90000001230', '89999998976', 'through_float', 'number through a float: a 4-byte float'],
    ['decimal', '16777217', '16777216', 'through_float', undefined, { old: sqlType('numeric'), new: sqlType('float4') }],
    ['decimal', '12.29', '12.28', null],
    ['decimal', '1.2345678901234567890', '1.2345678901234567', 'through_float', undefined, { old: sqlType('numeric'), new: sqlType('float8') }],
    ['decimal', '1.2345678901234567890', '1.2345678901234567', 'precision_lost', undefined, { old: sqlType('numeric'), new: numeric(20, 16) }],
    ['integer', '9007199254740993', '9007199254740994', null],
    ['decimal', '0.1', '0.10000001', null],

    ['text', null, '', 'null_to_empty'],
    ['decimal', null, '0', 'null_to_default', 'NULL written as a default: 0'],
    ['date', null, '1970-01-01', 'null_to_default', 'NULL written as a default: 1970-01-01'],
    ['timestamp', null, '1970-01-01 00:00:00', 'null_to_default'],
    ['boolean', null, 'false', 'null_to_default'],
    ['boolean', null, 'true', 'null_lost'],
    ['text', '', null, 'empty_to_null'],
    ['bytes', '\\x', null, 'empty_to_null'],
    ['array', '{}', null, 'empty_to_null'],
    ['text', 'x', null, 'value_lost'],
    ['decimal', '0', null, 'value_lost'],
  ]);
});

describe('time', () => {
  check([
    ['instant', '2024-10-27 00:30:00.123456+00', '2024-10-27 02:30:00.123456+00', 'clock_offset', 'constant clock offset: +02:00:00 on new'],
    ['timestamp', '2024-10-27 00:30:00', '2024-10-26 18:45:00', 'clock_offset', 'constant clock offset: -05:45:00 on new'],
    ['timestamp', '2024-10-27 00:30:00', '2024-10-28 00:30:00', null],
    ['timestamp', '2024-10-27 00:30:00', '2024-10-27 00:40:00', null],
    ['timestamp', '2024-10-27 00:30:00', '2024-10-27 02:30:00.000001', null],
    ['date', '2024-02-29', '2024-02-28', 'clock_offset', 'constant clock offset: -1 day on new'],
    ['date', '2024-02-29', '2024-03-02', null],
    ['time', '23:30:15', '01:30:15', 'clock_offset', 'constant clock offset: +02:00:00 on new'],
    ['time', '09:00:00', '10:00:00', null],
    ['timestamp', '2024-01-01 10:11:12.123456', '2024-01-01 10:11:12.123', 'precision_lost', 'precision lost: cut to milliseconds'],
    ['timestamp', '2024-01-01 10:11:12.1236', '2024-01-01 10:11:12.124', 'precision_lost', 'precision lost: rounded to milliseconds'],
    ['timestamp', '2024-01-01 10:11:12.123456', '2024-01-01 10:11:12', 'precision_lost', 'precision lost: cut to seconds'],
    ['timestamp', '2024-01-01 10:11:12.9', '2024-01-01 10:11:13', 'precision_lost', 'precision lost: rounded to seconds'],
    ['timestamp', '1960-01-01 10:11:12.1236', '1960-01-01 10:11:12.123', 'precision_lost'],
    ['timestamp', '1960-01-01 10:11:12.1236', '1960-01-01 10:11:12.124', 'precision_lost'],
    ['timestamp', '2024-01-01 10:11:12.12', '2024-01-01 00:00:00', 'precision_lost', 'precision lost: cut to the day'],
    ['timestamp', '2024-01-01 10:11:00', '2024-01-01 00:00:00', null],
    ['timestamp', '2024-01-01 10:11:12', '2024-01-01 10:11:00', 'precision_lost', 'precision lost: cut to minutes'],
    [
      'timestamp',
      '2024-01-01 10:11:12.1204',
      '2024-01-01 10:11:12.12',
      'precision_lost',
      'precision lost: cut to milliseconds, the precision of timestamp(3) without time zone',
      { old: sqlType('timestamp'), new: sqlType('timestamp', { precision: 3, formatted: 'timestamp(3) without time zone' }) },
    ],
    ['timestamp', '2024-01-01 10:11:12.123456', '2024-01-01 10:11:12.124', null],
    ['timestamp', '2024-01-01 10:11:12.123456', '2024-01-01 10:11:12.122', null],
    ['time', '23:59:59.999999', '23:59:59.999', 'precision_lost'],
    ['timetz', '23:59:59.999999+02', '23:59:59.999+02', 'precision_lost'],
    ['timestamp', '2024-01-01 10:11:12', '1970-01-20 17:21:43.872', 'epoch_unit', 'unit of time mistaken: by 1,000 too small'],
    ['integer', '1704103872', '1704103872000', 'epoch_unit', 'unit of time mistaken: s became ms'],
    ['integer', '1704103872123', '1704103872', 'epoch_unit', 'unit of time mistaken: ms became s'],
    ['integer', '5', '5000', null],
  ]);
});

describe('numbers', () => {
  check([
    ['decimal', '1.2345', '1.23', 'precision_lost', 'precision lost: cut to 2 digits after the point'],
    ['decimal', '1.235', '1.24', 'precision_lost', 'precision lost: rounded to 2 digits after the point'],
    ['decimal', '-1.235', '-1.24', 'precision_lost'],
    ['decimal', '-1.2399', '-1.23', 'precision_lost'],
    ['decimal', '9.999', '10', 'precision_lost', 'precision lost: rounded to 2 digits after the point, the scale of numeric(12,2)', { old: sqlType('numeric'), new: numeric(12, 2) }],
    ['decimal', '1.2345', '1.22', null],
    ['decimal', '100.25', '100', null],
    ['decimal', '12.75', '12.7', null],
    ['decimal', '100.25', '100', 'precision_lost', 'precision lost: cut to 0 digits after the point, the scale of int4', { old: sqlType('numeric'), new: sqlType('int4') }],
    ['decimal', '100.2501', '100', 'precision_lost'],
    ['decimal', '1.2345', '1.25', null],
    ['decimal', '12.5', '-12.5', 'sign', 'sign changed: negated'],
    ['integer', '-7', '7', 'sign'],
    ['decimal', '12.34', '1234', 'point_moved', 'decimal point moved: by 2 digits to the right'],
    ['decimal', '1.5', '15', null],
    ['decimal', '125', '1250', null],
    ['decimal', '12.34', '1235', null],
    ['integer', '258', '33619968', 'byte_order', undefined, { old: sqlType('int4') }],
    ['float8', '0.30000000000000004', '0.3', 'precision_lost'],
    ['float8', '3.14159', '3.14', 'precision_lost'],
    ['float8', '0.1', '0.10000000149011612', 'through_float'],
    ['float8', '1.5', '2.5', null],
    ['money', '12.5', '13', null],
    ['float8', '1234567.5', '1234568', null],
    ['boolean', 'true', 'false', null],
    ['uuid', '00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000b', null],
  ]);
});

describe('text and bytes', () => {
  check([
    ['text', 'a text of many words', 'a text of ', 'truncated', 'truncated: cut at 10 characters'],
    ['text', 'a text of many words', 'a text of ', 'truncated', 'truncated: cut at 10 characters, the length of character varying(10)', { old: sqlType('text'), new: varchar(10) }],
    ['text', 'Dear Zoë 🙂 and more', 'Dear Zoë 🙂', 'truncated', 'truncated: cut at 10 characters (14 bytes)'],
    ['text', 'paid out', 'paid', null],
    ['text', 'paid out', 'paid', 'truncated', undefined, { old: sqlType('text'), new: varchar(4) }],
    ['text', 'Zoë 🙂', 'Zoë \ufffd', 'mojibake'],
    ['text', 'Dear Zoë 🙂 and more', 'Dear Zoë \ufffd', 'truncated', 'truncated: cut within a character, after 10 bytes'],
    ['text', 'a text of', 'another', null],
    ['text', 'Zoë', 'ZOË', 'case', 'letter case changed: to upper case'],
    ['text', 'McDonald', 'Mcdonald', 'case'],
    ['text', 'Zo\u00eb', 'Zoe\u0308', 'unicode_form', 'Unicode form changed: to NFD'],
    ['text', 'ﬁn ²', 'fin 2', 'unicode_form', 'Unicode form changed: to NFKC'],
    ['text', 'Zoë', 'Zoe', null],
    ['text', 'Zoë “q” €', 'ZoÃ« â€œqâ€\u009d â‚¬', 'mojibake', 'text decoded with the wrong charset: UTF-8 read as windows-1252'],
    ['text', 'Zoë', 'ZoÃ\u0083Â«', 'mojibake', 'text decoded with the wrong charset: UTF-8 read as ISO 8859-1, 2 times over'],
    ['text', 'Zoë', 'ZoÃƒÂ«', 'mojibake', 'text decoded with the wrong charset: UTF-8 read as windows-1252, 2 times over'],
    ['text', 'Zoë 🙂', 'Zo? ?', 'mojibake', 'text decoded with the wrong charset: characters replaced by question marks'],
    ['text', 'Zoë 🙂', 'Zoë ????', 'mojibake'],
    ['text', 'Zoë 🙂', 'Zo\ufffd\ufffd \ufffd\ufffd\ufffd\ufffd', 'mojibake'],
    ['text', 'Zoe', 'Zo?', null],
    ['text', 'ab', 'ab  ', 'padding', 'padding changed: spaces at the end added'],
    ['text', 'ab', '  ab', 'padding'],
    ['text', '42', '00042', 'padding', 'padding changed: zeros in front added'],
    ['text', 'a\r\nb', 'a\nb', 'whitespace', 'white space changed: line ends'],
    ['text', 'a\tb', 'a b', 'whitespace'],
    ['text', ' a\n', 'a', 'whitespace', 'white space changed: at the ends'],
    ['text', 'a b', 'a c', null],
    ['text', '{"a": 1, "b": 2}', '{"b":2.0,"a":1}', 'json_reformatted'],
    ['text', '{"a": 1}', '{"a": 2}', null],
    ['text', 'hello', 'aGVsbG8=', 'text_encoding', 'bytes written as encoded text: in base64'],
    ['bytes', '\\x00ff1020', `\\x${Buffer.from('00ff1020').toString('hex')}`, 'text_encoding', 'bytes written as encoded text: in hexadecimal'],
    ['bytes', '\\x00ff10', '\\x00ff', null],
    ['bytes', '\\x00ff102030', '\\x00ff1020', 'truncated', 'truncated: cut at 4 bytes'],
    ['text', '1', '31', null],
    ['bytes', '\\x00ff10', '\\x10ff00', 'byte_order'],
    ['bytes', '\\x00ff', '\\x00ff0000', 'padding', 'padding changed: zero bytes at the end added'],
    ['bytes', '\\x00ff', '\\x01ff', null],
    ['bits', '10110', '0010110', 'padding'],
    ['bits', '10110', '101', null],
    ['bits', '1011010110', '10110101', 'truncated'],
    ['bits', '101', '1010', null],
    ['bits', '10110', '10010', null],
    ['range', '[1,10)', '[1,11)', null],
    ['hstore', '"a"=>"1", "b"=>"2"', '"a"=>"1"', null],
    ['hstore', '"a"=>"1"', '"__debezium_unavailable_value"=>"__debezium_unavailable_value"', 'placeholder_written'],
    ['text_search', "'fox':3 'quick':2", "'fox':3", null],
    ['vector', '[0.1,0.25,3.14159]', '[0.1,0.25,3.14]', 'precision_lost', 'precision lost: in the elements, cut to 2 digits after the point'],
    ['vector', '[1,2]', '[1,3]', null],
  ]);
});

describe('documents and arrays', () => {
  check([
    ['json', '{"big":12345678901234567890,"n":1}', '{"big":12345678901234567000,"n":1}', 'through_float', 'number through a float: within the document, a double'],
    ['json', '{"a":[1.2345,"x"]}', '{"a":[1.23,"x"]}', 'precision_lost'],
    ['json', '{"a":"a text of many"}', '{"a":"a text of"}', 'truncated'],
    ['json', '{"a":""}', '{"a":null}', 'empty_to_null'],
    ['json', '{"a":1}', '{"b":1}', null],
    ['json', '{"a":1}', '{"a":2}', null],
    ['json', '{"a":1.25,"b":"ab"}', '{"a":1.2,"b":"a"}', null],
    ['json', '{"a":1}', '[1]', null],
    ['array', '{{"1","2"},{"3","4"}}', '{"1","2","3","4"}', 'array_shape', 'array elements kept, its shape changed: other dimensions', arrayOf('int4')],
    ['array', '[0:1]={"1","2"}', '{"1","2"}', 'array_shape', 'array elements kept, its shape changed: other lower bounds', arrayOf('int4')],
    ['array', '{"a",NULL,"b"}', '{"a","b"}', 'array_shape', 'array elements kept, its shape changed: NULLs left out'],
    ['array', '{"a","b"}', '{"b","a"}', null],
    ['array', '{"a","b","c"}', '{"a","b"}', null],
    ['array', '{"a",NULL}', '{"a",""}', 'null_to_empty', 'NULL written as empty: in the elements'],
    ['array', '{"1.255","2"}', '{"1.25","2"}', 'precision_lost', undefined, arrayOf('numeric')],
    ['array', '{"a \\"q\\"","b"}', '{"A \\"Q\\"","b"}', 'case'],
    ['array', '{"a","b"}', '{"a","c"}', null],
  ]);
});

it('says on which side it is when the primary is the damaged one, and only where that is certain', () => {
  const text = columnOf('text', { old: sqlType('text'), new: varchar(5) });
  expect(causeOf(text, 'whole text', 'whole', 'new')).toEqual({ code: 'truncated', message: 'truncated: cut at 5 characters, the length of character varying(5), on the primary, new' });
  expect(causeOf(columnOf('text'), 'whole text', 'whole', 'new')).toBeNull();
  expect(causeOf(columnOf('text'), 'whole', 'whole text')).toBeNull();
  expect(causeOf(columnOf('decimal'), '12.5001', '12.5', 'new')).toBeNull();
  expect(causeOf(columnOf('decimal'), '12.5', '12.5001')).toBeNull();
  expect(causeOf(columnOf('text'), 'a long text', '__debezium_unavailable_value', 'new')).toEqual({ code: 'placeholder_written', message: 'placeholder of an unavailable value written: on the primary, new' });
  expect(causeOf(columnOf('instant'), '2024-10-27 00:30:00+00', '2024-10-27 02:30:00+00', 'new')).toEqual({ code: 'clock_offset', message: 'constant clock offset: +02:00:00 on new' });
});
