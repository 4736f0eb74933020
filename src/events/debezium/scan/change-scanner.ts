import { isAscii, isUtf8 } from 'node:buffer';
import { isBag } from '../../../domain/bag.ts';
import type { Position, RowChange, RowHashes, SnapshotMark } from '../../../domain/change.ts';
import { tableOn } from '../../../domain/pair.ts';
import type { Pair, Side } from '../../../domain/pair.ts';
import type { RowImage, RowKey } from '../../../domain/row.ts';
import type { DocumentReader } from '../document.ts';
import type { Placeholder } from '../placeholder.ts';
import type { KafkaRecord } from '../records.ts';
import type { Route } from '../routes.ts';
import type { PayloadSchema } from '../schemas.ts';
import { snapshotMark } from '../source-block.ts';
import type { SlicedBuffer } from './bytes.ts';
import { BACKSLASH, ByteScan, CLOSE_BRACE, COMMA, isNull, LOWER_N, OPEN_BRACE, QUOTE, safeInteger, skipNumber, skipString, skipValue } from './bytes.ts';
import { FieldNames, NO_FIELD } from './field-names.ts';
import { RowScanner } from './row-scanner.ts';

/** Longer payloads are left to the slow decoder: copying them costs as much as reading them. */
const PAYLOAD_BYTES_MAX = 256 * 1024;
/** Room for a payload's canonical rows: two of them, each with its values unescaped beside it. */
const OUT_BYTES_A_BYTE = 6;
const OUT_BYTES_LEAST = 64 * 1024;
/** And of a column what does not come from the message. */
const OUT_BYTES_A_COLUMN = 64;

/** Envelope fields by what is made of them. */
const BEFORE = 0;
const AFTER = 1;
const SOURCE = 2;
const OP = 3;
const ENVELOPE_FIELDS: Readonly<Record<string, number>> = { before: BEFORE, after: AFTER, source: SOURCE, op: OP };

const SCHEMA = 0;
const TABLE = 1;
const TS_US = 2;
const TS_MS = 3;
const TS_NS = 4;
const LSN = 5;
const TX_ID = 6;
const GTID = 7;
const SNAPSHOT = 8;
const SOURCE_FIELDS: Readonly<Record<string, number>> = {
  schema: SCHEMA, table: TABLE, ts_us: TS_US, ts_ms: TS_MS, ts_ns: TS_NS, lsn: LSN, txId: TX_ID, gtid: GTID, snapshot: SNAPSHOT,
};

const OPS: Readonly<Record<number, RowChange['op']>> = { 99: 'create', 117: 'update', 114: 'snapshot' };

/** xxh64 of bytes, the same as a row's hash of the text that they encode. */
export type BytesHasher = (bytes: Uint8Array) => bigint;

/** How a decoder reads a record in full. */
export type SlowDecoder = (record: KafkaRecord) => Pick<RowChange, 'image' | 'before'> | null;

/** A change whose rows were hashed as they were read; they are made only for those who ask for them. */
class ScannedChange implements RowChange {
  readonly type = 'row';
  readonly pair: Pair;
  readonly side: Side;
  readonly op: RowChange['op'];
  readonly key: RowKey;
  readonly committedAtUs: bigint;
  readonly snapshot: SnapshotMark;
  readonly position: Position;
  readonly hashes: RowHashes;
  readonly #record: KafkaRecord;
  readonly #decode: SlowDecoder;
  #rows: Pick<RowChange, 'image' | 'before'> | null = null;

  constructor(facts: Pick<RowChange, 'op' | 'key' | 'committedAtUs' | 'snapshot' | 'position'>, route: Route, hashes: RowHashes, record: KafkaRecord, decode: SlowDecoder) {
    this.pair = route.pair;
    this.side = route.side;
    this.op = facts.op;
    this.key = facts.key;
    this.committedAtUs = facts.committedAtUs;
    this.snapshot = facts.snapshot;
    this.position = facts.position;
    this.hashes = hashes;
    this.#record = record;
    this.#decode = decode;
  }

