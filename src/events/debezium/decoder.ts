import { headerOf } from '../avro/framing.ts';
import type { ControlReason, Envelope, EnvelopeOp, RawRow } from './envelope.ts';
import { readKey, readPayload } from './envelope.ts';
import type { EncodingFinding } from './encoding-findings.ts';
import { readFlat, readFlatTombstone } from './flat.ts';
import type { FlatEvent } from './flat.ts';
import { isLonger } from './long-values.ts';
import { PayloadOpener } from './payloads.ts';
import type { OpenPayload, SchemaLookup } from './payloads.ts';
import { Placeholder } from './placeholder.ts';
import type { KafkaRecord } from './records.ts';
import { physicalTable, routeOf, Routes } from './routes.ts';
import type { EventTable, Route } from './routes.ts';
import { ChangeScanner } from './scan/change-scanner.ts';
import type { BytesHasher } from './scan/change-scanner.ts';
import type { PayloadSchema, StructSchema } from './schemas.ts';
import { integerOf } from './source-block.ts';
import { LastDeletes, Shapes } from './tombstones.ts';
import type { NoChange, Position, RowChange, SourceRecord } from '../../domain/change.ts';
import { isBag } from '../../domain/bag.ts';
import { LockstepError } from '../../domain/errors.ts';
import { qualifiedName, tableOn } from '../../domain/pair.ts';
import type { Pair, Side, TableDescription } from '../../domain/pair.ts';
import { keyOf } from '../../domain/row.ts';
import type { ImageValue, RowImage, RowKey } from '../../domain/row.ts';
import { Loss } from '../../domain/values/loss.ts';

export type { KafkaRecord } from './records.ts';

/** A dead letter keeps this much of a key and of a value; what is longer can be read again from the topic. */
export const MAX_RAW_BYTES = 1024 * 1024;

/** PostgreSQL's own limit on a value is 1 GiB; parsing that as one text would stall every table. */
export const MAX_VALUE_BYTES = 128 * 1024 * 1024;

/** Where ByLogicalTableRouter keeps the table in the key, by default. */
const PHYSICAL_TABLE = '__dbz__physicalTableIdentifier';
const PHYSICAL_TABLE_FIELD: ReadonlyMap<string, number> = new Map([[PHYSICAL_TABLE, 0]]);

/** The header that the outbox router puts on each of its messages. */
const OUTBOX_HEADER = 'id';

export type ReplicaIdentity = TableDescription['replicaIdentity'];

export interface DebeziumDecoderOptions {
  readonly pairs: readonly Pair[];
  /** Topics whose messages are changes of a pair's table, where they are not (all) in `Pair.topic`. */
  readonly topics?: readonly { readonly topic: string; readonly pair: Pair; readonly side: Side }[];
  /** By `Pair.id`: only with `full` are old row images worth anything. */
  readonly replicaIdentity: ReadonlyMap<string, Readonly<Partial<Record<Side, ReplicaIdentity>>>>;
  /** The connector's `unavailable.value.placeholder`. */
  readonly placeholder?: string;
  /** Absent: Avro is not understood. */
  readonly registry?: SchemaLookup;
  /** Hash of a row from the bytes of its encoding; absent: changes come with their rows alone. */
  readonly hashBytes?: BytesHasher;
  /** Told once of each thing that events do not tell, or tell less exactly than the database. */
  readonly onEncodingFinding?: (finding: EncodingFinding) => void;
}

const NO_COLUMNS: ReadonlyMap<string, number> = new Map();

const CHANGE_OPS: Readonly<Record<Exclude<EnvelopeOp, 't' | 'm'>, RowChange['op']>> = {
  c: 'create',
  u: 'update',
  d: 'delete',
  r: 'snapshot',
};

/** What of a change does not depend on how it was written. */
interface ChangeFacts {
  readonly op: RowChange['op'];
  readonly image: RowImage | null;
  readonly before: RowImage | null;
  readonly position: Position;
}

/** Turns Debezium's change events, whole or flattened, in JSON or Avro, into changes of pairs. */
export class DebeziumDecoder {
  readonly #routes: Routes;
  readonly #replicaIdentity: DebeziumDecoderOptions['replicaIdentity'];
  readonly #placeholder: Placeholder;
  readonly #payloads: PayloadOpener;
  readonly #shapes = new Shapes();
  readonly #lastDeletes = new LastDeletes();
  readonly #scanner: ChangeScanner | null;

