import type { NoChange, Position, SourceRecord } from '../../domain/change.ts';
import { LockstepError } from '../../domain/errors.ts';
import { columnOn, qualifiedName, tableOn } from '../../domain/pair.ts';
import type { Pair, Side, TableDescription } from '../../domain/pair.ts';
import { keyOf } from '../../domain/row.ts';
import type { ImageValue, RowImage, RowKey } from '../../domain/row.ts';
import { valuesOf } from '../../domain/values/column-values.ts';
import { Loss } from '../../domain/values/loss.ts';
import { DocumentReader } from './document.ts';
import type { OpenDocument } from './document.ts';
import { namesOtherTable, readKey, readPayload } from './envelope.ts';
import type { Envelope, EnvelopeOp, RawRow } from './envelope.ts';
import { Placeholder } from './placeholder.ts';
import { envelopeSchema, structSchema } from './schemas.ts';
import type { EnvelopeSchema, StructSchema } from './schemas.ts';

/** A dead letter keeps this much of a key and of a value; what is longer can be read again from the topic. */
export const MAX_RAW_BYTES = 1024 * 1024;

/** PostgreSQL's own limit on a value is 1 GiB; parsing that as one text would stall every table. */
export const MAX_VALUE_BYTES = 128 * 1024 * 1024;

/** One Kafka message with its place. */
export interface KafkaRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

export type ReplicaIdentity = TableDescription['replicaIdentity'];

export interface DebeziumDecoderOptions {
  readonly pairs: readonly Pair[];
  /** Topics whose messages are changes of a pair's table, where they are not (all) in `Pair.topic`. */
  readonly topics?: readonly { readonly topic: string; readonly pair: Pair; readonly side: Side }[];
  /** By `Pair.id`: only with `full` are old row images worth anything. */
  readonly replicaIdentity: ReadonlyMap<string, Readonly<Partial<Record<Side, ReplicaIdentity>>>>;
  /** The connector's `unavailable.value.placeholder`. */
  readonly placeholder?: string;
}

interface Route {
  readonly pair: Pair;
  readonly side: Side;
  /** Positions by the names that this side's columns have. */
  readonly columns: ReadonlyMap<string, number>;
  readonly keyColumns: ReadonlyMap<string, number>;
}

const NO_COLUMNS: ReadonlyMap<string, number> = new Map();

const CHANGE_OPS: Readonly<Record<Exclude<EnvelopeOp, 't' | 'm'>, 'create' | 'update' | 'delete' | 'snapshot'>> = {
  c: 'create',
  u: 'update',
  d: 'delete',
  r: 'snapshot',
};

/** Turns Debezium's JSON change events into changes of pairs. */
export class DebeziumDecoder {
  readonly #routes = new Map<string, Route[]>();
  readonly #replicaIdentity: DebeziumDecoderOptions['replicaIdentity'];
  readonly #placeholder: Placeholder;
  readonly #values = new DocumentReader<EnvelopeSchema>(envelopeSchema);
  readonly #keys = new DocumentReader<StructSchema>(structSchema);

  constructor(options: DebeziumDecoderOptions) {
    this.#replicaIdentity = options.replicaIdentity;
    this.#placeholder = new Placeholder(options.placeholder);
    for (const pair of options.pairs) {
      for (const side of ['old', 'new'] as const) {
        const topic = pair.topic[side];
        if (topic !== undefined) this.#addRoute(topic, pair, side);
      }
    }
    for (const { topic, pair, side } of options.topics ?? []) this.#addRoute(topic, pair, side);
  }

  /** Decodes one message. Never throws: what is not understood comes back as `undecodable`. */
  decode(record: KafkaRecord): SourceRecord {
    const position = { topic: record.topic, partition: record.partition, offset: record.offset, lsn: null, txId: null };
    const routes = this.#routes.get(record.topic);
    if (routes === undefined) return this.#decodeUnmapped(record, position);
    if (record.value === null) return { type: 'none', reason: 'tombstone', position };
    try {
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

  #addRoute(topic: string, pair: Pair, side: Side): void {
    const routes = this.#routes.get(topic) ?? [];
    if (routes.some((route) => route.pair.id === pair.id && route.side === side)) return;
    const columns = new Map(pair.columns.map((column, index) => [columnOn(column, side).name, index]));
    const keyColumns = new Map<string, number>();
    for (const [name, index] of columns) {
      const place = pair.key.indexOf(index);
      if (place >= 0) keyColumns.set(name, place);
    }
    routes.push({ pair, side, columns, keyColumns });
    this.#routes.set(topic, routes);
  }

  #decodeMapped(record: KafkaRecord, value: Buffer, routes: readonly Route[], position: Position): SourceRecord {
    if (value.length > MAX_VALUE_BYTES) {
      throw new LockstepError('too_large', `the value has ${value.length} bytes, the limit is ${MAX_VALUE_BYTES}`);
    }
    let route = routes[0] as Route;
    let [payload, schema] = this.#readValue(record.topic, value, route);
    if (payload.type === 'tombstone') return { type: 'none', reason: 'tombstone', position };
    if (payload.type === 'control') return { type: 'none', reason: payload.reason, position };
    if (this.#isOtherTable(record, route, payload.envelope)) {
      const { source } = payload.envelope;
      if (routes.length === 1) {
        throw new LockstepError(
          'unknown_shape',
          `an event of table ${source.schema ?? ''}.${source.table ?? ''} in the topic of ${qualifiedName(tableOn(route.pair, route.side))}`,
        );
      }
      const other = routes.find(({ pair, side }) => {
        const table = tableOn(pair, side);
        return !namesOtherTable(source, table.schema, table.name);
      });
      if (other === undefined) return { type: 'none', reason: 'unmapped', position };
      route = other;
      [payload, schema] = this.#readValue(record.topic, value, route);
      if (payload.type !== 'envelope') return { type: 'none', reason: 'unmapped', position };
    }
    return this.#change(record, route, payload.envelope, schema, position);
  }

