import type { SqlType } from '../pair.ts';
import type { ValueClassName } from './names.ts';

export type ClassChoice =
  | {
      readonly kind: 'class';
      readonly valueClass: ValueClassName;
      /** Of arrays: the class of their elements. */
      readonly elementClass?: ValueClassName;
      /** What the comparison takes for granted, or what one side cannot hold; a clause without the column's name. */
      readonly note?: string;
    }
  | { readonly kind: 'incompatible'; readonly reason: string };

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
  char: 'text',
  citext: 'text',
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
  inet: 'network',
  cidr: 'network',
  point: 'geometric',
  line: 'geometric',
  lseg: 'geometric',
  box: 'geometric',
  path: 'geometric',
  polygon: 'geometric',
  circle: 'geometric',
  tsvector: 'text_search',
  tsquery: 'text_search',
  xml: 'xml',
  hstore: 'hstore',
  vector: 'vector',
  halfvec: 'vector',
  sparsevec: 'vector',
};

/** Types without a class of their own whose text is known to tell everything about the value. */
const KNOWN_TEXT: ReadonlySet<string> = new Set([
  'macaddr', 'macaddr8', 'pg_lsn', 'tid', 'xid', 'xid8', 'cid', 'jsonpath', 'refcursor', 'ltree', 'pg_snapshot', 'txid_snapshot', 'oidvector', 'int2vector', 'aclitem',
  'regclass', 'regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper', 'regoperator', 'regproc', 'regprocedure', 'regrole', 'regtype',
]);

/** The class of a type compared with itself. */
export function classOf(type: SqlType): ValueClassName {
  if (type.array) return 'array';
  return elementClassOf(type);
}

/** The class of an array's elements; of other types their own. */
export function elementClassOf(type: SqlType): ValueClassName {
  switch (type.kind) {
    case 'enum':
      return 'text';
    case 'composite':
      return 'composite';
    case 'range':
    case 'multirange':
      return 'range';
    case 'base':
      return Object.hasOwn(CLASS_OF_BASE, type.base) ? (CLASS_OF_BASE[type.base] as ValueClassName) : 'opaque_text';
  }
}

/** The type of an array's elements; other types are their own. */
export function elementType(type: SqlType): SqlType {
  return type.array ? { ...type, array: false, formatted: type.formatted.replace(/(?:\[\])+$/, '') } : type;
}

const TEXT_BASES: ReadonlySet<string> = new Set(['text', 'varchar', 'name', 'char', 'citext', 'bpchar']);

/** Whether a column holds plain text, which may spell values of any class. */
export function isPlainText(type: SqlType): boolean {
  return !type.array && type.kind === 'base' && TEXT_BASES.has(type.base);
}

/** Whether nothing is known of a type but the text that it prints. */
export function isUnknownType(type: SqlType): boolean {
  return elementClassOf(type) === 'opaque_text' && !KNOWN_TEXT.has(type.base);
}

/** The class in which two columns' values are compared, or why there is none. */
export function chooseClass(old: SqlType, neu: SqlType): ClassChoice {
  if (old.array && neu.array) return chooseArray(old, neu);
  if (old.array || neu.array) {
    if (isPlainText(old) || isPlainText(neu)) return { kind: 'class', valueClass: 'array', elementClass: elementClassOf(old.array ? old : neu) };
    return incompatible(old, neu, 'one is an array and the other is not');
  }
  return chooseScalar(old, neu);
}

function chooseArray(old: SqlType, neu: SqlType): ClassChoice {
  const choice = chooseScalar(elementType(old), elementType(neu));
  if (choice.kind === 'incompatible') return incompatible(old, neu, 'their elements have no common form');
  return { ...choice, valueClass: 'array', elementClass: choice.valueClass };
}

function chooseScalar(old: SqlType, neu: SqlType): ClassChoice {
  const left = elementClassOf(old);
  const right = elementClassOf(neu);
  if (left === right) {
    const why = sameClassApart(left, old, neu);
    return why === null ? { kind: 'class', valueClass: left } : incompatible(old, neu, why);
  }
  return chooseMixed(old, neu, left, right);
}