  constructor(options: DebeziumDecoderOptions) {
    this.#replicaIdentity = options.replicaIdentity;
    this.#placeholder = new Placeholder(options.placeholder);
    this.#payloads = new PayloadOpener(options.registry ?? null);
    this.#scanner =
      options.hashBytes === undefined
        ? null
        : new ChangeScanner(this.#placeholder, this.#payloads.values, options.hashBytes, (record) => {
            const decoded = this.#decodeInFull(record);
            return decoded.type === 'row' ? decoded : null;
          });
    this.#routes = new Routes(options.onEncodingFinding ?? (() => undefined));
    for (const pair of options.pairs) {
      for (const side of ['old', 'new'] as const) {
        const topic = pair.topic[side];
        if (topic !== undefined) this.#routes.add(topic, pair, side);
      }
    }
    for (const { topic, pair, side } of options.topics ?? []) this.#routes.add(topic, pair, side);
  }

  /**
   * Gets ready what decoding these records needs: schemas from the registry. Patient with a registry that
   * does not answer, for a bounded time. Never rejects: what could not be had makes its records undecodable.
   * @param fresh asks again for what failed a moment ago
   */
  async prepare(records: readonly KafkaRecord[], { fresh = false }: { readonly fresh?: boolean } = {}): Promise<void> {
    await this.#payloads.prepare(records, fresh);
  }

  /** Decodes one message. Never throws: what is not understood comes back as `undecodable`. */
  decode(record: KafkaRecord): SourceRecord {
    const { value } = record;
    if (this.#scanner !== null && value !== null) {
      const routes = this.#routes.of(record.topic);
      const route = routes?.length === 1 ? routes[0] : undefined;
      const change = route === undefined ? null : this.#scanner.change(record, value, route, this.#trustsBefore(route));
      if (change !== null) {
        this.#shapes.saw(record.topic, 'envelope');
        return change;
      }
    }
    return this.#decodeInFull(record);
  }

  #decodeInFull(record: KafkaRecord): SourceRecord {
    const position = { topic: record.topic, partition: record.partition, offset: record.offset, lsn: null, txId: null };
    const routes = this.#routes.of(record.topic);
    if (routes === undefined) return this.#decodeUnmapped(record, position);
    try {
      if (record.value === null) return this.#tombstone(record, routes, position);
      return this.#decodeMapped(record, record.value, routes, position);
    } catch (error) {
      const known = error instanceof LockstepError;
      return {
        type: 'undecodable',
        pair: (routes[0] as Route).pair,
        reason: known ? error.code : 'unknown_shape',
        message: known ? error.message : `the message could not be decoded (${error instanceof Error ? error.name : 'error'})`,
        position,
        rawKey: capped(record.key),
        rawValue: capped(record.value),
      };
    }
  }

  #decodeMapped(record: KafkaRecord, value: Buffer, routes: readonly Route[], position: Position): SourceRecord {
    if (value.length > MAX_VALUE_BYTES) {
      throw new LockstepError('too_large', `the value has ${value.length} bytes, the limit is ${MAX_VALUE_BYTES}`);
    }
    const first = routes[0] as Route;
    const opened = this.#payloads.open('value', record.topic, value, record.headers);
    const again = opened.cursor.fork();
    const payload = readPayload(opened.cursor, first.columns, this.#trustsBefore(first));
    opened.finish();
    switch (payload.type) {
      case 'tombstone':
        return this.#tombstone(record, routes, position);
      case 'envelope':
        this.#shapes.saw(record.topic, 'envelope');
        return this.#decodeEnvelope(record, routes, payload.envelope, { ...opened, cursor: again }, position);
      case 'control':
      case 'bare':
        return this.#decodeBare(record, routes, payload.type === 'control' ? payload.reason : null, { ...opened, cursor: again }, position);
    }
  }

  #decodeEnvelope(
    record: KafkaRecord,
    routes: readonly Route[],
    envelope: Envelope,
    again: OpenPayload,
    position: Position,
  ): SourceRecord {
    const route = this.#routeOf(record, routes, envelope.source);
    if (route === null) return { type: 'none', reason: 'unmapped', position };
    if (route === routes[0]) return this.#change(record, route, envelope, again.schema, position);
    const payload = readPayload(again.cursor, route.columns, this.#trustsBefore(route));
    if (payload.type !== 'envelope') return { type: 'none', reason: 'unmapped', position };
    return this.#change(record, route, payload.envelope, again.schema, position);
  }

  /** The route of an event's table; null where the topic's other tables are not compared. */
  #routeOf(record: KafkaRecord, routes: readonly Route[], table: EventTable): Route | null {
    const found = routeOf(routes, record.topic, table);
    if (found !== undefined) return found;
    if (routes.length > 1) return null;
    const first = routes[0] as Route;
    throw new LockstepError(
      'other_table',
      `an event of table ${table.schema ?? ''}.${table.table ?? ''} in the topic of ${qualifiedName(tableOn(first.pair, first.side))}`,
    );
  }

  #trustsBefore(route: Route): boolean {
    return this.#replicaIdentity.get(route.pair.id)?.[route.side] === 'full';
  }

  #change(record: KafkaRecord, route: Route, envelope: Envelope, schema: PayloadSchema | null, at: Position): SourceRecord {
    const { op, source } = envelope;
    const { pair, side } = route;
    const position: Position = { ...at, lsn: source.lsn, txId: source.txId };
    if (source.committedAtUs === null) throw new LockstepError('unknown_shape', 'the source has no commit time');
    if (op === 't') return { type: 'truncate', pair, side, committedAtUs: source.committedAtUs, position };
    if (op === 'm') return { type: 'none', reason: 'message', position };
    // A snapshot reads whole rows: there the placeholder is what the column holds.
    const leavesOut = op !== 'r';
    const image =
      op === 'd' || envelope.after === null ? null : this.#image(route, envelope.after, schema?.after ?? null, leavesOut);
    const before =
      envelope.before === null ? null : this.#image(route, envelope.before, schema?.before ?? null, leavesOut);
    const change = this.#rowChange(record, route, { op: CHANGE_OPS[op], image, before, position }, image ?? before);
    return { ...change, committedAtUs: source.committedAtUs, snapshot: source.snapshot };
  }

  /** A payload without an envelope: a flattened row, or something that tells nothing of rows. */
  #decodeBare(
    record: KafkaRecord,
    routes: readonly Route[],
    control: ControlReason | null,
    again: OpenPayload,
    position: Position,
  ): SourceRecord {
    const first = routes[0] as Route;
    let flat = readFlat(again.cursor.fork(), first.columns, record.headers);
    const route = this.#routeOf(record, routes, this.#flatTable(record, routes, flat));
    if (route === null) return { type: 'none', reason: 'unmapped', position };
    if (route !== first) flat = readFlat(again.cursor, route.columns, record.headers);
    if (!isRow(route, flat, record)) {
      if (control !== null) return { type: 'none', reason: control, position };
      throw noRow(record);
    }
    this.#shapes.saw(record.topic, 'flat');
    return this.#flatChange(record, route, flat, again.schema?.row ?? null, position);
  }

  #flatChange(record: KafkaRecord, route: Route, flat: FlatEvent, schema: StructSchema | null, at: Position): RowChange {
    const position: Position = { ...at, lsn: flat.lsn, txId: flat.txId };
    const op = flat.deleted ? 'd' : (flat.op ?? 'u');
    const raw = flat.row ?? [];
    // Of a deleted row only the full identity tells more than fillers.
    const image = op === 'd' ? null : this.#image(route, raw, schema, op !== 'r');
    const before = op === 'd' && flat.row !== null && this.#trustsBefore(route) ? this.#image(route, raw, schema, true) : null;
    const change = this.#rowChange(record, route, { op: CHANGE_OPS[op], image, before, position }, image ?? before);
    if (op === 'd' && flat.row !== null) this.#lastDeletes.remember(record);
    else this.#lastDeletes.forget(record);
    const snapshot = op === 'r' && flat.snapshot === 'none' ? 'initial' : flat.snapshot;
    if (flat.committedAtUs !== null) return { ...change, committedAtUs: flat.committedAtUs, snapshot };
    const recordedAtMs = integerOf(record.timestamp ?? null);
    const committedAtUs = flat.handledAtUs ?? (recordedAtMs === null ? null : recordedAtMs * 1000n);
    if (committedAtUs === null) throw new LockstepError('unknown_shape', 'the record has no time of any kind');
    if (flat.row === null) route.findings.event('no_delete_time', TIMELESS_DELETES);
    else route.findings.event('no_commit_time', TIMELESS);
    return { ...change, committedAtUs, commitTime: 'upper_bound', snapshot };
  }

  /**
   * A null value. After an envelope it repeats a delete for log compaction. On a topic of flattened rows it may be
   * all that there is of a delete, and then it tells the key alone. Before the topic's shape is known it is taken
   * for that: a check too many costs a read.
   */
  #tombstone(record: KafkaRecord, routes: readonly Route[], position: Position): SourceRecord {
    const none: NoChange = { type: 'none', reason: 'tombstone', position };
    if (record.key === null || this.#shapes.of(record.topic) === 'envelope' || this.#lastDeletes.isRepeated(record)) return none;
    const flat = readFlatTombstone(record.headers);
    const isUnknown = this.#shapes.of(record.topic) === null;
    // After an envelope nothing need tell the table.
    if (isUnknown && routes.length > 1 && flat.table === null && this.#physicalTable(record, record.key) === null) return none;
    const route = this.#routeOf(record, routes, this.#flatTable(record, routes, flat));
    if (route === null) return { type: 'none', reason: 'unmapped', position };
    if (isUnknown && this.#messageKey(record, record.key, route) === null) return none;
    return this.#flatChange(record, route, flat, null, position);
  }

  /** The table of a row without envelope: as added, else as a router keeps it in the key. */
  #flatTable(record: KafkaRecord, routes: readonly Route[], flat: FlatEvent): EventTable {
    if (flat.table !== null) return flat;
    const identifier = record.key === null ? null : this.#physicalTable(record, record.key);
    if (identifier !== null) return physicalTable(identifier);
    if (routes.length === 1) return { schema: null, table: null };
    throw new LockstepError(
      'other_table',
      'nothing in the row tells which of the topic’s tables it is of; give ExtractNewRecordState add.fields=table,schema',
    );
  }

  #physicalTable(record: KafkaRecord, key: Buffer): string | null {
    if (!key.includes(PHYSICAL_TABLE) && key[0] === BRACE) return null;
    try {
      const opened = this.#payloads.open('key', record.topic, key, record.headers);
      const value = readKey(opened.cursor, PHYSICAL_TABLE_FIELD)?.[0];
      return typeof value === 'string' ? value : null;
    } catch {
      return null;
    }
  }

  #image(route: Route, raw: RawRow, schema: StructSchema | null, leavesOut: boolean): RowImage {
    const image: ImageValue[] = [];
    for (let index = 0; index < route.values.length; index++) {
      const value = raw[index];
      route.findings.column(index, value !== undefined);
      const isLeftOut = leavesOut && value !== null && value !== undefined && this.#placeholder.matches(value);
      image.push(isLeftOut ? undefined : this.#value(route, index, value, schema));
    }
    return image;
  }

  #value(route: Route, index: number, raw: RawRow[number], schema: StructSchema | null): ImageValue {
    const values = route.values[index];
    if (raw === undefined || values === undefined) return undefined;
    const name = route.names[index] as string;
    try {
      const maxLength = route.maxLengths[index] ?? Number.POSITIVE_INFINITY;
      if (maxLength !== Number.POSITIVE_INFINITY && isLonger(raw, maxLength)) throw new LockstepError('bad_value', 'more digits than any number can have');
      const value = raw === null ? values.debeziumNull : values.fromDebezium(raw, schema?.get(name) ?? null);
      if (!(value instanceof Loss)) return value;
      route.findings.loss(index, value);
      return undefined;
    } catch (error) {
      const detail = error instanceof LockstepError ? `: ${error.message}` : '';
      const type = route.pair.columns[index]?.[route.side].type.formatted ?? '';
      throw new LockstepError('bad_value', `column ${name} (${type}) cannot be decoded${detail}`, {
        cause: error,
        about: { column: name },
      });
    }
  }

  #rowChange(record: KafkaRecord, route: Route, facts: ChangeFacts, row: RowImage | null): Omit<RowChange, 'committedAtUs' | 'snapshot'> {
    return { type: 'row', pair: route.pair, side: route.side, key: this.#key(record, route, row), ...facts };
  }

  /** The row's own key columns where it has them, else the message key's; none of a table without a key. */
  #key(record: KafkaRecord, route: Route, row: RowImage | null): RowKey {
    if (isBag(route.pair)) return [];
    const key = row === null ? null : keyOf(route.pair, row);
    if (key !== null) return key;
    const fromMessage = record.key === null ? null : this.#messageKey(record, record.key, route);
    if (fromMessage !== null) return fromMessage;
    const names = route.pair.key.map((index) => route.pair.columns[index]?.[route.side].name).join(', ');
    throw new LockstepError(
      'no_key',
      `neither the message key nor a trustworthy row image has all key columns (${names}); ` +
        'use a JSON or Avro key converter, or REPLICA IDENTITY FULL where the key is not the primary key',
    );
  }

  #messageKey(record: KafkaRecord, bytes: Buffer, route: Route): RowKey | null {
    let opened: OpenPayload;
    let raw: RawRow | null;
    try {
      opened = this.#payloads.open('key', record.topic, bytes, record.headers);
      raw = readKey(opened.cursor, route.keyColumns);
      opened.finish();
    } catch (error) {
      // A key of a converter that tells no columns.
      if (error instanceof LockstepError && error.code === 'not_json') return null;
      throw error;
    }
    if (raw === null) return null;
    const key: string[] = [];
    for (let place = 0; place < route.pair.key.length; place++) {
      const value = this.#value(route, route.pair.key[place] as number, raw[place], opened.schema?.row ?? null);
      if (value === null || value === undefined) return null;
      key.push(value);
    }
    return key;
  }

  #decodeUnmapped(record: KafkaRecord, position: Position): NoChange {
    const byName = reasonByTopic(record.topic);
    if (byName !== null) return { type: 'none', reason: byName, position };
    if (record.value === null) return { type: 'none', reason: 'tombstone', position };
    try {
      const payload = readPayload(this.#payloads.open('value', record.topic, record.value, record.headers).cursor, NO_COLUMNS, false);
      if (payload.type === 'control') return { type: 'none', reason: payload.reason, position };
    } catch {
      // Not a pair's topic: nothing in it can be a change that we owe a check.
    }
    return { type: 'none', reason: 'unmapped', position };
  }
}