  #readValue(topic: string, value: Buffer, route: Route): [ReturnType<typeof readPayload>, EnvelopeSchema | null] {
    const document = this.#values.open(topic, value);
    const payload = readPayload(document.scanner, route.columns, this.#trustsBefore(route));
    document.finish();
    return [payload, document.schema];
  }

  #trustsBefore(route: Route): boolean {
    return this.#replicaIdentity.get(route.pair.id)?.[route.side] === 'full';
  }

  /** A topic named after the table is believed, so that a partition's own name in `source` does no harm. */
  #isOtherTable(record: KafkaRecord, route: Route, envelope: Envelope): boolean {
    const table = tableOn(route.pair, route.side);
    return (
      namesOtherTable(envelope.source, table.schema, table.name) && !record.topic.endsWith(`.${qualifiedName(table)}`)
    );
  }

  #change(
    record: KafkaRecord,
    route: Route,
    envelope: Envelope,
    schema: EnvelopeSchema | null,
    at: Position,
  ): SourceRecord {
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
    return {
      type: 'row',
      pair,
      side,
      op: CHANGE_OPS[op],
      key: this.#key(record, route, image ?? before),
      image,
      before,
      committedAtUs: source.committedAtUs,
      snapshot: source.snapshot,
      position,
    };
  }

  #image(route: Route, raw: RawRow, schema: StructSchema | null, leavesOut: boolean): RowImage {
    return route.pair.columns.map((_, index) => {
      const value = raw[index];
      if (leavesOut && value !== null && value !== undefined && this.#placeholder.matches(value)) return undefined;
      return this.#value(route, index, value, schema);
    });
  }

  #value(route: Route, index: number, raw: RawRow[number], schema: StructSchema | null): ImageValue {
    if (raw === null || raw === undefined) return raw;
    const column = route.pair.columns[index];
    if (column === undefined) return undefined;
    const { name, type } = columnOn(column, route.side);
    try {
      const value = valuesOf(column, route.side).fromDebezium(raw, schema?.get(name) ?? null);
      return value instanceof Loss ? undefined : value;
    } catch (error) {
      const detail = error instanceof LockstepError ? `: ${error.message}` : '';
      throw new LockstepError('bad_value', `column ${name} (${type.formatted}) cannot be decoded${detail}`, {
        cause: error,
        about: { column: name },
      });
    }
  }

  /** The message key where it has all of the pair's key, else the row's own columns. */
  #key(record: KafkaRecord, route: Route, row: RowImage | null): RowKey {
    const fromMessage = record.key === null ? null : this.#messageKey(record.topic, record.key, route);
    const key = fromMessage ?? (row === null ? null : keyOf(route.pair, row));
    if (key !== null) return key;
    const names = [...route.keyColumns.keys()].join(', ');
    throw new LockstepError(
      'no_key',
      `neither the message key nor a trustworthy row image has all key columns (${names}); ` +
        'use a JSON key converter, or REPLICA IDENTITY FULL where the key is not the primary key',
    );
  }

  #messageKey(topic: string, bytes: Buffer, route: Route): RowKey | null {
    let document: OpenDocument<StructSchema>;
    let raw: RawRow | null;
    try {
      document = this.#keys.open(topic, bytes);
      raw = readKey(document.scanner, route.keyColumns);
      document.finish();
    } catch (error) {
      // Keys of other converters are no fault: the row itself may have the key.
      if (error instanceof LockstepError) return null;
      throw error;
    }
    if (raw === null) return null;
    const key: string[] = [];
    for (let place = 0; place < route.pair.key.length; place++) {
      const value = this.#value(route, route.pair.key[place] as number, raw[place], document.schema);
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
      const payload = readPayload(this.#values.open(record.topic, record.value).scanner, NO_COLUMNS, false);
      if (payload.type === 'control') return { type: 'none', reason: payload.reason, position };
    } catch {
      // Not a pair's topic: nothing in it can be a change that we owe a check.
    }
    return { type: 'none', reason: 'unmapped', position };
  }
}

function reasonByTopic(topic: string): 'heartbeat' | 'transaction' | null {
  if (topic.startsWith('__debezium-heartbeat')) return 'heartbeat';
  return topic.endsWith('.transaction') ? 'transaction' : null;
}

function capped(bytes: Buffer | null): Buffer | null {
  // Copied: the bytes are a view of a whole fetch response.
  return bytes === null ? null : Buffer.from(bytes.subarray(0, MAX_RAW_BYTES));
}
