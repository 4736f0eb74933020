import { LockstepError } from '../errors.ts';
import type { ExactJson } from '../json.ts';
import { JsonNumber } from '../json.ts';
import type { SqlType } from '../pair.ts';

/** The error for an encoded value that cannot be one of `type`; says its shape and never the value. */
export function badValue(type: SqlType, encoded: ExactJson | undefined, expected: string): LockstepError {
  return new LockstepError('bad_value', `a ${shapeOf(encoded)} is no value of ${type.formatted}: expected ${expected}`);
}

function shapeOf(encoded: ExactJson | undefined): string {
  if (encoded === null || encoded === undefined) return 'null';
  if (typeof encoded === 'string') return 'JSON string of this form';
  if (typeof encoded === 'boolean') return 'JSON boolean';
  if (encoded instanceof JsonNumber) return 'JSON number of this form';
  return Array.isArray(encoded) ? 'JSON array' : 'JSON object';
}
