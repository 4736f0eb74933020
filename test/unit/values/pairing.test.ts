import { describe, expect, it } from 'vitest';
import type { ColumnDescription, SqlType, TableDescription, UniqueIndex } from '../../../src/domain/pair.ts';
import { makePair } from '../../../src/domain/pairing.ts';
import type { PairRules } from '../../../src/domain/pairing.ts';
import { chooseClass } from '../../../src/domain/values/choose.ts';
import { sqlType } from './types.ts';

function column(name: string, type: SqlType, nullable = false): ColumnDescription {
  return { name, type, nullable };
}

function table(schema: string, columns: ColumnDescription[], primaryKey: string[] = ['id'], uniqueIndexes: readonly UniqueIndex[] = []): TableDescription {
  return { table: { schema, name: 'payments' }, columns, primaryKey, uniqueIndexes, replicaIdentity: 'default', estimatedRows: 5n };
}

function make(old: ColumnDescription[], neu: ColumnDescription[], rules: Partial<PairRules> = {}, key?: string[]): { columns?: string[]; key?: readonly number[]; problems: readonly string[] } {
  const names = { old: { schema: 'public', name: 'payments' }, new: { schema: 'billing', name: 'payments' } };
  const made = makePair({ ...names, ...rules }, table('public', old, key), table('billing', neu, key));
  if (made.kind === 'problems') return { problems: made.problems };
  return { columns: made.pair.columns.map((each) => `${each.old.name}>${each.new.name}:${each.valueClass}`), key: made.pair.key, problems: [] };
}

const id = column('id', sqlType('int8'));

describe('classes of two types', () => {
  it.each([
    ['int4', 'int8', 'integer'],
    ['int4', 'numeric', 'decimal'],
    ['text', 'varchar', 'text'],
    ['text', 'bpchar', 'padded_text'],
    ['json', 'jsonb', 'json'],
    ['bit', 'bool', 'boolean'],
    ['inet', 'cidr', 'network'],
    ['int8', 'text', 'decimal'],
    ['numeric', 'varchar', 'decimal'],
    ['numeric', 'float8', 'decimal'],
    ['money', 'numeric', 'decimal'],
    ['float4', 'float8', 'float'],
    ['uuid', 'text', 'uuid'],
    ['jsonb', 'text', 'json'],
    ['timestamp', 'timestamptz', 'instant'],
    ['date', 'timestamp', 'timestamp'],
    ['bool', 'int2', 'boolean'],
    ['bit', 'int4', 'boolean'],
    ['bool', 'text', 'boolean'],
    ['hstore', 'jsonb', 'hstore'],
    ['tsvector', 'text', 'text_search'],
    ['pg_lsn', 'text', 'opaque_text'],
  ])('%s and %s are compared as %s', (old, neu, valueClass) => {
    expect(chooseClass(sqlType(old), sqlType(neu))).toMatchObject({ kind: 'class', valueClass });
    expect(chooseClass(sqlType(neu), sqlType(old))).toMatchObject({ kind: 'class', valueClass });
  });

  it.each([
    ['time', 'timetz', 'zone'],
    ['uuid', 'int8', 'common form'],
    ['inet', 'macaddr', 'common form'],
    ['pg_lsn', 'tid', 'common form'],
    ['numeric', 'timestamp', 'common form'],
  ])('%s and %s are not', (old, neu, why) => {
    expect(chooseClass(sqlType(old), sqlType(neu))).toMatchObject({ kind: 'incompatible', reason: expect.stringContaining(why) as unknown });
  });

  it('enums are their labels; arrays go by their elements', () => {
    expect(chooseClass(sqlType('mood', { kind: 'enum' }), sqlType('text'))).toEqual({ kind: 'class', valueClass: 'text' });
    expect(chooseClass(sqlType('int4', { array: true }), sqlType('int8', { array: true }))).toEqual({ kind: 'class', valueClass: 'array', elementClass: 'integer' });
    expect(chooseClass(sqlType('int4', { array: true }), sqlType('int4')).kind).toBe('incompatible');
    expect(chooseClass(sqlType('text', { array: true }), sqlType('bpchar', { array: true }))).toEqual({ kind: 'class', valueClass: 'array', elementClass: 'padded_text' });
    expect(chooseClass(sqlType('uuid', { array: true }), sqlType('int8', { array: true })).kind).toBe('incompatible');
    expect(chooseClass(sqlType('int4', { array: true }), sqlType('text'))).toEqual({ kind: 'class', valueClass: 'array', elementClass: 'integer' });
  });
});

