import { LockstepError } from '../../domain/errors.ts';
import { JsonNumber } from '../../domain/json.ts';
import type { ExactJson } from '../../domain/json.ts';
import type { PayloadCursor } from './cursor.ts';

/** Change events nest a handful of levels; more than this is not one of them and would only exhaust the stack. */
const MAX_DEPTH = 256;

/** Names remembered of one kind of document, twice PostgreSQL's most columns. */
const MAX_NAMES = 4_000;
const MAX_NAME_LENGTH = 256;
/** Up to here looking at each character is cheaper than a call of JSON.parse. */
const SHORT_STRING = 64;

const SPACE = 32;
const QUOTE = 34;
const PLUS = 43;
const COMMA = 44;
const MINUS = 45;
const DOT = 46;
const ZERO = 48;
const NINE = 57;
const COLON = 58;
const UPPER_E = 69;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const LOWER_E = 101;
const LOWER_F = 102;
const LOWER_N = 110;
const LOWER_T = 116;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;

/**
 * Reads JSON (RFC 8259) from a text without making numbers of its numbers, and
 * steps over the parts that nobody asked for. Throws `not_json`, whose message
 * names a character position and never quotes the text.
 */
export class JsonScanner implements PayloadCursor {
  readonly text: string;
  /** The next character to read. */
  at: number;
  #depth = 0;
  readonly #before: number;
  /** Where the next backslash is, as far as it is known. */
  #backslash = -1;
  /** Names by their place among those read. */
  readonly #names: string[];
  #place = 0;

  /**
   * @param before characters of the document that stand before `text`, for errors
   * @param names what documents of this kind called their fields, in order; kept up to date, and only a saving
   */
  constructor(text: string, at = 0, before = 0, names: string[] = []) {
    this.text = text;
    this.at = at;
    this.#before = before;
    this.#names = names;
  }

  fork(): JsonScanner {
    return new JsonScanner(this.text, this.at, this.#before, this.#names);
  }

  /** The first character of the next value, without consuming it; `''` at the end. */
  peek(): string {
    this.#next();
    return this.text.charAt(this.at);
  }

  /** Fails unless nothing but white space is left. */
  end(): void {
    this.#next();
    if (this.at < this.text.length) this.#fail();
  }

  /** Enters an object whose first field is `name`, up to its value; whether it is one. */
  enterField(name: string): boolean {
    return this.#follows('{') && this.#follows('"') && this.#field(name);
  }

  /** Goes on to the value of the next field of an object entered by hand, if that is `name`; whether it is. */
  nextField(name: string): boolean {
    return this.#follows(',') && this.#follows('"') && this.#field(name);
  }

  #field(name: string): boolean {
    if (!this.text.startsWith(`${name}"`, this.at)) return false;
    this.at += name.length + 1;
    if (!this.#follows(':')) return false;
    this.#next();
    return true;
  }

  #follows(character: string): boolean {
    this.#next();
    if (this.text.charAt(this.at) !== character) return false;
    this.at++;
    return true;
  }

  /** Consumes the brace that closes an object entered by hand. */
  closeObject(): void {
    this.#take(CLOSE_BRACE);
  }

  /** Walks an object; `visit` must consume the value of the field it is given. */
  fields(visit: (name: string) => void): void {
    this.#enter(OPEN_BRACE);
    if (this.#next() !== CLOSE_BRACE) {
      for (;;) {
        this.#next();
        const name = this.#name();
        this.#take(COLON);
        visit(name);
        if (this.#next() !== COMMA) break;
        this.at++;
      }
    }
    this.#take(CLOSE_BRACE);
    this.#depth--;
  }

  /** Walks an array; `visit` must consume the item. */
  items(visit: () => void): void {
    this.#enter(OPEN_BRACKET);
    if (this.#next() !== CLOSE_BRACKET) {
      for (;;) {
        visit();
        if (this.#next() !== COMMA) break;
        this.at++;
      }
    }
    this.#take(CLOSE_BRACKET);
    this.#depth--;
  }

  /** Reads the next value. */
  value(): ExactJson {
    switch (this.#next()) {
      case QUOTE:
        return this.#string();
      case OPEN_BRACE: {
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
      case OPEN_BRACKET: {
        const array: ExactJson[] = [];
        this.items(() => {
          array.push(this.value());
        });
        return array;
      }
      case LOWER_T:
        return this.#word('true', true);
      case LOWER_F:
        return this.#word('false', false);
      case LOWER_N:
        return this.#word('null', null);
      default: {
        const start = this.at;
        this.#skipNumber();
        return new JsonNumber(this.text.slice(start, this.at));
      }
    }
  }

  /** Steps over the next value, checking its form. */
  skip(): void {
    switch (this.#next()) {
      case QUOTE:
        this.#skipString();
        return;
      case OPEN_BRACE:
        this.#skipObject();
        return;
      case OPEN_BRACKET:
        this.#skipArray();
        return;
      case LOWER_T:
        this.#word('true', true);
        return;
      case LOWER_F:
        this.#word('false', false);
        return;
      case LOWER_N:
        this.#word('null', null);
        return;
      default:
        this.#skipNumber();
    }
  }

  #skipObject(): void {
    this.#enter(OPEN_BRACE);
    if (this.#next() !== CLOSE_BRACE) {
      for (;;) {
        this.#next();
        this.#skipString();
        this.#take(COLON);
        this.skip();
        if (this.#next() !== COMMA) break;
        this.at++;
      }
    }
    this.#take(CLOSE_BRACE);
    this.#depth--;
  }

  #skipArray(): void {
    this.#enter(OPEN_BRACKET);
    if (this.#next() !== CLOSE_BRACKET) {
      for (;;) {
        this.skip();
        if (this.#next() !== COMMA) break;
        this.at++;
      }
    }
    this.#take(CLOSE_BRACKET);
    this.#depth--;
  }

  #enter(bracket: number): void {
    if (++this.#depth > MAX_DEPTH) this.#fail('nested too deeply');
    this.#take(bracket);
  }

  #take(character: number): void {
    if (this.#next() !== character) this.#fail();
    this.at++;
  }

  /** Steps over white space; the character code after it, NaN at the end. */
  #next(): number {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return code;
      this.at++;
    }
  }

  #word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.#fail();
    this.at += word.length;
    return value;
  }

