import avro from 'avsc';
import type { Type } from 'avsc';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isJsonObject, JsonNumber } from '../../../../src/domain/json.ts';
import type { ExactJson } from '../../../../src/domain/json.ts';
import { AvroCursor } from '../../../../src/events/avro/cursor.ts';
import { headerOf, unframe } from '../../../../src/events/avro/framing.ts';
import { parseAvroSchema } from '../../../../src/events/avro/schema.ts';
import { parseExactJson } from '../../../../src/events/debezium/json.ts';

/** avsc reads longs as numbers unless told otherwise. */
const LONG = avro.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (left: bigint, right: bigint) => (left < right ? -1 : left > right ? 1 : 0),
});

interface Example {
  readonly schema: unknown;
  readonly value: unknown;
  /** As JsonConverter would have it. */
  readonly expected: unknown;
}

const FLOATS = fc.oneof(fc.double(), fc.constantFrom(0, -0, Number.NaN, Infinity, -Infinity, 1e300, 5e-324));

function floatExpected(value: number): unknown {
  return Number.isFinite(value) ? `#${Object.is(value, -0) ? '-0' : value}` : String(value);
}

/** A schema with a value of it, depth first. */
function example(depth: number): fc.Arbitrary<Example> {
  const leaf: fc.Arbitrary<Example>[] = [
    fc.constant({ schema: 'null', value: null, expected: null }),
    fc.boolean().map((value) => ({ schema: 'boolean', value, expected: value })),
    fc.integer().map((value) => ({ schema: 'int', value, expected: `#${value}` })),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => ({ schema: 'long', value, expected: `#${value}` })),
    FLOATS.map((value) => ({ schema: 'double', value, expected: floatExpected(value) })),
    FLOATS.map((value) => ({ schema: 'float', value: Math.fround(value), expected: floatExpected(Math.fround(value)) })),
    fc.string({ unit: 'binary' }).map((value) => Buffer.from(value, 'utf8').toString('utf8')).map((value) => ({ schema: { type: 'string' }, value, expected: value })),
    fc.uint8Array().map((value) => ({ schema: 'bytes', value: Buffer.from(value), expected: Buffer.from(value).toString('base64') })),
  ];
  if (depth === 0) return fc.oneof(...leaf);
  const inner = example(depth - 1);
  return fc.oneof(
    ...leaf,
    fc.tuple(inner, fc.nat(3)).map(([{ schema, value, expected }, length]) => ({
      schema: { type: 'array', items: schema },
      // Nor arrays of items without bytes.
      value: schema === 'null' ? [] : Array.from({ length }, () => value),
      expected: schema === 'null' ? [] : Array.from({ length }, () => expected),
    })),
    fc.tuple(inner, fc.uniqueArray(fc.string(), { maxLength: 3 })).map(([{ schema, value, expected }, names]) => ({
      schema: { type: 'map', values: schema },
      value: Object.fromEntries(names.map((name) => [name, value])),
      expected: Object.fromEntries(names.map((name) => [name, expected])),
    })),
    fc.array(inner, { maxLength: 4 }).map((fields) => ({
      schema: { type: 'record', name: `R${counter++}`, fields: [...fields.map(({ schema }, index) => ({ name: `f${index}`, type: schema })), { name: 'some', type: 'boolean' }] },
      // Kafka Connect makes no record without fields.
      value: { ...Object.fromEntries(fields.map(({ value }, index) => [`f${index}`, value])), some: true },
      expected: { ...Object.fromEntries(fields.map(({ expected }, index) => [`f${index}`, expected])), some: true },
    })),
    fc.tuple(inner, fc.boolean()).filter(([{ schema }]) => schema !== 'null' && !Array.isArray(schema)).map(([{ schema, value, expected }, isNull]) => ({
      schema: ['null', schema],
      value: isNull ? null : value,
      expected: isNull ? null : expected,
    })),
  );
}
let counter = 0;

