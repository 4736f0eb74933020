import { LockstepError } from '../../domain/errors.ts';

/** PGCOPY\n\377\r\n\0, flags and the length of the header's extension (PostgreSQL documentation, COPY, Binary Format). */
const HEADER_BYTES = 19;
const SIGNATURE = Buffer.from('PGCOPY\n\u00ff\r\n\0', 'latin1');
const TRAILER = -1;
/** PostgreSQL's own limit on a row is far below 2 GiB; more is no row. */
const TUPLE_BYTES_MAX = 1 << 30;

/** Called for each tuple: `bytes` from its first field's length to its end, valid during the call alone. */
export type OnTuple = (bytes: Buffer) => void;

/** Parts COPY's binary stream, given in pieces of any size, into tuples. */
export class CopyReader {
  private readonly onTuple: OnTuple;
  /** What has come of the tuple that is not whole yet. */
  private pieces: Buffer[] = [];
  private bytes = 0;
  /** So many bytes there must be before it is worth looking: a wide field comes in many pieces. */
  private wantedBytes = 0;
  private hasHeader = false;
  private ended = false;

  constructor(onTuple: OnTuple) {
    this.onTuple = onTuple;
  }

  /** @throws LockstepError `bad_copy` where the stream is none of COPY's */
  push(piece: Buffer): void {
    this.pieces.push(piece);
    this.bytes += piece.length;
    if (this.ended || this.bytes < this.wantedBytes) return;
    const data = this.pieces.length === 1 ? piece : Buffer.concat(this.pieces, this.bytes);
    let at = 0;
    if (!this.hasHeader) {
      if (data.length < HEADER_BYTES) {
        this.keep(data, HEADER_BYTES);
        return;
      }
      if (!data.subarray(0, SIGNATURE.length).equals(SIGNATURE)) throw badCopy('the header is missing');
      at = HEADER_BYTES + data.readInt32BE(SIGNATURE.length + 4);
      this.hasHeader = true;
    }
    while (!this.ended) {
      const end = tupleEnd(data, at);
      if (end > data.length) {
        this.keep(data.subarray(at), end - at);
        return;
      }
      if (end === TRAILER) this.ended = true;
      else {
        this.onTuple(data.subarray(at + 2, end));
        at = end;
      }
    }
    this.keep(Buffer.alloc(0), 0);
  }

  private keep(rest: Buffer, wantedBytes: number): void {
    this.pieces = rest.length === 0 ? [] : [rest];
    this.bytes = rest.length;
    this.wantedBytes = wantedBytes;
  }

  /** @throws LockstepError `bad_copy` where the stream broke off */
  finish(): void {
    if (!this.ended) throw badCopy('it ends within a row');
  }
}

/** Where the tuple at `at` ends, as far as `data` tells: beyond its end, at least there; -1 for the stream's trailer. */
function tupleEnd(data: Buffer, at: number): number {
  if (at + 2 > data.length) return at + 2;
  const fields = data.readInt16BE(at);
  if (fields === TRAILER) return TRAILER;
  let end = at + 2;
  for (let field = 0; field < fields; field++) {
    if (end + 4 > data.length) return end + 4;
    const length = data.readInt32BE(end);
    end += 4 + Math.max(0, length);
    if (length < -1 || end - at > TUPLE_BYTES_MAX) throw badCopy('a field has no length');
  }
  return end;
}

/** The texts of a tuple's first fields, and where the others begin; null is NULL. */
export function leadingTexts(tuple: Buffer, fields: number): { readonly texts: readonly (string | null)[]; readonly end: number } {
  const texts: (string | null)[] = [];
  let at = 0;
  for (let field = 0; field < fields; field++) {
    const length = tuple.readInt32BE(at);
    at += 4;
    texts.push(length < 0 ? null : tuple.toString('utf8', at, at + length));
    at += Math.max(0, length);
  }
  return { texts, end: at };
}

function badCopy(what: string): LockstepError {
  return new LockstepError('bad_copy', `COPY's binary stream cannot be read: ${what}`, { retry: 'retry' });
}
