import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deadLetterId, deadLetterPlace } from '../../../src/domain/dead-letter.ts';

describe('the id of a dead letter', () => {
  it('names its place, whatever the topic', () => {
    const place = fc.record({
      topic: fc.string({ minLength: 1, unit: fc.constantFrom(':', '0', '7', '.', 'a', '\n', 'é', '\u{1f600}') }),
      partition: fc.integer({ min: 0, max: 2_147_483_647 }),
      offset: fc.bigInt({ min: 0n, max: 18_446_744_073_709_551_615n }).map(String),
    });
    fc.assert(
      fc.property(place, (one) => {
        expect(deadLetterPlace(deadLetterId(one))).toEqual(one);
      }),
    );
    expect(deadLetterPlace('postgres:lockstep:0:123')).toEqual({ topic: 'postgres:lockstep', partition: 0, offset: '123' });
  });

  it.each(['', 't', 't:0', ':0:1', 't:0:', 't:01:1', 't:0:01', 't:-1:1', 't:2147483648:1', 't:0:1x', 't:0:123456789012345678901', 't\u0000:0:1'])(
    'is not %j',
    (id) => {
      expect(deadLetterPlace(id)).toBeNull();
    },
  );
});
