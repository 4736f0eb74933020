import { judgeVerifiedThrough, type Hold, type VerifiedThroughFacts } from '../domain/verified-through.ts';
import { undecodedRecords, type DeadLetterPlace } from '../domain/dead-letter.ts';
import type { CoveredGaps, DeadLetterState, DischargedLetters, StoredTable } from './ports.ts';

/** What is proven of one table so far. */
export interface TableProof {
  readonly table: string;
  /** Primary's clock at the start of the last finished sweep, µs. */
  provenSinceUs: bigint | null;
  sweepOwedSinceUs: bigint | null;
  verifiedThroughUs: bigint | null;
  /** How much of it is written: what is told outside, so that no death of this process takes it back. */
  writtenThroughUs: bigint | null;
  heldBy: string | null;
  lastCleanSweepMs: number | null;
  lastSweepEndedMs: number | null;
  lastCleanIncrementalMs: number | null;
  lastIncrementalEndedMs: number | null;
  oldRows: bigint | null;
  newRows: bigint | null;
  /** Not discharged yet. */
  deadLetters: number;
  /** The first of them; null where there is none or it is not known at present. */
  oldestDeadLetter: DeadLetterPlace | null;
  /** Primary's clock at the newest dead letter since the start, µs. */
  deadLetterUs: bigint | null;
  /** Records that were not decoded, neither then nor in a retry, and whose rows no sweep has compared since. */
  gaps: number;
  /** Primary's clock at the newest of them, µs. */
  gapUs: bigint | null;
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
export type StreamFacts = Pick<VerifiedThroughFacts, 'consumedThroughUs' | 'oldestUnsettledUs' | 'snapshotInProgress'>;

const HELD_BY: Readonly<Record<Exclude<Hold, 'undecoded'>, string>> = {
  snapshot: "the connector's initial snapshot is in progress",
  not_swept: 'no sweep has finished yet',
  sweep_owed: 'changes were missed; a sweep is owed',
  stream_unknown: 'the stream has not shown how far it reaches',
};
const SWEEP_ONLY = 'sweep only: the table has no key, so no change of it is checked, and it stands where the last sweep began';

/** Per table: the sweep that verified-through stands on, and how far it reaches. */
export class Proofs {
  private readonly byTable = new Map<string, TableProof>();
  private dirty = new Set<string>();
  private discharged: DischargedLetters[] = [];
  private covered: CoveredGaps[] = [];
  /** By table: rows that a sweep left to the stream and that have no verdict yet. */
  private readonly leftSuspects = new Map<string, number>();
  /** By table: gaps from before this (primary's clock, µs) are covered by a sweep. */
  private readonly coveredBeforeUs = new Map<string, bigint>();
  /** By table: dead letters from before this were discharged by a sweep and are counted no more, ms since 1970. */
  private readonly sweptBeforeMs = new Map<string, number>();

  /** Tables of whose changes not all are checked. */
  private readonly sampled: ReadonlySet<string>;

