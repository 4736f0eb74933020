import type { SnapshotMark } from '../../domain/change.ts';
import { LockstepError } from '../../domain/errors.ts';
import { JsonNumber } from '../../domain/json.ts';
import type { ExactJson } from '../../domain/json.ts';
import type { JsonScanner } from './json.ts';

export type EnvelopeOp = 'c' | 'u' | 'd' | 'r' | 't' | 'm';

/** Raw values by column position; undefined where the event has no such field. */
export type RawRow = readonly (ExactJson | undefined)[];

/** Where and when a change was made, from the envelope's `source`. */
export interface EnvelopeSource {
  readonly schema: string | null;
  readonly table: string | null;
  readonly committedAtUs: bigint | null;
  readonly lsn: bigint | null;
  readonly txId: string | null;
  readonly snapshot: SnapshotMark;
}

/** A change event as it came, columns picked but not converted. */
export interface Envelope {
  readonly op: EnvelopeOp;
  readonly source: EnvelopeSource;
  readonly before: RawRow | null;
  readonly after: RawRow | null;
}

export type Payload =
  | { readonly type: 'envelope'; readonly envelope: Envelope }
  | { readonly type: 'control'; readonly reason: 'heartbeat' | 'transaction' | 'schema_change' | 'message' }
  | { readonly type: 'tombstone' };

const OPS: ReadonlySet<string> = new Set(['c', 'u', 'd', 'r', 't', 'm']);
const SNAPSHOT_ROWS: ReadonlySet<string> = new Set(['true', 'first', 'first_in_data_collection']);
const INTEGER = /^-?[0-9]+$/;

function integer(value: ExactJson): bigint | null {
  return value instanceof JsonNumber && INTEGER.test(value.text) ? BigInt(value.text) : null;
}

/**
 * Where a record stands in a snapshot. A connector marks only its very last row
 * `last`; `last_in_data_collection` is the end of this table's share.
 */
export function snapshotMark(value: ExactJson): SnapshotMark {
  if (value === true || (typeof value === 'string' && SNAPSHOT_ROWS.has(value))) return 'initial';
  if (value === 'last' || value === 'last_in_data_collection') return 'initial_last';
  return value === 'incremental' ? 'incremental' : 'none';
}

function readSource(scanner: JsonScanner): EnvelopeSource | null {
  if (scanner.peek() !== '{') {
    scanner.skip();
    return null;
  }
  let schema: string | null = null;
  let table: string | null = null;
  let tsUs: bigint | null = null;
  let tsNs: bigint | null = null;
  let tsMs: bigint | null = null;
  let lsn: bigint | null = null;
  let txId: string | null = null;
  let gtid: string | null = null;
  let snapshot: SnapshotMark = 'none';
  scanner.fields((name) => {
    switch (name) {
      case 'schema':
        schema = text(scanner.value());
        return;
      case 'table':
        table = text(scanner.value());
        return;
      case 'ts_us':
        tsUs = integer(scanner.value());
        return;
      case 'ts_ns':
        tsNs = integer(scanner.value());
        return;
      case 'ts_ms':
        tsMs = integer(scanner.value());
        return;
      case 'lsn':
        lsn = integer(scanner.value());
        return;
      case 'txId':
        txId = scalar(scanner.value());
        return;
      case 'gtid':
        gtid = scalar(scanner.value());
        return;
      case 'snapshot':
        snapshot = snapshotMark(scanner.value());
        return;
      default:
        scanner.skip();
    }
  });
  return { schema, table, committedAtUs: microseconds(tsUs, tsNs, tsMs), lsn, txId: txId ?? gtid, snapshot };
}

function microseconds(us: bigint | null, ns: bigint | null, ms: bigint | null): bigint | null {
  if (us !== null) return us;
  if (ns !== null) return ns / 1000n;
  return ms === null ? null : ms * 1000n;
}

function text(value: ExactJson): string | null {
  return typeof value === 'string' ? value : null;
}

