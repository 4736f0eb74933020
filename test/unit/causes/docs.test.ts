import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { CAUSE_CODES } from '../../../src/domain/causes/codes.ts';

it('docs/causes.md tells every cause, in the order of how specific they are', () => {
  const docs = readFileSync(join(import.meta.dirname, '../../../docs/causes.md'), 'utf8');
  const told = [...docs.matchAll(/^\| ((?:`[a-z_]+`(?:, )?)+) \|/gmu)].flatMap(([, codes = '']) => [...codes.matchAll(/`([a-z_]+)`/gu)].map(([, code]) => code));
  expect(told).toEqual(CAUSE_CODES);
  expect(CAUSE_CODES.every((code) => /^[a-z]+(?:_[a-z]+)*$/u.test(code))).toBe(true);
});
