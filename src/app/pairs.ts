import type { Config, TableConfig } from '../config/config.ts';
import { PostgresDatabase } from '../databases/postgres/database.ts';
import { LockstepError } from '../domain/errors.ts';
import { qualifiedName, type Pair, type Side, type SqlType, type TableDescription } from '../domain/pair.ts';
import type { SchemaFinding } from '../domain/status.ts';
import type { Clock } from '../verify/ports.ts';
import { makePair, type PairRules } from '../domain/pairing.ts';
import type { ColumnPairRules } from '../domain/pairing-rules.ts';

const NEVER = new AbortController().signal;

/** Both databases and what is compared between them. */
export interface PairedDatabases {
  readonly databases: Readonly<Record<Side, PostgresDatabase>>;
  readonly pairs: readonly Pair[];
  /** What is worth knowing of a pair and no obstacle, by `Pair.id`. */
  readonly findings: ReadonlyMap<string, readonly SchemaFinding[]>;
  readonly replicaIdentity: ReadonlyMap<string, Readonly<Record<Side, TableDescription['replicaIdentity']>>>;
  close(): Promise<void>;
}

/**
 * Connects to both databases and makes the pairs.
 * @param tables old's qualified names; empty: all configured
 * Rejects with `pairs_invalid` when a table, key or column does not fit, with what to do about each.
 */
export async function pairDatabases(
  config: Config,
  tables: readonly string[],
  clock: Clock,
  warn: (message: string) => void,
): Promise<PairedDatabases> {
  const open = (side: Side): PostgresDatabase =>
    new PostgresDatabase({ ...config.databases[side], side, nowUs: () => clock.nowUs(), onWarning: (message) => warn(`${side}: ${message}`) });
  const databases = { old: open('old'), new: open('new') };
  const close = async (): Promise<void> => {
    await Promise.all([databases.old.close(), databases.new.close()]);
  };
  try {
    const wanted = config.tables.filter((table) => tables.length === 0 || tables.includes(qualifiedName(table.old)));
    const pairs: Pair[] = [];
    const problems: string[] = [];
    const findings = new Map<string, readonly SchemaFinding[]>();
    const replicaIdentity = new Map<string, Readonly<Record<Side, TableDescription['replicaIdentity']>>>();
    for (const table of wanted) {
      const [old, neu] = await Promise.all([databases.old.describeTable(table.old), databases.new.describeTable(table.new)]);
      if (old === null) problems.push(`old has no table ${qualifiedName(table.old)}: check \`tables[].old\``);
      if (neu === null) problems.push(`new has no table ${qualifiedName(table.new)}: check \`tables[].new\``);
      if (old === null || neu === null) continue;
      const made = makePair(await rulesOf(table, databases, problems), old, neu);
      switch (made.kind) {
        case 'pair':
          problems.push(...(await unreadable(databases, made.pair)));
          pairs.push(made.pair);
          findings.set(made.pair.id, made.findings);
          replicaIdentity.set(made.pair.id, { old: old.replicaIdentity, new: neu.replicaIdentity });
          break;
        case 'problems':
          problems.push(...made.problems);
          break;
      }
    }
    if (problems.length > 0) throw new LockstepError('pairs_invalid', problems.join('\n'));
    return { databases, pairs, findings, replicaIdentity, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Reads no row of a pair by the statement that rechecks use: rights, row filters and columns are tried before anything begins. */
async function unreadable(databases: PairedDatabases['databases'], pair: Pair): Promise<string[]> {
  const read = async (side: Side): Promise<string[]> => {
    try {
      await databases[side].readRows(pair, [], NEVER);
      return [];
    } catch (error) {
      // A table that is being altered just now says nothing about our rights.
      if (error instanceof LockstepError && error.code === 'lock_timeout') return [];
      if (!(error instanceof LockstepError) || error.retry === 'retry') throw error;
      return [error.hint === null ? error.message : `${error.message}; ${error.hint}`];
    }
  };
  return (await Promise.all([read('old'), read('new')])).flat();
}

/** Makes the rules of one pair; expressions get their types from the databases. Problems are told, all of them. */
async function rulesOf(table: TableConfig, databases: PairedDatabases['databases'], problems: string[]): Promise<PairRules> {
  const columns: Record<string, ColumnPairRules> = {};
  for (const [name, rule] of table.columns) {
    const sqlTypes = rule.sql === null || rule.ignore ? null : await expressionTypes(table, name, rule.sql, databases, problems);
    columns[name] = {
      ignore: rule.ignore,
      sensitive: rule.sensitive,
      foldCase: rule.case === 'insensitive',
      trim: rule.trim,
      asText: rule.as === 'text',
      ...(rule.new === null ? {} : { new: rule.new }),
      ...(rule.precision === null ? {} : { precision: rule.precision }),
      ...(rule.tolerance === null ? {} : { tolerance: String(rule.tolerance) }),
      ...(rule.zone === null ? {} : { zone: rule.zone }),
      ...(rule.sql === null || sqlTypes === null ? {} : { sql: rule.sql, sqlTypes }),
    };
  }
  return {
    old: table.old,
    new: table.new,
    columns,
    where: table.where,
    topic: table.topic,
    ...(table.key === null ? {} : { key: table.key }),
  };
}

/** Types of both sides' expressions; null where a database refuses one. */
async function expressionTypes(
  table: TableConfig,
  column: string,
  sql: Readonly<Record<Side, string>>,
  databases: PairedDatabases['databases'],
  problems: string[],
): Promise<Readonly<Record<Side, SqlType>> | null> {
  const describe = async (side: Side): Promise<SqlType | null> => {
    try {
      return await databases[side].describeExpression(table[side], sql[side]);
    } catch (error) {
      if (!(error instanceof LockstepError) || error.retry === 'retry') throw error;
      problems.push(`${qualifiedName(table.old)}: column "${column}": sql.${side}: ${error.message}`);
      return null;
    }
  };
  const [old, neu] = await Promise.all([describe('old'), describe('new')]);
  return old === null || neu === null ? null : { old, new: neu };
}
