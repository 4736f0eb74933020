import { LockstepError } from '../errors.ts';
import type { ExactJson } from '../json.ts';
import type { ColumnDescription, CompareRules, PairColumn, Side, SqlType } from '../pair.ts';
import { columnOn, otherSide } from '../pair.ts';
import { isApproximate, quantisedSql } from './approximate.ts';
import { arrayOf, CLASSES } from './classes.ts';
import { classOf, elementClassOf, isPlainText } from './choose.ts';
import { numberInText, numberInTextSql } from './decimal.ts';
import { withoutEnds } from './ends.ts';
import { LOSS, Loss } from './loss.ts';
import { booleanInText } from './plain-text.ts';
import type { FieldSchema, ValueClass } from './value-class.ts';

/** How the values of one side of a pair's column are brought to the form in which both sides are compared. */
export interface ColumnValues {
  /** From what the database prints, or from the canonical form itself. @throws LockstepError `bad_value` */
  readonly fromText: (text: string) => string;
  /** From text that an event carries as the database prints it (logical replication). @throws LockstepError `bad_value` */
  readonly fromEventText: (text: string) => string | Loss;
  /** From a Debezium event. @throws LockstepError `bad_value` */
  readonly fromDebezium: (encoded: Exclude<ExactJson, null>, schema: FieldSchema | null) => string | Loss;
  /** What a null in a Debezium event stands for. */
  readonly debeziumNull: null | Loss;
  /** What a null in an event of logical replication stands for. */
  readonly eventNull: null | Loss;
  /** SQL text of a reference to the column or its expression: values with equal text are equal under the column's rules. */
  readonly digestSql: (column: string) => string;
}

/**
 * Whether a Debezium event's null is NULL. It is what connectors write for a value that they cannot carry, too:
 * certainly so where the column cannot be NULL, and so often for some types that their nulls are not believed. The null
 * of a nullable numeric is: it may stand for NaN or an infinity, but rows would be read again for each NULL.
 */
function believesNull({ nullable, type }: ColumnDescription): boolean {
  return nullable && type.base !== 'name' && !(type.array && (type.base === 'numeric' || type.kind === 'composite'));
}

type Change = (canonical: string) => string;

const unchanged: Change = (canonical) => canonical;

const compiled = new WeakMap<PairColumn, { readonly [side in Side]: ColumnValues }>();

/** The values of `column` on `side`; made once for each column. */
export function valuesOf(column: PairColumn, side: Side): ColumnValues {
  let both = compiled.get(column);
  if (both === undefined) {
    both = { old: compile(column, 'old'), new: compile(column, 'new') };
    compiled.set(column, both);
  }
  return both[side];
}

function compile(column: PairColumn, side: Side): ColumnValues {
  const { type, expression } = columnOn(column, side);
  const { rules = {} } = column;
  const common = commonClass(column);
  const own = rules.asText === true || isOwnClass(column, type) ? common : ownClass(type);
  const other = columnOn(column, otherSide(side)).type;
  const read = readerOf(column, common, type, other);
  const apply = ruleChange(rules);
  const fromText: Change = apply === unchanged ? read : (text) => apply(read(text));
  const told = expression === undefined && !isApproximate(rules);
  // Events print values in their own way: as text only text itself can be told.
  const toldByDebezium = told && (rules.asText !== true || isTextInEvents(type));
  const direct = own === common && apply === unchanged;
  return {
    fromText,
    // What an expression makes of a NULL is not known here.
    eventNull: expression === undefined ? null : LOSS.rule,
    debeziumNull: expression !== undefined ? LOSS.rule : believesNull(columnOn(column, side)) ? null : LOSS.null,
    fromEventText: told ? fromText : () => LOSS.rule,
    fromDebezium: !toldByDebezium
      ? () => LOSS.rule
      : direct
        ? (encoded, schema) => common.fromDebezium(type, encoded, schema)
        : (encoded, schema) => {
            const canonical = own.fromDebezium(type, encoded, schema);
            return canonical instanceof Loss ? canonical : fromText(canonical);
          },
    digestSql: (reference) => ruleSql(rules, digestOf(column, common, type, reference)),
  };
}

function ownClass(type: SqlType): ValueClass {
  return type.array ? arrayOf(elementClassOf(type)) : CLASSES[classOf(type)];
}

/** Whether `column` is compared in the class of this side's type. */
function isOwnClass(column: PairColumn, type: SqlType): boolean {
  if (type.array) return column.valueClass === 'array' && (column.elementClass ?? elementClassOf(type)) === elementClassOf(type);
  return column.valueClass === classOf(type);
}

function commonClass(column: PairColumn): ValueClass {
  if (column.rules?.asText === true) return CLASSES.text;
  return column.valueClass === 'array' && column.elementClass !== undefined ? arrayOf(column.elementClass) : CLASSES[column.valueClass];
}

/** Types whose text events carry as the database prints it; a cast to text takes the blanks off a char(n). */
function isTextInEvents(type: SqlType): boolean {
  if (type.base === 'bpchar') return false;
  return isPlainText(type) || (!type.array && (type.kind === 'enum' || type.base === 'json' || type.base === 'xml'));
}

/** What a side prints, in the common form; a text column against another class spells that class's values. */
function readerOf(column: PairColumn, common: ValueClass, type: SqlType, other: SqlType): Change {
  if (isSpelt(column, type)) {
    if (column.valueClass === 'decimal') return numberInText;
    if (column.valueClass === 'boolean') return booleanInText;
    return (text) => spelt(common, other, text);
  }
  if (isOwnClass(column, type) || column.rules?.asText === true) return (text) => common.fromText(type, text);
  return (text) => spelt(common, type, text);
}

/** Whether `type` is plain text and the class is another. */
function isSpelt(column: PairColumn, type: SqlType): boolean {
  return column.rules?.asText !== true && isPlainText(type) && column.valueClass !== 'text' && column.valueClass !== 'padded_text';
}

/** A value of another type that is none of the class stands for itself: no value's canonical form is equal to it. */
function spelt(common: ValueClass, type: SqlType, text: string): string {
  try {
    return common.fromText(type, text);
  } catch (error) {
    if (error instanceof LockstepError) return text;
    throw error;
  }
}

function digestOf(column: PairColumn, common: ValueClass, type: SqlType, reference: string): string {
  const { rules = {} } = column;
  if (rules.asText === true) return `${reference}::text`;
  if (isApproximate(rules)) return quantisedSql(column, type, reference);
  if (isSpelt(column, type)) return column.valueClass === 'decimal' ? numberInTextSql(reference) : `${reference}::text`;
  return common.digestSql(type, reference);
}

const ENDS = ' \t\r\n';
const ENDS_SQL = `E' \\t\\r\\n'`;

/** Upper and lower case as one, for all scripts: as Unicode's full case folding, but for a few letters that it keeps apart. */
function foldCase(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase();
}

function ruleChange(rules: CompareRules): Change {
  const changes: Change[] = [];
  if (rules.trim === true) changes.push((text) => withoutEnds(text, ENDS));
  if (rules.foldCase === true) changes.push(foldCase);
  if (changes.length === 0) return unchanged;
  return (text) => changes.reduce((changed, change) => change(changed), text);
}

/** ASCII letters alone are folded in SQL: servers disagree about the others, and what digests differently is read and compared here. */
function ruleSql(rules: CompareRules, text: string): string {
  let sql = text;
  if (rules.trim === true) sql = `pg_catalog.btrim(${sql}, ${ENDS_SQL})`;
  if (rules.foldCase === true) sql = `pg_catalog.lower((${sql}) COLLATE "C")`;
  return sql;
}
