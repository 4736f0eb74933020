import { describe, expect, it } from 'vitest';
import type { RowChange, SourceRecord } from '../../../../src/domain/change.ts';
import { keyId } from '../../../../src/domain/row.ts';
import { DebeziumDecoder } from '../../../../src/events/debezium/decoder.ts';
import type { DebeziumDecoderOptions, KafkaRecord } from '../../../../src/events/debezium/decoder.ts';
import type { EncodingFinding } from '../../../../src/events/debezium/encoding-findings.ts';
import { registeredSchemas } from './registered.ts';
import { fixture, makePair, pairOf, TABLES } from './support.ts';

const FULL_ORDERS = new Map([['public.orders', { old: 'full' }]] as const);

function decoderFor(prefix: string, more: Partial<DebeziumDecoderOptions> = {}): DebeziumDecoder {
  const pairs = Object.keys(TABLES).map((table) => pairOf(table, prefix));
  return new DebeziumDecoder({ pairs, replicaIdentity: FULL_ORDERS, registry: registeredSchemas(), ...more });
}

function rows(decoded: readonly SourceRecord[]): RowChange[] {
  return decoded.filter((one): one is RowChange => one.type === 'row');
}

/** What a connector's stream says of each change: every connector read the same log. */
function byPlace(changes: readonly RowChange[]): Map<string, RowChange> {
  return new Map(
    changes
      .filter(({ op }) => op !== 'snapshot')
      .map((change) => [`${change.pair.id} ${keyId(change.key)} ${change.op} ${change.position.lsn}`, change]),
  );
}

const PLAIN = byPlace(rows(fixture('b-json-plain-old-side-gzip').map((message) => decoderFor('vplain').decode(message))));