describe('pairs', () => {
  it('join columns by name or by rule, and find the key', () => {
    const made = make([column('amount', sqlType('numeric')), id, column('note', sqlType('text'))], [id, column('sum', sqlType('numeric')), column('more', sqlType('text'))], {
      columns: { amount: { new: 'sum' }, note: { ignore: true } },
    });
    expect(made).toEqual({ columns: ['amount>sum:decimal', 'id>id:integer'], key: [1], problems: [] });
  });

  it('keep the key’s order', () => {
    expect(make([id, column('tenant', sqlType('int4'))], [column('tenant', sqlType('int4')), id], {}, ['tenant', 'id']).key).toEqual([1, 0]);
  });

  it.each<[string, ColumnDescription[], ColumnDescription[], Partial<PairRules>, string[] | undefined, RegExp]>([
    ['no counterpart', [id, column('a', sqlType('text'))], [id], {}, undefined, /column "a" has no counterpart.*ignore: true/],
    ['two to one', [id, column('a', sqlType('text')), column('b', sqlType('text'))], [id, column('b', sqlType('text'))], { columns: { a: { new: 'b' } } }, undefined, /both go to "b"/],
    ['unknown key', [id], [id], { key: ['x'] }, undefined, /key column "x" does not exist/],
    ['ignored key', [id, column('a', sqlType('text'))], [id, column('a', sqlType('text'))], { columns: { id: { ignore: true } } }, undefined, /key column "id" is ignored/],
    ['json key', [column('id', sqlType('jsonb'))], [column('id', sqlType('jsonb'))], { key: ['id'] }, undefined, /cannot be looked up/],
    ['unknown rule', [id], [id], { columns: { nope: { sensitive: true } } }, undefined, /name column "nope"/],
    ['types', [id, column('a', sqlType('uuid'))], [id, column('a', sqlType('timestamptz'))], {}, undefined, /uuid on old and timestamptz on new.*sql/],
    ['a rule that fits no text', [id, column('a', sqlType('text'))], [id, column('a', sqlType('text'))], { columns: { a: { precision: 'ms' } } }, undefined, /precision: is for times/],
    ['a tolerance for text', [id, column('a', sqlType('numeric'))], [id, column('a', sqlType('text'))], { columns: { a: { tolerance: '0.1' } } }, undefined, /tolerance: is for numbers/],
    ['a zone for numbers', [id, column('a', sqlType('numeric'))], [id, column('a', sqlType('numeric'))], { columns: { a: { zone: 'UTC' } } }, undefined, /zone: is for a timestamp/],
    ['rules on the key', [column('id', sqlType('text'))], [column('id', sqlType('text'))], { columns: { id: { foldCase: true } } }, undefined, /key column "id" has rules/],
  ])('say what stands in the way: %s', (_what, old, neu, rules, key, message) => {
    const { problems } = make(old, neu, rules, key);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(message);
  });
});

