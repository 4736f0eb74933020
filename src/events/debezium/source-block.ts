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
  let tsUs: ExactJson = null;
  let tsNs: ExactJson = null;
  let tsMs: ExactJson = null;
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
        tsUs = cursor.value();
        return;
      case 'ts_ns':
        tsNs = cursor.value();
        return;
      case 'ts_ms':
        tsMs = cursor.value();
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

/** The finest of the three that is a number, as microseconds. */
export function microseconds(us: ExactJson, ns: ExactJson, ms: ExactJson): bigint | null {
  const exact = integerOf(us);
  if (exact !== null) return exact;
  const fine = integerOf(ns);
  if (fine !== null) return fine / 1000n;
  const coarse = integerOf(ms);
  return coarse === null ? null : coarse * 1000n;
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
