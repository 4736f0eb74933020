import { isUtf8 } from 'node:buffer';
import { LockstepError } from '../../domain/errors.ts';
import { JsonNumber } from '../../domain/json.ts';
import type { ExactJson } from '../../domain/json.ts';
import type { PayloadCursor } from '../debezium/cursor.ts';
import type { AvroType } from './schema.ts';

/** A schema that holds itself may nest; more than this is no row and would only exhaust the stack. */
const MAX_DEPTH = 256;
/** Values visited in one message beyond one for each byte: fields that take no bytes must not multiply without end. */
const MAX_EMPTY_VALUES = 1_000_000;
/** Bytes of a long: 64 bits, seven a byte. */
const MAX_VARINT_BYTES = 10;
/** Bytes whose seven-bit parts fit a signed 32-bit integer. */
const SMALL_VARINT_BYTES = 4;
const CONTINUED = 0x80;
const SEVEN_BITS = 0x7f;

/** Where a message is read; shared by the forks of its cursors only as bytes. */
export class AvroCursor implements PayloadCursor {
  readonly #bytes: Buffer;
  #at: number;
  #type: AvroType;
  #depth = 0;
  #visits: number;

  /** @param bytes the value in Avro's binary encoding, without framing */
  constructor(bytes: Buffer, type: AvroType, at = 0) {
    this.#bytes = bytes;
    this.#type = type;
    this.#at = at;
    this.#visits = -bytes.length - MAX_EMPTY_VALUES;
  }

