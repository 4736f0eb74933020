import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The end of what a failed installation said. */
const QUOTED = 600;

/** An unpacked set of Debian packages. */
export interface DebianFolder {
  /** Path of a file by its place in the package or a pattern of it. @throws `otherwise` when it is not there */
  find(file: string | RegExp, otherwise: string): string;
  version(name: string): string;
  /** Folders with Perl modules. */
  perlFolders(): string[];
}

/** A folder in which peers are installed, away from the system. What is there already is used again. */
export class Scratch {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** Installs PyPI packages in a virtual environment of their own; answers its folder of programs. */
  async python(name: string, packages: readonly string[]): Promise<string> {
    const target = join(this.folder, name);
    const bin = join(target, 'bin');
    const complete = join(target, 'complete');
    const wanted = packages.join('\n');
    if (!existsSync(complete) || readFileSync(complete, 'utf8') !== wanted) {
      rmSync(target, { recursive: true, force: true });
      await run('python3', ['-m', 'venv', target]);
      await run(join(bin, 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages]);
      writeFileSync(complete, wanted);
    }
    return bin;
  }

  /** Downloads Debian packages with apt and unpacks them; nothing is installed. */
  async debian(name: string, packages: readonly string[]): Promise<DebianFolder> {
    const target = join(this.folder, name);
    if (!existsSync(target)) {
      const unpacked = `${target}.unpacking`;
      rmSync(unpacked, { recursive: true, force: true });
      mkdirSync(unpacked, { recursive: true });
      await run('apt-get', ['download', '-qq', ...packages], unpacked);
      for (const file of packageFiles(unpacked)) await run('dpkg-deb', ['-x', file, 'root'], unpacked);
      renameSync(unpacked, target);
    }
    const root = join(target, 'root');
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' });
    return {
      find(file, otherwise) {
        const found = files.find((candidate) => (typeof file === 'string' ? candidate === file : file.test(candidate)));
        if (found === undefined) throw new Error(otherwise);
        return join(root, found);
      },
      version: (wanted) => packageFiles(target).find((file) => file.startsWith(`${wanted}_`))?.split('_')[1] ?? '',
      perlFolders: () => files.filter((file) => /(^|\/)perl5(\/[\d.]+)?$/.test(file)).map((file) => join(root, file)),
    };
  }
}

function packageFiles(folder: string): string[] {
  return readdirSync(folder).filter((file) => file.endsWith('.deb'));
}

function run(file: string, args: readonly string[], cwd?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...(cwd === undefined ? {} : { cwd }) });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-QUOTED)));
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`${file} ${args.slice(0, 3).join(' ')} … ended with ${code}: ${said.trim()}`))));
  });
}
