import { LockstepError } from '../domain/errors.ts';
import type { RowKey } from '../domain/row.ts';
import type { BoardLook, ChunkBoard, ChunkCounts, Clock } from './ports.ts';
import type { Chunk, TableSweep } from './table-sweep.ts';

/** A sweep outlives its state store: the board is asked again after this, for as long as the sweep goes on. */
const AWAY_WAIT_MS = 1_000;
/** The board is looked at this often while others have chunks, and while nobody has. */
const LOOK_MS = 100;
const LOOK_IDLE_MS = 1_000;
/** Chunks offered and not yet consumed: enough that a helper finds its next one, few enough to be done again after a kill. */
const AHEAD_PER_HELPER = 4;
const AHEAD_MAX = 64;

/** What a helper found in a chunk. */
export interface SharedFindings extends ChunkCounts {
  /** The suspects, page by page. */
  readonly suspects: () => AsyncGenerator<readonly RowKey[]>;
}

export interface SharedChunksParts {
  readonly board: ChunkBoard;
  readonly table: TableSweep;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Takes what a helper found; once for each chunk. */
  readonly consume: (chunk: Chunk, findings: SharedFindings) => Promise<void>;
  readonly nextSeq: () => number;
}

/** The chunks of one table that other processes compare for the writer. */
export class SharedChunks {
  private readonly parts: SharedChunksParts;
  private readonly outstanding = new Map<number, Chunk>();
  private seen: Pick<BoardLook, 'helpers' | 'lost'> = { helpers: 0, lost: 0 };
  private wake: () => void = () => undefined;
  private news: Promise<void> = new Promise((resolve) => (this.wake = resolve));

  constructor(parts: SharedChunksParts) {
    this.parts = parts;
  }

  /** Processes that help. */
  get helpers(): number {
    return this.seen.helpers;
  }

  /** Chunks that others have and whose findings are not consumed. */
  get waiting(): number {
    return this.outstanding.size;
  }

  /** Whether helpers could do with another chunk. */
  get wants(): boolean {
    return this.outstanding.size < Math.min(AHEAD_MAX, this.seen.helpers * AHEAD_PER_HELPER);
  }

  /** Whether chunks came back that nobody but the writer is going to compare. */
  get hasLost(): boolean {
    return this.seen.lost > 0;
  }

  /** Resolves with the next news: a finished or lost chunk, more or fewer helpers. */
  changed(): Promise<void> {
    return this.news;
  }

  /** Looks at the board until the signal aborts. Rejects when another process has taken over. */
  async run(stop: AbortSignal): Promise<void> {
    const { board, clock } = this.parts;
    while (!stop.aborted) {
      let look: BoardLook | null = null;
      try {
        look = await board.look();
      } catch (error) {
        // With the state store away no chunk is offered; what others have is taken back when it answers again.
        if (!(error instanceof LockstepError) || error.retry === 'final') throw error;
        this.seen = { helpers: 0, lost: 0 };
      }
      if (look !== null) {
        this.seen = look;
        for (const { seq, ...counts } of look.done) await this.take(seq, counts);
        this.tell();
      }
      await clock.sleep(this.outstanding.size > 0 ? LOOK_MS : LOOK_IDLE_MS, stop);
    }
  }

  /** @returns whether it is offered; else the writer compares it itself */
  async offer(chunk: Chunk, rows: number, likelyDiffers: boolean): Promise<boolean> {
    const { board, table, nextSeq } = this.parts;
    const seq = nextSeq();
    this.outstanding.set(seq, chunk);
    try {
      await board.offer({ seq, table: table.pair.id, path: table.strategy.path, rows, likelyDiffers, range: chunk.range });
      return true;
    } catch (error) {
      if (!(error instanceof LockstepError) || error.retry === 'final') throw error;
      // It may be on the board after all: what comes of it there is not consumed.
      this.outstanding.delete(seq);
      this.seen = { helpers: 0, lost: 0 };
      return false;
    }
  }

  /** A chunk that nobody holds, for the writer to compare; null when there is none. */
  async takeBack(): Promise<Chunk | null> {
    const { board } = this.parts;
    for (;;) {
      const seq = await this.patiently(() => board.takeBack());
      if (seq === null) {
        this.seen = { ...this.seen, lost: 0 };
        return null;
      }
      const chunk = this.outstanding.get(seq);
      this.outstanding.delete(seq);
      if (chunk !== undefined) return chunk;
    }
  }

  private async take(seq: number, counts: ChunkCounts): Promise<void> {
    const { board, consume } = this.parts;
    const read = (page: number): Promise<readonly RowKey[] | null> => this.patiently(() => board.suspects(seq, page));
    const chunk = this.outstanding.get(seq);
    if (chunk !== undefined) {
      async function* suspects(): AsyncGenerator<readonly RowKey[]> {
        for (let page = 0; ; page++) {
          const keys = await read(page);
          if (keys === null) return;
          yield keys;
        }
      }
      await consume(chunk, { ...counts, suspects });
      this.outstanding.delete(seq);
    }
    await this.patiently(() => board.remove(seq));
  }

  private async patiently<Answer>(question: () => Promise<Answer>): Promise<Answer> {
    const { clock, signal } = this.parts;
    for (;;) {
      try {
        return await question();
      } catch (error) {
        if (!(error instanceof LockstepError) || error.retry === 'final') throw error;
        await clock.sleep(AWAY_WAIT_MS, signal);
        signal.throwIfAborted();
      }
    }
  }

  private tell(): void {
    const { wake } = this;
    this.news = new Promise((resolve) => (this.wake = resolve));
    wake();
  }
}
