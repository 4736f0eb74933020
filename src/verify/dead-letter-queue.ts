import type { Undecodable } from '../domain/change.ts';
import type { StoredDeadLetter } from './ports.ts';

/** Bytes of records that the state store keeps for one migration; of more only their places, and a retry reads the topic. */
export const KEPT_BYTES_MAX = 64 * 1024 * 1024;
/** Of one record's headers; longer ones are read again from the topic. */
const HEADER_BYTES_MAX = 64 * 1024;
/** Waiting to be written: a flood is held up, its partitions alone, until a checkpoint has taken them. */
export const UNSAVED_LETTERS_MAX = 10_000;
export const UNSAVED_BYTES_MAX = 16 * 1024 * 1024;

/** Dead letters that wait for the next checkpoint, and how much of their records is kept. */
export class DeadLetterQueue {
  private waiting: StoredDeadLetter[] = [];
  private waitingBytes = 0;
  private savedBytes = 0;

  /** So many must not be added to before a checkpoint. */
  get isFull(): boolean {
    return this.waiting.length >= UNSAVED_LETTERS_MAX || this.waitingBytes >= UNSAVED_BYTES_MAX;
  }

  /** What the state store keeps of records, in bytes, when nothing of a checkpoint is under way. */
  saved(bytes: number): void {
    this.savedBytes = bytes;
  }

  /** Those that wait, oldest first. */
  all(): readonly StoredDeadLetter[] {
    return this.waiting;
  }

  add({ pair, position, reason, message, rawKey, rawValue, record }: Undecodable, gapUs: bigint, atMs: number): void {
    const headers = record?.headers ?? [];
    const headerBytes = headers.reduce((sum, [name, value]) => sum + name.length + (value?.length ?? 0), 0);
    const bytes = (rawKey?.length ?? 0) + (rawValue?.length ?? 0) + headerBytes;
    const isKept = headerBytes <= HEADER_BYTES_MAX && this.savedBytes + this.waitingBytes + bytes <= KEPT_BYTES_MAX;
    if (isKept) this.waitingBytes += bytes;
    this.waiting.push({
      table: pair.id,
      position,
      reason,
      message,
      rawKey: isKept ? rawKey : null,
      rawValue: isKept ? rawValue : null,
      // Copied: the bytes are a view of a whole fetch response.
      rawHeaders: isKept ? headers.map(([name, value]) => [name, value === null ? null : Buffer.from(value)] as const) : [],
      timestampMs: record?.timestampMs ?? null,
      rawWhole: isKept && record !== undefined && isWhole(rawKey, record.key) && isWhole(rawValue, record.value),
      gapUs,
      atMs,
    });
  }

  drain(): { deadLetters: StoredDeadLetter[]; undo: () => void } {
    const { waiting, waitingBytes } = this;
    this.waiting = [];
    this.waitingBytes = 0;
    this.savedBytes += waitingBytes;
    return {
      deadLetters: waiting,
      undo: () => {
        this.waiting = [...waiting, ...this.waiting];
        this.waitingBytes += waitingBytes;
        this.savedBytes -= waitingBytes;
      },
    };
  }
}

function isWhole(kept: Buffer | null, all: Buffer | null): boolean {
  return kept?.length === all?.length;
}
