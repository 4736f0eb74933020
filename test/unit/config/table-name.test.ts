import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatTableName, parseTableName, TABLE_NAME_PATTERN } from '../../../src/config/table-name.ts';

describe('table names', () => {
  test.each([
    ['payments', { schema: 'public', name: 'payments' }],
    ['billing.payments', { schema: 'billing', name: 'payments' }],
    ['public.Payments', { schema: 'public', name: 'Payments' }],
    ['"odd.schema"."a ""b"""', { schema: 'odd.schema', name: 'a "b"' }],
    ['public."Line Items"', { schema: 'public', name: 'Line Items' }],
  ])('%s', (text, table) => expect(parseTableName(text)).toEqual(table));

  test.each(['', '.', 'a.', '.b', 'a.b.c', 'a b', '"a', '""', 'a"b'])('%j is none', (text) => {
    expect(parseTableName(text)).toBeNull();
  });

  test('what is formatted reads back as the same, and keeps to the schema’s pattern', () => {
    const identifier = fc.string({ minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(identifier, identifier, (schema, name) => {
        const text = formatTableName({ schema, name });
        expect(parseTableName(text)).toEqual({ schema, name });
        expect(text).toMatch(new RegExp(TABLE_NAME_PATTERN));
      }),
    );
  });
});
