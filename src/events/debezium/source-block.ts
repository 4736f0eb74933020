import type { SnapshotMark } from '../../domain/change.ts';
import { JsonNumber } from '../../domain/json.ts';
import type { ExactJson } from '../../domain/json.ts';
import type { PayloadCursor } from './cursor.ts';

const SNAPSHOT_ROWS: ReadonlySet<string> = new Set(['true', 'first', 'first_in_data_collection']);
const INTEGER = /^-?[0-9]{1,20}$/;

/** Where and when a change was made, from the envelope's `source`. */
export interface EnvelopeSource {
  readonly schema: string | null;
  readonly table: string | null;
  readonly committedAtUs: bigint | null;
  readonly lsn: bigint | null;
  readonly txId: string | null;
  readonly snapshot: SnapshotMark;
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

/** Reads a `source`; null where it is no object. */
export function readSource(cursor: PayloadCursor): EnvelopeSource | null {
  if (cursor.peek() !== '{') {
    cursor.skip();
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
  cursor.fields((name) => {
    switch (name) {
      case 'schema':
        schema = textOf(cursor.value());
        return;
      case 'table':
        table = textOf(cursor.value());
        return;
      case 'ts_us':
        tsUs = integerOf(cursor.value());
        return;
      case 'ts_ns':
        tsNs = integerOf(cursor.value());
        return;
      case 'ts_ms':
        tsMs = integerOf(cursor.value());
        return;
      case 'lsn':
        lsn = integerOf(cursor.value());
        return;
      case 'txId':
        txId = scalarOf(cursor.value());
        return;
      case 'gtid':
        gtid = scalarOf(cursor.value());
        return;
      case 'snapshot':
        snapshot = snapshotMark(cursor.value());
        return;
      default:
        cursor.skip();
    }
  });
  return { schema, table, committedAtUs: microseconds(tsUs, tsNs, tsMs), lsn, txId: txId ?? gtid, snapshot };
}

/** The finest of the three, as microseconds. */
export function microseconds(us: bigint | null, ns: bigint | null, ms: bigint | null): bigint | null {
  if (us !== null) return us;
  if (ns !== null) return ns / 1000n;
  return ms === null ? null : ms * 1000n;
}

export function integerOf(value: ExactJson): bigint | null {
  const text = value instanceof JsonNumber ? value.text : value;
  return typeof text === 'string' && INTEGER.test(text) ? BigInt(text) : null;
}

export function textOf(value: ExactJson): string | null {
  return typeof value === 'string' ? value : null;
}

export function scalarOf(value: ExactJson): string | null {
  return value instanceof JsonNumber ? value.text : textOf(value);
}
