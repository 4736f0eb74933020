import { LockstepError } from '../../domain/errors.ts';
import type { ColumnDescription, SqlType, TableDescription, TableName } from '../../domain/pair.ts';
import { qualifiedName } from '../../domain/pair.ts';
import type { Sessions, TextRow } from './session.ts';

const TABLE_SQL = `
SELECT c.oid::text, c.relkind::text, c.relreplident::text, c.reltuples::bigint::text,
  (SELECT string_agg(a.attname::text, chr(31) ORDER BY k.n)
   FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
   WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = i.indrelid AND k.n <= i.indnkeyatts)
FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
WHERE s.nspname = $1 AND c.relname = $2`;

/** Domains become what they are made of, arrays their elements, step by step. */
const COLUMNS_SQL = `
WITH RECURSIVE resolved(attnum, typid, typmod, is_array, depth) AS (
  SELECT a.attnum, a.atttypid, a.atttypmod, false, 0
  FROM pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT r.attnum,
    CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
    CASE WHEN t.typtype = 'd' AND r.typmod = -1 THEN t.typtypmod ELSE r.typmod END,
    r.is_array OR t.typtype <> 'd', r.depth + 1
  FROM resolved r JOIN pg_type t ON t.oid = r.typid
  WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0 AND t.typname NOT IN ('oidvector', 'int2vector'))
)
SELECT DISTINCT ON (r.attnum) a.attname::text, format_type(r.typid, r.typmod), t.typname::text, t.typtype::text,
  r.is_array::text, r.typmod::text, (NOT a.attnotnull)::text
FROM resolved r
JOIN pg_type t ON t.oid = r.typid
JOIN pg_attribute a ON a.attrelid = $1::oid AND a.attnum = r.attnum
ORDER BY r.attnum, r.depth DESC`;

const KEY_SEPARATOR = '\u001f';

/** Ordinary and partitioned tables: only they have rows of their own, versions and commit times. */
const TABLE_KINDS: ReadonlySet<string> = new Set(['r', 'p']);

const REPLICA_IDENTITIES: Readonly<Record<string, TableDescription['replicaIdentity']>> = { d: 'default', f: 'full', i: 'index', n: 'nothing' };
const TYPE_KINDS: Readonly<Record<string, SqlType['kind']>> = { b: 'base', e: 'enum', c: 'composite', r: 'range', m: 'multirange' };

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
  return {
    table,
    columns: columns.map(describeColumn),
    primaryKey: key == null ? [] : key.split(KEY_SEPARATOR),
    replicaIdentity: REPLICA_IDENTITIES[identity ?? ''] ?? 'default',
    estimatedRows: BigInt(estimate ?? '-1'),
  };
}

function describeColumn(row: TextRow): ColumnDescription {
  const [name, formatted, base, kind, isArray, typmod, nullable] = row;
  const array = isArray === 'true';
  return {
    name: name ?? '',
    nullable: nullable === 'true',
    type: {
      formatted: array ? `${formatted ?? ''}[]` : (formatted ?? ''),
      base: base ?? '',
      kind: TYPE_KINDS[kind ?? ''] ?? 'base',
      array,
      ...modifiers(base ?? '', Number(typmod ?? -1)),
    },
  };
}

const NONE = { precision: null, scale: null, length: null };

/** What a type modifier means (numeric.c, timestamp.c, varchar.c, varbit.c of PostgreSQL). */
export function modifiers(base: string, typmod: number): Pick<SqlType, 'precision' | 'scale' | 'length'> {
  if (typmod < 0) return NONE;
  switch (base) {
    case 'numeric':
      return { ...NONE, precision: ((typmod - 4) >> 16) & 0xffff, scale: (((typmod - 4) & 0x7ff) ^ 1024) - 1024 };
    case 'time':
    case 'timetz':
    case 'timestamp':
    case 'timestamptz':
      return { ...NONE, precision: typmod };
    case 'interval':
      return { ...NONE, precision: (typmod & 0xffff) === 0xffff ? null : typmod & 0xffff };
    case 'bpchar':
    case 'varchar':
      return { ...NONE, length: typmod - 4 };
    case 'bit':
    case 'varbit':
      return { ...NONE, length: typmod };
    default:
      return NONE;
  }
}
