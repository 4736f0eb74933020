import type { SnapshotMark } from '../../domain/change.ts';
import { LockstepError } from '../../domain/errors.ts';
import type { ExactJson } from '../../domain/json.ts';
import { headerOf } from '../avro/framing.ts';
import type { RecordHeaders } from '../avro/framing.ts';
import type { PayloadCursor } from './cursor.ts';
import type { RawRow } from './envelope.ts';
import { integerOf, microseconds, scalarOf, snapshotMark, textOf } from './source-block.ts';

/** What ExtractNewRecordState puts before the names of fields and headers that it adds (`add.fields.prefix`). */
const PREFIX = '__';
/** The names of those that tell of a change, after the prefix; others are left alone. */
const FIELDS: ReadonlySet<string> = new Set([
  'deleted', 'op', 'table', 'schema', 'lsn', 'txId', 'gtid', 'snapshot', 'ts_ms', 'ts_us', 'ts_ns',
  'source_table', 'source_schema', 'source_lsn', 'source_txId', 'source_gtid', 'source_snapshot',
  'source_ts_ms', 'source_ts_us', 'source_ts_ns',
]);

/** A row without an envelope (ExtractNewRecordState), and what was added to it. */
export interface FlatEvent {
  /** Columns picked but not converted; null for a tombstone. */
  readonly row: RawRow | null;
  readonly deleted: boolean;
  /** null where nothing tells. */
  readonly op: 'c' | 'u' | 'd' | 'r' | null;
  readonly schema: string | null;
  readonly table: string | null;
  /** When the change was committed; null where that was not added. */
  readonly committedAtUs: bigint | null;
  /** When the connector handled it, which is later; null where that was not added. */
  readonly handledAtUs: bigint | null;
  readonly lsn: bigint | null;
  readonly txId: string | null;
  readonly snapshot: SnapshotMark;
  /** Whether anything was added at all. */
  readonly marked: boolean;
}

/** Reads a row without an envelope. */
export function readFlat(cursor: PayloadCursor, columns: ReadonlyMap<string, number>, headers: RecordHeaders | undefined): FlatEvent {
  if (cursor.peek() !== '{') throw new LockstepError('unknown_shape', 'the value is no object');
  const row: (ExactJson | undefined)[] = Array.from<undefined>({ length: columns.size });
  const added = addedHeaders(headers);
  cursor.fields((name) => {
    const index = columns.get(name);
    const field = addedName(name);
    if (index === undefined && field === null) {
      cursor.skip();
      return;
    }
    const value = cursor.value();
    if (index !== undefined) row[index] = value;
    else if (field !== null) added.set(field, value);
  });
  return flatEvent(row, added);
}

/** What the headers of a tombstone tell of the change that it stands for. */
export function readFlatTombstone(headers: RecordHeaders | undefined): FlatEvent {
  return { ...flatEvent([], addedHeaders(headers)), row: null, deleted: true };
}

function flatEvent(row: RawRow, added: ReadonlyMap<string, ExactJson>): FlatEvent {
  const take = (name: string): ExactJson => added.get(name) ?? added.get(`source_${name}`) ?? null;
  const times = (prefix: string): bigint | null =>
    microseconds(added.get(`${prefix}ts_us`) ?? null, added.get(`${prefix}ts_ns`) ?? null, added.get(`${prefix}ts_ms`) ?? null);
  const op = textOf(take('op'));
  const deleted = added.get('deleted');
  return {
    row,
    deleted: deleted === true || deleted === 'true' || op === 'd',
    op: op === 'c' || op === 'u' || op === 'd' || op === 'r' ? op : null,
    schema: textOf(take('schema')),
    table: textOf(take('table')),
    committedAtUs: times('source_'),
    handledAtUs: times(''),
    lsn: integerOf(take('lsn')),
    txId: scalarOf(take('txId')) ?? scalarOf(take('gtid')),
    snapshot: snapshotMark(take('snapshot')),
    marked: added.size > 0,
  };
}

function addedName(name: string): string | null {
  if (!name.startsWith(PREFIX)) return null;
  const field = name.slice(PREFIX.length);
  return FIELDS.has(field) ? field : null;
}

function addedHeaders(headers: RecordHeaders | undefined): Map<string, ExactJson> {
  const added = new Map<string, ExactJson>();
  if (headers === undefined) return added;
  for (const name of Object.keys(headers)) {
    const field = addedName(name);
    const value = field === null ? null : headerOf(headers, name);
    if (field !== null && value !== null) added.set(field, value.toString('utf8'));
  }
  return added;
}