  #skipNumber(): void {
    const { text } = this;
    if (text.charCodeAt(this.at) === MINUS) this.at++;
    if (text.charCodeAt(this.at) === ZERO) this.at++;
    else this.#skipDigits();
    if (text.charCodeAt(this.at) === DOT) {
      this.at++;
      this.#skipDigits();
    }
    const exponent = text.charCodeAt(this.at);
    if (exponent !== LOWER_E && exponent !== UPPER_E) return;
    this.at++;
    const sign = text.charCodeAt(this.at);
    if (sign === PLUS || sign === MINUS) this.at++;
    this.#skipDigits();
  }

  #skipDigits(): void {
    const { text } = this;
    let at = this.at;
    for (let code = text.charCodeAt(at); code >= ZERO && code <= NINE; code = text.charCodeAt(at)) at++;
    if (at === this.at) this.#fail();
    this.at = at;
  }

  /** A field's name: most often the one that stood in its place before. */
  #name(): string {
    const { text, at } = this;
    const place = this.#place++;
    const expected = this.#names[place];
    if (expected !== undefined && text.charCodeAt(at) === QUOTE) {
      const { length } = expected;
      let index = 0;
      while (index < length && text.charCodeAt(at + 1 + index) === expected.charCodeAt(index)) index++;
      if (index === length && text.charCodeAt(at + 1 + length) === QUOTE) {
        this.at = at + length + 2;
        return expected;
      }
    }
    const name = this.#string();
    if (place < MAX_NAMES && name.length <= MAX_NAME_LENGTH && !name.includes('"') && !name.includes('\\')) this.#names[place] = name;
    return name;
  }

  #string(): string {
    const start = this.at;
    const escaped = this.#skipString();
    if (!escaped && this.at - start < SHORT_STRING) {
      for (let at = start + 1; at < this.at; at++) if (this.text.charCodeAt(at) < SPACE) this.#fail('a string with a control character');
      return this.text.slice(start + 1, this.at - 1);
    }
    try {
      return JSON.parse(this.text.slice(start, this.at)) as string;
    } catch {
      this.at = start;
      return this.#fail('a string with a bad escape or a control character');
    }
  }

  /** Steps over a string, to the first quote that no backslash escapes; tells whether it holds escapes. */
  #skipString(): boolean {
    const { text } = this;
    if (text.charCodeAt(this.at) !== QUOTE) this.#fail();
    let at = this.at + 1;
    let escaped = false;
    for (;;) {
      const end = text.indexOf('"', at);
      if (end < 0) this.#fail('a string that does not end');
      if (this.#backslash < at) {
        const next = text.indexOf('\\', at);
        this.#backslash = next < 0 ? Number.POSITIVE_INFINITY : next;
      }
      if (this.#backslash > end) {
        this.at = end + 1;
        return escaped;
      }
      escaped = true;
      at = this.#backslash + 2;
    }
  }

  #fail(what = this.at < this.text.length ? 'an unexpected character' : 'an unexpected end'): never {
    throw new LockstepError('not_json', `not JSON: ${what} at character ${this.#before + this.at}`);
  }
}

/** Parses a whole JSON text exactly. Throws `not_json`. */
export function parseExactJson(text: string): ExactJson {
  const scanner = new JsonScanner(text);
  const value = scanner.value();
  scanner.end();
  return value;
}