function plain(value: ExactJson): unknown {
  if (value instanceof JsonNumber) return `#${value.text}`;
  if (Array.isArray(value)) return (value as readonly ExactJson[]).map(plain);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

/** Making schemas and values is what takes the time. */
const RUNS = 300;

describe('Avro', { timeout: 60_000 }, () => {
  it('reads what another implementation writes, and steps over it', () => {
    fc.assert(
      fc.property(example(3), ({ schema, value, expected }) => {
        const wrapped = { type: 'record', name: 'Wrapped', fields: [{ name: 'v', type: schema }, { name: 'end', type: 'int' }] };
        const writer: Type = avro.Type.forSchema(wrapped as never, { registry: { long: LONG } as never, wrapUnions: false });
        const bytes = writer.toBuffer({ v: value, end: 7 });
        const type = parseAvroSchema(parseExactJson(JSON.stringify(wrapped)));
        const cursor = new AvroCursor(bytes, type);
        expect(plain(cursor.value())).toEqual({ v: expected, end: '#7' });
        cursor.end();
        const skipping = new AvroCursor(bytes, type);
        let end: ExactJson = null;
        skipping.fields((name) => {
          if (name === 'end') end = skipping.value();
          else skipping.skip();
        });
        skipping.end();
        expect(end).toEqual(new JsonNumber('7'));
      }),
      { numRuns: RUNS },
    );
  });

  it('never reads past the end, whatever the bytes are', () => {
    fc.assert(
      fc.property(example(3), fc.uint8Array({ maxLength: 64 }), ({ schema }, bytes) => {
        const type = parseAvroSchema(parseExactJson(JSON.stringify(schema)));
        for (const use of ['value', 'skip'] as const) {
          const cursor = new AvroCursor(Buffer.from(bytes), type);
          try {
            cursor[use]();
            cursor.end();
          } catch (error) {
            expect(error).toMatchObject({ code: 'bad_avro' });
          }
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('steps over a block by its size or item by item alike', () => {
    const type = parseAvroSchema({ type: 'array', items: 'int' });
    const sized = Buffer.from([3, 4, 2, 4, 0]);
    expect(plain(new AvroCursor(sized, type).value())).toEqual(['#1', '#2']);
    const cursor = new AvroCursor(sized, type);
    cursor.skip();
    cursor.end();
  });

  it('knows names by their namespaces, and a type that holds itself', () => {
    const text = JSON.stringify({
      type: 'record', name: 'Node', namespace: 'a.b',
      fields: [{ name: 'next', type: ['null', 'Node'] }, { name: 'kind', type: { type: 'enum', name: 'c.Kind', symbols: ['X', 'Y'] } }, { name: 'again', type: 'c.Kind' }],
    });
    const type = parseAvroSchema(parseExactJson(text));
    expect(plain(new AvroCursor(Buffer.from([2, 0, 0, 2, 2, 0]), type).value())).toEqual({ next: { next: null, kind: 'X', again: 'Y' }, kind: 'Y', again: 'X' });
    expect(() => new AvroCursor(Buffer.alloc(2_000, 2), type).value()).toThrow(expect.objectContaining({ code: 'bad_avro' }));
  });

  it('fields without bytes cannot multiply without end', () => {
    let schema: unknown = { type: 'record', name: 'L0', fields: [] };
    for (let level = 1; level < 30; level++) {
      schema = { type: 'record', name: `L${level}`, fields: [{ name: 'a', type: schema }, { name: 'b', type: `L${level - 1}` }] };
    }
    const type = parseAvroSchema(parseExactJson(JSON.stringify(schema)));
    expect(() => {
      new AvroCursor(Buffer.alloc(0), type).skip();
    }).toThrow(expect.objectContaining({ code: 'bad_avro' }));
  });

  it('says what Kafka Connect calls a type', () => {
    const connect = (schema: unknown): unknown => parseAvroSchema(parseExactJson(JSON.stringify(schema))).connect;
    expect(connect(['null', { type: 'long', 'connect.name': 'io.debezium.time.MicroTimestamp', 'connect.version': 1 }])).toEqual({
      name: 'io.debezium.time.MicroTimestamp', type: 'int64', parameters: {}, items: null,
    });
    expect(connect({ type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 })).toEqual({
      name: 'org.apache.kafka.connect.data.Decimal', type: 'bytes', parameters: { scale: '2' }, items: null,
    });
    expect(connect({ type: 'int', 'connect.type': 'int16' })).toMatchObject({ name: null, type: 'int16' });
    expect(connect({ type: 'array', items: ['null', 'string'] })).toMatchObject({ type: 'array', items: { type: 'string' } });
  });

  it.each([
    ['a name that nobody defines', '"Nobody"'],
    ['an empty union', '[]'],
    ['no type', '{}'],
    ['a number', '7'],
    ['an array without items', '{"type":"array"}'],
    ['a record without fields', '{"type":"record","name":"R"}'],
    ['a fixed type without size', '{"type":"fixed","name":"F"}'],
    ['a schema that nests without end', `${'{"type":"array","items":'.repeat(200)}"int"${'}'.repeat(200)}`],
  ])('refuses %s', (_what, text) => {
    expect(() => parseAvroSchema(parseExactJson(text))).toThrow(expect.objectContaining({ code: 'bad_schema' }));
  });
});

describe('framing', () => {
  const body = Buffer.from([1, 2, 3]);

  it('finds the id in Confluent’s framing, in Apicurio’s long one and in headers', () => {
    expect(unframe('value', Buffer.concat([Buffer.from([0, 0, 0, 1, 2]), body]), undefined)).toEqual({ schema: { kind: 'content', id: '258' }, body });
    expect(unframe('value', Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0, 0, 1, 2]), body]), {})).toEqual({ schema: { kind: 'content', id: '258' }, body });
    const id = Buffer.from([0, 0, 0, 0, 0, 0, 0, 9]);
    expect(unframe('key', body, { 'apicurio.key.contentId': id })).toEqual({ schema: { kind: 'content', id: '9' }, body });
    expect(unframe('key', body, { 'apicurio.key.globalId': id })).toEqual({ schema: { kind: 'global', id: '9' }, body });
    expect(unframe('key', Buffer.from('{}'), { 'apicurio.value.contentId': id })).toBeNull();
    expect(headerOf({ a: ['x', id] }, 'a')).toEqual(id);
  });

  it('refuses what it cannot read', () => {
    for (const bytes of [[0], [0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1]]) {
      expect(() => unframe('value', Buffer.from(bytes), undefined)).toThrow(expect.objectContaining({ code: 'bad_framing' }));
    }
    expect(() => unframe('value', body, { 'apicurio.value.contentId': body })).toThrow(expect.objectContaining({ code: 'bad_framing' }));
    const json = { 'apicurio.value.contentId': Buffer.alloc(8), 'apicurio.value.encoding': 'JSON' };
    expect(() => unframe('value', body, json)).toThrow(expect.objectContaining({ code: 'bad_framing' }));
  });
});
