import { columnOn, qualifiedName, tableOn } from '../../domain/pair.ts';
import type { Pair, Side } from '../../domain/pair.ts';
import { valuesOf } from '../../domain/values/column-values.ts';
import type { ColumnValues } from '../../domain/values/column-values.ts';
import { EncodingFindings } from './encoding-findings.ts';
import type { EncodingFinding } from './encoding-findings.ts';

/** What Avro allows in a name. */
const AVRO_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** More digits than PostgreSQL's numeric can have: 131,072 before the point and 16,383 after it. */
const MAX_NUMERIC_LENGTH = 150_000;
/** The longest exact decimal of a double has 1,079 characters; whole numbers and money are shorter. */
const MAX_SHORT_NUMBER_LENGTH = 1_100;
const SHORT_NUMBERS: ReadonlySet<string> = new Set(['int2', 'int4', 'int8', 'float4', 'float8', 'money', 'oid']);

/** The longest text that can be a number of this type: converting a longer one would only take time. */
function maxLengthOf(base: string): number {
  if (SHORT_NUMBERS.has(base)) return MAX_SHORT_NUMBER_LENGTH;
  return base === 'numeric' ? MAX_NUMERIC_LENGTH : Number.POSITIVE_INFINITY;
}

/** A pair's table whose changes a topic carries. */
export interface Route {
  readonly pair: Pair;
  readonly side: Side;
  /** Positions by the names that this side's columns have, in events too where those differ. */
  readonly columns: ReadonlyMap<string, number>;
  readonly keyColumns: ReadonlyMap<string, number>;
  readonly findings: EncodingFindings;
  /** By column: how its values are read. */
  readonly values: readonly ColumnValues[];
  /** By column: the most characters of one value; no limit but for numbers. */
  readonly maxLengths: readonly number[];
  /** By column: its name on this side. */
  readonly names: readonly string[];
}

/** A table as an event names it; unnamed parts are null. */
export interface EventTable {
  readonly schema: string | null;
  readonly table: string | null;
}

/** Which tables' changes each topic carries. */
export class Routes {
  readonly #byTopic = new Map<string, Route[]>();
  readonly #report: (finding: EncodingFinding) => void;

  /** @param report told of each finding once for each topic */
  constructor(report: (finding: EncodingFinding) => void) {
    this.#report = report;
  }

  add(topic: string, pair: Pair, side: Side): void {
    const routes = this.#byTopic.get(topic) ?? [];
    if (routes.some((route) => route.pair.id === pair.id && route.side === side)) return;
    const names = pair.columns.map((column) => columnOn(column, side).name);
    const columns = new Map(names.map((name, index) => [name, index]));
    names.forEach((name, index) => {
      for (const adjusted of adjustedNames(name)) if (!columns.has(adjusted)) columns.set(adjusted, index);
    });
    const keyColumns = new Map<string, number>();
    for (const [name, index] of columns) {
      const place = pair.key.indexOf(index);
      if (place >= 0) keyColumns.set(name, place);
    }
    routes.push({
      pair,
      side,
      columns,
      keyColumns,
      findings: new EncodingFindings(pair, side, this.#report),
      values: pair.columns.map((column) => valuesOf(column, side)),
      maxLengths: pair.columns.map((column) => maxLengthOf(columnOn(column, side).type.base)),
      names,
    });
    this.#byTopic.set(topic, routes);
  }

  of(topic: string): readonly Route[] | undefined {
    return this.#byTopic.get(topic);
  }
}

/** The names that `field.name.adjustment.mode` avro and avro_unicode give a column that is no Avro name. */
function adjustedNames(name: string): readonly string[] {
  if (AVRO_NAME.test(name)) return [];
  const plain = name.replace(/[^A-Za-z0-9_]/g, '_');
  const unicode = name.replace(/[^A-Za-z0-9]|^[0-9]/g, (unit) => `_u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return [/^[0-9]/.test(plain) ? `_${plain}` : plain, unicode];
}

/**
 * The route of an event's table; unnamed parts agree with any. Where no name agrees, a topic that is named after a
 * route's table is believed, so that a partition's own name does no harm.
 */
export function routeOf(routes: readonly Route[], topic: string, { schema, table }: EventTable): Route | undefined {
  return (
    routes.find(({ pair, side }) => {
      const own = tableOn(pair, side);
      return !namesOther(own.schema, own.name, schema, table);
    }) ?? routes.find(({ pair, side }) => topic.endsWith(`.${qualifiedName(tableOn(pair, side))}`))
  );
}

function namesOther(ownSchema: string, ownTable: string, schema: string | null, table: string | null): boolean {
  if (table !== null && table !== '' && table !== ownTable) return true;
  return schema !== null && schema !== '' && schema !== ownSchema;
}

/**
 * The table that ByLogicalTableRouter keeps in the key as `__dbz__physicalTableIdentifier`:
 * the topic that the change would have gone to.
 */
export function physicalTable(identifier: string): EventTable {
  const [table, schema] = identifier.split('.').reverse();
  return { schema: schema ?? null, table: table ?? null };
}
