import type { ColumnDescription, Pair, PairColumn, TableDescription, TableName } from './pair.ts';
import { qualifiedName } from './pair.ts';
import type { ColumnPairRules } from './pairing-rules.ts';
import type { SchemaFinding } from './status.ts';
import { checkUniqueOnNew, keyPositions } from './pairing-key.ts';
import { applyRules, comparedColumn, inZone } from './pairing-rules.ts';
import { chooseClass, isUnknownType } from './values/choose.ts';

/** What configuration says about one pair; columns and key by old's column names. */
export interface PairRules {
  readonly old: TableName;
  readonly new: TableName;
  readonly key?: readonly string[];
  readonly columns?: Readonly<Record<string, ColumnPairRules>>;
  readonly where?: Pair['where'];
  readonly topic?: Pair['topic'];
}

export type PairResult =
  | { readonly kind: 'pair'; readonly pair: Pair; /** What is worth knowing and no obstacle. */ readonly findings: readonly SchemaFinding[] }
  | { readonly kind: 'problems'; /** Each says what, where and what to do. */ readonly problems: readonly string[] };

/** Makes a pair of two described tables and their rules, or says everything that stands in the way. */
export function makePair(rules: PairRules, old: TableDescription, neu: TableDescription): PairResult {
  const problems: string[] = [];
  const findings: SchemaFinding[] = [];
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
    const found = newColumns.get(newColumnName);
    if (rule?.ignore === true) {
      if (found !== undefined) taken.set(newColumnName, column.name);
      continue;
    }
    // An expression needs no column of that name.
    const counterpart = found ?? (rule?.sql === undefined ? undefined : { ...column, name: newColumnName });
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
    const compared = compareColumns(column, counterpart, rule ?? {});
    for (const problem of compared.problems) problems.push(`${table}: column "${column.name}": ${problem}`);
    for (const { severity, message } of compared.findings) findings.push({ severity, message: `${table}: column "${column.name}" ${message}` });
    if (compared.column !== null) columns.push(compared.column);
  }
  for (const column of neu.columns) {
    if (!taken.has(column.name)) findings.push({ severity: 'info', message: `${table}: column "${column.name}" of ${newName} on new has no counterpart on old and is not compared` });
  }

  const key = keyPositions({ table, asked: rules.key, rules: columnRules, old, columns, problems, findings });
  checkUniqueOnNew(table, key, columns, neu, findings);
  if (problems.length > 0) return { kind: 'problems', problems };
  return {
    kind: 'pair',
    findings,
    pair: { id: oldName, old: old.table, new: neu.table, columns, key, where: rules.where ?? {}, topic: rules.topic ?? {} },
  };
}

interface ComparedColumns {
  readonly column: PairColumn | null;
  readonly problems: readonly string[];
  /** Their messages go on after the column's name. */
  readonly findings: readonly SchemaFinding[];
}

/** Two columns and their rules, joined: the class in which they are compared, or what stands in the way. */
function compareColumns(column: ColumnDescription, counterpart: ColumnDescription, rule: ColumnPairRules): ComparedColumns {
  const findings: SchemaFinding[] = [];
  let old = comparedColumn(column, rule, 'old');
  let neu = comparedColumn(counterpart, rule, 'new');
  const choice = rule.asText === true ? ({ kind: 'class', valueClass: 'text' } as const) : chooseClass(old.type, neu.type);
  if (choice.kind === 'incompatible') {
    return { column: null, findings, problems: [`${choice.reason}; compare expressions with columns.${column.name}.sql, or set columns.${column.name}.ignore: true to leave it out`] };
  }
  const { rules, problems } = applyRules(rule, choice.valueClass, old.type, neu.type);
  const note = 'note' in choice ? choice.note : undefined;
  if (old.nullable !== neu.nullable) {
    findings.push({ severity: 'info', message: old.nullable ? 'may be NULL on old and not on new' : 'may be NULL on new and not on old' });
  }
  if (old.type.formatted !== neu.type.formatted) {
    const assumed = note === undefined ? '' : rule.zone === undefined ? `: ${note}` : `: the side without a time zone is taken as ${rule.zone}`;
    findings.push({ severity: assumed === '' ? 'info' : 'warning', message: `is ${old.type.formatted} on old and ${neu.type.formatted} on new, compared as ${choice.valueClass}${assumed}` });
  } else if (rule.asText !== true && isUnknownType(old.type)) {
    findings.push({ severity: 'warning', message: `has the type ${old.type.formatted}, which is not known: it is compared as the text that the database prints` });
  }
  if (rule.zone !== undefined) {
    old = inZone(old, rule.zone);
    neu = inZone(neu, rule.zone);
  }
  return {
    problems: problems.map((problem) => `${problem}; take it out of columns.${column.name}`),
    findings,
    column: {
      name: column.name,
      old,
      new: neu,
      valueClass: choice.valueClass,
      ...('elementClass' in choice && choice.elementClass !== undefined ? { elementClass: choice.elementClass } : {}),
      ...(rules === null ? {} : { rules }),
      sensitive: rule.sensitive === true,
    },
  };
}
