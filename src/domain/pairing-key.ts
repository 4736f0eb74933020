import type { PairColumn, TableDescription } from './pair.ts';
import { qualifiedName } from './pair.ts';
import type { ColumnPairRules } from './pairing-rules.ts';
import { changesEquality } from './pairing-rules.ts';
import type { SchemaFinding } from './status.ts';
import { isApproximate } from './values/approximate.ts';
import { isPlainText } from './values/choose.ts';
import { isReadAgain } from './values/classes.ts';

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

/**
 * Positions of the key's columns: those asked for, the primary key's, or else a unique index's whose columns are NOT NULL.
 * None: the table is compared as a bag of rows.
 */
export function keyPositions(context: KeyContext): number[] {
  const { table, asked, rules, old, columns, problems, findings } = context;
  const named = asked !== undefined && asked.length > 0 ? asked : usablePrimaryKey(context);
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

/** The primary key's columns; none where rows cannot be looked up by one of them. */
function usablePrimaryKey({ old, columns }: KeyContext): readonly string[] {
  return unusable(old, columns).length === 0 ? old.primaryKey : [];
}

/** Columns of the primary key by which rows cannot be looked up. */
function unusable({ primaryKey }: TableDescription, columns: readonly PairColumn[]): readonly PairColumn[] {
  return columns.filter((column) => primaryKey.includes(column.name) && !canBeKey(column));
}

/** Columns of the unique index that stands in for a primary key; none where no index can. */
function uniqueColumns(context: KeyContext): readonly string[] {
  const { table, rules, old, columns, findings } = context;
  const unfit: string[] = [];
  const fit = old.uniqueIndexes.filter((index) => {
    const why = index.columns.flatMap((column) => unfitness(column, old, columns, rules)).join(', ');
    if (why !== '') unfit.push(`its unique index "${index.name}" (${index.columns.join(', ')}) is none: ${why}`);
    return why === '';
  });
  const unusableNames = unusable(old, columns).map(({ name }) => `"${name}"`);
  const lacks = `${table}: ${qualifiedName(old.table)} on old has no primary key${unusableNames.length === 0 ? '' : ` by which rows can be looked up (${unusableNames.join(', ')})`}`;
  const [index] = fit.toSorted((left, right) => Number(right.isReplicaIdentity) - Number(left.isReplicaIdentity) || left.columns.length - right.columns.length);
  if (index === undefined) {
    compareAsBag(context, [lacks, ...unfit].join('; '));
    return [];
  }
  const identifies = index.isReplicaIdentity || old.replicaIdentity === 'full';
  const missing = `; its updates and deletes reach the stream only with REPLICA IDENTITY USING INDEX "${index.name}", or FULL`;
  findings.push({
    severity: identifies ? 'info' : 'warning',
    message: `${lacks}; its unique index "${index.name}" (${index.columns.join(', ')}) is taken as the key${identifies ? '' : missing}`,
  });
  return index.columns;
}

/** What a bag of rows cannot tell. */
const BAG_LIMITS =
  'a bag comparison counts the copies of each distinct row: it cannot tell which columns of a changed row differ (one row is missing and another extra) nor which of several equal rows, ' +
  'and only full sweeps look at it: changes since the last one began are not verified';

/** Without a key rows are known by their hashes, which must be equal for all equal rows. */
function compareAsBag({ columns, problems, findings }: KeyContext, lacks: string): void {
  const varying = columns.filter((column) => isApproximate(column.rules) || (isReadAgain(column) && !isPrintedAlike(column)));
  if (varying.length > 0) {
    const names = varying.map(({ name }) => `"${name}"`).join(', ');
    problems.push(`${lacks}; nor can it be compared as a bag of rows, as equal values of ${names} may have different hashes; name unique columns with key: [...], or set columns.NAME.ignore: true`);
    return;
  }
  const spelt = columns.filter(isReadAgain).map(({ name }) => `"${name}"`);
  const strict = spelt.length === 0 ? '' : `; values of ${spelt.join(', ')} that are equal but written differently (1.50 and 1.5) count as different`;
  findings.push({ severity: 'warning', message: `${lacks}; it is compared as a bag of rows: ${BAG_LIMITS}${strict}; name unique columns with key: [...] where there are any` });
}

/** Whether both sides print a value in the same way, so that only what was written differently has different hashes. */
function isPrintedAlike({ old, new: neu, rules }: PairColumn): boolean {
  return old.type.formatted === neu.type.formatted && rules?.foldCase !== true;
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
