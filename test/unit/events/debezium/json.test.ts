import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isJsonObject, JsonNumber } from '../../../../src/domain/json.ts';
import type { ExactJson } from '../../../../src/domain/json.ts';
import { JsonScanner, parseExactJson } from '../../../../src/events/debezium/json.ts';

/** As `JSON.parse` would have it. */
function plain(value: ExactJson): unknown {
  if (value instanceof JsonNumber) return Number(value.text);
  if (Array.isArray(value)) return (value as readonly ExactJson[]).map(plain);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

describe('exact JSON', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(plain(parseExactJson(text))).toEqual(JSON.parse(text));
        const scanner = new JsonScanner(text);
        scanner.skip();
        scanner.end();
      }),
    );
  });

  it('accepts and refuses what JSON.parse accepts and refuses', () => {
    const fragment = fc.constantFrom('{', '}', '[', ']', ',', ':', '"', 'a', '\\', '\\u00e9', '\\u12', '1', '-', '0', '.', 'e', '+', 'true', 'null', ' ', '\n', '\t', '\u0001', '"k":');
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 12 }), (fragments) => {
        const text = fragments.join('');
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        if (valid) expect(plain(parseExactJson(text))).toEqual(JSON.parse(text));
        else expect(() => parseExactJson(text)).toThrow(expect.objectContaining({ code: 'not_json' }));
      }),
      { numRuns: 2_000 },
    );
  });

  it('keeps numbers as they are written', () => {
    for (const text of ['9223372036854775807', '-0', '1.10', '1e400', '0.1000000000000000055511151231257827']) {
      expect(parseExactJson(text)).toEqual(new JsonNumber(text));
    }
  });

  it('makes no prototype of a field called so', () => {
    const parsed = parseExactJson('{"__proto__":{"a":1}}');
    expect(Object.keys(parsed as object)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype);
  });

  it('refuses nesting without end instead of exhausting the stack', () => {
    const text = '['.repeat(100_000);
    expect(() => parseExactJson(text)).toThrow(expect.objectContaining({ code: 'not_json' }));
    expect(() => {
      new JsonScanner(text).skip();
    }).toThrow(expect.objectContaining({ code: 'not_json' }));
  });

  it('names a place and never quotes the text', () => {
    expect(() => parseExactJson('{"a":"secret')).toThrow(/^not JSON: .* at character \d+$/);
    expect(() => parseExactJson('{"a":secret}')).toThrow(/^not JSON: an unexpected character at character 5$/);
  });
});