describe('the same changes in other shapes', () => {
  it.each([
    ['Avro with ids in headers', 'g-avro-apicurio-headers', 'vavro'],
    ['flattened', 'c-flat-snappy', 'vflat'],
  ])('%s: as without schemas', (_what, name, prefix) => {
    const decoder = decoderFor(prefix);
    const decoded = fixture(name).map((message) => decoder.decode(message));
    expect(decoded.flatMap((one) => (one.type === 'undecodable' ? [`${one.position.topic}@${one.position.offset}: ${one.message}`] : []))).toEqual([]);
    const changes = byPlace(rows(decoded));
    let compared = 0;
    for (const [place, change] of changes) {
      const plain = PLAIN.get(place);
      if (plain === undefined) continue;
      compared++;
      const { image, key, op, position, committedAtUs } = change;
      expect({ place, key, op, txId: position.txId, image: image?.length }).toEqual({ place, key: plain.key, op: plain.op, txId: plain.position.txId, image: plain.image?.length });
      // Without schemas a scale is not told: there the decoder may know less, never something else.
      plain.image?.forEach((value, index) => {
        if (value !== undefined && image?.[index] !== undefined) expect(image[index]).toBe(value);
      });
      const precisionUs = name === 'c-flat-snappy' ? 1000n : 1n;
      expect(committedAtUs / precisionUs).toBe(plain.committedAtUs / precisionUs);
      expect(change.commitTime).toBeUndefined();
    }
    expect(compared).toBeGreaterThan(25);
    expect(new Set([...changes.values()].map(({ op }) => op))).toEqual(new Set(['create', 'update', 'delete']));
  });

  it('Avro with Confluent’s framing: each is understood, and snapshots are the other framing’s', () => {
    const images = (name: string, prefix: string): Map<string, RowChange['image']> => {
      const decoder = decoderFor(prefix);
      const changes = rows(fixture(name).map((message) => decoder.decode(message)));
      return new Map(changes.map((change) => [`${change.pair.id} ${keyId(change.key)}`, change.image]));
    };
    const confluent = images('g-avro-confluent', 'vavro2');
    const headers = images('g-avro-apicurio-headers', 'vavro');
    expect(confluent.size).toBeGreaterThan(200);
    let same = 0;
    for (const [key, image] of confluent) if (JSON.stringify(headers.get(key)) === JSON.stringify(image)) same++;
    expect(same).toBeGreaterThan(20);
  });

  it('Avro says of every column of a snapshot what JSON with schemas says', () => {
    const images = (names: readonly string[], prefix: string): Map<string, RowChange> => {
      const decoder = decoderFor(prefix);
      const changes = names.flatMap((name) => rows(fixture(name).map((message) => decoder.decode(message))));
      return new Map(changes.filter(({ op }) => op === 'snapshot').map((change) => [`${change.pair.id} ${keyId(change.key)}`, change]));
    };
    const json = images(['customers', 'orders', 'payments', 'edge', 'outbox-auditlog'].map((table) => `a-json-schemas.${table}`), 'old');
    const avro = images(['g-avro-apicurio-headers'], 'vavro');
    const compared = new Map<string, number>();
    for (const [place, { pair, image }] of avro) {
      const other = json.get(place)?.image;
      if (other === undefined) continue;
      compared.set(pair.id, (compared.get(pair.id) ?? 0) + 1);
      expect({ place, image }).toEqual({ place, image: other });
    }
    expect([...compared.keys()].toSorted()).toEqual(['public.audit_log', 'public.customers', 'public.edge', 'public.orders', 'public.outbox', 'public.payments']);
  });

  it('Avro without a registry, and bytes that do not fit their schema, are undecodable', () => {
    const [message] = fixture('g-avro-confluent').filter(({ value }) => value !== null) as [KafkaRecord];
    const value = message.value as Buffer;
    const pairs = Object.keys(TABLES).map((table) => pairOf(table, 'vavro2'));
    expect(new DebeziumDecoder({ pairs, replicaIdentity: new Map() }).decode(message)).toMatchObject({ reason: 'no_registry' });
    const decoder = decoderFor('vavro2');
    expect(decoder.decode(message)).toMatchObject({ type: 'row' });
    for (let length = 1; length < value.length; length++) {
      const decoded = decoder.decode({ ...message, value: value.subarray(0, length) });
      expect(decoded).toMatchObject({ type: 'undecodable', reason: length < 5 ? 'bad_framing' : 'bad_avro' });
    }
    expect(decoder.decode({ ...message, value: Buffer.concat([value, Buffer.from([0])]) })).toMatchObject({ reason: 'bad_avro' });
    const unknown = Buffer.from(value);
    unknown.writeInt32BE(999_999, 1);
    expect(decoder.decode({ ...message, value: unknown })).toMatchObject({ reason: 'unknown_schema' });
    const long = Buffer.concat([Buffer.from([0, 0, 0, 0, 0]), value.subarray(1)]);
    expect(decoder.decode({ ...message, value: long })).toMatchObject({ type: 'row' });
  });

  it('a key change is a delete of the one key and a create of the other', () => {
    for (const [name, prefix] of [['b-json-plain-old-side-gzip', 'vplain'], ['g-avro-apicurio-headers', 'vavro'], ['c-flat-snappy', 'vflat']] as const) {
      const decoder = decoderFor(prefix);
      const moved = rows(fixture(name).filter(({ topic }) => topic.endsWith('.customers')).map((message) => decoder.decode(message)));
      const places = moved.flatMap(({ op, key }) => (['147', '100001'].includes(key[0] as string) && op !== 'snapshot' ? [`${op} ${key[0]}`] : []));
      if (places.length > 0) expect(places).toEqual(['delete 147', 'create 100001']);
    }
  });
});

const TOPIC = 'p.public.t';
const PAIR = makePair('t', ['id int8', 'note text', 'n int4'], ['id'], { old: TOPIC });
const ROW = { id: 1, note: 'x', n: 2 };
const MARKS = { __deleted: 'false', __op: 'u', __table: 't', __lsn: 9, __source_ts_us: 1_700_000_000_123_456 };

function flat(value: unknown, more: Partial<KafkaRecord> = {}): KafkaRecord {
  const bytes = value === null ? null : Buffer.from(JSON.stringify(value));
  return { topic: TOPIC, partition: 0, offset: '1', key: Buffer.from('{"id":1}'), value: bytes, timestamp: '1700000001000', ...more };
}

function small(findings: EncodingFinding[] = []): DebeziumDecoder {
  return new DebeziumDecoder({ pairs: [PAIR], replicaIdentity: new Map(), onEncodingFinding: (finding) => findings.push(finding) });
}

