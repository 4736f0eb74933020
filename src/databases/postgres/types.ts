import type { SqlType } from '../../domain/pair.ts';
import type { Sessions, TextRow } from './session.ts';

/** A type as the catalogue and result descriptions name it. */
export interface TypeReference {
  readonly typeId: number;
  /** `atttypmod`; -1 where there is none. */
  readonly modifier: number;
}

/** Composites within composites and the like; PostgreSQL itself allows no type within itself. */
const DEPTH_MAX = 16;

/** Domains become what they are made of, arrays their elements, step by step. */
const TYPES_SQL = `
WITH RECURSIVE asked(n, typid, typmod) AS (
  SELECT n, t::oid, m::int4 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS a(t, m, n)
), resolved(n, typid, typmod, is_array, depth) AS (
  SELECT n, typid, typmod, false, 0 FROM asked
  UNION ALL
  SELECT r.n,
    CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
    CASE WHEN t.typtype = 'd' AND r.typmod = -1 THEN t.typtypmod ELSE r.typmod END,
    r.is_array OR t.typtype <> 'd', r.depth + 1
  FROM resolved r JOIN pg_type t ON t.oid = r.typid
  WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0 AND t.typname NOT IN ('oidvector', 'int2vector'))
)
SELECT DISTINCT ON (r.n) format_type(r.typid, r.typmod), t.typname::text, t.typtype::text, r.is_array::text, r.typmod::text,
  (SELECT g.rngsubtype::text FROM pg_range g WHERE (to_jsonb(g) ->> CASE WHEN t.typtype = 'm' THEN 'rngmultitypid' ELSE 'rngtypid' END) = t.oid::text),
  CASE WHEN t.typtype = 'c' THEN (
    SELECT jsonb_agg(jsonb_build_array(a.attname, a.atttypid::text, a.atttypmod) ORDER BY a.attnum)::text
    FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END
FROM resolved r JOIN pg_type t ON t.oid = r.typid
ORDER BY r.n, r.depth DESC`;

const TYPE_KINDS: Readonly<Record<string, SqlType['kind']>> = { b: 'base', e: 'enum', c: 'composite', r: 'range', m: 'multirange' };

/** Describes types in the order in which they are asked for, with the types that they are made of. */
export async function describeTypes(sessions: Sessions, asked: readonly TypeReference[], signal?: AbortSignal, depth = 0): Promise<SqlType[]> {
  if (asked.length === 0) return [];
  const parameters = [asked.map(({ typeId }) => String(typeId)), asked.map(({ modifier }) => String(modifier))];
  const rows = await sessions.query(TYPES_SQL, parameters, null, signal);
  const types: SqlType[] = [];
  for (const row of rows) types.push({ ...describeOne(row), ...(depth < DEPTH_MAX ? await partsOf(sessions, row, signal, depth + 1) : {}) });
  return types;
}

function describeOne([formatted, base, kind, isArray, modifier]: TextRow): SqlType {
  const array = isArray === 'true';
  return {
    formatted: array ? `${formatted ?? ''}[]` : (formatted ?? ''),
    base: base ?? '',
    kind: TYPE_KINDS[kind ?? ''] ?? 'base',
    array,
    ...modifiers(base ?? '', Number(modifier ?? -1)),
  };
}

async function partsOf(sessions: Sessions, row: TextRow, signal: AbortSignal | undefined, depth: number): Promise<Pick<SqlType, 'subtype' | 'fields'>> {
  const subtypeId = row[5];
  const fieldsJson = row[6];
  if (subtypeId != null) {
    const [subtype] = await describeTypes(sessions, [{ typeId: Number(subtypeId), modifier: -1 }], signal, depth);
    return subtype === undefined ? {} : { subtype };
  }
  if (fieldsJson == null) return {};
  const fields = JSON.parse(fieldsJson) as [name: string, typeId: string, modifier: number][];
  const types = await describeTypes(
    sessions,
    fields.map(([, typeId, modifier]) => ({ typeId: Number(typeId), modifier })),
    signal,
    depth,
  );
  return { fields: fields.map(([name], index) => ({ name, type: types[index] as SqlType })) };
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
