import { columnFinding } from '../../../src/domain/causes/column-cause.ts';
import { causeMessage } from '../../../src/domain/causes/codes.ts';
import { PlaceholderForms } from '../../../src/domain/causes/placeholder.ts';
import type { Pair, PairColumn, Side, SqlType } from '../../../src/domain/pair.ts';
import type { CanonicalValue } from '../../../src/domain/row.ts';
import type { ValueClassName } from '../../../src/domain/values/names.ts';
import { sqlType } from '../values/types.ts';

export const PLACEHOLDER = new PlaceholderForms(['__debezium_unavailable_value', '@@TOASTED@@']);

/** A type of each class. */
export const TYPES: Readonly<Partial<Record<ValueClassName, SqlType>>> = {
  integer: sqlType('int8'),
  decimal: sqlType('numeric'),
  money: sqlType('money'),
  float4: sqlType('float4'),
  float8: sqlType('float8'),
  text: sqlType('text'),
  boolean: sqlType('bool'),
  date: sqlType('date'),
  time: sqlType('time'),
  timetz: sqlType('timetz'),
  timestamp: sqlType('timestamp'),
  instant: sqlType('timestamptz'),
  interval: sqlType('interval'),
  bytes: sqlType('bytea'),
  bits: sqlType('varbit'),
  uuid: sqlType('uuid'),
  json: sqlType('jsonb'),
  array: sqlType('text', { array: true, formatted: 'text[]' }),
  opaque_text: sqlType('int4range'),
};

/** A column of a class; `types` where its types matter. */
export function columnOf(valueClass: ValueClassName, types: { readonly old?: SqlType; readonly new?: SqlType } = {}, name = 'value'): PairColumn {
  const type = TYPES[valueClass] ?? sqlType('text');
  const old = { name, nullable: true, type: types.old ?? type };
  return { name, old, new: { ...old, type: types.new ?? types.old ?? type }, valueClass, sensitive: false };
}

export function pairOf(columns: readonly PairColumn[]): Pair {
  const table = { schema: 'public', name: 'items' };
  return { id: 'public.items', old: table, new: table, columns, key: [0], where: {}, topic: {} };
}

/** The code with its message after it, of old's value against new's; null where there is none. */
export function causeOf(column: PairColumn, old: CanonicalValue, neu: CanonicalValue, primary: Side = 'old'): { code: string; message: string } | null {
  const finding = columnFinding(column, primary, old, neu, PLACEHOLDER);
  return finding === null ? null : { code: finding.code, message: causeMessage(finding.code, finding.detail) };
}