describe('every way to flatten deletes', () => {
  const messages = fixture('i-flat-delete-modes');
  const ALL = ['snapshot 1', 'snapshot 2', 'create 3', 'update 1', 'delete 2', 'delete 3', 'create 3', 'delete 1', 'create 10'];

  function changesOf(prefix: string, findings: EncodingFinding[] = []): RowChange[] {
    const pair = makePair('t', ['id int8', 'note text', 'n int4'], ['id'], { old: `${prefix}.public.t` });
    const decoder = new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map(), onEncodingFinding: (finding) => findings.push(finding) });
    const decoded = messages.filter(({ topic }) => topic === pair.topic.old).map((message) => decoder.decode(message));
    expect(decoded.filter(({ type }) => type === 'undecodable')).toEqual([]);
    return rows(decoded);
  }

  const places = (changes: readonly RowChange[]): string[] => changes.map(({ op, key }) => `${op} ${key[0]}`);
  const told = (changes: readonly RowChange[]): unknown => changes.map(({ committedAtUs, position, image, commitTime }) => ({ committedAtUs, lsn: position.lsn, image, commitTime }));

  it.each(['rw', 'rwt', 'tomb', 'dtt'])('%s: each change, with its time and position', (prefix) => {
    const findings: EncodingFinding[] = [];
    const changes = changesOf(prefix, findings);
    expect(places(changes)).toEqual(ALL);
    // Each connector has its own snapshot.
    expect(told(changes.slice(2))).toEqual(told(changesOf('rw').slice(2)));
    expect(changes.every(({ commitTime, position }) => commitTime === undefined && position.lsn !== null)).toBe(true);
    expect(changes.map(({ snapshot }) => snapshot)).toEqual(['initial', 'initial_last', ...Array.from({ length: 7 }, () => 'none')]);
    expect(findings).toEqual([]);
  });

  it('drop: no deletes', () => {
    expect(places(changesOf('drop'))).toEqual(ALL.filter((place) => !place.startsWith('delete')));
  });

  it('nothing added: each change as the key’s newest, at the latest time that it can have', () => {
    const findings: EncodingFinding[] = [];
    const changes = changesOf('bare', findings);
    expect(places(changes)).toEqual(ALL.map((place) => place.replace(/snapshot|create/, 'update')));
    expect(changes.every(({ commitTime }) => commitTime === 'upper_bound')).toBe(true);
    const exact = changesOf('rw');
    changes.slice(2).forEach(({ committedAtUs, image }, index) => {
      expect(committedAtUs).toBeGreaterThanOrEqual(exact[index + 2]?.committedAtUs ?? 0n);
      expect(image).toEqual(exact[index + 2]?.image);
    });
    expect(findings.map(({ reason }) => reason)).toEqual(['no_commit_time', 'no_delete_time']);
  });

  it('two tables routed into one topic', () => {
    const topic = 'route.public.all';
    const pairs = ['t_1', 't_2'].map((name) => makePair(name, ['id int8', 'note text'], ['id'], { old: topic }));
    const decoder = new DebeziumDecoder({ pairs, replicaIdentity: new Map() });
    const decoded = messages.filter((message) => message.topic === topic).map((message) => decoder.decode(message));
    expect(decoded.map((one) => (one.type === 'row' ? `${one.pair.old.name} ${one.op} ${one.key[0]}` : one.type))).toEqual([
      't_1 create 1', 't_2 create 1', 't_1 delete 1', 'none', 't_1 create 5', 't_2 delete 1', 'none',
    ]);
  });
});

