import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LockstepError } from '../../../../src/domain/errors.ts';
import { formatLsn, parseLsn } from '../../../../src/events/postgres/lsn.ts';
import { withoutPageHeader } from '../../../../src/domain/log-position.ts';
import { parsePgoutput } from '../../../../src/events/postgres/pgoutput.ts';
import type { PgoutputMessage } from '../../../../src/events/postgres/pgoutput.ts';
import { encode } from './messages.ts';

const uint32 = fc.nat({ max: 0xffffffff });
const lsn = fc.bigInt({ min: 0n, max: 0xffffffffffffffffn });
const timeUs = fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n });
const name = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !text.includes('\0') && text !== 'pg_catalog');
const value = fc.oneof(fc.constant(null), fc.constant(undefined), fc.string({ unit: 'grapheme' }));
const tuple = fc.array(value, { maxLength: 20 });
const old = fc.record({ kind: fc.constantFrom('key' as const, 'row' as const), values: tuple });
const message: fc.Arbitrary<PgoutputMessage> = fc.oneof(
  fc.record({ type: fc.constant('begin' as const), commitLsn: lsn, committedAtUs: timeUs, xid: uint32 }),
  fc.record({ type: fc.constant('commit' as const), commitLsn: lsn, endLsn: lsn, committedAtUs: timeUs }),
  fc.record({
    type: fc.constant('relation' as const),
    relationId: uint32,
    schema: fc.oneof(name, fc.constant('pg_catalog')),
    name,
    replicaIdentity: fc.constantFrom('d', 'n', 'f', 'i'),
    columns: fc.array(
      fc.record({ identity: fc.boolean(), name, typeOid: uint32, typeModifier: fc.integer({ min: -1, max: 0x7fffffff }) }),
      { maxLength: 10 },
    ),
  }),
  fc.record({ type: fc.constant('insert' as const), relationId: uint32, row: tuple }),
  fc.record({ type: fc.constant('update' as const), relationId: uint32, old: fc.oneof(fc.constant(null), old), row: tuple }),
  fc.record({ type: fc.constant('delete' as const), relationId: uint32, old }),
  fc.record({ type: fc.constant('truncate' as const), relationIds: fc.array(uint32, { maxLength: 5 }) }),
);

describe('pgoutput', () => {
  test('every message is decoded as it was encoded', () => {
    fc.assert(
      fc.property(message, (original) => {
        expect(parsePgoutput(encode(original))).toEqual(original);
      }),
    );
  });

  test('a message that is cut short or too long is refused, never misread', () => {
    fc.assert(
      fc.property(message, fc.nat(), (original, at) => {
        const bytes = encode(original);
        const cut = at % bytes.length;
        expect(() => parsePgoutput(bytes.subarray(0, cut))).toThrow(LockstepError);
        expect(() => parsePgoutput(Buffer.concat([bytes, Buffer.from([0])]))).toThrow(LockstepError);
      }),
    );
  });

  test('any bytes give a message or a LockstepError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom('B', 'C', 'R', 'I', 'U', 'D', 'T', 'Y', 'O', 'M', 'S'), (bytes, tag) => {
        try {
          parsePgoutput(Buffer.concat([Buffer.from(tag), bytes]));
        } catch (error) {
          expect(error).toMatchObject({ name: 'LockstepError', code: 'bad_pgoutput' });
        }
      }),
    );
  });

  test('messages that tell nothing about rows are known', () => {
    for (const type of ['type', 'origin', 'message'] as const) expect(parsePgoutput(encode({ type }))).toEqual({ type });
  });
});

describe('log positions', () => {
  test('are read and written as PostgreSQL does', () => {
    expect(parseLsn('16/B374D848')).toBe(0x16b374d848n);
    expect(formatLsn(0x16b374d848n)).toBe('16/B374D848');
    expect(formatLsn(0n)).toBe('0/0');
    fc.assert(fc.property(lsn, (position) => parseLsn(formatLsn(position)) === position));
  });

  test('a page header that nothing follows yet is not counted', () => {
    expect(withoutPageHeader(8192n * 7n + 24n, 8192n)).toBe(8192n * 7n);
    expect(withoutPageHeader(16_777_216n + 40n, 8192n)).toBe(16_777_216n);
    expect(withoutPageHeader(8192n * 7n + 48n, 8192n)).toBe(8192n * 7n + 48n);
    expect(withoutPageHeader(8192n, 8192n)).toBe(8192n);
  });
});
