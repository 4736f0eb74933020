import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  DURATION_PATTERN,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  SIZE_PATTERN,
} from '../../../src/config/units.ts';

describe('durations', () => {
  test.each([
    ['500ms', 500],
    ['5s', 5_000],
    ['1.5s', 1_500],
    ['10m', 600_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['0s', 0],
  ])('%s is %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each(['', '5', 's', '-5s', '5 s', '5S', '1h30m', '1e3s', '5sec', ' 5s', '5s\n', '.5s'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  test('what is formatted reads back as the same', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999_999_999_999 }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
  });

  test('the schema’s pattern and the parser accept the same texts', () => {
    const pattern = new RegExp(DURATION_PATTERN);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{0,14}[mshd]{0,2}$/)), (text) => {
        expect(parseDuration(text) !== null).toBe(pattern.test(text));
      }),
    );
  });
});

describe('sizes', () => {
  test.each([
    ['512B', 512],
    ['64KiB', 65_536],
    ['64MiB', 67_108_864],
    ['2GiB', 2_147_483_648],
  ])('%s is %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each(['', '64', '64MB', '64mib', '1.5GiB', '-1B', 'MiB'])('%j is none', (text) => {
    expect(parseSize(text)).toBeNull();
  });

  test('what is formatted reads back as the same', () => {
    const bytes = fc
      .tuple(fc.integer({ min: 0, max: 999_999 }), fc.constantFrom(1, 1_024, 1_048_576, 1_073_741_824))
      .map(([count, unit]) => count * unit);
    fc.assert(
      fc.property(bytes, (size) => {
        expect(parseSize(formatSize(size))).toBe(size);
      }),
    );
  });

  test('the pattern and the parser accept the same texts', () => {
    const pattern = new RegExp(SIZE_PATTERN);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9]{0,8}[KMG]?i?B?$/)), (text) => {
        expect(parseSize(text) !== null).toBe(pattern.test(text));
      }),
    );
  });
});