describe('flattened events', () => {
  it('tell op, time, position and row', () => {
    const findings: EncodingFinding[] = [];
    expect(small(findings).decode(flat({ ...ROW, ...MARKS, __txId: 7 }))).toEqual({
      type: 'row', pair: PAIR, side: 'old', op: 'update', key: ['1'], image: ['1', 'x', '2'], before: null,
      committedAtUs: 1_700_000_000_123_456n, snapshot: 'none', position: { topic: TOPIC, partition: 0, offset: '1', lsn: 9n, txId: '7' },
    });
    expect(small(findings).decode(flat({ ...ROW, ...MARKS, __op: 'r' }))).toMatchObject({ op: 'snapshot', snapshot: 'initial' });
    expect(findings).toEqual([]);
  });

  it('take what is not in the value from the headers', () => {
    const headers = { __op: Buffer.from('c'), __source_ts_ms: Buffer.from('1700000000123'), __source_lsn: Buffer.from('5') };
    expect(small().decode(flat(ROW, { headers }))).toMatchObject({ op: 'create', committedAtUs: 1_700_000_000_123_000n, position: { lsn: 5n } });
    expect(small().decode(flat(null, { headers }))).toMatchObject({ op: 'delete', image: null, committedAtUs: 1_700_000_000_123_000n });
  });

  it('without a commit time have the latest that it can be, once told as a finding', () => {
    const findings: EncodingFinding[] = [];
    const decoder = small(findings);
    const { __source_ts_us: _, ...timeless } = MARKS;
    expect(decoder.decode(flat({ ...ROW, ...timeless, __ts_ms: 1_700_000_000_500 }))).toMatchObject({ committedAtUs: 1_700_000_000_500_000n, commitTime: 'upper_bound' });
    expect(decoder.decode(flat(ROW))).toMatchObject({ op: 'update', committedAtUs: 1_700_000_001_000_000n, commitTime: 'upper_bound', image: ['1', 'x', '2'] });
    expect(findings).toMatchObject([{ pairId: 'public.t', side: 'old', column: null, reason: 'no_commit_time' }]);
  });

  it('a deleted row’s fillers are no image', () => {
    const decoded = small().decode(flat({ id: 1, note: '', n: 0, ...MARKS, __deleted: 'true', __op: 'd' }));
    expect(decoded).toMatchObject({ op: 'delete', image: null, before: null, key: ['1'] });
    expect(small().decode(flat({ ...ROW, ...MARKS, __deleted: 'true' }, { key: null }))).toMatchObject({ reason: 'no_key' });
  });

  it('a null value is a delete, but not where it repeats one', () => {
    const findings: EncodingFinding[] = [];
    const decoder = small(findings);
    expect(decoder.decode(flat({ ...ROW, ...MARKS }))).toMatchObject({ op: 'update' });
    expect(decoder.decode(flat(null))).toMatchObject({ type: 'row', op: 'delete', key: ['1'], commitTime: 'upper_bound' });
    expect(findings).toMatchObject([{ reason: 'no_delete_time' }]);
    expect(decoder.decode(flat({ ...ROW, ...MARKS, __deleted: 'true', __op: 'd' }))).toMatchObject({ op: 'delete' });
    expect(decoder.decode(flat(null))).toMatchObject({ type: 'none', reason: 'tombstone' });
    expect(decoder.decode(flat({ ...ROW, ...MARKS, __op: 'c' }))).toMatchObject({ op: 'create' });
    expect(decoder.decode(flat(null))).toMatchObject({ op: 'delete' });
    expect(decoder.decode(flat(null, { key: null }))).toMatchObject({ type: 'none', reason: 'tombstone' });
    expect(decoder.decode(flat(null, { key: Buffer.from('Struct{id=1}') }))).toMatchObject({ type: 'undecodable', reason: 'no_key' });
  });

  it('before a topic’s shape is known a null value is a delete, after an envelope it repeats one', () => {
    const decoder = small();
    expect(decoder.decode(flat(null))).toMatchObject({ op: 'delete', commitTime: 'upper_bound' });
    expect(decoder.decode(flat({ before: { id: 1 }, after: null, op: 'd', source: { ts_us: 5, table: 't' } }))).toMatchObject({ op: 'delete' });
    expect(decoder.decode(flat(null))).toMatchObject({ type: 'none', reason: 'tombstone' });
  });

  it('columns that are called as an envelope’s fields, or as a control record’s, make none of it', () => {
    const odd = makePair('t', ['id int8', 'op text', 'source text', 'after text', 'ddl text'], ['id'], { old: TOPIC });
    const decoder = new DebeziumDecoder({ pairs: [odd], replicaIdentity: new Map() });
    const row = { id: 1, op: 'u', source: 'shop', after: 'x', ddl: null };
    expect(decoder.decode(flat(row))).toMatchObject({ type: 'row', image: ['1', 'u', 'shop', 'x', null] });
    const log = makePair('t', ['id int8', 'status text', 'event_count int4'], ['id'], { old: TOPIC });
    const other = new DebeziumDecoder({ pairs: [log], replicaIdentity: new Map() });
    expect(other.decode(flat({ id: 1, status: 'BEGIN', event_count: null }))).toMatchObject({ type: 'row', image: ['1', 'BEGIN', null] });
  });

  it('with schemas: the row’s own', () => {
    const pair = makePair('t', ['id int8', 'price numeric(10,2)'], ['id'], { old: TOPIC });
    const decoder = new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map() });
    const fields = [
      { type: 'int64', field: 'id' },
      { type: 'bytes', name: 'org.apache.kafka.connect.data.Decimal', parameters: { scale: '1' }, field: 'price' },
    ];
    const value = { schema: { type: 'struct', fields }, payload: { id: 1, price: Buffer.from([15]).toString('base64') } };
    expect(decoder.decode(flat(value))).toMatchObject({ image: ['1', '1.5'] });
  });

  it('something that is no row of the table is none', () => {
    expect(small().decode(flat({ id: 1, amount: 3 }))).toMatchObject({ type: 'undecodable', reason: 'unknown_shape' });
    expect(small().decode(flat([1]))).toMatchObject({ reason: 'unknown_shape' });
  });
});