  constructor(tables: readonly string[], sampled: ReadonlySet<string> = new Set()) {
    this.sampled = sampled;
    for (const table of tables) {
      this.byTable.set(table, {
        table,
        provenSinceUs: null,
        sweepOwedSinceUs: null,
        verifiedThroughUs: null,
        writtenThroughUs: null,
        heldBy: 'no sweep has finished yet',
        lastCleanSweepMs: null,
        lastSweepEndedMs: null,
        lastCleanIncrementalMs: null,
        lastIncrementalEndedMs: null,
        oldRows: null,
        newRows: null,
        deadLetters: 0,
        oldestDeadLetter: null,
        deadLetterUs: null,
        gaps: 0,
        gapUs: null,
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
    if (proof !== undefined) Object.assign(proof, stored, { writtenThroughUs: stored.verifiedThroughUs });
  }

  /** What was proven was another comparison: only a new sweep proves anything. */
  forget(table: string): void {
    const proof = this.byTable.get(table);
    if (proof === undefined) return;
    Object.assign(proof, { provenSinceUs: null, verifiedThroughUs: null, writtenThroughUs: null, lastCleanSweepMs: null, lastSweepEndedMs: null, heldBy: 'no sweep has finished yet' });
    this.dirty.add(table);
  }

  /** The primary is another side than when all this was proven: times were its clock's, and a sweep is needed. */
  turn(table: string): void {
    this.forget(table);
    this.get(table).sweepOwedSinceUs = null;
  }

  /** Something happened that only a sweep begun after it can prove harmless. */
  oweSweep(table: string, sinceUs: bigint): void {
    const proof = this.get(table);
    if (proof.sweepOwedSinceUs === null || proof.sweepOwedSinceUs < sinceUs) proof.sweepOwedSinceUs = sinceUs;
    this.dirty.add(table);
  }

  /** Whether only a sweep, or retries of what could not be decoded, let verified-through move again. */
  owesSweep(table: string): boolean {
    const { sweepOwedSinceUs, gaps } = this.get(table);
    return sweepOwedSinceUs !== null || gaps > 0;
  }

  /** A change could not be decoded: its row is unknown until a retry or a sweep, and the gate until somebody has looked. */
  deadLetter(table: string, sinceUs: bigint, place: DeadLetterPlace): void {
    const proof = this.get(table);
    if (proof.deadLetters === 0) proof.oldestDeadLetter = place;
    proof.deadLetters++;
    proof.gaps++;
    if (proof.deadLetterUs === null || proof.deadLetterUs < sinceUs) proof.deadLetterUs = sinceUs;
    if (proof.gapUs === null || proof.gapUs < sinceUs) proof.gapUs = sinceUs;
  }

  /** Puts a table's dead letters as the state store has them, all written. */
  restoreDeadLetters(table: string, state: DeadLetterState): void {
    const proof = this.byTable.get(table);
    if (proof === undefined) return;
    Object.assign(proof, { deadLetters: state.open, oldestDeadLetter: state.oldest, gaps: state.gaps, gapUs: state.newestGapUs });
  }

  /** Somebody discharged one dead letter of a table, recorded at `atMs`. What it left unknown stays so until a sweep. */
  deadLetterDischarged(table: string, atMs: number, place: DeadLetterPlace): void {
    const proof = this.byTable.get(table);
    if (proof === undefined || atMs < (this.sweptBeforeMs.get(table) ?? Number.NEGATIVE_INFINITY)) return;
    proof.deadLetters = Math.max(0, proof.deadLetters - 1);
    const oldest = proof.oldestDeadLetter;
    const same = oldest !== null && oldest.topic === place.topic && oldest.partition === place.partition && oldest.offset === place.offset;
    if (same || proof.deadLetters === 0) proof.oldestDeadLetter = null;
  }

  /** Whether what a record consumed at `gapUs` left unknown is so still; null: a sweep had accounted for it. */
  isGap(table: string, gapUs: bigint | null): boolean {
    return gapUs !== null && gapUs >= (this.coveredBeforeUs.get(table) ?? gapUs);
  }

  /** A record that left a gap was decoded after all, and a check accounts for it from here on. */
  gapClosed(table: string): void {
    const proof = this.byTable.get(table);
    if (proof === undefined) return;
    proof.gaps = Math.max(0, proof.gaps - 1);
    if (proof.gaps === 0) proof.gapUs = null;
  }

  /** A sweep of the whole table that began at `startedAtUs` is over and all it found is settled. */
  sweepEnded(table: string, sweep: EndedSweep): void {
    const proof = this.get(table);
    if (proof.provenSinceUs === null || sweep.startedAtUs > proof.provenSinceUs) proof.provenSinceUs = sweep.startedAtUs;
    if (proof.sweepOwedSinceUs !== null && sweep.startedAtUs > proof.sweepOwedSinceUs) proof.sweepOwedSinceUs = null;
    if (proof.gaps > 0 && (proof.gapUs === null || sweep.startedAtUs > proof.gapUs)) {
      proof.gaps = 0;
      proof.gapUs = null;
      this.covered.push({ table, beforeUs: sweep.startedAtUs });
      this.coveredBeforeUs.set(table, sweep.startedAtUs);
    }
    proof.lastSweepEndedMs = sweep.endedAtMs;
    if (sweep.clean && !this.leavesSuspects(table)) proof.lastCleanSweepMs = sweep.endedAtMs;
    proof.oldRows = sweep.oldRows;
    proof.newRows = sweep.newRows;
    if (sweep.asked && proof.deadLetters > 0 && (proof.deadLetterUs === null || sweep.startedAtUs > proof.deadLetterUs)) {
      proof.deadLetters = 0;
      proof.oldestDeadLetter = null;
      this.discharged.push({ table, beforeMs: sweep.endedAtMs });
      this.sweptBeforeMs.set(table, Math.round(sweep.endedAtMs));
    }
    this.dirty.add(table);
  }

  /** A sweep of the touched rows is over and all it found is settled: it says nothing of the others, and what stands on full sweeps stays. */
  incrementalEnded(table: string, endedAtMs: number, clean: boolean): void {
    const proof = this.get(table);
    proof.lastIncrementalEndedMs = endedAtMs;
    if (clean && !this.leavesSuspects(table)) proof.lastCleanIncrementalMs = endedAtMs;
    this.dirty.add(table);
  }

  /** Whether the last full sweep's findings are none, or have all been proven gone. */
  lastFullWasClean(table: string): boolean {
    const { lastSweepEndedMs, lastCleanSweepMs } = this.get(table);
    return lastSweepEndedMs !== null && lastSweepEndedMs === lastCleanSweepMs;
  }

  /** Whether each change that may not have reached the replica is known from the stream. */
  knowsAllChanges(table: string): boolean {
    const { provenSinceUs, deadLetters } = this.get(table);
    return !this.sampled.has(table) && provenSinceUs !== null && deadLetters === 0 && !this.owesSweep(table);
  }

  /** A sweep ends without the verdict on a row that differed while a change of it was under way. */
  suspectLeft(table: string): void {
    this.leftSuspects.set(table, (this.leftSuspects.get(table) ?? 0) + 1);
  }

  /** Such a row has its verdict: until all have, no sweep that left one is clean. */
  leftSuspectSettled(table: string): void {
    this.leftSuspects.set(table, Math.max(0, (this.leftSuspects.get(table) ?? 0) - 1));
  }

  /** All drift of the table is gone: each row that the last sweep found has been proven equal since. */
  driftGone(table: string): void {
    const proof = this.get(table);
    if (this.leavesSuspects(table)) return;
    if (proof.lastSweepEndedMs === null || proof.lastSweepEndedMs === proof.lastCleanSweepMs) return;
    proof.lastCleanSweepMs = proof.lastSweepEndedMs;
    this.dirty.add(table);
  }

  /** Moves verified-through as far as the facts allow, never back. */
  advance(table: string, facts: StreamFacts): void {
    const proof = this.get(table);
    const judged = judgeVerifiedThrough({
      ...facts,
      swept: proof.provenSinceUs !== null,
      sweepOwed: proof.sweepOwedSinceUs !== null,
      hasGaps: proof.gaps > 0,
    });
    if (judged.kind === 'held') {
      proof.heldBy = judged.by === 'undecoded' ? heldByGaps(proof) : HELD_BY[judged.by];
      return;
    }
    proof.heldBy = judged.by === 'unsettled' ? 'a change is not yet seen on the replica' : null;
    if (proof.verifiedThroughUs !== null && judged.throughUs <= proof.verifiedThroughUs) return;
    proof.verifiedThroughUs = judged.throughUs;
    this.dirty.add(table);
  }

  /** The same of a table that no change is checked of: what was committed before its last sweep began is proven, and nothing since. */
  advanceBySweeps(table: string, snapshotInProgress: boolean): void {
    const proof = this.get(table);
    const { provenSinceUs } = proof;
    if (snapshotInProgress) proof.heldBy = "the connector's initial snapshot is in progress";
    else if (provenSinceUs === null) proof.heldBy = 'no sweep has finished yet';
    else {
      proof.heldBy = SWEEP_ONLY;
      if (proof.verifiedThroughUs !== null && provenSinceUs <= proof.verifiedThroughUs) return;
      proof.verifiedThroughUs = provenSinceUs;
      this.dirty.add(table);
    }
  }

  /** A sweep has accounted for dead letters and no checkpoint says so yet. */
  get hasUnwrittenDischarges(): boolean {
    return this.discharged.length > 0 || this.covered.length > 0;
  }

  private leavesSuspects(table: string): boolean {
    return (this.leftSuspects.get(table) ?? 0) > 0;
  }

  /** Tables that changed since the last call, as the state store keeps them. */
  drainChanges(): { tables: StoredTable[]; discharged: DischargedLetters[]; covered: CoveredGaps[]; done: () => void; undo: () => void } {
    const { dirty, discharged, covered } = this;
    this.dirty = new Set();
    this.discharged = [];
    this.covered = [];
    const tables = [...dirty].map((table): StoredTable => {
      const { provenSinceUs, sweepOwedSinceUs, verifiedThroughUs, lastCleanSweepMs, lastSweepEndedMs, lastCleanIncrementalMs, lastIncrementalEndedMs, oldRows, newRows } = this.get(table);
      return { table, provenSinceUs, sweepOwedSinceUs, verifiedThroughUs, lastCleanSweepMs, lastSweepEndedMs, lastCleanIncrementalMs, lastIncrementalEndedMs, oldRows, newRows };
    });
    return {
      tables,
      discharged,
      covered,
      done: () => {
        for (const { table, verifiedThroughUs } of tables) {
          const proof = this.get(table);
          // What was proven before something else was compared is not proven now.
          if (proof.verifiedThroughUs !== null) proof.writtenThroughUs = verifiedThroughUs;
        }
      },
      undo: () => {
        this.discharged = [...discharged, ...this.discharged];
        this.covered = [...covered, ...this.covered];
        for (const table of dirty) this.dirty.add(table);
      },
    };
  }
}

function heldByGaps({ gaps, deadLetters, oldestDeadLetter }: TableProof): string {
  const what = undecodedRecords(gaps, gaps === deadLetters ? oldestDeadLetter : null);
  return `${what}: retry ${gaps === 1 ? 'it' : 'them'}, or sweep the table`;
}
