import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const root = join(import.meta.dirname, '../../..');
const text = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
const compose = parse(text, { merge: true }) as {
  services: Record<string, { image?: string; build?: string; ports?: string[]; volumes?: string[] }>;
};
const docker = spawnSync('docker', ['compose', 'version']).status === 0;
if (!docker) console.warn('SKIPPED: docker compose config cannot be run here: there is no docker compose');

describe('docker-compose.yml', () => {
  it.each(Object.entries(compose.services))('%s is pinned, local and complete', (_name, service) => {
    if (service.build === undefined) expect(service.image).toMatch(/:v?\d+\.\d+/);
    for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:/);
    for (const volume of service.volumes ?? []) {
      const source = volume.split(':')[0] ?? '';
      if (source.startsWith('./')) expect(existsSync(join(root, source)), source).toBe(true);
    }
  });

  it.skipIf(!docker)('is accepted by docker compose', () => {
    const checked = spawnSync('docker', ['compose', 'config', '--quiet'], { cwd: root, encoding: 'utf8' });
    expect(checked.stderr).toBe('');
    expect(checked.status).toBe(0);
  });
});