describe('routed topics', () => {
  it('the outbox router’s messages tell nothing of rows, in a table’s topic and elsewhere', () => {
    const topic = 'voutbox.order';
    const pair = makePair('orders', ['i int8', 'amt numeric'], ['i'], { old: topic });
    const decoder = new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map() });
    for (const message of fixture('e-outbox-router')) {
      const expected = message.topic === topic ? { type: 'undecodable', reason: 'outbox_event' } : { type: 'none' };
      expect(decoder.decode(message)).toMatchObject(expected);
      expect(decoderFor('voutbox').decode(message)).toMatchObject({ type: 'none' });
    }
  });

  it('several tables in one topic: the event, or the key, tells which', () => {
    const topic = 'p.public.all';
    const pairs = ['t_1', 't_2'].map((name) => makePair(name, ['id int8', 'note text'], ['id'], { old: topic }));
    const decoder = new DebeziumDecoder({ pairs, replicaIdentity: new Map() });
    const key = (table: string): Buffer => Buffer.from(JSON.stringify({ id: 1, __dbz__physicalTableIdentifier: `p.public.${table}` }));
    const source = (table: string): object => ({ ts_us: 5, schema: 'public', table });
    for (const table of ['t_1', 't_2']) {
      const expected = { type: 'row', pair: { id: `public.${table}` }, key: ['1'] };
      expect(decoder.decode(flat({ after: { id: 1, note: 'x' }, op: 'c', source: source(table) }, { topic, key: key(table) }))).toMatchObject(expected);
      expect(decoder.decode(flat({ id: 1, note: 'x' }, { topic, key: key(table) }))).toMatchObject(expected);
      expect(decoder.decode(flat({ id: 1, note: 'x', __table: table }, { topic }))).toMatchObject(expected);
      expect(decoder.decode(flat(null, { topic, key: key(table) }))).toMatchObject({ ...expected, op: 'delete' });
    }
    expect(decoder.decode(flat({ after: { id: 1 }, op: 'c', source: source('t_3') }, { topic, key: key('t_3') }))).toMatchObject({ type: 'none', reason: 'unmapped' });
    expect(decoder.decode(flat({ id: 1, note: 'x' }, { topic }))).toMatchObject({ type: 'undecodable', reason: 'other_table' });
  });
});

describe('several tables in a topic that is called after one of them', () => {
  const topic = 'p.public.t';
  const pairs = ['t', 't_archive'].map((name) => makePair(name, ['id int8', 'note text'], ['id'], { old: topic }));
  const event = (table: string): KafkaRecord => flat({ after: { id: 1, note: 'x' }, op: 'c', source: { ts_us: 5, schema: 'public', table } }, { topic });

  it('each event goes to its own table, a partition’s to the one the topic is called after', () => {
    for (const order of [pairs, pairs.toReversed()]) {
      const decoder = new DebeziumDecoder({ pairs: order, replicaIdentity: new Map() });
      expect(decoder.decode(event('t'))).toMatchObject({ pair: { id: 'public.t' } });
      expect(decoder.decode(event('t_archive'))).toMatchObject({ pair: { id: 'public.t_archive' } });
      expect(decoder.decode(event('t_2024'))).toMatchObject({ pair: { id: 'public.t' } });
    }
  });

  it('a null value before anything else is no dead letter', () => {
    const decoder = new DebeziumDecoder({ pairs, replicaIdentity: new Map() });
    expect(decoder.decode(flat(null, { topic }))).toMatchObject({ type: 'none', reason: 'tombstone' });
    expect(decoder.decode(event('t'))).toMatchObject({ type: 'row' });
    expect(decoder.decode(flat(null, { topic }))).toMatchObject({ type: 'none', reason: 'tombstone' });
  });
});

describe('findings', () => {
  it('a column that events never carry is told once, one that came late is not', () => {
    const findings: EncodingFinding[] = [];
    const decoder = small(findings);
    for (let count = 0; count < 30; count++) decoder.decode(flat({ id: 1, ...(count > 5 ? { n: 1 } : {}), ...MARKS }));
    expect(findings).toMatchObject([{ pairId: 'public.t', side: 'old', column: 'note', reason: 'column_absent' }]);
  });

  it('columns whose names Avro does not allow are found by the names that they get', () => {
    const pair = makePair('t', ['id int8', 'a-b text', '2nd text'], ['id'], { old: TOPIC });
    const decoder = new DebeziumDecoder({ pairs: [pair], replicaIdentity: new Map() });
    expect(decoder.decode(flat({ id: 1, a_b: 'x', _2nd: 'y', ...MARKS }))).toMatchObject({ image: ['1', 'x', 'y'] });
  });
});
