import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RowChange, SourceRecord } from '../../../../src/domain/change.ts';
import { DebeziumDecoder, MAX_VALUE_BYTES } from '../../../../src/events/debezium/decoder.ts';
import type { DebeziumDecoderOptions, KafkaRecord } from '../../../../src/events/debezium/decoder.ts';
import { fixture, makePair, pairOf, TABLES } from './support.ts';

const FULL_ON_OLD = new Map([['public.orders', { old: 'full', new: 'full' }]] as const);

function decoderFor(prefix: string, side: 'old' | 'new' = 'old', more: Partial<DebeziumDecoderOptions> = {}): DebeziumDecoder {
  const pairs = Object.keys(TABLES).map((table) => pairOf(table, prefix, side));
  return new DebeziumDecoder({ pairs, replicaIdentity: FULL_ON_OLD, ...more });
}

function record(value: unknown, more: Partial<Omit<KafkaRecord, 'value'>> & { readonly id?: string } = {}): KafkaRecord {
  const bytes = value === null ? null : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  const { id = '{"id":1}', ...rest } = more;
  return { topic: 'p.public.t', partition: 3, offset: '42', key: Buffer.from(id), value: bytes, ...rest };
}

const SOURCE = { ts_ms: 1700000000123, ts_us: 1700000000123456, lsn: 27752280, txId: 763, schema: 'public', table: 't', snapshot: 'false' };
const SMALL = makePair('t', ['id int8', 'note text', 'data bytea', 'nums int4[]', 'names text[]'], ['id'], { old: 'p.public.t' });

function small(identity: 'default' | 'full' = 'default', more: Partial<DebeziumDecoderOptions> = {}): DebeziumDecoder {
  return new DebeziumDecoder({ pairs: [SMALL], replicaIdentity: new Map([['public.t', { old: identity }]]), ...more });
}

function asRow(decoded: SourceRecord): RowChange {
  expect(decoded).toMatchObject({ type: 'row' });
  return decoded as RowChange;
}