describe('a table without a primary key', () => {
  const columns = [column('tenant', sqlType('int4')), column('no', sqlType('int8')), column('code', sqlType('text'), true), column('at', sqlType('float8'))];
  const names = { schema: 'public', name: 'payments' };
  const unique = (name: string, of: string[], isReplicaIdentity = false): UniqueIndex => ({ name, columns: of, isReplicaIdentity });
  const keyless = (indexes: readonly UniqueIndex[], more: Partial<TableDescription> = {}): ReturnType<typeof makePair> => {
    const description = { ...table('public', columns, [], indexes), ...more };
    return makePair({ old: names, new: names }, description, description);
  };

  it('is known by a unique index whose columns are NOT NULL, which a finding names', () => {
    const made = keyless([unique('by_code', ['code']), unique('by_no', ['tenant', 'no'])], { replicaIdentity: 'full' });
    expect(made).toMatchObject({ kind: 'pair', pair: { key: [0, 1] } });
    expect(made.kind === 'pair' && made.findings).toEqual([
      { severity: 'info', message: 'public.payments: public.payments on old has no primary key; its unique index "by_no" (tenant, no) is taken as the key' },
    ]);
  });

  it('is known by the index that is its replica identity before all others, else by the shortest', () => {
    const both = [unique('by_no', ['no']), unique('by_tenant', ['tenant', 'no'], true)];
    expect(keyless(both, { replicaIdentity: 'index' })).toMatchObject({ kind: 'pair', pair: { key: [0, 1] }, findings: [{ severity: 'info' }] });
    expect(keyless(both.map((index) => ({ ...index, isReplicaIdentity: false })))).toMatchObject({
      kind: 'pair',
      pair: { key: [1] },
      findings: [{ severity: 'warning', message: expect.stringContaining('only with REPLICA IDENTITY USING INDEX "by_no", or FULL') as unknown }],
    });
  });

  it('is a bag of rows where no unique index can be the key, of each of which it says why', () => {
    const made = keyless([unique('by_at', ['at']), unique('by_code', ['tenant', 'code'])]);
    expect(made).toMatchObject({ kind: 'pair', pair: { key: [] } });
    expect(made.kind === 'pair' && made.findings).toEqual([
      {
        severity: 'warning',
        message: expect.stringContaining(
          'public.payments: public.payments on old has no primary key; its unique index "by_at" (at) is none: rows cannot be looked up by "at"; its unique index "by_code" (tenant, code) is none: "code" may be NULL (set it NOT NULL to use the index); it is compared as a bag of rows: ',
        ) as unknown,
      },
    ]);
  });

  it('is a bag of rows where rows cannot be looked up by the primary key, and no unique index helps', () => {
    expect(keyless([], { primaryKey: ['tenant', 'at'] })).toMatchObject({
      kind: 'pair',
      pair: { key: [] },
      findings: [{ severity: 'warning', message: expect.stringContaining('has no primary key by which rows can be looked up ("at"); it is compared as a bag of rows') as unknown }],
    });
    expect(keyless([unique('by_no', ['no'])], { primaryKey: ['at'] })).toMatchObject({ kind: 'pair', pair: { key: [1] } });
  });

  it('is no bag of rows where equal values may have different hashes', () => {
    const bag = (old: ColumnDescription, neu = old, rules: NonNullable<PairRules['columns']> = {}): ReturnType<typeof makePair> => makePair({ old: names, new: names, columns: rules }, table('public', [old], []), table('public', [neu], []));
    const refused = { kind: 'problems', problems: [expect.stringMatching(/nor can it be compared as a bag of rows, as equal values of "v" may have different hashes; name unique columns with key/)] };
    expect(bag(column('v', sqlType('numeric')), undefined, { v: { tolerance: '0.1' } })).toMatchObject(refused);
    expect(bag(column('v', sqlType('timestamptz')), undefined, { v: { precision: 'ms' } })).toMatchObject(refused);
    expect(bag(column('v', sqlType('text')), undefined, { v: { foldCase: true } })).toMatchObject(refused);
    expect(bag(column('v', sqlType('uuid')), column('v', sqlType('text')))).toMatchObject(refused);
    expect(bag(column('v', sqlType('jsonb')))).toMatchObject({ kind: 'pair', findings: [{ message: expect.stringContaining('values of "v" that are equal but written differently (1.50 and 1.5) count as different') as unknown }] });
    expect(bag(column('v', sqlType('int4')), column('v', sqlType('int8')))).toMatchObject({ kind: 'pair', pair: { key: [] } });
  });

  it('has no key in an index whose columns may be NULL on new, and a key that is named says so', () => {
    const [tenant, no, ...others] = columns as [ColumnDescription, ColumnDescription, ...ColumnDescription[]];
    const old = table('public', columns, [], [unique('by_no', ['no'])]);
    const neu = table('public', [tenant, { ...no, nullable: true }, ...others], []);
    expect(makePair({ old: names, new: names }, old, neu)).toMatchObject({ kind: 'pair', pair: { key: [] }, findings: expect.arrayContaining([{ severity: 'warning', message: expect.stringContaining('"no" may be NULL on new') as unknown }]) as unknown });
    const made = makePair({ old: names, new: names, key: ['no'] }, old, neu);
    expect(made.kind === 'pair' && made.findings).toContainEqual({ severity: 'warning', message: 'public.payments: key column "no" may be NULL on new; rows whose key is NULL are not compared' });
  });

  it('goes by the key that is named, whatever indexes there are', () => {
    const description = table('public', columns, [], [unique('by_no', ['no'])]);
    expect(makePair({ old: names, new: names, key: ['tenant', 'no'] }, description, description)).toMatchObject({ kind: 'pair', pair: { key: [0, 1] } });
  });
});