  fork(): AvroCursor {
    return new AvroCursor(this.#bytes, this.#type, this.#at);
  }

  peek(): string {
    this.#resolve();
    if (this.#type.kind === 'record' || this.#type.kind === 'map') return '{';
    if (this.#type.kind === 'array') return '[';
    return this.#type.kind === 'null' ? 'n' : '0';
  }

  /** Fails unless everything is read. */
  end(): void {
    if (this.#at !== this.#bytes.length) this.#fail('bytes follow the value');
  }

  fields(visit: (name: string) => void): void {
    this.#resolve();
    const type = this.#type;
    this.#enter();
    if (type.kind === 'record') {
      for (const field of type.fields) {
        this.#type = field.type;
        visit(field.name);
      }
    } else if (type.kind === 'map') {
      this.#blocks(() => {
        const name = this.#string();
        this.#type = type.values;
        visit(name);
      });
    } else {
      this.#fail('a value without fields where a row is due');
    }
    this.#depth--;
  }

  value(): ExactJson {
    this.#resolve();
    const type = this.#type;
    switch (type.kind) {
      case 'null':
        return null;
      case 'boolean': {
        const byte = this.#byte();
        if (byte > 1) this.#fail('a boolean that is neither true nor false');
        return byte === 1;
      }
      case 'int':
        return new JsonNumber(String(this.#integer(32)));
      case 'long':
        return new JsonNumber(String(this.#integer(64)));
      case 'float':
        return number(this.#bytes.readFloatLE(this.#advance(4)));
      case 'double':
        return number(this.#bytes.readDoubleLE(this.#advance(8)));
      case 'bytes':
        return this.#base64(this.#length());
      case 'fixed':
        return this.#base64(type.size);
      case 'string':
        return this.#string();
      case 'enum': {
        const symbol = type.symbols[this.#length(false)];
        if (symbol === undefined) this.#fail('an enum value that its schema has not');
        return symbol;
      }
      case 'array': {
        const array: ExactJson[] = [];
        this.#enter();
        this.#blocks(() => {
          this.#type = type.items;
          array.push(this.value());
        });
        this.#depth--;
        return array;
      }
      case 'record':
      case 'map': {
        const object: Record<string, ExactJson> = {};
        this.fields((name) => {
          const value = this.value();
          if (name === '__proto__') {
            Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
          } else {
            object[name] = value;
          }
        });
        return object;
      }
      case 'union':
        return this.#fail('a union within a union');
    }
  }

  skip(): void {
    this.#resolve();
    const type = this.#type;
    switch (type.kind) {
      case 'null':
        return;
      case 'boolean':
        this.#advance(1);
        return;
      case 'int':
      case 'long':
        this.#skipVarint();
        return;
      case 'float':
        this.#advance(4);
        return;
      case 'double':
        this.#advance(8);
        return;
      case 'bytes':
      case 'string':
        this.#advance(this.#length());
        return;
      case 'fixed':
        this.#advance(type.size);
        return;
      case 'enum':
        if (type.symbols[this.#length(false)] === undefined) this.#fail('an enum value that its schema has not');
        return;
      case 'array':
        this.#enter();
        this.#blocks(() => {
          this.#type = type.items;
          this.skip();
        });
        this.#depth--;
        return;
      case 'record':
      case 'map':
        this.fields(() => {
          this.skip();
        });
        return;
      case 'union':
        this.#fail('a union within a union');
    }
  }

  /** Takes a union's branch, so that the type is that of the value itself. */
  #resolve(): void {
    if (++this.#visits > 0) this.#fail('values without end');
    if (this.#type.kind !== 'union') return;
    const branch = this.#type.branches[this.#length(false)];
    if (branch === undefined) this.#fail('a branch that its union has not');
    this.#type = branch;
  }

  #enter(): void {
    if (++this.#depth > MAX_DEPTH) this.#fail('nested too deeply');
  }

  /** Walks the blocks of an array or map. */
  #blocks(item: () => void): void {
    for (;;) {
      let count = Number(this.#integer(64));
      if (count === 0) return;
      if (count < 0) {
        count = -count;
        // The block's size in bytes, for those who skip.
        this.#length();
      }
      // Each item takes at least a byte in every schema that Kafka Connect makes.
      if (count > this.#bytes.length - this.#at) this.#fail('more items than bytes');
      for (let index = 0; index < count; index++) item();
    }
  }

  #advance(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at) this.#fail('it ends within a value');
    this.#at = at + length;
    return at;
  }

  #byte(): number {
    return this.#bytes[this.#advance(1)] as number;
  }

  #skipVarint(): void {
    for (let length = 1; this.#byte() >= CONTINUED; length++) {
      if (length >= MAX_VARINT_BYTES) this.#fail('an integer that does not end');
    }
  }

  /** A length or an index: never negative; a length never beyond the end. */
  #length(ofBytes = true): number {
    const length = Number(this.#integer(64));
    if (length < 0) this.#fail('a negative length');
    if (ofBytes && length > this.#bytes.length - this.#at) this.#fail('it ends within a value');
    return length;
  }

  /** A zigzag-encoded integer; a number only where that holds it exactly. */
  #integer(bits: 32 | 64): number | bigint {
    let small = 0;
    for (let index = 0; index < SMALL_VARINT_BYTES; index++) {
      const byte = this.#byte();
      small |= (byte & SEVEN_BITS) << (7 * index);
      if (byte < CONTINUED) return (small >>> 1) ^ -(small & 1);
    }
    let large = BigInt(small);
    for (let index = SMALL_VARINT_BYTES; ; index++) {
      if (index >= MAX_VARINT_BYTES) this.#fail('an integer that does not end');
      const byte = this.#byte();
      large |= BigInt(byte & SEVEN_BITS) << BigInt(7 * index);
      if (byte < CONTINUED) break;
    }
    if (large >> BigInt(bits) !== 0n) this.#fail(`an integer of more than ${bits} bits`);
    return (large >> 1n) ^ -(large & 1n);
  }

  #base64(length: number): string {
    const at = this.#advance(length);
    return this.#bytes.toString('base64', at, at + length);
  }

  #string(): string {
    const length = this.#length();
    const at = this.#advance(length);
    const text = this.#bytes.toString('utf8', at, at + length);
    // Only where a replacement stands can the bytes have been wrong: checking each text would cost as much as reading it.
    if (text.includes('\uFFFD') && !isUtf8(this.#bytes.subarray(at, at + length))) this.#fail('a text that is not UTF-8');
    return text;
  }

  #fail(what: string): never {
    throw new LockstepError('bad_avro', `the bytes do not fit their schema: ${what} (at byte ${this.#at} of ${this.#bytes.length})`);
  }
}

/** As JsonConverter writes it: not-a-number and the infinities as text, a negative zero with its sign. */
function number(value: number): ExactJson {
  if (Number.isFinite(value)) return new JsonNumber(Object.is(value, -0) ? '-0' : String(value));
  return String(value);
}
