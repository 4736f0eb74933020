import type { PairColumn, TableDescription } from './pair.ts';
import { qualifiedName } from './pair.ts';
import type { ColumnPairRules } from './pairing-rules.ts';
import { changesEquality } from './pairing-rules.ts';
import type { SchemaFinding } from './status.ts';
import { isPlainText } from './values/choose.ts';

/**
 * Types whose equality is not the equality of their canonical forms, or that have none at all:
 * rows cannot be looked up by them reliably.
 */
const NO_KEY_CLASSES: ReadonlySet<string> = new Set([
  'json', 'array', 'interval', 'float4', 'float8', 'float', 'timetz', 'money', 'geometric', 'text_search', 'xml', 'hstore', 'vector', 'range', 'composite',
]);
const OPAQUE_KEY_BASES: ReadonlySet<string> = new Set(['macaddr', 'macaddr8', 'pg_lsn']);

/** Types whose keys a text column can hold: each value has but one spelling there, and sorts by it. */
const SPELT_KEY_BASES: ReadonlySet<string> = new Set(['int2', 'int4', 'int8', 'uuid']);

/** What a pair's key is chosen from; what is found is added to `problems` and `findings`. */
export interface KeyContext {
  /** How messages call the pair. */
  readonly table: string;
  readonly asked: readonly string[] | undefined;
  readonly rules: ReadonlyMap<string, ColumnPairRules>;
  readonly old: TableDescription;
  readonly columns: readonly PairColumn[];
  readonly problems: string[];
  readonly findings: SchemaFinding[];
}

/** Positions of the key's columns: those asked for, the primary key's, or else a unique index's whose columns are NOT NULL. */
export function keyPositions(context: KeyContext): number[] {
  const { table, asked, rules, old, columns, problems, findings } = context;
  const named = asked !== undefined && asked.length > 0 ? asked : old.primaryKey;
  const names = named.length > 0 ? named : uniqueColumns(context);
  const positions: number[] = [];
  for (const name of names) {
    const position = columns.findIndex((column) => column.name === name);
    const column = columns[position];
    if (column === undefined) {
      if (!old.columns.some((described) => described.name === name)) problems.push(`${table}: key column "${name}" does not exist in ${qualifiedName(old.table)} on old; correct key: [...]`);
      else if (!problems.some((problem) => problem.includes(`column "${name}"`))) {
        problems.push(`${table}: key column "${name}" is ignored; a key is always compared, so remove columns.${name}.ignore or choose another key`);
      }
      continue;
    }
    if (positions.includes(position)) {
      problems.push(`${table}: key names column "${name}" twice`);
      continue;
    }
    if (changesEquality(rules.get(name) ?? {})) {
      problems.push(`${table}: key column "${name}" has rules that change what is equal; a key is compared as it is, so take them out of columns.${name} or choose another key: [...]`);
      continue;
    }
    if (!canBeKey(column)) {
      problems.push(`${table}: key column "${name}" is ${column.old.type.formatted} on old and ${column.new.type.formatted} on new; rows cannot be looked up by it, choose another key: [...]`);
      continue;
    }
    const sides = (['old', 'new'] as const).filter((side) => column[side].nullable);
    if (sides.length > 0) findings.push({ severity: 'warning', message: `${table}: key column "${name}" may be NULL on ${sides.join(' and ')}; rows whose key is NULL are not compared` });
    positions.push(position);
  }
  return positions;
}

/** Columns of the unique index that stands in for a primary key; none, and a problem, where no index can. */
function uniqueColumns({ table, rules, old, columns, problems, findings }: KeyContext): readonly string[] {
  const name = qualifiedName(old.table);
  const unfit: string[] = [];
  const fit = old.uniqueIndexes.filter((index) => {
    const why = index.columns.flatMap((column) => unfitness(column, old, columns, rules)).join(', ');
    if (why !== '') unfit.push(`its unique index "${index.name}" (${index.columns.join(', ')}) is none: ${why}`);
    return why === '';
  });
  const [index] = fit.toSorted((left, right) => Number(right.isReplicaIdentity) - Number(left.isReplicaIdentity) || left.columns.length - right.columns.length);
  if (index === undefined) {
    const indexes = unfit.length === 0 ? '' : `; ${unfit.join('; ')}`;
    problems.push(`${table}: ${name} on old has no primary key${indexes}; name unique columns with key: [...]`);
    return [];
  }
  const identifies = index.isReplicaIdentity || old.replicaIdentity === 'full';
  const missing = `; its updates and deletes reach the stream only with REPLICA IDENTITY USING INDEX "${index.name}", or FULL`;
  findings.push({
    severity: identifies ? 'info' : 'warning',
    message: `${table}: ${name} on old has no primary key; its unique index "${index.name}" (${index.columns.join(', ')}) is taken as the key${identifies ? '' : missing}`,
  });
  return index.columns;
}

/** What keeps a column of a unique index from being part of a key; empty: nothing. */
function unfitness(name: string, old: TableDescription, columns: readonly PairColumn[], rules: ReadonlyMap<string, ColumnPairRules>): string[] {
  const column = columns.find((candidate) => candidate.name === name);
  // Rows whose value is NULL may be many, and are found by no key.
  if (old.columns.some((described) => described.name === name && described.nullable)) return [`"${name}" may be NULL (set it NOT NULL to use the index)`];
  if (column === undefined) return [`"${name}" is not compared`];
  if (column.new.nullable) return [`"${column.new.name}" may be NULL on new (set it NOT NULL to use the index)`];
  if (changesEquality(rules.get(name) ?? {})) return [`"${name}" has rules that change what is equal`];
  return canBeKey(column) ? [] : [`rows cannot be looked up by "${name}"`];
}

/** Whether equal canonical values are equal to the databases and back. */
function canBeKey(column: PairColumn): boolean {
  if (NO_KEY_CLASSES.has(column.valueClass)) return false;
  if (column.valueClass === 'opaque_text') return column.old.type.kind === 'base' && OPAQUE_KEY_BASES.has(column.old.type.base);
  const bases = [column.old.type.base, column.new.type.base];
  if (column.valueClass === 'padded_text') return bases.every((base) => base === 'bpchar');
  // citext finds a key in any case, and would answer with another one than was asked for.
  if (bases.includes('citext')) return false;
  if (isPlainText(column.old.type) !== isPlainText(column.new.type)) return column.valueClass === 'text' || bases.some((base) => SPELT_KEY_BASES.has(base));
  if (column.valueClass === 'boolean' || column.valueClass === 'bits' || column.valueClass === 'network') return bases[0] === bases[1];
  return true;
}

/** Says where new has no unique index of the key's columns to read rows by. */
export function checkUniqueOnNew(table: string, key: readonly number[], columns: readonly PairColumn[], neu: TableDescription, findings: SchemaFinding[]): void {
  const names = key.map((position) => columns[position]?.new.name);
  const same = [neu.primaryKey, ...neu.uniqueIndexes.map((index) => index.columns)].some((unique) => unique.length === names.length && unique.every((name) => names.includes(name)));
  if (!same && names.length > 0) findings.push({ severity: 'info', message: `${table}: the key (${names.join(', ')}) is not the primary key of ${qualifiedName(neu.table)} on new, nor that of a unique index; it needs a unique index there to be read quickly` });
}
