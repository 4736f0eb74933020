import type { SlicedBuffer } from './bytes.ts';
import { BACKSLASH, COLON, NOT_ASCII, QUOTE, SPACE } from './bytes.ts';

/** Fields remembered of one kind of object, twice PostgreSQL's most columns. */
const FIELDS_MAX = 4_000;
const NAME_BYTES_MAX = 256;

/** No field begins there, or its name is written in a way that only the slow decoder reads. */
export const NO_FIELD = -2;

/** Recognises the fields of objects that have the same ones in the same order, message after message, by their bytes. */
export class FieldNames {
  /** By place in the object: `"name":`. */
  readonly #names: Uint8Array[] = [];
  readonly #targets: number[] = [];
  readonly #resolve: (name: string) => number;
  /** Where the value of the field found last begins. */
  next = 0;

  /** @param resolve what a field of this name is for; -1: nothing */
  constructor(resolve: (name: string) => number) {
    this.#resolve = resolve;
  }

  /** What the field whose name begins at `at` is for, it being the `place`th of its object; `NO_FIELD` where there is none. */
  match(buf: SlicedBuffer, at: number, end: number, place: number): number {
    const expected = this.#names[place];
    if (expected !== undefined) {
      const { length } = expected;
      let index = 0;
      while (index < length && buf[at + index] === expected[index]) index++;
      if (index === length) {
        this.next = at + length;
        return this.#targets[place] as number;
      }
    }
    return this.#learn(buf, at, end, place);
  }

  #learn(buf: SlicedBuffer, at: number, end: number, place: number): number {
    if (buf[at] !== QUOTE) return NO_FIELD;
    let index = at + 1;
    let isAscii = true;
    for (;;) {
      if (index >= end || index - at > NAME_BYTES_MAX) return NO_FIELD;
      const byte = buf[index] as number;
      if (byte === QUOTE) break;
      if (byte === BACKSLASH || byte < SPACE) return NO_FIELD;
      if (byte >= NOT_ASCII) isAscii = false;
      index++;
    }
    if (buf[index + 1] !== COLON) return NO_FIELD;
    const name = isAscii ? buf.latin1Slice(at + 1, index) : buf.utf8Slice(at + 1, index);
    const target = this.#resolve(name);
    this.next = index + 2;
    if (place < FIELDS_MAX) {
      this.#names[place] = Uint8Array.prototype.slice.call(buf, at, index + 2);
      this.#targets[place] = target;
    }
    return target;
  }
}
