import type { DischargedLetters, StoredTable } from './ports.ts';

/** What is proven of one table so far. */
export interface TableProof {
  readonly table: string;
  /** Primary's clock at the start of the last finished sweep, µs. */
  provenSinceUs: bigint | null;
  sweepOwedSinceUs: bigint | null;
  verifiedThroughUs: bigint | null;
  heldBy: string | null;
  lastCleanSweepMs: number | null;
  lastSweepEndedMs: number | null;
  oldRows: bigint | null;
  newRows: bigint | null;
  /** Not discharged yet. */
  deadLetters: number;
  /** Primary's clock at the newest dead letter since the start, µs. */
  deadLetterUs: bigint | null;
}

/** A sweep of a whole table, all that it found settled. */
export interface EndedSweep {
  /** Primary's clock, µs. */
  readonly startedAtUs: bigint;
  readonly endedAtMs: number;
  readonly clean: boolean;
  /** Somebody asked for it, so knows of the dead letters that it discharges. */
  readonly asked: boolean;
  readonly oldRows: bigint;
  readonly newRows: bigint;
}

/** What moves a table's verified-through. */
export interface VerifiedThroughFacts {
  /** Commit time before which the table's changes are consumed; null: unknown. */
  readonly consumedThroughUs: bigint | null;
  /** Commit time of the oldest unsettled change; null: none. */
  readonly oldestUnsettledUs: bigint | null;
  readonly snapshotInProgress: boolean;
}

/** Per table: the sweep that verified-through stands on, and how far it reaches. */
export class Proofs {
  private readonly byTable = new Map<string, TableProof>();
  private dirty = new Set<string>();
  private discharged: DischargedLetters[] = [];
  /** By table: dead letters from before this were discharged by a sweep and are counted no more, ms since 1970. */
  private readonly sweptBeforeMs = new Map<string, number>();

  constructor(tables: readonly string[]) {
    for (const table of tables) {
      this.byTable.set(table, {
        table,
        provenSinceUs: null,
        sweepOwedSinceUs: null,
        verifiedThroughUs: null,
        heldBy: 'no sweep has finished yet',
        lastCleanSweepMs: null,
        lastSweepEndedMs: null,
        oldRows: null,
        newRows: null,
        deadLetters: 0,
        deadLetterUs: null,
      });
    }
  }

  get(table: string): TableProof {
    const proof = this.byTable.get(table);
    if (proof === undefined) throw new RangeError(`no such table: ${table}`);
    return proof;
  }

  all(): IterableIterator<TableProof> {
    return this.byTable.values();
  }

  restore(stored: StoredTable): void {
    const proof = this.byTable.get(stored.table);
    if (proof !== undefined) Object.assign(proof, stored);
  }

  /** Something happened that only a sweep begun after it can prove harmless. */
  oweSweep(table: string, sinceUs: bigint): void {
    const proof = this.get(table);
    if (proof.sweepOwedSinceUs === null || proof.sweepOwedSinceUs < sinceUs) proof.sweepOwedSinceUs = sinceUs;
    this.dirty.add(table);
  }

  /** A change could not be decoded: its row is unknown until a sweep, and the gate until somebody has looked. */
  deadLetter(table: string, sinceUs: bigint): void {
    const proof = this.get(table);
    proof.deadLetters++;
    if (proof.deadLetterUs === null || proof.deadLetterUs < sinceUs) proof.deadLetterUs = sinceUs;
    this.oweSweep(table, sinceUs);
  }

  /** Somebody discharged one dead letter of a table, recorded at `atMs`. The sweep that is owed stays so. */
  deadLetterDischarged(table: string, atMs: number): void {
    const proof = this.byTable.get(table);
    if (proof === undefined || atMs < (this.sweptBeforeMs.get(table) ?? Number.NEGATIVE_INFINITY)) return;
    proof.deadLetters = Math.max(0, proof.deadLetters - 1);
  }

  /** A sweep of the whole table that began at `startedAtUs` is over and all it found is settled. */
  sweepEnded(table: string, sweep: EndedSweep): void {
    const proof = this.get(table);
    if (proof.provenSinceUs === null || sweep.startedAtUs > proof.provenSinceUs) proof.provenSinceUs = sweep.startedAtUs;
    if (proof.sweepOwedSinceUs !== null && sweep.startedAtUs > proof.sweepOwedSinceUs) proof.sweepOwedSinceUs = null;
    proof.lastSweepEndedMs = sweep.endedAtMs;
    if (sweep.clean) proof.lastCleanSweepMs = sweep.endedAtMs;
    proof.oldRows = sweep.oldRows;
    proof.newRows = sweep.newRows;
    if (sweep.asked && proof.deadLetters > 0 && (proof.deadLetterUs === null || sweep.startedAtUs > proof.deadLetterUs)) {
      proof.deadLetters = 0;
      this.discharged.push({ table, beforeMs: sweep.endedAtMs });
      this.sweptBeforeMs.set(table, Math.round(sweep.endedAtMs));
    }
    this.dirty.add(table);
  }

  /** All drift of the table is gone: each row that the last sweep found has been proven equal since. */
  driftGone(table: string): void {
    const proof = this.get(table);
    if (proof.lastSweepEndedMs === null || proof.lastSweepEndedMs === proof.lastCleanSweepMs) return;
    proof.lastCleanSweepMs = proof.lastSweepEndedMs;
    this.dirty.add(table);
  }

  /** Moves verified-through as far as the facts allow, never back. */
  advance(table: string, facts: VerifiedThroughFacts): void {
    const proof = this.get(table);
    if (facts.snapshotInProgress) proof.heldBy = "the connector's initial snapshot is in progress";
    else if (proof.provenSinceUs === null) proof.heldBy = 'no sweep has finished yet';
    else if (proof.sweepOwedSinceUs !== null) proof.heldBy = 'changes were missed or could not be read; a sweep is owed';
    else if (facts.consumedThroughUs === null) proof.heldBy = 'the stream has not shown how far it reaches';
    else {
      const unsettled = facts.oldestUnsettledUs !== null && facts.oldestUnsettledUs < facts.consumedThroughUs;
      const through = unsettled ? (facts.oldestUnsettledUs as bigint) : facts.consumedThroughUs;
      proof.heldBy = unsettled ? 'a change is not yet seen on the replica' : null;
      if (proof.verifiedThroughUs === null || through > proof.verifiedThroughUs) {
        proof.verifiedThroughUs = through;
        this.dirty.add(table);
      }
    }
  }

  /** Tables that changed since the last call, as the state store keeps them. */
  drainChanges(): { tables: StoredTable[]; discharged: DischargedLetters[]; undo: () => void } {
    const { dirty, discharged } = this;
    this.dirty = new Set();
    this.discharged = [];
    const tables = [...dirty].map((table): StoredTable => {
      const { provenSinceUs, sweepOwedSinceUs, verifiedThroughUs, lastCleanSweepMs, lastSweepEndedMs, oldRows, newRows } = this.get(table);
      return { table, provenSinceUs, sweepOwedSinceUs, verifiedThroughUs, lastCleanSweepMs, lastSweepEndedMs, oldRows, newRows };
    });
    return {
      tables,
      discharged,
      undo: () => {
        this.discharged = [...discharged, ...this.discharged];
        for (const table of dirty) this.dirty.add(table);
      },
    };
  }
}
