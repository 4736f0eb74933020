import { join } from 'node:path';
import { expect, test } from 'vitest';
import { configurationReference } from '../../../src/config/reference.ts';

test('docs/configuration.md is what the schema says (write it anew with vitest -u)', async () => {
  const file = join(import.meta.dirname, '../../../docs/configuration.md');
  await expect(configurationReference()).toMatchFileSnapshot(file);
});
