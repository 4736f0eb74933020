import pg from 'pg';

/** A column as both catalogues have it. */
interface ColumnTypes {
  readonly name: string;
  readonly old: string;
  readonly new: string;
}

/** What really differs in a row that both databases have. */
export interface PlainDifference {
  readonly key: readonly string[];
  readonly columns: readonly string[];
  /** Both values as text, by column. */
  readonly values: Readonly<Record<string, { readonly old: string | null; readonly new: string | null }>>;
}

export interface PlainComparison {
  readonly different: readonly PlainDifference[];
  readonly missing: readonly (readonly string[])[];
  readonly extra: readonly (readonly string[])[];
  readonly rows: { readonly old: number; readonly new: number };
  /** Columns that old has and new has not. */
  readonly onlyOld: readonly string[];
  /** `column: old type, new type` where the types differ. */
  readonly otherTypes: readonly string[];
}

const SETTINGS = "SET timezone = 'UTC'; SET extra_float_digits = 1; SET intervalstyle = 'postgres'; SET datestyle = 'ISO'; SET lc_monetary = 'C'";

async function withClient<Answer>(url: string, work: (client: pg.Client) => Promise<Answer>): Promise<Answer> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(SETTINGS);
    return await work(client);
  } finally {
    await client.end();
  }
}

async function typesOf(url: string, table: string): Promise<Map<string, string>> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ name: string; type: string }>(
      `SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
      [`public.${table}`],
    );
    return new Map(rows.map(({ name, type }) => [name, type]));
  });
}

/** Plain SQL that gives both columns one form where their types say the same, written by the types alone. */
function formSql(column: ColumnTypes, side: 'old' | 'new'): string {
  const quoted = `"${column.name}"`;
  const own = column[side];
  const types = [column.old, column.new];
  const some = (pattern: RegExp): boolean => types.some((type) => pattern.test(type));
  if (own === 'boolean' && some(/^bit/)) return `(CASE ${quoted} WHEN true THEN '1' WHEN false THEN '0' END)`;
  // A double is the shortest decimal that stands for it.
  if (some(/^numeric/) && some(/^double precision$/)) return `trim_scale(${quoted}::text::numeric)::text`;
  if (some(/^money$/)) return `trim_scale(${quoted}::numeric)::text`;
  if (some(/^numeric(\(\d+,\d+\))?$/)) return `trim_scale(${quoted})::text`;
  if (some(/^character\(/)) return `rtrim(${quoted}::text)`;
  if (some(/^jsonb$/)) return `${quoted}::jsonb::text`;
  return `${quoted}::text`;
}

/** Compares a table on both databases column by column, with plain SQL and without anything of the product. */
export async function comparePlainly(oldUrl: string, newUrl: string, table: string, key: readonly string[]): Promise<PlainComparison> {
  const [oldTypes, newTypes] = [await typesOf(oldUrl, table), await typesOf(newUrl, table)];
  const columns = [...oldTypes].flatMap(([name, old]): ColumnTypes[] => {
    const other = newTypes.get(name);
    return other === undefined ? [] : [{ name, old, new: other }];
  });
  const read = async (url: string, side: 'old' | 'new'): Promise<Map<string, Record<string, string | null>>> =>
    withClient(url, async (client) => {
      const { rows } = await client.query<Record<string, string | null>>(`SELECT ${columns.map((column) => `${formSql(column, side)} AS "${column.name}"`).join(', ')} FROM public.${table}`);
      return new Map(rows.map((row) => [JSON.stringify(key.map((name) => row[name])), row]));
    });
  const [left, right] = [await read(oldUrl, 'old'), await read(newUrl, 'new')];
  const different: PlainDifference[] = [];
  for (const [id, row] of left) {
    const other = right.get(id);
    if (other === undefined) continue;
    const names = columns.map(({ name }) => name).filter((name) => row[name] !== other[name]);
    if (names.length === 0) continue;
    const values = Object.fromEntries(names.map((name) => [name, { old: row[name] ?? null, new: other[name] ?? null }]));
    different.push({ key: JSON.parse(id) as string[], columns: names, values });
  }
  const keysOf = (from: Map<string, unknown>, without: Map<string, unknown>): string[][] => [...from.keys()].filter((id) => !without.has(id)).map((id) => JSON.parse(id) as string[]);
  return {
    different,
    missing: keysOf(left, right),
    extra: keysOf(right, left),
    rows: { old: left.size, new: right.size },
    onlyOld: [...oldTypes.keys()].filter((name) => !newTypes.has(name)),
    otherTypes: columns.filter(({ old, new: other }) => old !== other).map(({ name, old, new: other }) => `${name}: ${old}, ${other}`),
  };
}
