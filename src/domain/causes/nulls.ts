import type { CanonicalValue } from '../row.ts';
import type { Finding } from './codes.ts';
import type { PlaceholderForms } from './placeholder.ts';

/** Canonical forms of what has nothing in it. */
const EMPTY = new Set(['', '\\x', '{}', '[]', '""', 'null']);

/** What columns are declared to hold when nothing is given, and what a struct without nulls holds in their place. */
const DEFAULTS = new Set([
  '0',
  'false',
  '1970-01-01',
  '1970-01-01 00:00:00',
  '1970-01-01 00:00:00+00',
  '0001-01-01',
  '00:00:00',
  '00:00:00+00',
  '00000000-0000-0000-0000-000000000000',
]);

/** What a NULL on one side only says. @param from the primary's value */
export function nullFinding(from: CanonicalValue, to: CanonicalValue, placeholder: PlaceholderForms): Finding | null {
  if (from === null && to !== null) {
    if (placeholder.matches(to, null)) return { code: 'placeholder_written', detail: 'over NULL' };
    if (EMPTY.has(to)) return { code: 'null_to_empty', detail: null };
    return DEFAULTS.has(to) ? { code: 'null_to_default', detail: to } : { code: 'null_lost', detail: null };
  }
  if (from === null || to !== null) return null;
  if (EMPTY.has(from)) return { code: 'empty_to_null', detail: null };
  if (from === 'NaN') return { code: 'nan_replaced', detail: 'by NULL' };
  if (/^-?infinity$/i.test(from)) return { code: 'infinity_replaced', detail: 'by NULL' };
  return { code: 'value_lost', detail: null };
}