  get image(): RowImage | null {
    return this.#decoded().image;
  }

  get before(): RowImage | null {
    return this.#decoded().before;
  }

  #decoded(): Pick<RowChange, 'image' | 'before'> {
    this.#rows ??= this.#decode(this.#record);
    if (this.#rows === null) throw new RangeError('the record decodes as no row');
    return this.#rows;
  }
}

/** Scanners of one table's rows, by the schema of the message. */
interface RouteScanners {
  readonly bare: { readonly after: RowScanner; readonly before: RowScanner };
  readonly bySchema: WeakMap<PayloadSchema, { readonly after: RowScanner; readonly before: RowScanner }>;
  readonly schemaName: Buffer;
  readonly tableName: Buffer;
  hasTold: boolean;
}

/** Where and when the change of the message read last was made. */
interface SourceFacts {
  committedAtUs: number;
  lsn: number | null;
  txId: string | null;
  snapshot: SnapshotMark;
}

/**
 * Makes changes of JSON envelopes without making anything of their parts but what a check needs: key, hashes, time and
 * place. Whatever is written in any other way than Debezium's own converter writes it, or is not sure, it leaves to the
 * slow decoder; where it makes a change of a record, that would make the same.
 */
export class ChangeScanner {
  readonly #placeholder: Placeholder;
  readonly #documents: DocumentReader<PayloadSchema>;
  readonly #hash: BytesHasher;
  readonly #decode: SlowDecoder;
  readonly #scan = new ByteScan();
  readonly #routes = new WeakMap<Route, RouteScanners>();
  readonly #envelope = new FieldNames((name) => (Object.hasOwn(ENVELOPE_FIELDS, name) ? (ENVELOPE_FIELDS[name] as number) : -1));
  readonly #sourceNames = new FieldNames((name) => (Object.hasOwn(SOURCE_FIELDS, name) ? (SOURCE_FIELDS[name] as number) : -1));
  readonly #source: SourceFacts = { committedAtUs: -1, lsn: null, txId: null, snapshot: 'none' };

  /** @param documents knows the schemas that messages begin with */
  constructor(placeholder: Placeholder, documents: DocumentReader<PayloadSchema>, hash: BytesHasher, decode: SlowDecoder) {
    this.#placeholder = placeholder;
    this.#documents = documents;
    this.#hash = hash;
    this.#decode = decode;
  }

