import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ClockSkew } from '../../../src/domain/clock-skew.ts';

it('knows nothing before the first sample', () => {
  expect(new ClockSkew().best()).toBeNull();
});

it('bounds the true offset', () => {
  const trips = fc.array(fc.tuple(fc.bigInt({ min: 0n, max: 500_000n }), fc.bigInt({ min: 0n, max: 500_000n })), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(fc.bigInt({ min: -10_000_000n, max: 10_000_000n }), trips, (offsetUs, all) => {
      const skew = new ClockSkew();
      let nowUs = 1_700_000_000_000_000n;
      for (const [there, back] of all) {
        skew.add({ sentUs: nowUs, databaseUs: nowUs + there + offsetUs, receivedUs: nowUs + there + back });
        nowUs += there + back + 1_000n;
      }
      const best = skew.best();
      const error = (best?.offsetUs ?? 0n) - offsetUs;
      expect(error < 0n ? -error : error).toBeLessThanOrEqual(best?.boundUs as bigint);
      const shortest = all.slice(-12).reduce((least, [there, back]) => (there + back < least ? there + back : least), 1_000_000n);
      expect(best?.boundUs).toBe(shortest / 2n + 1n);
    }),
  );
});
