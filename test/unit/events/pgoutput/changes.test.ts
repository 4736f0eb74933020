import { describe, expect, test } from 'vitest';
import type { ColumnDescription, Pair, PairColumn } from '../../../../src/domain/pair.ts';
import type { ValueClassName } from '../../../../src/domain/values/names.ts';
import { ChangeDecoder } from '../../../../src/events/postgres/changes.ts';
import type { ChangeMessage } from '../../../../src/events/postgres/changes.ts';
import type { RelationMessage } from '../../../../src/events/postgres/pgoutput.ts';

function described(name: string, base: string): ColumnDescription {
  return { name, nullable: true, type: { formatted: base, base, kind: 'base', array: false, precision: null, scale: null, length: null } };
}
function column(name: string, base: string, valueClass: ValueClassName): PairColumn {
  return { name, old: described(name, base), new: described(`new_${name}`, base), valueClass, sensitive: false };
}

const pair: Pair = {
  id: 'public.t',
  old: { schema: 'public', name: 't' },
  new: { schema: 'other', name: 'u' },
  columns: [column('id', 'int8', 'integer'), column('note', 'text', 'text'), column('amount', 'int8', 'integer')],
  key: [0],
  where: {},
  topic: {},
};
const transaction = { commitLsn: 1000n, committedAtUs: 77n, txId: '9' };

function relation(names: readonly string[], identity: readonly string[] = ['id'], at: { schema: string; name: string } = pair.old): RelationMessage {
  return {
    type: 'relation',
    relationId: 5,
    ...at,
    replicaIdentity: 'd',
    columns: names.map((name) => ({ identity: identity.includes(name), name, typeOid: 20, typeModifier: -1 })),
  };
}

function decode(message: ChangeMessage, described_: RelationMessage = relation(['id', 'note', 'amount'])): readonly unknown[] {
  const decoder = new ChangeDecoder('old', 'postgres:s', [pair]);
  decoder.relation(described_);
  return decoder.decode(message, transaction, 500n, Buffer.from('raw'));
}

const shared = {
  type: 'row',
  pair,
  side: 'old',
  committedAtUs: 77n,
  snapshot: 'none',
  position: { topic: 'postgres:s', partition: 0, offset: '1001', lsn: 500n, txId: '9' },
};

describe('row changes from pgoutput', () => {
  test('columns are matched by name; unknown ones are skipped and absent ones unknown', () => {
    const shuffled = relation(['extra', 'amount', 'id']);
    expect(decode({ type: 'insert', relationId: 5, row: ['x', '3', '1'] }, shuffled)).toEqual([
      { ...shared, op: 'create', key: ['1'], image: ['1', undefined, '3'], before: null },
    ]);
  });

  test('int64 is exact and NULL is not an empty text', () => {
    expect(decode({ type: 'insert', relationId: 5, row: ['9223372036854775807', '', null] })).toEqual([
      { ...shared, op: 'create', key: ['9223372036854775807'], image: ['9223372036854775807', '', null], before: null },
    ]);
  });

  test('a left-out value is unknown, and taken from the old row where that is whole', () => {
    expect(decode({ type: 'update', relationId: 5, old: null, row: ['1', undefined, '3'] })).toEqual([
      { ...shared, op: 'update', key: ['1'], image: ['1', undefined, '3'], before: null },
    ]);
    expect(decode({ type: 'update', relationId: 5, old: { kind: 'row', values: ['1', 'big', '2'] }, row: ['1', undefined, '3'] })).toEqual([
      { ...shared, op: 'update', key: ['1'], image: ['1', 'big', '3'], before: ['1', 'big', '2'] },
    ]);
  });

  test('a changed key is a delete and a create', () => {
    expect(decode({ type: 'update', relationId: 5, old: { kind: 'key', values: ['1', null, null] }, row: ['2', undefined, '3'] })).toEqual([
      { ...shared, op: 'delete', key: ['1'], image: null, before: null },
      { ...shared, op: 'create', key: ['2'], image: ['2', undefined, '3'], before: null },
    ]);
    expect(decode({ type: 'update', relationId: 5, old: { kind: 'row', values: ['1', 'a', '3'] }, row: ['2', 'a', '3'] })).toEqual([
      { ...shared, op: 'delete', key: ['1'], image: null, before: ['1', 'a', '3'] },
      { ...shared, op: 'create', key: ['2'], image: ['2', 'a', '3'], before: null },
    ]);
  });

  test('a delete tells the row before only where the identity is the whole row', () => {
    expect(decode({ type: 'delete', relationId: 5, old: { kind: 'key', values: ['1', null, null] } })).toEqual([
      { ...shared, op: 'delete', key: ['1'], image: null, before: null },
    ]);
    expect(decode({ type: 'delete', relationId: 5, old: { kind: 'row', values: ['1', 'a', null] } })).toEqual([
      { ...shared, op: 'delete', key: ['1'], image: null, before: ['1', 'a', null] },
    ]);
  });

  test('a missing key column and a value of another type are undecodable, without the value', () => {
    const [noKey] = decode({ type: 'insert', relationId: 5, row: ['a'] }, relation(['note'])) as [Record<string, unknown>];
    expect(noKey).toMatchObject({ type: 'undecodable', reason: 'no_key', position: { offset: '500' }, rawValue: Buffer.from('raw') });
    const [bad] = decode({ type: 'insert', relationId: 5, row: ['1', 'a', 'secret'] }) as [Record<string, unknown>];
    expect(bad).toMatchObject({ type: 'undecodable', reason: 'bad_value', pair });
    expect(String(bad['message'])).toContain('amount');
    expect(String(bad['message'])).not.toContain('secret');
  });

  test('tables without a pair are passed over; a change before its description is an error', () => {
    expect(decode({ type: 'insert', relationId: 5, row: ['1'] }, relation(['id'], ['id'], { schema: 'public', name: 'other' }))).toEqual([]);
    expect(() => decode({ type: 'insert', relationId: 6, row: ['1'] })).toThrow(/description/u);
  });

  test('truncates are told for each pair', () => {
    expect(decode({ type: 'truncate', relationIds: [5] })).toEqual([
      { type: 'truncate', pair, side: 'old', committedAtUs: 77n, position: shared.position },
    ]);
  });
});