  /** The record's change of the route's table; null where the slow decoder must read it. @param trustsBefore as the decoder has it */
  change(record: KafkaRecord, value: Buffer, route: Route, trustsBefore: boolean): RowChange | null {
    if (!this.#placeholder.isPlain || isBag(route.pair) || isFramed(record.headers)) return null;
    const located = this.#documents.locate(record.topic, value);
    if (located === null) return null;
    const { at, schema } = located;
    const payload = at === 0 ? value : value.subarray(at);
    if (payload.length > PAYLOAD_BYTES_MAX) return null;
    const scan = this.#scan;
    scan.ascii = isAscii(payload);
    if (!scan.ascii && !isUtf8(payload)) return null;
    scan.buf = value as SlicedBuffer;
    scan.at = at;
    scan.end = value.length;
    scan.to = 0;
    const room = OUT_BYTES_A_BYTE * payload.length + 2 * OUT_BYTES_A_COLUMN * route.names.length;
    if (scan.out.length < room) scan.out = Buffer.allocUnsafeSlow(Math.max(room, OUT_BYTES_LEAST)) as SlicedBuffer;
    const change = this.#read(record, route, schema, trustsBefore);
    if (change === null || scan.at + (at === 0 ? 0 : 1) !== scan.end || (at > 0 && value[scan.at] !== CLOSE_BRACE)) return null;
    return change;
  }

  #read(record: KafkaRecord, route: Route, schema: PayloadSchema | null, trustsBefore: boolean): RowChange | null {
    const scan = this.#scan;
    const { buf, end } = scan;
    const scanners = this.#scannersOf(route);
    const { after, before } = this.#rowsOf(scanners, route, schema);
    let at = scan.at;
    let seen = 0;
    let op: RowChange['op'] | undefined;
    let afterHash: bigint | null = null;
    let beforeHash: bigint | null = null;
    if (buf[at++] !== OPEN_BRACE) return null;
    for (let place = 0; ; place++) {
      const field = this.#envelope.match(buf, at, end, place);
      if (field === NO_FIELD) return null;
      at = this.#envelope.next;
      if (field >= 0) {
        if ((seen & (1 << field)) !== 0) return null;
        seen |= 1 << field;
      }
      const isNothing = buf[at] === LOWER_N;
      if (field === SOURCE) {
        at = this.#readSource(at, scanners);
      } else if (field === OP) {
        op = OPS[buf[at + 1] ?? 0];
        if (op === undefined || buf[at] !== QUOTE || buf[at + 2] !== QUOTE) return null;
        at += 3;
      } else if (!isNothing && (field === AFTER || (field === BEFORE && trustsBefore))) {
        const rows = field === AFTER ? after : before;
        const from = scan.to;
        scan.at = at;
        if (!rows.scan(scan)) return null;
        at = scan.at;
        const hash = this.#hash(scan.out.subarray(from, scan.to));
        if (field === AFTER) afterHash = hash;
        else beforeHash = hash;
      } else at = skipValue(buf, at, end);
      if (at < 0) return null;
      const byte = buf[at++];
      if (byte === CLOSE_BRACE) break;
      if (byte !== COMMA) return null;
    }
    if (op === undefined || (seen & (1 << SOURCE)) === 0 || afterHash === null) return null;
    // A snapshot reads whole rows: there the placeholder is what the column holds.
    if (op === 'snapshot' && (after.hasLeftOut || (beforeHash !== null && before.hasLeftOut))) return null;
    const key = this.#keyOf(route, after);
    if (key === null) return null;
    scan.at = at;
    if (!scanners.hasTold) {
      after.tellPresence();
      scanners.hasTold = true;
    }
    const { committedAtUs, lsn, txId, snapshot } = this.#source;
    const position: Position = { topic: record.topic, partition: record.partition, offset: record.offset, lsn: lsn === null ? null : BigInt(lsn), txId };
    const hashes: RowHashes = {
      image: afterHash,
      unknownColumns: after.unknown,
      before: beforeHash,
      isBeforeWhole: beforeHash === null || before.unknown.length === 0,
    };
    return new ScannedChange({ op, key, committedAtUs: BigInt(committedAtUs), snapshot, position }, route, hashes, record, this.#decode);
  }

  #keyOf({ pair }: Route, row: RowScanner): RowKey | null {
    const key: string[] = [];
    for (const column of pair.key) {
      const text = row.textOf(this.#scan, column);
      if (text === null) return null;
      key.push(text);
    }
    return key;
  }

  /** Reads the `source` at `from`; the place after it, -1 where the slow decoder must. */
  #readSource(from: number, { schemaName, tableName }: RouteScanners): number {
    const { buf, end } = this.#scan;
    const facts = this.#source;
    facts.committedAtUs = -1;
    facts.lsn = null;
    facts.txId = null;
    facts.snapshot = 'none';
    let seen = 0;
    let millis = -1;
    let at = from;
    if (buf[at++] !== OPEN_BRACE) return -1;
    for (let place = 0; ; place++) {
      const field = this.#sourceNames.match(buf, at, end, place);
      if (field === NO_FIELD) return -1;
      at = this.#sourceNames.next;
      if (field >= 0) {
        if ((seen & (1 << field)) !== 0) return -1;
        seen |= 1 << field;
      }
      const start = at;
      const isNothing = buf[at] === LOWER_N && isNull(buf, at);
      at = field === TS_US || field === TS_MS || field === LSN ? (isNothing ? at + 4 : skipNumber(buf, at)) : buf[at] === QUOTE ? skipString(buf, at, end) : skipValue(buf, at, end);
      if (at < 0) return -1;
      if (field >= 0 && !isNothing) {
        switch (field) {
          case SCHEMA:
            if (!isText(buf, start, at, schemaName)) return -1;
            break;
          case TABLE:
            if (!isText(buf, start, at, tableName)) return -1;
            break;
          case TS_US:
            facts.committedAtUs = safeInteger(buf, start, at);
            if (facts.committedAtUs < 0) return -1;
            break;
          case TS_MS:
            millis = safeInteger(buf, start, at);
            break;
          case TS_NS:
            break;
          case LSN:
            facts.lsn = safeInteger(buf, start, at);
            if (facts.lsn < 0) return -1;
            break;
          case TX_ID:
            if (safeInteger(buf, start, at) < 0) return -1;
            facts.txId = buf.latin1Slice(start, at);
            break;
          case SNAPSHOT:
            if (buf[start] !== QUOTE) return -1;
            // `false` has five letters, and so has none of the marks that it is not.
            if (at - start === FALSE_TEXT.length && isText(buf, start, at, FALSE_NAME)) break;
            for (let index = start; index < at; index++) if (buf[index] === BACKSLASH) return -1;
            facts.snapshot = snapshotMark(buf.latin1Slice(start + 1, at - 1));
            break;
          default:
            return -1;
        }
      }
      const byte = buf[at++];
      if (byte === CLOSE_BRACE) break;
      if (byte !== COMMA) return -1;
    }
    if (facts.committedAtUs >= 0) return at;
    // Connectors before 2.5 write milliseconds alone.
    if ((seen & ((1 << TS_US) | (1 << TS_NS))) !== 0 || millis < 0 || millis > Number.MAX_SAFE_INTEGER / 1_000) return -1;
    facts.committedAtUs = millis * 1_000;
    return at;
  }

