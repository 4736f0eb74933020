import type { RowChange, SourceRecord } from '../../src/domain/change.ts';
import { isJsonObject, JsonNumber } from '../../src/domain/json.ts';
import type { ExactJson, ExactJsonObject } from '../../src/domain/json.ts';
import { encodeValues } from '../../src/domain/row.ts';
import { AvroCursor } from '../../src/events/avro/cursor.ts';
import { unframe } from '../../src/events/avro/framing.ts';
import type { AvroType } from '../../src/events/avro/schema.ts';
import type { DebeziumDecoder, KafkaRecord } from '../../src/events/debezium/decoder.ts';
import { parseExactJson } from '../../src/events/debezium/json.ts';
import type { SchemaLookup } from '../../src/events/debezium/payloads.ts';
import { anyValue, mutateBytes, mutateTree, valueOf, withField } from './mutations.ts';
import { Random } from './random.ts';
import { writeAvro, writeJson } from './writers.ts';

/** Messages between two looks at whether the unmutated ones still decode as they did. */
const CONTROL_EVERY = 5_000;
/** Problems kept; the first are enough to go on with. */
const MAX_PROBLEMS = 20;
const NULL = Buffer.from('null');
const WRAPPED_NULL = Buffer.from('"payload":null}');
/** A single message that takes longer is reported. */
const SLOW_MS = 250;

export interface FuzzOptions {
  readonly messages: number;
  readonly seed: number;
  /** Real messages to begin with. */
  readonly corpus: readonly KafkaRecord[];
  readonly registry: SchemaLookup;
  readonly makeDecoder: () => DebeziumDecoder;
  readonly onProgress?: (done: number) => void;
}

export interface FuzzReport {
  readonly messages: number;
  /** What became of them, by type and reason. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Each one a bug: a throw, an answer that changes, a value that nobody put there. */
  readonly problems: readonly string[];
  readonly slowest: { readonly ms: number; readonly place: string };
  /** Messages that took longer than SLOW_MS. */
  readonly slow: number;
}

/** A column's value that was put into a message. */
interface Planted {
  readonly column: string;
  readonly value: ExactJson;
  readonly original: KafkaRecord;
}

export interface Mutant {
  readonly record: KafkaRecord;
  readonly what: string;
  readonly planted?: Planted;
}

