import type { Side } from '../../../src/domain/pair.ts';

/** A table as both sides have it, and what fills it. Column `v` is text, `w` a number or NULL. */
export interface Shape {
  readonly name: string;
  readonly key: readonly string[];
  readonly create: Readonly<Record<Side, string>>;
  /** Fills it; rows beside the wanted ones are only seen where `where` fails. */
  readonly seed: (side: Side) => string;
  /** Sets for an UPDATE: some rows get another text, the others lose their number. */
  readonly change: string;
  readonly where?: string;
  /** What is run after rows were planted. */
  readonly after?: string;
}

const CHANGE = `v = CASE WHEN w % 2 = 0 THEN v ELSE v || '!' END, w = CASE WHEN w % 2 = 0 THEN NULL ELSE w END`;

interface Simple {
  readonly type: string;
  readonly newType?: string;
  /** The key of row `i`. */
  readonly keyOf: string;
  readonly rows: number;
  readonly statistics?: 'fresh' | 'none';
}

/** A table with one key column. */
export function simple(name: string, { type, newType = type, keyOf, rows, statistics = 'fresh' }: Simple): Shape {
  const create = (keyType: string): string => `CREATE TABLE ${name} (id ${keyType} PRIMARY KEY, v text, w int);`;
  return {
    name,
    key: ['id'],
    create: { old: create(type), new: create(newType) },
    seed: () => `INSERT INTO ${name} SELECT ${keyOf}, 'value ' || i, i FROM generate_series(1, ${rows}) i;`,
    change: CHANGE,
    ...(statistics === 'fresh' ? { after: `ANALYZE ${name};` } : {}),
  };
}

