import type { PairColumn, Side, SqlType } from '../pair.ts';
import { columnOn, otherSide } from '../pair.ts';
import type { CanonicalValue } from '../row.ts';
import { elementClassOf } from '../values/choose.ts';
import type { ValueClassName } from '../values/names.ts';
import { BIT_PATTERNS, BYTES_PATTERNS } from './bytes.ts';
import { firstOf, type Pattern, type ValueChange } from './change.ts';
import type { CauseCode, Finding } from './codes.ts';
import { INTERVAL_PATTERNS } from './interval.ts';
import { arrayFinding, documentFinding, type Explain } from './nested.ts';
import { nullFinding } from './nulls.ts';
import { FLOAT_PATTERNS, NUMBER_PATTERNS } from './numbers.ts';
import { placeholderWritten, type PlaceholderForms } from './placeholder.ts';
import { DATE_PATTERNS, MOMENT_PATTERNS, TIME_PATTERNS, TIMETZ_PATTERNS } from './temporal.ts';
import { TEXT_PATTERNS } from './text.ts';

/** Patterns by class; a class that is not named is looked at as text. */
const PATTERNS: Readonly<Partial<Record<ValueClassName, readonly Pattern[]>>> = {
  integer: NUMBER_PATTERNS,
  decimal: NUMBER_PATTERNS,
  money: NUMBER_PATTERNS,
  float4: FLOAT_PATTERNS,
  float8: FLOAT_PATTERNS,
  float: FLOAT_PATTERNS,
  date: DATE_PATTERNS,
  time: TIME_PATTERNS,
  timetz: TIMETZ_PATTERNS,
  timestamp: MOMENT_PATTERNS,
  instant: MOMENT_PATTERNS,
  interval: INTERVAL_PATTERNS,
  bytes: BYTES_PATTERNS,
  bits: BIT_PATTERNS,
  boolean: [],
  uuid: [],
  network: [],
  geometric: [],
  // An entry more or less is no cut.
  text_search: [],
  hstore: [],
  range: [],
  composite: [],
};

function patternsOf(valueClass: ValueClassName): readonly Pattern[] {
  return PATTERNS[valueClass] ?? TEXT_PATTERNS;
}

function explainScalar(valueClass: ValueClassName, change: ValueChange): Finding | null {
  return placeholderWritten(change) ?? firstOf(patternsOf(valueClass), change);
}

/** One direction: how `from` became `to`. */
function explain(valueClass: ValueClassName, elementClass: ValueClassName, change: ValueChange): Finding | null {
  if (valueClass !== 'json' && valueClass !== 'array' && valueClass !== 'vector') return explainScalar(valueClass, change);
  const whole = placeholderWritten(change);
  if (whole !== null) return whole;
  const part = (partClass: ValueClassName, types: Pick<ValueChange, 'fromType' | 'toType'>): Explain => (from, to) =>
    from === null || to === null ? nullFinding(from, to, change.placeholder) : explainScalar(partClass, { ...change, ...types, from, to });
  // A sparse vector's elements are `index:value`, and no number.
  if (valueClass === 'vector') return arrayFinding({ ...change, from: asArray(change.from), to: asArray(change.to) }, part('float4', { fromType: null, toType: null }));
  if (valueClass === 'array') return arrayFinding(change, part(elementClass, { fromType: elementType(change.fromType), toType: elementType(change.toType) }));
  const untyped = { fromType: null, toType: null };
  return documentFinding(change, part('decimal', untyped), part('text', untyped));
}

/** `[1,2.5]` as an array has it. */
function asArray(vector: string): string {
  return vector.replace(/^\[/, '{').replace(/\]$/, '}');
}

function elementType(type: SqlType | null): SqlType | null {
  return type === null ? null : { ...type, array: false, formatted: type.formatted.replace(/(?:\[\])+$/, '') };
}

const SHORTENED: ReadonlySet<CauseCode> = new Set(['precision_lost', 'truncated']);

/**
 * The pattern that the two sides' values of a column show, in canonical form; null where none explains them, or where
 * they are equal. What happened to the primary's value on its way is looked for first; then, after the cutover,
 * whether new's value came from old's in that way before it.
 */
export function columnFinding(column: PairColumn, primary: Side, old: CanonicalValue, neu: CanonicalValue, placeholder: PlaceholderForms): Finding | null {
  const [from, to] = primary === 'old' ? [old, neu] : [neu, old];
  if (from === to) return null;
  if (from === null || to === null) return nullFinding(from, to, placeholder);
  const replica = otherSide(primary);
  const valueClass = column.rules?.asText === true ? 'text' : column.valueClass;
  const elementClass = column.elementClass ?? elementClassOf(column.old.type);
  const forwards: ValueChange = { from, to, fromType: columnOn(column, primary).type, toType: columnOn(column, replica).type, toIsNew: replica === 'new', placeholder };
  const found = explain(valueClass, elementClass, forwards);
  if (found !== null) return { code: found.code, detail: found.detail };
  if (primary === 'old') return null;
  const backwards = explain(valueClass, elementClass, { ...forwards, from: to, to: from, fromType: forwards.toType, toType: forwards.fromType, toIsNew: !forwards.toIsNew });
  // A replica with more digits or characters may have been written to: only a type that allows no more tells it from that.
  if (backwards === null || (SHORTENED.has(backwards.code) && backwards.byType !== true)) return null;
  const where = `on the primary, ${primary}`;
  return { code: backwards.code, detail: backwards.detail === null ? where : `${backwards.detail}, ${where}` };
}