describe('captured messages', () => {
  it.each([
    ['a-json-schemas.customers', 'old', 'old'],
    ['a-json-schemas.orders', 'old', 'old'],
    ['a-json-schemas.payments', 'old', 'old'],
    ['a-json-schemas.edge', 'old', 'old'],
    ['a-json-schemas.outbox-auditlog', 'old', 'old'],
    ['b-json-plain-old-side-gzip', 'vplain', 'old'],
    ['b-json-plain.new-side', 'new', 'new'],
    ['f-string-isostring-lz4', 'vstr', 'old'],
    ['f-double-connect-zstd', 'vdbl', 'old'],
  ] as const)('%s: each is understood', (name, prefix, side) => {
    const decoder = decoderFor(prefix, side);
    const records = fixture(name);
    const decoded = records.map((message) => decoder.decode(message));
    const failed = decoded.flatMap((one) => (one.type === 'undecodable' ? [`${one.position.topic}@${one.position.offset}: ${one.message}`] : []));
    expect(failed).toEqual([]);
    expect(decoded.some((one) => one.type === 'row')).toBe(true);
    for (const [index, message] of records.entries()) {
      const one = decoded[index] as SourceRecord;
      expect(one.position).toMatchObject({ topic: message.topic, partition: message.partition, offset: message.offset });
      if (message.value === null) expect(one).toMatchObject({ type: 'none', reason: 'tombstone' });
      else expect(['row', 'truncate']).toContain(one.type);
    }
  });

  it('a custom placeholder leaves the column unknown', () => {
    const decoder = decoderFor('vmicro', 'old', { placeholder: '@@TOASTED@@' });
    const longText = (TABLES['payments'] as { columns: readonly string[] }).columns.indexOf('long_text text');
    const updates = fixture('f-micro-placeholder')
      .filter(({ value }) => value?.includes('@@TOASTED@@') === true)
      .map((message) => asRow(decoder.decode(message)));
    expect(updates.length).toBeGreaterThan(0);
    for (const { op, image } of updates) {
      expect(['update', 'create']).toContain(op);
      expect(image?.[longText]).toBeUndefined();
    }
  });

  it('a snapshot of the new side shows the placeholder that a sink has written there', () => {
    const decoder = decoderFor('new', 'new');
    const longText = (TABLES['payments'] as { columns: readonly string[] }).columns.indexOf('long_text text');
    const snapshots = fixture('b-json-plain.new-side')
      .filter(({ value }) => value?.includes('__debezium_unavailable_value') === true)
      .map((message) => asRow(decoder.decode(message)))
      .filter(({ op }) => op === 'snapshot');
    expect(snapshots.length).toBeGreaterThan(0);
    for (const { image } of snapshots) expect(image?.[longText]).toBe('__debezium_unavailable_value');
  });

  it('keys beyond 2^53 are exact', () => {
    for (const name of ['a-json-schemas.orders', 'b-json-plain-old-side-gzip']) {
      const messages = fixture(name).filter(({ topic, value }) => topic.endsWith('.orders') && value !== null);
      const decoder = decoderFor(name.startsWith('a') ? 'old' : 'vplain');
      for (const message of messages) {
        const [, orderId] = /"order_id":\s*([0-9]+)/.exec(String(message.key)) ?? [];
        expect(asRow(decoder.decode(message)).key[1]).toBe(orderId);
      }
      expect(messages.some(({ key }) => BigInt(/"order_id":\s*([0-9]+)/.exec(String(key))?.[1] ?? 0) > 2n ** 53n)).toBe(true);
    }
  });

  it('only a table with full replica identity has a before', () => {
    const orders = fixture('a-json-schemas.orders').map((message) => decoderFor('old').decode(message));
    const updates = orders.filter((one): one is RowChange => one.type === 'row' && one.op === 'update');
    expect(updates.length).toBeGreaterThan(0);
    for (const { before, key } of updates) expect(before?.slice(0, 2)).toEqual(key);
    for (const message of fixture('a-json-schemas.customers')) {
      const decoded = decoderFor('old').decode(message);
      if (decoded.type === 'row') expect(decoded.before).toBeNull();
    }
  });

  it('a truncate, snapshot marks, positions', () => {
    const decoder = decoderFor('old');
    const edge = fixture('a-json-schemas.edge').map((message) => decoder.decode(message));
    expect(edge.filter(({ type }) => type === 'truncate')).toHaveLength(1);
    const marks = edge.flatMap((one) => (one.type === 'row' ? [one.snapshot] : []));
    expect(marks.filter((mark) => mark === 'initial_last')).toHaveLength(1);
    expect(marks).toContain('initial');
    expect(marks).toContain('none');
    for (const one of edge) {
      if (one.type !== 'row') continue;
      expect(one.position.lsn).toBeTypeOf('bigint');
      expect(one.position.txId).toMatch(/^[0-9]+$/);
      expect(one.committedAtUs > 1_700_000_000_000_000n).toBe(true);
    }
  });

  it.each([
    ['d-heartbeat', ['heartbeat']],
    ['d-transaction', ['transaction']],
    ['d-logical-message', ['message']],
    ['h-mariadb-schema-changes', ['schema_change']],
  ])('%s: says nothing about rows', (name, reasons) => {
    const decoder = decoderFor('old');
    const found = fixture(name).map((message) => {
      const decoded = decoder.decode(message);
      return decoded.type === 'none' ? decoded.reason : decoded.type;
    });
    expect([...new Set(found)]).toEqual(reasons);
  });

  it('a mangled message never throws, and its raw bytes are kept', () => {
    const decoder = decoderFor('old');
    const messages = ['a-json-schemas.orders', 'a-json-schemas.payments'].flatMap((name) => fixture(name).filter(({ value }) => value !== null));
    fc.assert(
      fc.property(fc.constantFrom(...messages), fc.nat(), fc.uint8Array({ maxLength: 4 }), fc.boolean(), (message, place, patch, cut) => {
        const value = Buffer.from(message.value as Buffer);
        const at = place % value.length;
        const mangled = cut ? value.subarray(0, at) : Buffer.concat([value.subarray(0, at), patch, value.subarray(at + patch.length)]);
        const decoded = decoder.decode({ ...message, value: mangled });
        expect(['row', 'none', 'undecodable', 'truncate']).toContain(decoded.type);
        if (cut) expect(decoded).toMatchObject({ type: 'undecodable', reason: 'not_json' });
        if (decoded.type === 'undecodable') {
          expect(['not_json', 'unknown_shape', 'other_table', 'bad_value', 'no_key', 'no_registry', 'bad_framing']).toContain(decoded.reason);
          expect(decoded.rawValue?.equals(mangled)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('arbitrary bytes never throw', () => {
    const decoder = small('full');
    fc.assert(
      fc.property(fc.option(fc.uint8Array()), fc.oneof(fc.uint8Array().map((bytes) => Buffer.from(bytes)), fc.json().map((text) => Buffer.from(text))), (key, value) => {
        const { type } = decoder.decode({ ...record(null), key: key === null ? null : Buffer.from(key), value });
        expect(['undecodable', 'none']).toContain(type);
      }),
    );
  });
});

describe('envelope', () => {
  const after = { id: 1, note: 'x', data: null, nums: [1], names: ['a'] };

  it('gives op, position, commit time and image', () => {
    const decoded = asRow(small().decode(record({ before: null, after, source: SOURCE, op: 'u' })));
    expect(decoded).toMatchObject({
      side: 'old',
      op: 'update',
      key: ['1'],
      before: null,
      committedAtUs: 1700000000123456n,
      snapshot: 'none',
      position: { topic: 'p.public.t', partition: 3, offset: '42', lsn: 27752280n, txId: '763' },
    });
    expect(decoded.image?.slice(0, 3)).toEqual(['1', 'x', null]);
  });

  it('takes the commit time in the finest unit there is', () => {
    const { ts_us: _, ...coarse } = SOURCE;
    expect(asRow(small().decode(record({ after, source: { ...coarse, ts_ns: 1700000000123456 }, op: 'c' }))).committedAtUs).toBe(1700000000123n);
    expect(asRow(small().decode(record({ after, source: coarse, op: 'c' }))).committedAtUs).toBe(1700000000123000n);
    expect(small().decode(record({ after, source: { table: 't' }, op: 'c' }))).toMatchObject({ reason: 'unknown_shape' });
  });

  it('leaves columns unknown that the event has not, and ignores those that the pair has not', () => {
    const decoded = asRow(small().decode(record({ after: { id: 1, other: [1], note: 'x' }, source: SOURCE, op: 'c' })));
    expect(decoded.image).toEqual(['1', 'x', undefined, undefined, undefined]);
  });

  it('a null where none can be, or of an expression, tells nothing', () => {
    const columns = SMALL.columns.map((column) => {
      if (column.name === 'note') return { ...column, old: { ...column.old, nullable: false } };
      return column.name === 'data' ? { ...column, old: { ...column.old, expression: "coalesce(data, '')" } } : column;
    });
    const decoder = new DebeziumDecoder({ pairs: [{ ...SMALL, columns }], replicaIdentity: new Map() });
    const decoded = asRow(decoder.decode(record({ after: { id: 1, note: null, data: null, nums: null, names: null }, source: SOURCE, op: 'c' })));
    expect(decoded.image).toEqual(['1', undefined, undefined, null, null]);
  });

  it('knows the placeholder in all its forms', () => {
    const text = '__debezium_unavailable_value';
    const bytes = Buffer.from(text);
    for (const value of [text, bytes.toString('base64'), bytes.toString('hex'), [text], [...bytes], { [text]: text }]) {
      for (const column of ['note', 'data', 'nums', 'names']) {
        const index = SMALL.columns.findIndex(({ name }) => name === column);
        const decoded = asRow(small().decode(record({ after: { ...after, [column]: value }, source: SOURCE, op: 'u' })));
        expect(decoded.image?.[index]).toBeUndefined();
      }
    }
  });

  it('a delete has no image, and its key is the message key', () => {
    const event = { before: { id: 0, note: '' }, after: null, source: SOURCE, op: 'd' };
    expect(asRow(small().decode(record(event, { id: '{"id":9007199254740993}' })))).toMatchObject({ op: 'delete', image: null, before: null, key: ['9007199254740993'] });
    expect(small().decode({ ...record(event), key: null })).toMatchObject({ type: 'undecodable', reason: 'no_key' });
    expect(small().decode(record(event, { id: 'Struct{id=1}' }))).toMatchObject({ reason: 'no_key' });
    expect(asRow(small('full').decode({ ...record(event), key: null })).key).toEqual(['0']);
  });

  it('of a table without a key, with a message key or without, have none', () => {
    const decoder = new DebeziumDecoder({ pairs: [{ ...SMALL, key: [] }], replicaIdentity: new Map([['public.t', { old: 'full' }]]) });
    for (const key of [null, Buffer.from('{"id":1}')]) {
      expect(asRow(decoder.decode({ ...record({ after, source: SOURCE, op: 'c' }), key }))).toMatchObject({ op: 'create', key: [] });
      expect(asRow(decoder.decode({ ...record({ before: null, after: null, source: SOURCE, op: 'd' }), key }))).toMatchObject({ op: 'delete', key: [], image: null });
    }
  });

  it('the key comes from the row where the message key lacks it', () => {
    const event = { after: { ...after, id: 7 }, source: SOURCE, op: 'c' };
    for (const id of ['{"other":1}', 'Struct{id=1}', '7', '{"id":null}']) {
      expect(asRow(small().decode(record(event, { id }))).key).toEqual(['7']);
    }
    expect(small().decode(record({ after: { note: 'x' }, source: SOURCE, op: 'c' }, { id: '{}' }))).toMatchObject({ reason: 'no_key' });
  });

  it('with schemas: the part is compared as bytes, and a new one is noticed', () => {
    const field = (name: string, type: string): object => ({ field: name, type, optional: true });
    const schemaOf = (...fields: object[]): object => ({ type: 'struct', fields: [{ type: 'struct', field: 'after', fields }] });
    const decoder = small();
    const first = schemaOf(field('id', 'int64'), field('note', 'string'));
    const second = schemaOf(field('id', 'int64'), field('note', 'string'), field('more', 'int32'));
    for (const schema of [first, first, second, first, second]) {
      const key = `{"schema":{"type":"struct","fields":[{"type":"int64","field":"id"}]},"payload":{"id":5}}`;
      const payload = { after: { id: 5, note: 'x', more: 1 }, source: SOURCE, op: 'c' };
      expect(asRow(decoder.decode(record({ schema, payload }, { id: key })))).toMatchObject({ key: ['5'], image: ['5', 'x', undefined, undefined, undefined] });
      expect(asRow(decoder.decode(record({ payload, schema }, { id: key }))).key).toEqual(['5']);
      expect(decoder.decode(record(`${JSON.stringify({ schema, payload })}}`))).toMatchObject({ reason: 'not_json' });
    }
    expect(decoder.decode(record({ schema: null, payload: null }))).toMatchObject({ type: 'none', reason: 'tombstone' });
  });

  it('columns called schema and payload are columns', () => {
    const pair = makePair('t', ['schema text', 'payload text'], ['schema', 'payload'], { old: 'p.public.t' });
    const decoder = new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map() });
    const event = { after: { schema: 'a', payload: 'b' }, source: SOURCE, op: 'c' };
    expect(asRow(decoder.decode(record(event, { id: '{"schema":"a","payload":"b"}' }))).key).toEqual(['a', 'b']);
  });

  it.each([
    ['not JSON', 'nonsense', 'not_json'],
    ['Avro', '\u0000\u0000\u0000\u0000\u0007', 'no_registry'],
    ['Avro that ends within its schema id', '\u0000\u0000', 'bad_framing'],
    ['no object', '[1]', 'unknown_shape'],
    ['no envelope', '{"id":1}', 'unknown_shape'],
    ['an op that is none', JSON.stringify({ after, source: SOURCE, op: 'x' }), 'unknown_shape'],
    ['a create without row', JSON.stringify({ after: null, source: SOURCE, op: 'c' }), 'unknown_shape'],
    ['no source', JSON.stringify({ after, op: 'c' }), 'unknown_shape'],
    ['a value that its column cannot hold', JSON.stringify({ after: { ...after, id: 'secret' }, source: SOURCE, op: 'c' }), 'bad_value'],
  ])('%s is undecodable, with a message that holds no value', (_what, value, reason) => {
    const decoded = small().decode(record(value));
    expect(decoded).toMatchObject({ type: 'undecodable', reason, pair: { id: 'public.t' } });
    if (decoded.type === 'undecodable') {
      expect(decoded.message).not.toContain('secret');
      if (reason === 'bad_value') expect(decoded.message).toContain('id');
    }
  });

  it('a number of a million digits is refused, not converted', () => {
    const pair = makePair('t', ['id int8', 'n numeric', 'ns numeric[]', 'f float8'], ['id'], { old: 'p.public.t' });
    const decoder = new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map() });
    const digits = '7'.repeat(1_000_000);
    for (const row of [`{"id":1,"n":${digits}}`, `{"id":1,"n":"${digits}"}`, `{"id":1,"n":{"scale":0,"value":"${digits}"}}`, `{"id":1,"ns":[${digits}]}`, `{"id":1,"f":"${digits}e"}`]) {
      const message = `{"after":${row},"source":${JSON.stringify(SOURCE)},"op":"c"}`;
      expect(decoder.decode(record(message))).toMatchObject({ type: 'undecodable', reason: 'bad_value' });
    }
  });

  it('a value of 20 MB is read, one that is too large is refused', () => {
    const note = 'x'.repeat(20 * 1024 * 1024);
    expect(asRow(small().decode(record({ after: { ...after, note }, source: SOURCE, op: 'c' }))).image?.[1]).toBe(note);
    expect(small().decode({ ...record(null), value: Buffer.alloc(MAX_VALUE_BYTES + 1, 32) })).toMatchObject({ reason: 'too_large' });
  });

  it('a table that is not the topic’s is not taken for it', () => {
    const other = { ...SOURCE, table: 'u' };
    const pair = { ...SMALL, topic: { old: 'everything' } };
    const decoder = new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map() });
    expect(decoder.decode(record({ after, source: other, op: 'c' }, { topic: 'everything' }))).toMatchObject({ reason: 'other_table' });
    const two = makePair('u', ['id int8', 'note text'], ['id'], { old: 'everything' });
    const both = new DebeziumDecoder({ pairs: [pair, two], replicaIdentity: new Map() });
    expect(asRow(both.decode(record({ after, source: other, op: 'c' }, { topic: 'everything' }))).pair.id).toBe('public.u');
    expect(both.decode(record({ after, source: { ...SOURCE, table: 'v' }, op: 'c' }, { topic: 'everything' }))).toMatchObject({ reason: 'unmapped' });
    // A partition's name in a topic that is named after the table.
    expect(asRow(small().decode(record({ after, source: other, op: 'c' }))).pair.id).toBe('public.t');
  });

  it('topics of no pair are passed over', () => {
    expect(small().decode(record({ after, source: SOURCE, op: 'c' }, { topic: 'p.public.z' }))).toMatchObject({ type: 'none', reason: 'unmapped' });
    expect(small().decode(record('nonsense', { topic: 'p.public.z' }))).toMatchObject({ type: 'none', reason: 'unmapped' });
  });
});