/** The tables that a sweep has to part, of so many rows each. */
export function shapes(rows: number): readonly Shape[] {
  const series = `FROM generate_series(1, ${rows}) i;`;
  const columns = 'v text, w int';
  const both = (sql: string): Shape['create'] => ({ old: sql, new: sql });
  return [
    simple('by_bigint', { type: 'bigint', keyOf: 'i', rows }),
    simple('by_uuid', { type: 'uuid', keyOf: 'md5(i::text)::uuid', rows }),
    simple('by_text', { type: 'text', keyOf: `CASE i WHEN 1 THEN '' ELSE (ARRAY['a', 'A', 'ä', 'Ä', 'Z', 'z-', '_', ' ', 'é', 'e'])[1 + i % 10] || i / 10 END`, rows }),
    simple('by_text_unanalyzed', { type: 'varchar(40)', keyOf: `(ARRAY['b-', 'B', 'ß', 'ss', 'o', 'Ö'])[1 + i % 6] || i / 6`, rows, statistics: 'none' }),
    simple('by_numeric', { type: 'numeric', keyOf: 'trim_scale((i - 300) * 0.37)', rows }),
    simple('by_timestamp', { type: 'timestamp', keyOf: `timestamp '1970-01-01' + (i - 300) * interval '1 hour 1 microsecond'`, rows }),
    simple('by_negative', { type: 'bigint', keyOf: '-i * 3', rows }),
    simple('with_gaps', { type: 'bigint', keyOf: '(i - 300) * 1000000000000000', rows }),
    simple('beyond_doubles', { type: 'bigint', keyOf: '9007199254740992 + i', rows }),
    simple('int64_ends', { type: 'bigint', keyOf: `CASE WHEN i <= ${rows / 2} THEN -9223372036854775808 + (i - 1) ELSE 9223372036854775807 - (${rows} - i) END`, rows }),
    simple('int_and_bigint', { type: 'int', newType: 'bigint', keyOf: 'i - 300', rows }),
    simple('uuid_and_text', { type: 'uuid', newType: 'text', keyOf: 'md5(i::text)::uuid', rows }),
    simple('unanalyzed', { type: 'bigint', keyOf: 'i * 7', rows, statistics: 'none' }),
    {
      ...simple('analyzed_before_load', { type: 'bigint', keyOf: 'i', rows, statistics: 'none' }),
      seed: () => `INSERT INTO analyzed_before_load SELECT i, 'value ' || i, i FROM generate_series(290, 310) i; ANALYZE analyzed_before_load;
        INSERT INTO analyzed_before_load SELECT i, 'value ' || i, i FROM generate_series(1, ${rows}) i WHERE i NOT BETWEEN 290 AND 310;`,
    },
    {
      ...simple('distinct_lie', { type: 'bigint', keyOf: 'i', rows }),
      create: both('CREATE TABLE distinct_lie (id bigint PRIMARY KEY, v text, w int); ALTER TABLE distinct_lie ALTER id SET (n_distinct = 2);'),
    },
    {
      name: 'by_composite',
      key: ['tenant', 'id', 'code'],
      create: both(`CREATE TABLE by_composite (tenant int, id bigint, code text, ${columns}, PRIMARY KEY (tenant, id, code));`),
      seed: () => `INSERT INTO by_composite SELECT i % 7 - 3, i / 20, (ARRAY['a', 'A', 'ä', '', '_'])[1 + i % 5] || i % 20, 'value ' || i, i ${series}`,
      change: CHANGE,
      after: 'ANALYZE by_composite;',
    },
    ...(['old', 'new'] as const).map((partitioned): Shape => {
      const name = `partitioned_${partitioned}`;
      const plain = `CREATE TABLE ${name} (id bigint PRIMARY KEY, ${columns});`;
      const parts = [0, 1, 2].map((part) => `CREATE TABLE ${name}_${part} PARTITION OF ${name} FOR VALUES WITH (MODULUS 3, REMAINDER ${part});`);
      const parted = `CREATE TABLE ${name} (id bigint PRIMARY KEY, ${columns}) PARTITION BY HASH (id); ${parts.join(' ')}`;
      return {
        name,
        key: ['id'],
        create: { old: partitioned === 'old' ? parted : plain, new: partitioned === 'new' ? parted : plain },
        seed: () => `INSERT INTO ${name} SELECT i, 'value ' || i, i ${series}`,
        change: CHANGE,
        after: `ANALYZE ${name};`,
      };
    }),
    {
      name: 'inherited',
      key: ['id'],
      create: {
        old: `CREATE TABLE inherited (id bigint PRIMARY KEY, ${columns}); CREATE TABLE inherited_child (PRIMARY KEY (id)) INHERITS (inherited);`,
        new: `CREATE TABLE inherited (id bigint PRIMARY KEY, ${columns});`,
      },
      seed: (side) => `INSERT INTO inherited SELECT i, 'value ' || i, i FROM generate_series(1, ${rows}) i ${side === 'old' ? 'WHERE i % 2 = 0' : ''};
        ${side === 'old' ? `INSERT INTO inherited_child SELECT i, 'value ' || i, i FROM generate_series(1, ${rows}) i WHERE i % 2 = 1;` : ''}`,
      change: CHANGE,
      after: 'ANALYZE inherited;',
    },
    {
      ...simple('filtered', { type: 'bigint', keyOf: 'i', rows }),
      seed: (side) => `INSERT INTO filtered SELECT i, 'value ' || i, i ${series} INSERT INTO filtered SELECT ${rows} + i, 'of ${side} alone', -i ${series}`,
      where: 'w IS NULL OR w > 0',
    },
    {
      ...simple('wide', { type: 'bigint', keyOf: 'i', rows }),
      create: both('CREATE TABLE wide (id bigint PRIMARY KEY, v text, w int); ALTER TABLE wide ALTER v SET STORAGE EXTERNAL;'),
      seed: () => `INSERT INTO wide SELECT i, repeat('value ' || i, 400), i ${series}`,
    },
    {
      ...simple('altered', { type: 'bigint', keyOf: 'i', rows }),
      create: {
        old: `CREATE TABLE altered (gone int, id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ${columns}, g int GENERATED ALWAYS AS (w * 2) STORED); ALTER TABLE altered DROP gone;`,
        new: `CREATE TABLE altered (${columns}, lost text, g int GENERATED ALWAYS AS (w * 2) STORED, id bigint PRIMARY KEY); ALTER TABLE altered DROP lost;`,
      },
      seed: () => `INSERT INTO altered (id, v, w) OVERRIDING SYSTEM VALUE SELECT i, 'value ' || i, i ${series}`,
    },
  ];
}
