import { LockstepError } from '../domain/errors.ts';
import type { Pair, Side } from '../domain/pair.ts';
import { keyId, type RowKey } from '../domain/row.ts';
import { askingAgain } from './asking.ts';
import { compareChunk } from './chunk-findings.ts';
import { leaseId, type ChunkLease, type Clock, type Database, type LeaseDesk } from './ports.ts';
import { persistent } from './sweep-compare.ts';

/** A page of suspects has at most so many keys, of so many characters. */
const PAGE_KEYS = 5_000;
const PAGE_CHARS = 1_048_576;
/** Leases are prolonged this often; a chunk that is taken back is given up as soon. */
const RENEW_MS = 1_000;
/** Chunks are asked for this often, and at once after one is done. */
const LOOK_MS = 500;
const LOOK_BUSY_MS = 50;
/** So many looks in vain, and the sweep is taken to be over. */
const BUSY_LOOKS = 40;

export interface SweepHelperParts {
  readonly pairs: readonly Pair[];
  readonly sides: Readonly<Record<Side, Database>>;
  readonly desk: LeaseDesk;
  /** What must be the same in this process and the writer, by table. */
  readonly fingerprints: ReadonlyMap<string, string>;
  readonly concurrency: number;
  readonly clock: Clock;
  readonly report: (error: unknown) => void;
}

interface HeldChunk {
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

/** Compares chunks of the writer's sweeps, and hands over what it found. It judges nothing. */
export class SweepHelper {
  private readonly parts: SweepHelperParts;
  private readonly held = new Map<string, HeldChunk>();
  private done = 0;

  constructor(parts: SweepHelperParts) {
    this.parts = parts;
  }

  /** Chunks that it has compared. */
  get chunksDone(): number {
    return this.done;
  }

  /** Helps until the signal aborts, and gives back then what it holds. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.renewing(signal), this.leasing(signal)]);
    await Promise.all([...this.held.values()].map(({ ended }) => ended));
  }

  private async renewing(signal: AbortSignal): Promise<void> {
    const { desk, clock, report } = this.parts;
    while (!signal.aborted) {
      const before = [...this.held.keys()];
      try {
        const still = await desk.renew();
        for (const id of before) if (!still.has(id)) this.held.get(id)?.abort.abort();
      } catch (error) {
        if (!isPassing(error)) throw error;
        report(error);
      }
      await clock.sleep(RENEW_MS, signal);
    }
  }

  private async leasing(signal: AbortSignal): Promise<void> {
    const { desk, clock, concurrency, fingerprints, report } = this.parts;
    let looksInVain = BUSY_LOOKS;
    while (!signal.aborted) {
      const free = concurrency - this.held.size;
      try {
        const leases = free > 0 ? await desk.lease(fingerprints, free) : [];
        looksInVain = leases.length > 0 || this.held.size > 0 ? 0 : looksInVain + 1;
        for (const lease of leases) this.begin(lease, signal);
      } catch (error) {
        if (!isPassing(error)) throw error;
        report(error);
        looksInVain = BUSY_LOOKS;
      }
      if (this.held.size >= concurrency) await Promise.race([...this.held.values()].map(({ ended }) => ended));
      else await clock.sleep(looksInVain < BUSY_LOOKS ? LOOK_BUSY_MS : LOOK_MS, signal);
    }
  }

  private begin(lease: ChunkLease, signal: AbortSignal): void {
    const abort = new AbortController();
    const id = leaseId(lease);
    const ended = this.compare(lease, AbortSignal.any([signal, abort.signal])).finally(() => this.held.delete(id));
    this.held.set(id, { abort, ended });
  }

  /** Compares a chunk and hands over the findings; never rejects. */
  private async compare(lease: ChunkLease, signal: AbortSignal): Promise<void> {
    const { desk, report } = this.parts;
    try {
      await this.handOver(lease, signal);
      this.done++;
    } catch (error) {
      if (error instanceof LockstepError && error.code === 'lease_lost') return;
      if (!signal.aborted) report(error);
      await desk.giveBack(lease, !signal.aborted).catch(() => undefined);
    }
  }

  private async handOver(lease: ChunkLease, signal: AbortSignal): Promise<void> {
    const { desk, sides, pairs, clock } = this.parts;
    const pair = pairs.find((candidate) => candidate.id === lease.table);
    if (pair === undefined) throw new RangeError('a chunk of a table that was not asked for');
    const ask = askingAgain(clock);
    const comparison = { sides: { old: persistent(sides.old, ask), new: persistent(sides.new, ask) }, pair, path: lease.path, signal };
    const counts = { equalRows: 0n, oldRows: 0n, newRows: 0n };
    let pages = 0;
    let keys: RowKey[] = [];
    let chars = 0;
    const writePage = async (): Promise<void> => {
      if (keys.length === 0) return;
      const [page, written] = [pages++, keys];
      keys = [];
      chars = 0;
      await ask(() => desk.writeSuspects(lease, page, written), signal);
    };
    for await (const found of compareChunk(comparison, lease.range, lease.rows, lease.likelyDiffers, () => undefined)) {
      counts.equalRows += found.equalRows;
      counts.oldRows += found.rows[0];
      counts.newRows += found.rows[1];
      for (const key of found.suspects) {
        keys.push(key);
        chars += keyId(key).length;
        if (keys.length >= PAGE_KEYS || chars >= PAGE_CHARS) await writePage();
      }
    }
    signal.throwIfAborted();
    await writePage();
    await ask(() => desk.finish(lease, counts), signal);
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof LockstepError && error.retry === 'retry';
}
