import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import createXxhash from 'xxhash-wasm';
import { canonicalFromText } from '../../../../src/domain/values/classes.ts';
import type { RowChange, SourceRecord } from '../../../../src/domain/change.ts';
import { hashImage, unknownColumnsOf } from '../../../../src/domain/recheck.ts';
import { isComplete } from '../../../../src/domain/row.ts';
import { DebeziumDecoder } from '../../../../src/events/debezium/decoder.ts';
import type { EncodingFinding } from '../../../../src/events/debezium/encoding-findings.ts';
import type { KafkaRecord } from '../../../../src/events/debezium/records.ts';
import { corpus, decoderMaker, registry } from '../../../fuzz/corpus.ts';
import { mutate } from '../../../fuzz/fuzz.ts';
import { Random } from '../../../fuzz/random.ts';
import { makePair } from './support.ts';

const MUTANTS = 5_000;
let hasher: (encoded: string) => bigint;
let hashBytes: (bytes: Uint8Array) => bigint;

beforeAll(async () => {
  const xxhash = await createXxhash();
  hasher = (encoded) => xxhash.h64(encoded);
  hashBytes = (bytes) => xxhash.h64Raw(bytes);
});

/** All that a change says, its rows by their hashes. */
function told(record: SourceRecord): unknown {
  if (record.type !== 'row') return record;
  const { image, before, hashes: _hashes, ...facts } = plain(record);
  return { ...facts, hash: hashImage(hasher, image), unknown: unknownColumnsOf(image), before: before === null ? null : hashImage(hasher, before) };
}

function plain(change: RowChange): RowChange {
  const { type, pair, side, op, key, image, before, committedAtUs, snapshot, position, commitTime } = change;
  return { type, pair, side, op, key, image, before, committedAtUs, snapshot, position, ...(commitTime === undefined ? {} : { commitTime }) };
}

/** The same of a scanned change, from its own hashes. */
function toldByHashes(record: SourceRecord): unknown {
  if (record.type !== 'row' || record.hashes === undefined) return told(record);
  const { type, pair, side, op, key, committedAtUs, snapshot, position, hashes } = record;
  return { type, pair, side, op, key, committedAtUs, snapshot, position, hash: hashes.image, unknown: hashes.unknownColumns, before: hashes.before };
}

function isScanned(record: SourceRecord): boolean {
  return record.type === 'row' && record.hashes !== undefined;
}

