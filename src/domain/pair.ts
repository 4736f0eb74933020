import { LockstepError } from './errors.ts';
import type { ValueClassName } from './values/names.ts';

/** Which of the two databases. */
export type Side = 'old' | 'new';

/** A table's name as the catalogue has it: unquoted, case kept. */
export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** A column's SQL type, domains resolved to what they are made of. */
export interface SqlType {
  /** As `format_type` prints it: `numeric(20,4)`, `timestamp(3) without time zone`, `text[]`. */
  readonly formatted: string;
  /** `pg_type.typname` with domains resolved; of an array, its element's: `int8`, `bpchar`, `order_status`. */
  readonly base: string;
  readonly kind: 'base' | 'enum' | 'composite' | 'range' | 'multirange';
  readonly array: boolean;
  /** numeric(p,s): p; time, timestamp, interval (n): n; null when unconstrained. */
  readonly precision: number | null;
  /** numeric(p,s): s; null when unconstrained. */
  readonly scale: number | null;
  /** char(n), varchar(n), bit(n): n; null when unconstrained. */
  readonly length: number | null;
  /** Of a range or multirange: the type of its bounds. */
  readonly subtype?: SqlType;
  /** Of a composite: its fields in order. */
  readonly fields?: readonly { readonly name: string; readonly type: SqlType }[];
}

export interface ColumnDescription {
  readonly name: string;
  readonly type: SqlType;
  readonly nullable: boolean;
  /** SQL that is compared in the column's place; `type` is then the expression's. No event carries its value. */
  readonly expression?: string;
}

/** How far two values of a column may differ, and what of them counts. */
export interface CompareRules {
  /** Times that differ by less than this unit are equal. */
  readonly precision?: 's' | 'ms' | 'us';
  /** Numbers that differ by no more than this are equal; a canonical decimal, more than 0. */
  readonly tolerance?: string;
  /** Upper and lower case are one. */
  readonly foldCase?: boolean;
  /** White space at both ends does not count. */
  readonly trim?: boolean;
  /** Compared as the text that the database prints, whatever the types. */
  readonly asText?: boolean;
}

/** A unique index of whole rows and plain columns that is not the primary key's. */
export interface UniqueIndex {
  readonly name: string;
  readonly columns: readonly string[];
  readonly isReplicaIdentity: boolean;
}

export interface TableDescription {
  readonly table: TableName;
  readonly columns: readonly ColumnDescription[];
  /** Column names, in key order; empty where there is none. */
  readonly primaryKey: readonly string[];
  /** By name. */
  readonly uniqueIndexes: readonly UniqueIndex[];
  readonly replicaIdentity: 'default' | 'full' | 'index' | 'nothing';
  /** The planner's estimate; -1 where the table was never analysed. */
  readonly estimatedRows: bigint;
}

/** One compared column of a pair. */
export interface PairColumn {
  /** Old's column name: what reports, drift and the API call it. */
  readonly name: string;
  readonly old: ColumnDescription;
  readonly new: ColumnDescription;
  readonly valueClass: ValueClassName;
  /** Of arrays: the class in which their elements are compared. */
  readonly elementClass?: ValueClassName;
  /** Absent: values are equal where their canonical forms are. */
  readonly rules?: CompareRules;
  /** Never shown, whatever `samples.values` says. */
  readonly sensitive: boolean;
}

/** One table on old, its counterpart on new, the key, and what is compared. */
export interface Pair {
  /** Old's qualified name, e.g. `public.payments`: the `table` of metrics and REST. */
  readonly id: string;
  readonly old: TableName;
  readonly new: TableName;
  /** Compared columns in old's order; key columns are among them. */
  readonly columns: readonly PairColumn[];
  /** Positions in `columns` of the key's columns, in key order; empty: the pair is compared as a bag of rows. */
  readonly key: readonly number[];
  /** Row filters as SQL, by side. */
  readonly where: { readonly [side in Side]?: string };
  /** Kafka topics by the side whose changes they carry. */
  readonly topic: { readonly [side in Side]?: string };
}

/** `schema.name`, as configuration and reports write it. */
export function qualifiedName(table: TableName): string {
  return `${table.schema}.${table.name}`;
}

/** The table of `pair` on `side`. */
export function tableOn(pair: Pair, side: Side): TableName {
  return side === 'old' ? pair.old : pair.new;
}

/** Rows that share a key cannot be told apart, and one of them would stand for all. */
export function keyNotUnique(pair: Pair, side: Side): LockstepError {
  return new LockstepError('key_not_unique', `${side} has several rows with the same key in ${qualifiedName(tableOn(pair, side))}`, {
    about: { side, table: pair.id },
    hint: 'make the key unique there, or name another with `key:`',
  });
}

/** The column of `column` on `side`. */
export function columnOn(column: PairColumn, side: Side): ColumnDescription {
  return side === 'old' ? column.old : column.new;
}

/** The side that `side` is compared with. */
export function otherSide(side: Side): Side {
  return side === 'old' ? 'new' : 'old';
}
