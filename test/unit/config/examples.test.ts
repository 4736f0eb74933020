import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { requireStream } from '../../../src/config/requirements.ts';
import { Folder } from './fixtures.ts';

const root = join(import.meta.dirname, '../../..');
const folder = new Folder();
afterAll(() => folder.remove());

/** What the examples take for granted. */
const env = {
  NEW_URL: 'postgres://lockstep@new.internal/app',
  POSTGRES_PASSWORD: 'postgres',
  LOCKSTEP_HTTP__TOKENS__READ: 'read',
  LOCKSTEP_HTTP__TOKENS__OPERATE: 'operate',
};
folder.write('secrets/old', 'pw\n');
folder.write('secrets/new', 'pw\n');

function yamlBlocks(document: string): string[] {
  const text = readFileSync(join(root, document), 'utf8');
  return [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
}

describe('examples in the documents', () => {
  test.each(['README.md', 'docs/configuration.md'])('%s', (document) => {
    const blocks = yamlBlocks(document);
    expect(blocks.length).toBeGreaterThan(0);
    for (const block of blocks) {
      const config = folder.load(block, { env });
      requireStream(config);
    }
  });

  test('docker/lockstep.yaml', () => {
    requireStream(folder.load(readFileSync(join(root, 'docker/lockstep.yaml'), 'utf8'), { env }));
  });
});
