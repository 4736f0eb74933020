import { LockstepError } from '../../domain/errors.ts';

/**
 * Messages of PostgreSQL's `pgoutput` plugin, protocol version 1 ("Logical
 * Replication Message Formats" in PostgreSQL's manual). Numbers of 64 bits are
 * exact; values stay text.
 */
export type PgoutputMessage =
  | BeginMessage
  | CommitMessage
  | RelationMessage
  | InsertMessage
  | UpdateMessage
  | DeleteMessage
  | TruncateMessage
  | { readonly type: 'type' | 'origin' | 'message' };

export interface BeginMessage {
  readonly type: 'begin';
  /** Where the commit's WAL record begins. */
  readonly commitLsn: bigint;
  /** µs since 1970. */
  readonly committedAtUs: bigint;
  readonly xid: number;
}

export interface CommitMessage {
  readonly type: 'commit';
  readonly commitLsn: bigint;
  /** Where the commit's WAL record ends: the position to go on from. */
  readonly endLsn: bigint;
  readonly committedAtUs: bigint;
}

export interface RelationColumn {
  /** Part of the replica identity. */
  readonly identity: boolean;
  readonly name: string;
  readonly typeOid: number;
  readonly typeModifier: number;
}

export interface RelationMessage {
  readonly type: 'relation';
  readonly relationId: number;
  readonly schema: string;
  readonly name: string;
  /** `pg_class.relreplident`: d, n, f or i. */
  readonly replicaIdentity: string;
  readonly columns: readonly RelationColumn[];
}

/** A value as text, null, or undefined where it was left out: an unchanged TOAST value. */
export type TupleValue = string | null | undefined;
export type Tuple = readonly TupleValue[];

/** What is told of the row before: only its identity's columns, or all of it. */
export interface OldTuple {
  readonly kind: 'key' | 'row';
  readonly values: Tuple;
}

export interface InsertMessage {
  readonly type: 'insert';
  readonly relationId: number;
  readonly row: Tuple;
}

export interface UpdateMessage {
  readonly type: 'update';
  readonly relationId: number;
  /** Null where the identity did not change and is not the whole row. */
  readonly old: OldTuple | null;
  readonly row: Tuple;
}

export interface DeleteMessage {
  readonly type: 'delete';
  readonly relationId: number;
  readonly old: OldTuple;
}

export interface TruncateMessage {
  readonly type: 'truncate';
  readonly relationIds: readonly number[];
}

/** PostgreSQL counts µs from 2000-01-01. */
const POSTGRES_EPOCH_US = 946_684_800_000_000n;

/** Decodes one message. Throws `bad_pgoutput` when it is not one of protocol version 1. */
export function parsePgoutput(message: Buffer): PgoutputMessage {
  const reader = new Reader(message);
  const parsed = parse(reader);
  // What follows a part we know (a newer server's addition, say) would mean that we misread it.
  if (parsed.type !== 'type' && parsed.type !== 'origin' && parsed.type !== 'message') reader.end();
  return parsed;
}

function parse(reader: Reader): PgoutputMessage {
  const tag = reader.char();
  switch (tag) {
    case 'B':
      return { type: 'begin', commitLsn: reader.uint64(), committedAtUs: reader.timeUs(), xid: reader.uint32() };
    case 'C':
      reader.uint8();
      return { type: 'commit', commitLsn: reader.uint64(), endLsn: reader.uint64(), committedAtUs: reader.timeUs() };
    case 'R':
      return relation(reader);
    case 'I': {
      const relationId = reader.uint32();
      reader.expect('N');
      return { type: 'insert', relationId, row: tuple(reader) };
    }
    case 'U': {
      const relationId = reader.uint32();
      const kind = reader.char();
      if (kind === 'N') return { type: 'update', relationId, old: null, row: tuple(reader) };
      const old = oldTuple(reader, kind);
      reader.expect('N');
      return { type: 'update', relationId, old, row: tuple(reader) };
    }
    case 'D': {
      const relationId = reader.uint32();
      return { type: 'delete', relationId, old: oldTuple(reader, reader.char()) };
    }
    case 'T': {
      const count = reader.uint32();
      reader.uint8();
      const relationIds: number[] = [];
      for (let index = 0; index < count; index++) relationIds.push(reader.uint32());
      return { type: 'truncate', relationIds };
    }
    case 'Y':
      return { type: 'type' };
    case 'O':
      return { type: 'origin' };
    case 'M':
      return { type: 'message' };
    default:
      throw malformed(`unknown message ${JSON.stringify(tag)}`);
  }
}

function relation(reader: Reader): RelationMessage {
  const relationId = reader.uint32();
  const schema = reader.text();
  const name = reader.text();
  const replicaIdentity = reader.char();
  const count = reader.uint16();
  const columns: RelationColumn[] = [];
  for (let index = 0; index < count; index++) {
    const identity = (reader.uint8() & 1) === 1;
    columns.push({ identity, name: reader.text(), typeOid: reader.uint32(), typeModifier: reader.int32() });
  }
  // An empty name is how the protocol writes pg_catalog.
  return { type: 'relation', relationId, schema: schema === '' ? 'pg_catalog' : schema, name, replicaIdentity, columns };
}

function oldTuple(reader: Reader, kind: string): OldTuple {
  if (kind !== 'K' && kind !== 'O') throw malformed(`unknown tuple kind ${JSON.stringify(kind)}`);
  return { kind: kind === 'K' ? 'key' : 'row', values: tuple(reader) };
}

function tuple(reader: Reader): Tuple {
  const count = reader.uint16();
  const values: TupleValue[] = [];
  for (let index = 0; index < count; index++) {
    const kind = reader.char();
    if (kind === 't') values.push(reader.sizedText());
    else if (kind === 'n') values.push(null);
    else if (kind === 'u') values.push(undefined);
    else throw malformed(`unknown value kind ${JSON.stringify(kind)}`);
  }
  return values;
}

function malformed(what: string): LockstepError {
  return new LockstepError('bad_pgoutput', `the replication stream is not pgoutput of protocol version 1: ${what}`);
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #take(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at) throw malformed(`it ends after ${this.#bytes.length} bytes`);
    this.#at = at + length;
    return at;
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8));
  }

  /** A time as µs since 1970. */
  timeUs(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8)) + POSTGRES_EPOCH_US;
  }

  char(): string {
    return String.fromCharCode(this.uint8());
  }

  expect(char: string): void {
    const found = this.char();
    if (found !== char) throw malformed(`${JSON.stringify(found)} where ${char} should be`);
  }

  /** Text that ends with a zero byte. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw malformed('a name has no end');
    const text = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return text;
  }

  /** Text that begins with its length. */
  sizedText(): string {
    const length = this.uint32();
    const at = this.#take(length);
    return this.#bytes.toString('utf8', at, at + length);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw malformed(`${this.#bytes.length - this.#at} bytes too many`);
  }
}
