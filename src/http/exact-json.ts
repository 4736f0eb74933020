import { parse } from 'lossless-json';
import { Problem } from './problem.ts';
import type { RequestedKey } from './ports.ts';

/**
 * Parses JSON with every number left as the text it was written in: keys may
 * be int64 or numeric, which a JS number would change.
 */
export function parseExactJson(text: string, what: string): unknown {
  try {
    return parse(text, (field, value) => {
      if (field === '__proto__') throw new Error('forbidden field');
      return value;
    }, (digits) => digits);
  } catch {
    throw new Problem(400, 'bad_json', `${what} is not valid JSON.`);
  }
}

/** The key in a query parameter, e.g. `{"id":5}`. */
export function parseKey(text: string): RequestedKey {
  const parsed = parseExactJson(text, 'The parameter key');
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed) || Object.keys(parsed).length === 0) {
    throw new Problem(400, 'bad_key', 'The parameter key must be a JSON object of column → value, such as {"id":5}.');
  }
  for (const value of Object.values(parsed)) {
    if (typeof value !== 'string' && typeof value !== 'boolean') {
      throw new Problem(400, 'bad_key', 'The values of a key are strings, numbers or booleans.');
    }
  }
  return parsed as RequestedKey;
}
