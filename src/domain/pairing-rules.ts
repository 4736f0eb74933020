import type { ColumnDescription, CompareRules, Side, SqlType } from './pair.ts';
import { canonicalDecimal } from './values/decimal.ts';
import { classOf, isPlainText } from './values/choose.ts';
import type { ValueClassName } from './values/names.ts';

/** What configuration says about one column of a pair. */
export interface ColumnPairRules {
  readonly ignore?: boolean;
  /** Its name on new. */
  readonly new?: string;
  readonly sensitive?: boolean;
  /** Expressions that are compared in the columns' place. */
  readonly sql?: Readonly<Record<Side, string>>;
  /** Types of those expressions, as the databases describe them. */
  readonly sqlTypes?: Readonly<Record<Side, SqlType>>;
  readonly precision?: NonNullable<CompareRules['precision']>;
  /** Decimal text; 0 asks for nothing. */
  readonly tolerance?: string;
  readonly foldCase?: boolean;
  readonly trim?: boolean;
  readonly asText?: boolean;
  /** The time zone of the side that has none, against one that has: a name that PostgreSQL knows. */
  readonly zone?: string;
}

const TEMPORAL: ReadonlySet<ValueClassName> = new Set(['time', 'timestamp', 'instant']);
const NUMERIC: ReadonlySet<ValueClassName> = new Set(['integer', 'decimal', 'money', 'float4', 'float8', 'float']);
const TEXTUAL: ReadonlySet<ValueClassName> = new Set(['text', 'padded_text']);

/** What a column's rules come to in its class; each problem is a clause that begins with the rule's name. */
export interface AppliedRules {
  readonly rules: CompareRules | null;
  readonly problems: readonly string[];
}

/** Rules that are set, if the class of the column's values can follow them. */
export function applyRules(asked: ColumnPairRules, valueClass: ValueClassName, old: SqlType, neu: SqlType): AppliedRules {
  const problems: string[] = [];
  const textual = asked.asText === true || TEXTUAL.has(valueClass);
  const spelt = isPlainText(old) || isPlainText(neu);
  const tolerance = asked.tolerance === undefined ? null : canonicalDecimal(asked.tolerance);
  if (asked.precision !== undefined && (asked.asText === true || !TEMPORAL.has(valueClass) || spelt)) problems.push('precision: is for times and timestamps on both sides');
  if (asked.tolerance !== undefined && (asked.asText === true || !NUMERIC.has(valueClass) || spelt)) problems.push('tolerance: is for numbers on both sides');
  if (asked.foldCase === true && !textual) problems.push('case: is for text');
  if (asked.trim === true && !textual) problems.push('trim: is for text');
  if (asked.zone !== undefined && valueClass !== 'instant') problems.push('zone: is for a timestamp without time zone on one side and with one on the other');
  const rules: CompareRules = {
    ...(asked.precision === undefined ? {} : { precision: asked.precision }),
    ...(tolerance === null || tolerance === '0' ? {} : { tolerance }),
    ...(asked.foldCase === true ? { foldCase: true } : {}),
    ...(asked.trim === true ? { trim: true } : {}),
    ...(asked.asText === true ? { asText: true } : {}),
  };
  return { rules: Object.keys(rules).length === 0 ? null : rules, problems };
}

/** Whether a rule changes what is equal: such a column cannot identify rows. */
export function changesEquality(asked: ColumnPairRules): boolean {
  return asked.sql !== undefined || asked.precision !== undefined || asked.tolerance !== undefined || asked.foldCase === true || asked.trim === true || asked.asText === true || asked.zone !== undefined;
}

/** The column as it is compared: its expression where there is one. */
export function comparedColumn(column: ColumnDescription, asked: ColumnPairRules, side: Side): ColumnDescription {
  const expression = asked.sql?.[side];
  const type = asked.sqlTypes?.[side];
  return expression === undefined || type === undefined ? column : { ...column, type, nullable: true, expression };
}

const UTC = /^(?:utc|z|gmt|etc\/utc)$/i;

/** A timestamp or date read in `zone` as an instant; UTC needs no expression. */
export function inZone(column: ColumnDescription, zone: string): ColumnDescription {
  if (UTC.test(zone) || !['date', 'timestamp'].includes(classOf(column.type))) return column;
  const inner = column.expression === undefined ? `"${column.name.replaceAll('"', '""')}"` : `(${column.expression})`;
  const moment = column.type.base === 'date' ? `${inner}::timestamp` : inner;
  return {
    ...column,
    expression: `${moment} AT TIME ZONE '${zone.replaceAll("'", "''")}'`,
    type: { formatted: 'timestamp with time zone', base: 'timestamptz', kind: 'base', array: false, precision: column.type.precision, scale: null, length: null },
  };
}
