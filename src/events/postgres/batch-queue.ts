import type { SourceBatch } from '../../domain/change.ts';

/** Batches between the connection, which pushes, and one consumer. Its owner bounds it by `bytes`. */
export class BatchQueue {
  readonly #batches: { readonly batch: SourceBatch; readonly bytes: number }[] = [];
  #bytes = 0;
  #inHandBytes = 0;
  #closed: { readonly error: unknown } | null = null;
  #wake: (() => void) | null = null;

  /** What waits and what is in the consumer's hands. */
  get bytes(): number {
    return this.#bytes;
  }

  push(batch: SourceBatch, bytes: number): void {
    if (this.#closed !== null) return;
    this.#batches.push({ batch, bytes });
    this.#bytes += bytes;
    this.#wake?.();
  }

  /** The next batch, when there is one; null when closed without an error, rejects when closed with one. */
  async next(): Promise<SourceBatch | null> {
    for (;;) {
      if (this.#closed !== null) {
        if (this.#closed.error !== null) throw this.#closed.error;
        return null;
      }
      const first = this.#batches.shift();
      if (first !== undefined) {
        this.#inHandBytes = first.bytes;
        return first.batch;
      }
      await new Promise<void>((settle) => (this.#wake = settle));
      this.#wake = null;
    }
  }

  /** The batch given last is done with. */
  delivered(): void {
    this.#bytes -= this.#inHandBytes;
    this.#inHandBytes = 0;
  }

  /** Drops what waits: it will be sent again. */
  close(error: unknown): void {
    this.#closed ??= { error };
    this.#batches.length = 0;
    this.#wake?.();
  }
}
