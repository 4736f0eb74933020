import type { SqlType } from '../../../src/domain/pair.ts';

/** A type as the catalogue describes it. */
export function sqlType(base: string, more: Partial<SqlType> = {}): SqlType {
  return { formatted: base, base, kind: 'base', array: false, precision: null, scale: null, length: null, ...more };
}
