import type { SampleValue } from '../drift.ts';
import type { ExactJson } from '../json.ts';
import type { SqlType } from '../pair.ts';
import type { ValueClassName } from './names.ts';
import type { FieldSchema } from './value-class.ts';

export type { FieldSchema } from './value-class.ts';

/** skeleton */
export function canonicalFromText(_valueClass: ValueClassName, _type: SqlType, text: string): string {
  return text;
}
export function canonicalFromDebezium(_valueClass: ValueClassName, _type: SqlType, encoded: ExactJson, _schema: FieldSchema | null): string | null | undefined {
  return encoded === null ? null : undefined;
}
export function digestSql(_valueClass: ValueClassName, _type: SqlType, column: string): string {
  return `${column}::text`;
}
export function shownValue(_valueClass: ValueClassName, canonical: string): SampleValue {
  return canonical;
}
export function canonicalFromInput(_valueClass: ValueClassName, _type: SqlType, value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}
