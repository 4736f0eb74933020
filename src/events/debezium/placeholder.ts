import { createHash } from 'node:crypto';
import { isJsonObject, JsonNumber } from '../../domain/json.ts';
import type { ExactJson } from '../../domain/json.ts';

/** What Debezium writes for a value that the database's log left out (`unavailable.value.placeholder`). */
export const DEFAULT_PLACEHOLDER = '__debezium_unavailable_value';

/** Letters that no writer of JSON escapes. */
const PLAIN = /^[\w-]+$/;
/** A quote and seven letters tell the placeholder from most values. */
const BEGINNING_BYTES = 8;
const BYTES = 256;
const BACKSLASH = 92;
/** Which some writers escape. */
const SLASH = 47;

/** Recognises the forms that the placeholder takes in columns of different types. */
export class Placeholder {
  readonly #texts: ReadonlySet<string>;
  /** Of the texts: most values have another, and looking one up in a set costs reading it whole. */
  readonly #lengths: ReadonlySet<number>;
  readonly #integers: readonly string[];
  /** How each text begins in JSON, quote and all, as many bytes as are compared. */
  readonly #beginnings: readonly Uint8Array[];
  /** By byte: whether a string that begins with it may be one of them. */
  readonly #isFirst: Uint8Array;
  /** Whether JSON writes it in one way only, so that its bytes tell it. */
  readonly isPlain: boolean;

  constructor(text: string = DEFAULT_PLACEHOLDER) {
    const bytes = Buffer.from(text, 'utf8');
    // As Java's UUID.nameUUIDFromBytes: MD5 with version and variant set.
    const uuid = createHash('md5').update(bytes).digest();
    uuid[6] = ((uuid[6] as number) & 0x0f) | 0x30;
    uuid[8] = ((uuid[8] as number) & 0x3f) | 0x80;
    const hex = uuid.toString('hex');
    this.#texts = new Set([
      text,
      bytes.toString('base64'),
      bytes.toString('base64url'),
      // Java's URL-safe encoder pads, Node's does not.
      bytes.toString('base64').replaceAll('+', '-').replaceAll('/', '_'),
      bytes.toString('hex'),
      `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`,
      JSON.stringify({ [text]: text }),
    ]);
    this.#lengths = new Set([...this.#texts].map(({ length }) => length));
    this.#beginnings = [...this.#texts].map((form) => Buffer.from(JSON.stringify(form).slice(0, BEGINNING_BYTES), 'utf8'));
    this.#isFirst = new Uint8Array(BYTES);
    for (const beginning of this.#beginnings) this.#isFirst[beginning[1] as number] = 1;
    this.#isFirst[BACKSLASH] = 1;
    this.isPlain = PLAIN.test(text) && this.#beginnings.every((beginning) => !beginning.includes(SLASH));
    // Integer arrays carry the placeholder's bytes, one an element.
    this.#integers = [...bytes].map(String);
  }

  /** Whether `value` stands for one that the event does not carry. */
  matches(value: ExactJson): boolean {
    if (typeof value === 'string') return this.#isText(value);
    if (typeof value !== 'object' || value === null) return false;
    if (Array.isArray(value)) {
      const array = value as readonly ExactJson[];
      if (array.length === 1) return typeof array[0] === 'string' && this.#isText(array[0]);
      return (
        array.length === this.#integers.length &&
        array.every((item, index) => item instanceof JsonNumber && item.text === this.#integers[index])
      );
    }
    if (!isJsonObject(value)) return false;
    const names = Object.keys(value);
    return names.length === 1 && this.#isText(names[0] as string);
  }

  /** Whether the JSON string that begins at `at` may be a form of it; only where it `isPlain`. */
  mayStandAt(buf: Uint8Array, at: number): boolean {
    if (this.#isFirst[buf[at + 1] as number] !== 1) return false;
    for (const beginning of this.#beginnings) {
      let index = 1;
      while (index < beginning.length && beginning[index] === buf[at + index]) index++;
      // Any letter may be written as an escape.
      if (index === beginning.length || buf[at + index] === BACKSLASH) return true;
    }
    return false;
  }

  #isText(text: string): boolean {
    return this.#lengths.has(text.length) && this.#texts.has(text);
  }
}
