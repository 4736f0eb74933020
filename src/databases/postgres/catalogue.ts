import { LockstepError } from '../../domain/errors.ts';
import type { SqlType, TableDescription, TableName } from '../../domain/pair.ts';
import { qualifiedName } from '../../domain/pair.ts';
import { ROW, quoteTable } from './key-sql.ts';
import type { Sessions } from './session.ts';
import { describeTypes } from './types.ts';

const TABLE_SQL = `
SELECT c.oid::text, c.relkind::text, c.relreplident::text, c.reltuples::bigint::text,
  (SELECT string_agg(a.attname::text, chr(31) ORDER BY k.n)
   FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
   WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = i.indrelid AND k.n <= i.indnkeyatts)
FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
WHERE s.nspname = $1 AND c.relname = $2`;

/** From PostgreSQL 18 on a NOT NULL constraint may be declared before its rows are checked (`NOT VALID`). */
const COLUMNS_SQL = `
SELECT a.attname::text,
  (NOT a.attnotnull OR EXISTS (SELECT FROM pg_constraint n WHERE n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey = ARRAY[a.attnum] AND NOT n.convalidated))::text,
  a.atttypid::text, a.atttypmod::text
FROM pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`;

/** Deferrable constraints, parts of tables and expressions identify no row. */
const UNIQUE_INDEXES_SQL = `
SELECT c.relname::text, string_agg(a.attname::text, chr(31) ORDER BY k.n), i.indisreplident::text
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
JOIN pg_attribute a ON a.attnum = k.attnum
WHERE i.indrelid = $1::oid AND a.attrelid = i.indrelid AND k.n <= i.indnkeyatts
  AND i.indisunique AND NOT i.indisprimary AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY 1, 3 ORDER BY 1`;

const KEY_SEPARATOR = '\u001f';

/** Ordinary and partitioned tables: only they have rows of their own, versions and commit times. */
const TABLE_KINDS: ReadonlySet<string> = new Set(['r', 'p']);

const REPLICA_IDENTITIES: Readonly<Record<string, TableDescription['replicaIdentity']>> = { d: 'default', f: 'full', i: 'index', n: 'nothing' };

/** Describes a table from the catalogue; null where there is none of that name. @throws LockstepError `not_a_table` */
export async function describeTable(sessions: Sessions, table: TableName, signal?: AbortSignal): Promise<TableDescription | null> {
  const name = qualifiedName(table);
  const [found] = await sessions.query(TABLE_SQL, [table.schema, table.name], name, signal);
  if (found === undefined) return null;
  const [oid, kind, identity, estimate, key] = found;
  if (!TABLE_KINDS.has(kind ?? '')) {
    throw new LockstepError('not_a_table', `${name} on ${sessions.side} is no table (pg_class.relkind ${kind ?? '?'})`, {
      about: { side: sessions.side, table: name },
      hint: 'name the table that holds the rows',
    });
  }
  const columns = await sessions.query(COLUMNS_SQL, [oid ?? null], name, signal);
  const indexes = await sessions.query(UNIQUE_INDEXES_SQL, [oid ?? null], name, signal);
  const types = await describeTypes(
    sessions,
    columns.map(([, , typeId, modifier]) => ({ typeId: Number(typeId), modifier: Number(modifier) })),
    signal,
  );
  return {
    table,
    columns: columns.map(([columnName, nullable], index) => ({
      name: columnName ?? '',
      nullable: nullable === 'true',
      type: types[index] as SqlType,
    })),
    primaryKey: key == null ? [] : key.split(KEY_SEPARATOR),
    uniqueIndexes: indexes.map(([index, columnNames, isReplicaIdentity]) => ({
      name: index ?? '',
      columns: (columnNames ?? '').split(KEY_SEPARATOR),
      isReplicaIdentity: isReplicaIdentity === 'true',
    })),
    replicaIdentity: REPLICA_IDENTITIES[identity ?? ''] ?? 'default',
    estimatedRows: BigInt(estimate ?? '-1'),
  };
}

/** The type of an SQL expression over a table's columns. @throws LockstepError where the database refuses the expression */
export async function describeExpression(sessions: Sessions, table: TableName, expression: string, signal?: AbortSignal): Promise<SqlType> {
  const [field] = await sessions.resultTypes(`SELECT (${expression}\n) FROM ${quoteTable(table)} AS ${ROW} LIMIT 0`, qualifiedName(table), signal);
  const [type] = field === undefined ? [] : await describeTypes(sessions, [field], signal);
  if (type === undefined) throw new LockstepError('query_failed', `${qualifiedName(table)} on ${sessions.side}: an expression has no type`);
  return type;
}
