import type { ColumnDescription, Pair, PairColumn, TableDescription, TableName } from './pair.ts';
import { qualifiedName } from './pair.ts';
import { chooseClass } from './values/choose.ts';

/** What configuration says about one pair; columns and key by old's column names. */
export interface PairRules {
  readonly old: TableName;
  readonly new: TableName;
  readonly key?: readonly string[];
  readonly columns?: Readonly<Record<string, ColumnPairRules>>;
  readonly where?: Pair['where'];
  readonly topic?: Pair['topic'];
}

export interface ColumnPairRules {
  readonly ignore?: boolean;
  /** Its name on new. */
  readonly new?: string;
  readonly sensitive?: boolean;
}

export type PairResult =
  | { readonly kind: 'pair'; readonly pair: Pair; /** What is worth knowing and no obstacle. */ readonly findings: readonly string[] }
  | { readonly kind: 'problems'; /** Each says what, where and what to do. */ readonly problems: readonly string[] };

/**
 * Types whose equality is not the equality of their canonical forms, or that have none at all:
 * rows cannot be looked up by them reliably.
 */
const NO_KEY_CLASSES: ReadonlySet<string> = new Set(['json', 'array', 'interval', 'float4', 'float8', 'timetz', 'money']);
const OPAQUE_KEY_BASES: ReadonlySet<string> = new Set(['inet', 'cidr', 'macaddr', 'macaddr8', 'pg_lsn']);

/** Makes a pair of two described tables and their rules, or says everything that stands in the way. */
export function makePair(rules: PairRules, old: TableDescription, neu: TableDescription): PairResult {
  const problems: string[] = [];
  const findings: string[] = [];
  const oldName = qualifiedName(old.table);
  const newName = qualifiedName(neu.table);
  const table = oldName === newName ? oldName : `${oldName} → ${newName}`;
  const columnRules = new Map(Object.entries(rules.columns ?? {}));
  const oldColumns = new Map(old.columns.map((column) => [column.name, column]));
  const newColumns = new Map(neu.columns.map((column) => [column.name, column]));
  for (const name of columnRules.keys()) {
    if (!oldColumns.has(name)) problems.push(`${table}: the rules name column "${name}", which ${oldName} on old does not have; columns go by old's names`);
  }

  const columns: PairColumn[] = [];
  const taken = new Map<string, string>();
  for (const column of old.columns) {
    const rule = columnRules.get(column.name);
    const newColumnName = rule?.new ?? column.name;
    const counterpart = newColumns.get(newColumnName);
    if (rule?.ignore === true) {
      if (counterpart !== undefined) taken.set(newColumnName, column.name);
      continue;
    }
    if (counterpart === undefined) {
      problems.push(`${table}: column "${column.name}" has no counterpart "${newColumnName}" in ${newName} on new; name it with columns.${column.name}.new, or set columns.${column.name}.ignore: true`);
      continue;
    }
    const other = taken.get(newColumnName);
    if (other !== undefined) {
      problems.push(`${table}: columns "${other}" and "${column.name}" both go to "${newColumnName}" on new; give each its own`);
      continue;
    }
    taken.set(newColumnName, column.name);
    const choice = chooseClass(column.type, counterpart.type);
    if (choice.kind === 'incompatible') {
      problems.push(`${table}: column "${column.name}": ${choice.reason}; set columns.${column.name}.ignore: true to leave it out`);
      continue;
    }
    columns.push({ name: column.name, old: column, new: counterpart, valueClass: choice.valueClass, sensitive: rule?.sensitive === true });
    if (column.nullable !== counterpart.nullable) {
      findings.push(`${table}: column "${column.name}" ${column.nullable ? 'may be NULL on old and not on new' : 'may be NULL on new and not on old'}`);
    }
    if (column.type.formatted !== counterpart.type.formatted) {
      findings.push(`${table}: column "${column.name}" is ${column.type.formatted} on old and ${counterpart.type.formatted} on new, compared as ${choice.valueClass}`);
    }
  }
  for (const column of neu.columns) {
    if (!taken.has(column.name)) findings.push(`${table}: column "${column.name}" of ${newName} on new has no counterpart on old and is not compared`);
  }

  const key = keyPositions({ table, asked: rules.key, old, columns, oldColumns, problems });
  checkUniqueOnNew(table, key, columns, neu, findings);
  if (problems.length > 0) return { kind: 'problems', problems };
  return {
    kind: 'pair',
    findings,
    pair: { id: oldName, old: old.table, new: neu.table, columns, key, where: rules.where ?? {}, topic: rules.topic ?? {} },
  };
}

interface KeyContext {
  readonly table: string;
  readonly asked: readonly string[] | undefined;
  readonly old: TableDescription;
  readonly columns: readonly PairColumn[];
  readonly oldColumns: ReadonlyMap<string, ColumnDescription>;
  readonly problems: string[];
}

function keyPositions({ table, asked, old, columns, oldColumns, problems }: KeyContext): number[] {
  const names = asked !== undefined && asked.length > 0 ? asked : old.primaryKey;
  if (names.length === 0) {
    problems.push(`${table}: ${qualifiedName(old.table)} on old has no primary key; name unique columns with key: [...]`);
    return [];
  }
  const positions: number[] = [];
  for (const name of names) {
    const position = columns.findIndex((column) => column.name === name);
    const column = columns[position];
    if (column === undefined) {
      if (!oldColumns.has(name)) problems.push(`${table}: key column "${name}" does not exist in ${qualifiedName(old.table)} on old; correct key: [...]`);
      else if (!problems.some((problem) => problem.includes(`column "${name}"`))) {
        problems.push(`${table}: key column "${name}" is ignored; a key is always compared, so remove columns.${name}.ignore or choose another key`);
      }
      continue;
    }
    if (positions.includes(position)) {
      problems.push(`${table}: key names column "${name}" twice`);
      continue;
    }
    if (!canBeKey(column)) {
      problems.push(`${table}: key column "${name}" is ${column.old.type.formatted} on old and ${column.new.type.formatted} on new; rows cannot be looked up by it, choose another key: [...]`);
      continue;
    }
    positions.push(position);
  }
  return positions;
}

/** Whether equal canonical values are equal to the databases and back. */
function canBeKey(column: PairColumn): boolean {
  if (NO_KEY_CLASSES.has(column.valueClass)) return false;
  if (column.valueClass === 'opaque_text') return column.old.type.kind === 'base' && OPAQUE_KEY_BASES.has(column.old.type.base);
  const bases = [column.old.type.base, column.new.type.base];
  if (column.valueClass === 'padded_text') return bases.every((base) => base === 'bpchar');
  if (column.valueClass === 'boolean' || column.valueClass === 'bits') return bases[0] === bases[1];
  return true;
}

function checkUniqueOnNew(table: string, key: readonly number[], columns: readonly PairColumn[], neu: TableDescription, findings: string[]): void {
  const names = key.map((position) => columns[position]?.new.name);
  const same = neu.primaryKey.length === names.length && neu.primaryKey.every((name) => names.includes(name));
  if (!same && names.length > 0) findings.push(`${table}: the key (${names.join(', ')}) is not the primary key of ${qualifiedName(neu.table)} on new; it needs a unique index there to be read quickly`);
}
