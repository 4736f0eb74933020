import { deadLetterId, type DeadLetterPlace } from '../../../../src/domain/dead-letter.ts';
import type { Drift } from '../../../../src/domain/drift.ts';
import { LockstepError } from '../../../../src/domain/errors.ts';
import { keyId, type RowKey } from '../../../../src/domain/row.ts';
import type {
  Checkpoint,
  DeadLetterShelf,
  DeadLetterState,
  DeadLetterStates,
  KeptLetter,
  RestoredState,
  StoredCheck,
  StoredDeadLetter,
  StoredPartition,
  StoredSweep,
  StoredTable,
  StoredTouched,
  VerifyStore,
} from '../../../../src/verify/ports.ts';

/** What a state store keeps, in memory; it outlives the processes that write to it. */
export class MemoryState {
  epoch = 0;
  readonly partitions = new Map<string, StoredPartition>();
  readonly checks = new Map<string, StoredCheck>();
  readonly tables = new Map<string, StoredTable>();
  readonly touched = new Map<string, StoredTouched>();
  readonly drift = new Map<string, { drift: Drift; keyValues: RowKey }>();
  readonly deadLetters = new Map<string, StoredDeadLetter & { discharged: boolean; gap: boolean; swept: boolean }>();
  readonly driftEvents = new Set<string>();
  readonly sweeps = new Map<string, StoredSweep>();
  /** How long a write takes. */
  writeMs: () => Promise<void> = () => Promise.resolve();
  /** Called before a write; throws to make it fail. */
  trouble: () => void = () => undefined;
}

/** One process's hold of the state; a later one fences it off. */
export class MemoryStore implements VerifyStore, DeadLetterShelf {
  readonly #state: MemoryState;
  #epoch = 0;

  constructor(state: MemoryState) {
    this.#state = state;
  }

  restore(): Promise<RestoredState> {
    const state = this.#state;
    this.#epoch = ++state.epoch;
    return Promise.resolve({
      partitions: [...state.partitions.values()],
      checks: [...state.checks.values()],
      tables: [...state.tables.values()],
      drift: [...state.drift.values()].filter(({ drift }) => drift.status !== 'resolved'),
      deadLetters: this.#letterStates(),
      touched: [...state.touched.values()],
      gapEnds: [...state.deadLetters.values()].map(({ table, position, gapUs }) => ({ table: table as string, position, atUs: gapUs })),
    });
  }

  async write(checkpoint: Checkpoint): Promise<void> {
    const state = this.#state;
    const taken = structuredClone(checkpoint);
    await state.writeMs();
    this.#fence();
    state.trouble();
    for (const partition of taken.partitions) state.partitions.set(`${partition.topic}/${partition.partition}`, partition);
    for (const { table, key } of taken.settledChecks) state.checks.delete(`${table} ${keyId(key)}`);
    for (const check of taken.checks) state.checks.set(`${check.table} ${keyId(check.key)}`, check);
    for (const { drift, keyValues, events } of taken.drift) {
      state.drift.set(drift.id, { drift, keyValues });
      for (const event of events) state.driftEvents.add(`${drift.id} ${event.event} ${event.atMs}`);
    }
    for (const letter of taken.deadLetters) state.deadLetters.set(deadLetterId(letter.position), { ...letter, discharged: false, gap: true, swept: false });
    for (const { beforeUs } of taken.covered ?? []) for (const letter of state.deadLetters.values()) if (letter.gap && letter.gapUs < beforeUs) Object.assign(letter, { gap: false, swept: true });
    for (const { place } of taken.retried ?? []) Object.assign(state.deadLetters.get(deadLetterId(place)) as object, { discharged: true, gap: false });
    for (const part of taken.touched ?? []) {
      const kept = part.rewritten === true ? [] : (state.touched.get(part.table)?.keys ?? []).filter(({ epoch }) => epoch >= (part.prunedBelow ?? 0));
      const keys = new Map([...kept, ...part.keys].map((entry) => [keyId(entry.key), entry]));
      state.touched.set(part.table, { ...part, rewritten: false, prunedBelow: null, keys: [...keys.values()] });
    }
    for (const table of taken.tables) state.tables.set(table.table, table);
  }

  async saveSweep(sweep: StoredSweep): Promise<void> {
    const taken = structuredClone(sweep);
    await this.#state.writeMs();
    this.#fence();
    this.#state.sweeps.set(taken.id, taken);
  }

  unfinishedSweep(): Promise<StoredSweep | null> {
    const unfinished = [...this.#state.sweeps.values()].filter((sweep) => sweep.status === 'running' || sweep.status === 'settling');
    return Promise.resolve(unfinished.at(-1) ?? null);
  }

  deadLetterStates(): Promise<DeadLetterStates> {
    return Promise.resolve(this.#letterStates());
  }

  keptLetter(place: DeadLetterPlace): Promise<KeptLetter | null> {
    const letter = this.#state.deadLetters.get(deadLetterId(place));
    if (letter === undefined) return Promise.resolve(null);
    const { table, position, reason, message, atMs, discharged, gap, gapUs } = letter;
    const settled = { dischargedAtMs: discharged ? 1 : null, dischargedBy: discharged ? ('retry' as const) : null, attempts: 0, lastAttemptAtMs: null };
    return Promise.resolve({ letter: { table, position, reason, message, atMs, ...settled }, record: null, gapUs: gap ? gapUs : null });
  }

  lettersToRetry(_selection: unknown, limit: number): Promise<readonly DeadLetterPlace[]> {
    const open = [...this.#state.deadLetters.values()].filter(({ discharged }) => !discharged);
    return Promise.resolve(open.slice(0, limit).map(({ position }) => position));
  }

  noteAttempt(): Promise<null> {
    return Promise.resolve(null);
  }

  #letterStates(): DeadLetterStates {
    const byTable = new Map<string, DeadLetterState>();
    for (const { table, position, discharged, gap, gapUs } of this.#state.deadLetters.values()) {
      const state = byTable.get(table as string) ?? { open: 0, oldest: null, gaps: 0, newestGapUs: null };
      byTable.set(table as string, {
        open: state.open + (discharged ? 0 : 1),
        oldest: state.oldest ?? (discharged ? null : position),
        gaps: state.gaps + (gap ? 1 : 0),
        newestGapUs: gap && (state.newestGapUs === null || gapUs > state.newestGapUs) ? gapUs : state.newestGapUs,
      });
    }
    return { byTable, keptBytes: 0 };
  }

  #fence(): void {
    if (this.#epoch !== this.#state.epoch) throw new LockstepError('fenced', 'another process has taken over');
  }
}