/** Classes of several types that have nothing in common but the way in which they are compared. */
const ONE_TYPE_ONLY: ReadonlySet<ValueClassName> = new Set(['opaque_text', 'geometric', 'text_search']);

/** Why two types of one class cannot be compared; null where they can. */
function sameClassApart(valueClass: ValueClassName, old: SqlType, neu: SqlType): string | null {
  if (ONE_TYPE_ONLY.has(valueClass) && old.base !== neu.base) return 'they have no common form';
  if (valueClass === 'vector' && (old.base === 'sparsevec') !== (neu.base === 'sparsevec')) return 'one is sparse and the other is not';
  if (valueClass === 'composite' && old.fields?.length !== neu.fields?.length) return 'they have not the same number of fields';
  if (valueClass !== 'range') return null;
  const bounds = old.subtype !== undefined && neu.subtype !== undefined && classOf(old.subtype) === classOf(neu.subtype);
  return old.kind === neu.kind && bounds ? null : 'their bounds have no common form';
}

/** Classes whose values are numbers. */
const NUMBERS: ReadonlySet<ValueClassName> = new Set(['integer', 'decimal', 'money', 'float4', 'float8']);
const FLOATS: ReadonlySet<ValueClassName> = new Set(['float4', 'float8']);
/** Classes that a moment in time can be compared in, and what is then taken for granted. */
const MOMENTS: ReadonlySet<ValueClassName> = new Set(['date', 'timestamp', 'instant']);

function chooseMixed(old: SqlType, neu: SqlType, left: ValueClassName, right: ValueClassName): ClassChoice {
  const is = (valueClass: ValueClassName): boolean => left === valueClass || right === valueClass;
  if (isText(left) && isText(right)) return { kind: 'class', valueClass: 'padded_text' };
  if (isPlainText(old) || isPlainText(neu)) return againstText(isPlainText(old) ? right : left);
  if (FLOATS.has(left) && FLOATS.has(right)) return { kind: 'class', valueClass: 'float', note: 'a real holds 6 digits of a double' };
  if (NUMBERS.has(left) && NUMBERS.has(right)) {
    const note = FLOATS.has(left) || FLOATS.has(right) ? { note: `${is('float4') ? 'a real keeps 6 digits' : 'a double keeps 15 digits'}: numbers that lose some are drift; tolerance: allows it` } : {};
    return { kind: 'class', valueClass: 'decimal', ...note };
  }
  if (isBooleanLike(old, left) && isBooleanLike(neu, right)) return { kind: 'class', valueClass: 'boolean' };
  if (MOMENTS.has(left) && MOMENTS.has(right)) {
    if (!is('instant')) return { kind: 'class', valueClass: 'timestamp' };
    return { kind: 'class', valueClass: 'instant', note: 'the side without a time zone is taken as UTC; zone: names another' };
  }
  if (is('hstore') && is('json')) return { kind: 'class', valueClass: 'hstore' };
  if (is('time') && is('timetz')) return incompatible(old, neu, 'one keeps a zone and the other does not');
  return incompatible(old, neu, 'they have no common form');
}

/** Values of any class may be spelt in a text column. */
function againstText(other: ValueClassName): ClassChoice {
  return { kind: 'class', valueClass: NUMBERS.has(other) ? 'decimal' : other };
}

function isText(valueClass: ValueClassName): boolean {
  return valueClass === 'text' || valueClass === 'padded_text';
}

function isBooleanLike(type: SqlType, valueClass: ValueClassName): boolean {
  if (valueClass === 'boolean') return true;
  if (valueClass === 'integer') return type.base.startsWith('int');
  return type.kind === 'base' && type.base === 'bit' && (type.length === null || type.length === 1);
}

function incompatible(old: SqlType, neu: SqlType, why: string): ClassChoice {
  return { kind: 'incompatible', reason: `${old.formatted} on old and ${neu.formatted} on new cannot be compared: ${why}` };
}