/** Decodes mutated messages and looks for answers that cannot be right. */
export function fuzz(options: FuzzOptions): FuzzReport {
  const { messages, seed, corpus, makeDecoder, onProgress } = options;
  const random = new Random(seed);
  const decoder = makeDecoder();
  const outcomes: Record<string, number> = {};
  const problems: string[] = [];
  const tell = (problem: string): void => {
    if (problems.length < MAX_PROBLEMS) problems.push(problem);
  };
  const control = corpus.filter(({ value }) => value !== null);
  const expected = control.map((record) => shown(makeDecoder().decode(record)));
  let slowest: FuzzReport['slowest'] = { ms: 0, place: '' };
  let slow = 0;
  for (let done = 0; done < messages; done++) {
    const mutant = mutate(random, random.of(corpus), random.of(corpus), options.registry);
    const place = `message ${done} (${mutant.what} of ${mutant.record.topic}@${mutant.record.offset})`;
    try {
      const startedMs = performance.now();
      const first = decoder.decode(mutant.record);
      const tookMs = performance.now() - startedMs;
      if (tookMs > slowest.ms) slowest = { ms: Math.round(tookMs), place: `${place}: ${first.type}` };
      if (tookMs > SLOW_MS) slow++;
      const outcome = first.type === 'undecodable' || first.type === 'none' ? `${first.type} ${first.reason}` : first.type;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      if (!isTombstone(mutant.record) && shown(decoder.decode(mutant.record)) !== shown(first)) tell(`${place}: decodes differently the second time`);
      if (done % 50 === 0 && !isTombstone(mutant.record) && shown(makeDecoder().decode(mutant.record)) !== shown(first)) {
        tell(`${place}: decodes differently in a fresh decoder`);
      }
      if (mutant.planted !== undefined) {
        const wrong = misplaced(first, decoder.decode(mutant.planted.original), mutant.planted);
        if (wrong !== null) tell(`${place}: ${wrong}`);
      }
    } catch (error) {
      tell(`${place}: threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
    if (done % CONTROL_EVERY === CONTROL_EVERY - 1 || done === messages - 1) {
      control.forEach((record, index) => {
        if (shown(decoder.decode(record)) !== expected[index]) tell(`after ${done + 1} messages ${record.topic}@${record.offset} decodes differently`);
      });
      onProgress?.(done + 1);
    }
  }
  return { messages, outcomes, problems, slowest, slow };
}

/** What a null value means hangs on the records before it. */
function isTombstone({ value }: KafkaRecord): boolean {
  return value === null || value.equals(NULL) || value.subarray(-WRAPPED_NULL.length).equals(WRAPPED_NULL);
}

/** What a message decodes to, as text. */
function shown(decoded: SourceRecord): string {
  switch (decoded.type) {
    case 'row':
      return `row ${decoded.pair.id} ${decoded.op} ${decoded.key.join()} ${decoded.committedAtUs} ${decoded.snapshot} ${image(decoded.image)} ${image(decoded.before)}`;
    case 'truncate':
      return `truncate ${decoded.pair.id} ${decoded.committedAtUs}`;
    case 'none':
      return `none ${decoded.reason}`;
    case 'undecodable':
      return `undecodable ${decoded.reason} ${decoded.message}`;
  }
}

function image(row: RowChange['image']): string {
  return row === null ? 'null' : encodeValues(row);
}

/** What is wrong with a decoded row in which one column was changed: every other is as it was, and a text is the one put there. */
function misplaced(decoded: SourceRecord, original: SourceRecord, { column, value }: Planted): string | null {
  if (decoded.type !== 'row' || original.type !== 'row' || decoded.image === null || original.image === null) return null;
  for (const [index, { name, valueClass }] of decoded.pair.columns.entries()) {
    const found = decoded.image[index];
    if (name !== column) {
      if (found !== original.image[index]) return `column ${name} changed with ${column}`;
    } else if (value === null && typeof found === 'string') {
      return `${column} was put to null and has a value`;
    } else if (valueClass === 'text' && typeof value === 'string' && found !== undefined && found !== value) {
      return `${column} is not the text that was put there`;
    } else if (valueClass === 'integer' && value instanceof JsonNumber && typeof found === 'string' && /^-?\d+$/.test(value.text) && BigInt(found) !== BigInt(value.text)) {
      return `${column} is not the integer that was put there`;
    }
  }
  return null;
}

export function mutate(random: Random, record: KafkaRecord, other: KafkaRecord, registry: SchemaLookup): Mutant {
  const { value, key, headers } = record;
  switch (random.below(12)) {
    case 0:
      return { what: 'key bytes', record: { ...record, key: key === null ? random.bytes(5) : mutateBytes(random, key, other.key ?? key) } };
    case 1:
      return { what: 'another key', record: { ...record, key: random.chance(0.3) ? null : other.key } };
    case 2:
      return { what: 'another value', record: { ...record, value: other.value } };
    case 3: {
      const names = Object.keys(headers ?? {});
      const name = names.length === 0 ? 'id' : random.of(names);
      const changed = { ...headers, [name]: random.chance(0.5) ? random.bytes(random.below(10)) : undefined };
      return { what: 'a header', record: { ...record, headers: changed } };
    }
    case 4:
    case 5:
      return value === null ? { what: 'nothing', record } : { what: 'value bytes', record: { ...record, value: mutateBytes(random, value, other.value ?? value) } };
    case 6:
      if (value === null || value[0] !== 0) return { what: 'framing', record: value === null ? record : { ...record, value: Buffer.concat([random.bytes(random.of([1, 5, 9])), value]) } };
      return { what: 'framing', record: { ...record, value: Buffer.concat([Buffer.from([0, 0, 0, 0, random.below(80)]), value.subarray(5)]) } };
    default:
      return mutateValue(random, record, registry);
  }
}

/** Changes what the value says: one column of its row, or anything. */
function mutateValue(random: Random, record: KafkaRecord, registry: SchemaLookup): Mutant {
  if (record.value === null) return { what: 'nothing', record };
  const avro = avroOf(record, registry);
  if (avro !== null) {
    const tree = new AvroCursor(avro.body, avro.type).value();
    const target = columnOf(random, tree, avro.type);
    if (target === null) return { what: 'nothing', record };
    const parts = [avro.frame];
    writeAvro(avro.type, target.put(target.value), parts);
    return { what: `an Avro value in ${target.column}`, record: { ...record, value: Buffer.concat(parts) }, planted: { ...target, original: record } };
  }
  const tree = parseExactJson(record.value.toString('utf8'));
  const wrapped = isJsonObject(tree) && tree['payload'] !== undefined ? tree['payload'] : null;
  const target = random.chance(0.5) ? columnOf(random, wrapped ?? tree, null) : null;
  if (target === null) return { what: 'the document', record: { ...record, value: Buffer.from(writeJson(mutateTree(random, tree))) } };
  const payload = target.put(target.value);
  const changed = wrapped === null ? payload : withField(tree as ExactJsonObject, 'payload', payload);
  return { what: `a value in ${target.column}`, record: { ...record, value: Buffer.from(writeJson(changed)) }, planted: { ...target, original: record } };
}

interface Target {
  readonly column: string;
  readonly value: ExactJson;
  readonly put: (value: ExactJson) => ExactJson;
}

/** A column of the row after a change, and another value for it; null where there is no such row. */
function columnOf(random: Random, payload: ExactJson, type: AvroType | null): Target | null {
  if (!isJsonObject(payload)) return null;
  const { after } = payload;
  const row = isJsonObject(after) ? after : payload;
  if (row === payload && (payload['op'] !== undefined || payload['__deleted'] === 'true')) return null;
  const column = random.of(Object.keys(row).filter((name) => !name.startsWith('__')));
  if (column === undefined) return null;
  const value = type === null ? anyValue(random) : valueOf(random, fieldType(type, row === after ? ['after', column] : [column]));
  return { column, value, put: (put) => (row === after ? withField(payload, 'after', withField(row, column, put)) : withField(payload, column, put)) };
}

function fieldType(type: AvroType, path: readonly string[]): AvroType {
  const record = type.kind === 'union' ? type.branches.find(({ kind }) => kind === 'record') : type;
  const [name, ...rest] = path;
  if (name === undefined) return type;
  const field = record?.kind === 'record' ? record.fields.find((one) => one.name === name) : undefined;
  if (field === undefined) throw new Error(`no field ${name}`);
  return fieldType(field.type, rest);
}

function avroOf({ value, headers }: KafkaRecord, registry: SchemaLookup): { readonly frame: Buffer; readonly body: Buffer; readonly type: AvroType } | null {
  const framed = value === null ? null : unframe('value', value, headers);
  if (framed === null || value === null) return null;
  return { frame: value.subarray(0, value.length - framed.body.length), body: framed.body, type: registry.get(framed.schema) };
}
