import { join } from 'node:path';
import { expect, test } from 'vitest';
import { valuesReference } from '../../../src/domain/values/reference.ts';

test('docs/values.md is what the table of classes says (write it anew with vitest -u)', async () => {
  const file = join(import.meta.dirname, '../../../docs/values.md');
  await expect(valuesReference()).toMatchFileSnapshot(file);
});