function scalar(value: ExactJson): string | null {
  return value instanceof JsonNumber ? value.text : text(value);
}

function readRow(scanner: JsonScanner, columns: ReadonlyMap<string, number>): RawRow | null {
  const first = scanner.peek();
  if (first === 'n') {
    scanner.skip();
    return null;
  }
  if (first !== '{') {
    scanner.skip();
    throw new LockstepError('unknown_shape', 'before or after is not an object');
  }
  const row: (ExactJson | undefined)[] = Array.from<undefined>({ length: columns.size });
  scanner.fields((name) => {
    const index = columns.get(name);
    if (index === undefined) scanner.skip();
    else row[index] = scanner.value();
  });
  return row;
}

/**
 * Reads a message's payload: of rows, only the columns asked for.
 * @param columns column positions by the name that events give them
 * @param wantBefore whether `before` can be trusted and is worth reading
 * Throws `not_json` or `unknown_shape`.
 */
export function readPayload(
  scanner: JsonScanner,
  columns: ReadonlyMap<string, number>,
  wantBefore: boolean,
): Payload {
  if (scanner.peek() === 'n') {
    scanner.skip();
    return { type: 'tombstone' };
  }
  if (scanner.peek() !== '{') {
    scanner.skip();
    throw new LockstepError('unknown_shape', 'the value is not an object');
  }
  let op: ExactJson | undefined;
  let source: EnvelopeSource | null = null;
  let before: RawRow | null = null;
  let after: RawRow | null = null;
  let status: ExactJson | undefined;
  const names = new Set<string>();
  scanner.fields((name) => {
    names.add(name);
    switch (name) {
      case 'op':
        op = scanner.value();
        return;
      case 'source':
        source = readSource(scanner);
        return;
      case 'before':
        if (wantBefore) before = readRow(scanner, columns);
        else scanner.skip();
        return;
      case 'after':
        after = readRow(scanner, columns);
        return;
      case 'status':
        status = scanner.value();
        return;
      default:
        scanner.skip();
    }
  });
  if (op === undefined) return { type: 'control', reason: controlReason(names, status) };
  if (typeof op !== 'string' || !OPS.has(op)) {
    throw new LockstepError('unknown_shape', 'the envelope has an op that is none of c, u, d, r, t, m');
  }
  if (op === 'm') return { type: 'control', reason: 'message' };
  if (source === null) throw new LockstepError('unknown_shape', 'the envelope has no source');
  if ((op === 'c' || op === 'u' || op === 'r') && after === null) {
    throw new LockstepError('unknown_shape', `an event with op ${op} has no after`);
  }
  return { type: 'envelope', envelope: { op: op as EnvelopeOp, source, before, after } };
}

function controlReason(
  names: ReadonlySet<string>,
  status: ExactJson | undefined,
): 'heartbeat' | 'transaction' | 'schema_change' {
  if (names.has('ddl') || names.has('tableChanges')) return 'schema_change';
  if ((status === 'BEGIN' || status === 'END') && names.has('id') && names.has('event_count')) return 'transaction';
  if (names.has('ts_ms') && [...names].every((name) => name === 'ts_ms' || name === 'ts_us' || name === 'ts_ns')) {
    return 'heartbeat';
  }
  throw new LockstepError(
    'unknown_shape',
    'no Debezium envelope (op, source, before, after); remove transforms such as ExtractNewRecordState, or give a topic without them',
  );
}

/** Fields of a message key that are columns of the key; null where the key is no object. */
export function readKey(scanner: JsonScanner, columns: ReadonlyMap<string, number>): RawRow | null {
  if (scanner.peek() !== '{') {
    scanner.skip();
    return null;
  }
  return readRow(scanner, columns);
}

/** Whether `source` names another table than the one given; unnamed parts agree with any. */
export function namesOtherTable(source: EnvelopeSource, schema: string, table: string): boolean {
  if (source.table !== null && source.table !== '' && source.table !== table) return true;
  return source.schema !== null && source.schema !== '' && source.schema !== schema;
}
