// `npx lockstep` in a clone looks in node_modules/.bin, which npm does not fill for the project itself.
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const binFolder = join(root, 'node_modules', '.bin');
mkdirSync(binFolder, { recursive: true });
const target = join('..', '..', 'dist', 'src', 'main.js');
chmodSync(join(root, 'dist', 'src', 'main.js'), 0o755);
if (process.platform === 'win32') {
  writeFileSync(join(binFolder, 'lockstep.cmd'), `@node "%~dp0\\${target}" %*\r\n`);
} else {
  const link = join(binFolder, 'lockstep');
  rmSync(link, { force: true });
  symlinkSync(target, link);
}
