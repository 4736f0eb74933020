import type { Pair } from '../domain/pair.ts';
import type { RowKey } from '../domain/row.ts';
import type { SchemaFinding } from '../domain/status.ts';
import { KeySample } from './key-sample.ts';

/** So many keys tell where to look; the characters are those of their values. */
const NAMED_KEYS_MAX = 8;
const NAMED_CHARS_MAX = 2_048;

/** Some of the rows that never came to rest. */
export function restlessSample(): KeySample {
  return new KeySample(NAMED_KEYS_MAX, NAMED_CHARS_MAX);
}

/** What is to be said of a table with rows that changed whenever they were looked at; nothing where there are none. */
export function restlessFindings({ id, key, columns }: Pair, restless: number, some: readonly RowKey[]): readonly SchemaFinding[] {
  if (restless === 0) return [];
  const named = some.map((values) => `(${values.map((value, part) => `${columns[key[part] ?? -1]?.name ?? 'row'}=${value}`).join(', ')})`);
  const more = restless > some.length ? ` and ${restless - some.length} more` : '';
  return [{ severity: 'warning', message: `${id}: ${restless} ${restless === 1 ? 'row was' : 'rows were'} never at rest and could not be verified: ${named.join(' ')}${more}` }];
}
