import type { SqlType } from '../pair.ts';
import type { ValueClassName } from './names.ts';

export type ClassChoice =
  | { readonly kind: 'class'; readonly valueClass: ValueClassName }
  | { readonly kind: 'incompatible'; readonly reason: string };

/** The classes whose integers and decimals have the same canonical form. */
const NUMBERS: readonly ValueClassName[] = ['integer', 'decimal'];

/** `pg_type.typname` → class, for a column compared with one of its own type. */
const CLASS_OF_BASE: Readonly<Record<string, ValueClassName>> = {
  int2: 'integer',
  int4: 'integer',
  int8: 'integer',
  oid: 'integer',
  numeric: 'decimal',
  money: 'money',
  float4: 'float4',
  float8: 'float8',
  text: 'text',
  varchar: 'text',
  name: 'text',
  bpchar: 'padded_text',
  bool: 'boolean',
  date: 'date',
  time: 'time',
  timetz: 'timetz',
  timestamp: 'timestamp',
  timestamptz: 'instant',
  interval: 'interval',
  bytea: 'bytes',
  uuid: 'uuid',
  json: 'json',
  jsonb: 'json',
  bit: 'bits',
  varbit: 'bits',
};

/** The class of a type compared with itself. */
export function classOf(type: SqlType): ValueClassName {
  if (type.array) return 'array';
  return elementClassOf(type);
}

/** The class of an array's elements; of other types their own. */
export function elementClassOf(type: SqlType): ValueClassName {
  if (type.kind === 'enum') return 'text';
  if (type.kind !== 'base') return 'opaque_text';
  return Object.hasOwn(CLASS_OF_BASE, type.base) ? (CLASS_OF_BASE[type.base] as ValueClassName) : 'opaque_text';
}

/** The class in which two columns' values are compared, or why there is none. */
export function chooseClass(old: SqlType, neu: SqlType): ClassChoice {
  if (old.array !== neu.array) return incompatible(old, neu, 'one is an array and the other is not');
  const left = elementClassOf(old);
  const right = elementClassOf(neu);
  const numbers = NUMBERS.includes(left) && NUMBERS.includes(right);
  if (old.array) {
    if (left === right && (left !== 'opaque_text' || old.base === neu.base)) return { kind: 'class', valueClass: 'array' };
    return numbers ? { kind: 'class', valueClass: 'array' } : incompatible(old, neu, 'their elements have no common form');
  }
  if (left === right) {
    if (left === 'opaque_text' && old.base !== neu.base) return incompatible(old, neu, 'they have no common form');
    return { kind: 'class', valueClass: left };
  }
  if (numbers) return { kind: 'class', valueClass: 'decimal' };
  if (isText(left) && isText(right)) return { kind: 'class', valueClass: 'padded_text' };
  if ((left === 'boolean' && isOneBit(neu)) || (right === 'boolean' && isOneBit(old))) return { kind: 'class', valueClass: 'boolean' };
  const pair = new Set([left, right]);
  if (pair.has('timestamp') && pair.has('instant')) {
    return incompatible(old, neu, 'a timestamp without time zone is no instant until its zone is known');
  }
  if (pair.has('float4') && pair.has('float8')) return incompatible(old, neu, 'they round differently');
  if (pair.has('time') && pair.has('timetz')) return incompatible(old, neu, 'one keeps a zone and the other does not');
  return incompatible(old, neu, 'they have no common form');
}

function isText(valueClass: ValueClassName): boolean {
  return valueClass === 'text' || valueClass === 'padded_text';
}

function isOneBit(type: SqlType): boolean {
  return type.kind === 'base' && type.base === 'bit' && (type.length === null || type.length === 1);
}

function incompatible(old: SqlType, neu: SqlType, why: string): ClassChoice {
  return { kind: 'incompatible', reason: `${old.formatted} on old and ${neu.formatted} on new cannot be compared: ${why}` };
}