  #scannersOf(route: Route): RouteScanners {
    let scanners = this.#routes.get(route);
    if (scanners === undefined) {
      const table = tableOn(route.pair, route.side);
      scanners = {
        bare: this.#newRows(route, null),
        bySchema: new WeakMap(),
        schemaName: Buffer.from(table.schema, 'utf8'),
        tableName: Buffer.from(table.name, 'utf8'),
        hasTold: false,
      };
      this.#routes.set(route, scanners);
    }
    return scanners;
  }

  #rowsOf(scanners: RouteScanners, route: Route, schema: PayloadSchema | null): RouteScanners['bare'] {
    if (schema === null) return scanners.bare;
    let rows = scanners.bySchema.get(schema);
    if (rows === undefined) {
      rows = this.#newRows(route, schema);
      scanners.bySchema.set(schema, rows);
    }
    return rows;
  }

  #newRows(route: Route, schema: PayloadSchema | null): RouteScanners['bare'] {
    return { after: new RowScanner(route, schema?.after ?? null, this.#placeholder), before: new RowScanner(route, schema?.before ?? null, this.#placeholder) };
  }
}

const FALSE_TEXT = '"false"';
const FALSE_NAME = Buffer.from('false');

/** Whether the string from `from` to `to`, its quotes included, is that text, written without escapes. */
function isText(buf: Uint8Array, from: number, to: number, text: Uint8Array): boolean {
  const { length } = text;
  if (to - from !== length + 2 || buf[from] !== QUOTE) return false;
  for (let index = 0; index < length; index++) if (buf[from + 1 + index] !== text[index]) return false;
  return true;
}

/** Whether headers may say that the value is Avro. */
function isFramed(headers: KafkaRecord['headers']): boolean {
  return headers !== undefined && (headers['apicurio.value.contentId'] !== undefined || headers['apicurio.value.globalId'] !== undefined);
}
