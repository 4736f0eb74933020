import { spawnSync } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';

const PIECE = Buffer.alloc(256 * 1024, 0x2e);
/** The last bytes that a file system gives are fewer than a piece. */
const CRUMB = Buffer.alloc(1024, 0x2e);

/** A file system of its own, of a given size, that can be filled to the last byte. */
export class SmallDisk {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Mounts one at `folder`. Answers why not where this machine or user cannot. */
  static async mount(folder: string, sizeMiB: number): Promise<SmallDisk | string> {
    if (process.platform !== 'linux') return 'only Linux mounts a tmpfs';
    await mkdir(folder, { recursive: true });
    const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', folder], { encoding: 'utf8' });
    return status === 0 ? new SmallDisk(folder) : (error?.message ?? stderr.trim());
  }

  /** Leaves no byte free. */
  async fill(): Promise<void> {
    const file = await open(join(this.folder, 'ballast'), constants.O_CREAT | constants.O_WRONLY | constants.O_APPEND, 0o644);
    try {
      for (const piece of [PIECE, CRUMB]) {
        try {
          for (;;) await file.appendFile(piece);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        }
      }
    } finally {
      await file.close();
    }
  }

  /** Gives back what `fill` took. */
  async free(): Promise<void> {
    await rm(join(this.folder, 'ballast'), { force: true });
  }

  /** Whatever is in it is gone. */
  unmount(): void {
    spawnSync('umount', ['-l', this.folder]);
  }
}
