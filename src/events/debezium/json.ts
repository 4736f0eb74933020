import { LockstepError } from '../../domain/errors.ts';
import { JsonNumber } from '../../domain/json.ts';
import type { ExactJson } from '../../domain/json.ts';

/** Change events nest a handful of levels; more than this is not one of them and would only exhaust the stack. */
const MAX_DEPTH = 256;

const QUOTE = 34;
const BACKSLASH = 92;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

/**
 * Reads JSON (RFC 8259) from a text without making numbers of its numbers, and
 * steps over the parts that nobody asked for. Throws `not_json`, whose message
 * names a character position and never quotes the text.
 */
export class JsonScanner {
  readonly text: string;
  /** The next character to read. */
  at: number;
  #depth = 0;

  constructor(text: string, at = 0) {
    this.text = text;
    this.at = at;
  }

  /** The first character of the next value, without consuming it; `''` at the end. */
  peek(): string {
    this.#space();
    return this.text.charAt(this.at);
  }

  /** Fails unless nothing but white space is left. */
  end(): void {
    this.#space();
    if (this.at < this.text.length) this.#fail();
  }

  /** Consumes `character`, after white space. */
  expect(character: string): void {
    this.#space();
    if (this.text.charAt(this.at) !== character) this.#fail();
    this.at++;
  }

  /** Walks an object; `visit` must consume the value of the field it is given. */
  fields(visit: (name: string) => void): void {
    this.#enter('{');
    if (this.peek() !== '}') {
      for (;;) {
        this.#space();
        const name = this.#string();
        this.expect(':');
        visit(name);
        if (this.peek() !== ',') break;
        this.at++;
      }
    }
    this.expect('}');
    this.#depth--;
  }

  /** Walks an array; `visit` must consume the item. */
  items(visit: () => void): void {
    this.#enter('[');
    if (this.peek() !== ']') {
      for (;;) {
        visit();
        if (this.peek() !== ',') break;
        this.at++;
      }
    }
    this.expect(']');
    this.#depth--;
  }

  /** Reads the next value. */
  value(): ExactJson {
    switch (this.peek()) {
      case '"':
        return this.#string();
      case '{': {
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
      case '[': {
        const array: ExactJson[] = [];
        this.items(() => {
          array.push(this.value());
        });
        return array;
      }
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default:
        return new JsonNumber(this.#number());
    }
  }

  /** Steps over the next value, checking its form. */
  skip(): void {
    switch (this.peek()) {
      case '"':
        this.#skipString();
        return;
      case '{':
        this.fields(() => {
          this.skip();
        });
        return;
      case '[':
        this.items(() => {
          this.skip();
        });
        return;
      case 't':
        this.#word('true', true);
        return;
      case 'f':
        this.#word('false', false);
        return;
      case 'n':
        this.#word('null', null);
        return;
      default:
        this.#number();
    }
  }

  #enter(bracket: string): void {
    if (++this.#depth > MAX_DEPTH) this.#fail('nested too deeply');
    this.expect(bracket);
  }

  #space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return;
      this.at++;
    }
  }

  #word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.#fail();
    this.at += word.length;
    return value;
  }

  #number(): string {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    if (match === null) this.#fail();
    this.at += match[0].length;
    return match[0];
  }

  #string(): string {
    const start = this.at;
    if (!this.#skipString()) return this.text.slice(start + 1, this.at - 1);
    try {
      return JSON.parse(this.text.slice(start, this.at)) as string;
    } catch {
      this.at = start;
      return this.#fail('a string with a bad escape');
    }
  }

  /** Steps over a string; tells whether it holds escapes. */
  #skipString(): boolean {
    const { text } = this;
    if (text.charCodeAt(this.at) !== QUOTE) this.#fail();
    let escaped = false;
    let at = this.at + 1;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) break;
      if (code === BACKSLASH) {
        escaped = true;
        at += 2;
      } else if (code >= 32) {
        at++;
      } else {
        this.#fail('a string that does not end');
      }
      if (at > text.length) this.#fail('a string that does not end');
    }
    this.at = at + 1;
    return escaped;
  }

  #fail(what = this.at < this.text.length ? 'an unexpected character' : 'an unexpected end'): never {
    throw new LockstepError('not_json', `not JSON: ${what} at character ${this.at}`);
  }
}

/** Parses a whole JSON text exactly. Throws `not_json`. */
export function parseExactJson(text: string): ExactJson {
  const scanner = new JsonScanner(text);
  const value = scanner.value();
  scanner.end();
  return value;
}