const BRACE = 123;

const TIMELESS =
  'flattened events carry no commit time: each change is confirmed by reading both databases, and lag is not measured; ' +
  'give ExtractNewRecordState add.fields=op,table,lsn,source.ts_us';

const TIMELESS_DELETES =
  'deletes come as null values without a commit time: each is confirmed by reading both databases, and its lag is not measured; ' +
  'set delete.tombstone.handling.mode to rewrite';

/**
 * Whether a payload without envelope is a row of the route's table. Without anything
 * added to it, it must look like one: all of the key, and most of the columns.
 */
function isRow(route: Route, { row, marked }: FlatEvent, record: KafkaRecord): boolean {
  if (row === null || marked) return row !== null && row.some((value) => value !== undefined);
  if (isRouted(record)) return false;
  if (route.pair.key.some((index) => row[index] === undefined)) return false;
  const present = row.filter((value) => value !== undefined).length;
  return present * 2 > route.pair.columns.length;
}

/** Whether the outbox router has made the message. */
function isRouted({ headers }: KafkaRecord): boolean {
  return headers !== undefined && headerOf(headers, OUTBOX_HEADER) !== null;
}

function noRow(record: KafkaRecord): LockstepError {
  if (isRouted(record)) {
    return new LockstepError('outbox_event', 'a message of the outbox router: it tells nothing of the table’s rows; give the topic of a connector without it');
  }
  return new LockstepError('unknown_shape', 'neither a Debezium envelope (op, source, before, after) nor a flattened row of the table');
}

function reasonByTopic(topic: string): 'heartbeat' | 'transaction' | null {
  if (topic.startsWith('__debezium-heartbeat')) return 'heartbeat';
  return topic.endsWith('.transaction') ? 'transaction' : null;
}

function capped(bytes: Buffer | null): Buffer | null {
  // Copied: the bytes are a view of a whole fetch response.
  return bytes === null ? null : Buffer.from(bytes.subarray(0, MAX_RAW_BYTES));
}
