import { LockstepError } from '../../domain/errors.ts';
import type { ExactJson } from '../../domain/json.ts';
import type { PayloadCursor } from './cursor.ts';
import { readSource } from './source-block.ts';
import type { EnvelopeSource } from './source-block.ts';

export type EnvelopeOp = 'c' | 'u' | 'd' | 'r' | 't' | 'm';

/** Raw values by column position; undefined where the event has no such field. */
export type RawRow = readonly (ExactJson | undefined)[];

export type ControlReason = 'heartbeat' | 'transaction' | 'schema_change' | 'message';

/** A change event as it came, columns picked but not converted. */
export interface Envelope {
  readonly op: EnvelopeOp;
  readonly source: EnvelopeSource;
  readonly before: RawRow | null;
  readonly after: RawRow | null;
}

export type Payload =
  | { readonly type: 'envelope'; readonly envelope: Envelope }
  | { readonly type: 'control'; readonly reason: ControlReason }
  /** No envelope: a row without one, or something else. */
  | { readonly type: 'bare' }
  | { readonly type: 'tombstone' };

const OPS: ReadonlySet<string> = new Set(['c', 'u', 'd', 'r', 't', 'm']);

/** The fields of a row that are asked for; null where the row is null, undefined where it is none. */
export function readRow(cursor: PayloadCursor, columns: ReadonlyMap<string, number>): RawRow | null | undefined {
  const first = cursor.peek();
  if (first !== '{') {
    cursor.skip();
    return first === 'n' ? null : undefined;
  }
  const row: (ExactJson | undefined)[] = Array.from<undefined>({ length: columns.size });
  cursor.fields((name) => {
    const index = columns.get(name);
    if (index === undefined) cursor.skip();
    else row[index] = cursor.value();
  });
  return row;
}

/**
 * Reads a message's payload: of rows, only the columns asked for.
 * @param columns column positions by the name that events give them
 * @param wantBefore whether `before` can be trusted and is worth reading
 * Throws `not_json`, `bad_avro` or `unknown_shape`.
 */
export function readPayload(cursor: PayloadCursor, columns: ReadonlyMap<string, number>, wantBefore: boolean): Payload {
  const first = cursor.peek();
  if (first === 'n') {
    cursor.skip();
    return { type: 'tombstone' };
  }
  if (first !== '{') {
    cursor.skip();
    return { type: 'bare' };
  }
  let op: ExactJson | undefined;
  let source: EnvelopeSource | null = null;
  let before: RawRow | null | undefined = null;
  let after: RawRow | null | undefined = null;
  let hasRow = false;
  let status: ExactJson | undefined;
  const names: string[] = [];
  cursor.fields((name) => {
    switch (name) {
      case 'op':
        op = cursor.value();
        return;
      case 'source':
        source = readSource(cursor);
        return;
      case 'before':
        hasRow = true;
        if (wantBefore) before = readRow(cursor, columns);
        else cursor.skip();
        return;
      case 'after':
        hasRow = true;
        after = readRow(cursor, columns);
        return;
      case 'status':
        names.push(name);
        status = cursor.value();
        return;
      default:
        names.push(name);
        cursor.skip();
    }
  });
  if (op === 'm' && !hasRow) return { type: 'control', reason: 'message' };
  if (op === undefined || source === null || (op !== 't' && !hasRow)) return notEnvelope(op, names, status);
  if (typeof op !== 'string' || !OPS.has(op)) {
    throw new LockstepError('unknown_shape', 'the envelope has an op that is none of c, u, d, r, t, m');
  }
  if (before === undefined || after === undefined) {
    throw new LockstepError('unknown_shape', 'before or after is not an object');
  }
  if ((op === 'c' || op === 'u' || op === 'r') && after === null) {
    throw new LockstepError('unknown_shape', `an event with op ${op} has no after`);
  }
  return { type: 'envelope', envelope: { op: op as EnvelopeOp, source, before, after } };
}

function notEnvelope(op: ExactJson | undefined, names: readonly string[], status: ExactJson | undefined): Payload {
  if (op !== undefined) return { type: 'bare' };
  if (names.includes('ddl') || names.includes('tableChanges')) return { type: 'control', reason: 'schema_change' };
  if ((status === 'BEGIN' || status === 'END') && names.includes('id') && names.includes('event_count')) {
    return { type: 'control', reason: 'transaction' };
  }
  if (names.includes('ts_ms') && names.every((name) => name === 'ts_ms' || name === 'ts_us' || name === 'ts_ns')) {
    return { type: 'control', reason: 'heartbeat' };
  }
  return { type: 'bare' };
}

/** Fields of a message key that are columns of the key; null where the key is no object. */
export function readKey(cursor: PayloadCursor, columns: ReadonlyMap<string, number>): RawRow | null {
  return readRow(cursor, columns) ?? null;
}