describe('scanned changes', () => {
  it('are those that the slow decoder makes of all captured messages', () => {
    const make = decoderMaker(registry());
    const [slow, fast] = [make(), make({ hashBytes })];
    let scanned = 0;
    let changes = 0;
    for (const record of [...corpus(), ...corpus()]) {
      const expected = slow.decode(record);
      const found = fast.decode(record);
      expect(toldByHashes(found)).toEqual(told(expected));
      if (isScanned(found)) {
        scanned++;
        expect((found as RowChange).image).toEqual((expected as RowChange).image);
        expect((found as RowChange).before).toEqual((expected as RowChange).before);
        expect((found as RowChange).hashes?.isBeforeWhole).toBe((expected as RowChange).before === null || isComplete((expected as RowChange).before as never));
      }
      if (expected.type === 'row') changes++;
    }
    expect(scanned).toBeGreaterThan(changes / 4);
  });

  it('are those that the slow decoder makes of mutated messages', () => {
    const schemas = registry();
    const make = decoderMaker(schemas);
    const [slow, fast] = [make(), make({ hashBytes })];
    const captured = corpus();
    const random = new Random(4711);
    for (const record of captured) {
      slow.decode(record);
      fast.decode(record);
    }
    let scanned = 0;
    for (let done = 0; done < MUTANTS; done++) {
      const { record } = mutate(random, random.of(captured), random.of(captured), schemas);
      const found = fast.decode(record);
      if (isScanned(found)) scanned++;
      const expected = told(slow.decode(record));
      const told_ = toldByHashes(found);
      if (JSON.stringify(told_, exact) !== JSON.stringify(expected, exact)) expect({ done, value: record.value?.toString('latin1').slice(-1500), found: told_ }).toEqual({ done, value: record.value?.toString('latin1').slice(-1500), found: expected });
    }
    expect(scanned).toBeGreaterThan(MUTANTS / 20);
  });

  it('tell of each value what the slow decoder tells', () => {
    const schema = (type: string, name: string | null, parameters = {}): unknown => ({ type, optional: true, ...(name === null ? {} : { name, version: 1 }), ...(Object.keys(parameters).length === 0 ? {} : { parameters }) });
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom('"', '\\', '/', '\n', '\u0001', 'é', '🙂', '\ud800', ' ', 'a', '[') }));
    const jsonText = fc.oneof(fc.json(), fc.json().map((document) => JSON.stringify(JSON.parse(document), null, 1)), text, fc.constantFrom('{"a": 1.50, "b": -0.0}', '{"b":1,"a":2}', '{"a":1,"a":2}', '{"aa": 1e2, "ab": [1, 2.0, null]}', '[1, {"a": "\\u0041"}]', '{"é": "ü", "a": "b"}', '1234567890123456789012345678901234567890123'));
    const number = fc.oneof(fc.double({ noNaN: true }).map(String), fc.float({ noNaN: true }).map(String), fc.integer().map(String), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n }).map(String), fc.constantFrom('0', '-0', '5.0', '1e3', '0.1', '1.10', '100000.5', '1e23', '999999.9', '16777216', '0.0001', '0.00009'));
    const base64 = fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes).toString('base64'));
    const decimal = fc.tuple(fc.bigInt({ min: -(10n ** 14n), max: 10n ** 14n }), fc.nat(8)).map(([digits, cut]) => `${digits}${cut === 0 ? '' : `.${'0'.repeat(cut)}`}`);
    const micros = fc.oneof(fc.integer({ min: -3_000_000_000, max: 40_000_000_000 }).map((s) => `${s}${'123456'}`), fc.bigInt({ min: 0n, max: 99_999_999_999_999_999n }).map(String));
    const instant = fc.tuple(fc.integer({ min: 0, max: 10_050 }), fc.integer({ min: 0, max: 13 }), fc.integer({ min: 0, max: 32 }), fc.integer({ min: 0, max: 24 }), fc.integer({ min: 0, max: 60 }), fc.constantFrom('', '.1', '.000001', '.100', '.1234567', '.000000', '.'), fc.constantFrom('Z', '+00:00', '')).map(
      ([year, month, day, hour, minute, fraction, zone]) => `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}T${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}:59${fraction}${zone}`,
    );
    const strings = (arbitrary: fc.Arbitrary<string>): fc.Arbitrary<string> => arbitrary.map((value) => JSON.stringify(value));
    const anything = fc.constantFrom('null', 'true', 'false', '{}', '[]', '"x"', '1', '[null]', '"__debezium_unavailable_value"', '"\\u005f_debezium_unavailable_value"', '["__debezium_unavailable_value"]');
    const columns: readonly [name: string, type: string, schema: unknown, values: fc.Arbitrary<string>][] = [
      ['i8', 'int8', schema('int64', null), number],
      ['t', 'text', schema('string', null), strings(text)],
      ['c', 'bpchar(4)', schema('string', null), strings(text)],
      ['b', 'bool', schema('boolean', null), fc.constantFrom('true', 'false')],
      ['u', 'uuid', schema('string', 'io.debezium.data.Uuid'), strings(fc.uuid())],
      ['f8', 'float8', schema('double', null), number],
      ['f4', 'float4', schema('float', null), number],
      ['j', 'jsonb', schema('string', 'io.debezium.data.Json'), strings(jsonText)],
      ['d', 'date', schema('int32', 'io.debezium.time.Date'), fc.integer({ min: -800_000, max: 3_000_000 }).map(String)],
      ['tz', 'timestamptz', schema('string', 'io.debezium.time.ZonedTimestamp'), strings(instant)],
      ['ts', 'timestamp', schema('int64', 'io.debezium.time.MicroTimestamp'), micros],
      ['ts3', 'timestamp(3)', schema('int64', 'io.debezium.time.Timestamp'), fc.oneof(fc.nat(2_000_000_000).map((s) => `${s}001`), micros)],
      ['n', 'numeric(20,4)', schema('bytes', 'org.apache.kafka.connect.data.Decimal', { scale: '4' }), strings(base64)],
      ['n0', 'numeric(10,0)', schema('bytes', 'org.apache.kafka.connect.data.Decimal', { scale: '0' }), strings(base64)],
      ['nt', 'numeric', schema('string', null), strings(fc.oneof(decimal, number))],
      ['ta', 'text[]', { type: 'array', optional: true, items: schema('string', null) }, fc.array(fc.oneof(strings(text), fc.constant('null')), { maxLength: 4 }).map((items) => `[${items.join(',')}]`)],
    ];
    const pair = makePair('v', ['id int8', ...columns.map(([name, type]) => `${name} ${type}`)], ['id'], { old: 'v' });
    const fields = [{ type: 'int64', optional: false, field: 'id' }, ...columns.map(([name, , described]) => ({ ...(described as object), field: name }))];
    const row = { type: 'struct', fields, optional: true };
    const prefix = `{"schema":${JSON.stringify({ type: 'struct', fields: [{ ...row, field: 'before' }, { ...row, field: 'after' }], optional: false })},"payload":`;
    const make = (hashing: boolean): [DebeziumDecoder, EncodingFinding[]] => {
      const findings: EncodingFinding[] = [];
      return [new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map([['public.v', { old: 'full' as const }]]), onEncodingFinding: (finding) => findings.push(finding), ...(hashing ? { hashBytes } : {}) }), findings];
    };
    const [[slow, slowFindings], [fast, fastFindings]] = [make(false), make(true)];
    let scanned = 0;
    let offset = 0;
    const image = fc.tuple(...columns.map(([, , , values]) => fc.oneof({ weight: 60, arbitrary: values }, { weight: 1, arbitrary: anything })), fc.boolean());
    fc.assert(
      fc.property(image, image, fc.constantFrom('c', 'u', 'r'), fc.boolean(), (after, before, op, wrapped) => {
        const json = (values: readonly unknown[]): string => {
          const written = columns.map(([name], index) => `"${name}":${values[index] as string}`);
          return `{"id":7,${(values.at(-1) === true ? written : written.toReversed()).join(',')}}`;
        };
        const payload = `{"before":${op === 'u' ? json(before) : 'null'},"after":${json(after)},"source":{"name":"x","ts_ms":1795403280438,"snapshot":"false","ts_us":1795403280438226,"schema":"public","table":"v","txId":757,"lsn":27730496},"op":"${op}","ts_ms":1}`;
        const record: KafkaRecord = { topic: 'v', partition: 0, offset: String(offset++), key: null, value: Buffer.from(wrapped ? `${prefix}${payload}}` : payload) };
        const found = fast.decode(record);
        if (isScanned(found)) scanned++;
        expect(toldByHashes(found)).toEqual(told(slow.decode(record)));
      }),
      { numRuns: 300 },
    );
    expect(scanned).toBeGreaterThan(10);
    // Columns are read in the event's order: of a record that cannot be decoded it may have seen more.
    expect(fastFindings).toEqual(expect.arrayContaining(slowFindings));
  });

  it('prints floats as their class does', () => {
    const type = (base: 'float4' | 'float8'): Parameters<typeof canonicalFromText>[1] => ({ formatted: base, base, kind: 'base', array: false, precision: null, scale: null, length: null });
    const pair = makePair('f', ['id int8', 'f4 float4', 'f8 float8'], ['id'], { old: 'f' });
    const decoder = new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map(), hashBytes });
    fc.assert(
      fc.property(fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.tuple(fc.integer({ min: -999_999, max: 999_999 }), fc.nat(6)).map(([digits, point]) => digits / 10 ** point)), fc.double({ noNaN: true, noDefaultInfinity: true }), (f4, f8) => {
        const value = Buffer.from(`{"before":null,"after":{"id":1,"f4":${String(f4)},"f8":${String(f8)}},"source":{"ts_us":1,"schema":"public","table":"f"},"op":"c"}`);
        const change = decoder.decode({ topic: 'f', partition: 0, offset: '0', key: null, value }) as RowChange;
        expect(change.hashes?.image).toBe(hashImage(hasher, ['1', canonicalFromText('float4', type('float4'), String(f4)), canonicalFromText('float8', type('float8'), String(f8))]));
      }),
      { numRuns: 3_000 },
    );
  });
});

function exact(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}
