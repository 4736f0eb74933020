import type { Drift } from '../../../../src/domain/drift.ts';
import { LockstepError } from '../../../../src/domain/errors.ts';
import { keyId, type RowKey } from '../../../../src/domain/row.ts';
import type {
  Checkpoint,
  RestoredState,
  StoredCheck,
  StoredPartition,
  StoredSweep,
  StoredTable,
  VerifyStore,
} from '../../../../src/verify/ports.ts';

/** What a state store keeps, in memory; it outlives the processes that write to it. */
export class MemoryState {
  epoch = 0;
  readonly partitions = new Map<string, StoredPartition>();
  readonly checks = new Map<string, StoredCheck>();
  readonly tables = new Map<string, StoredTable>();
  readonly drift = new Map<string, { drift: Drift; keyValues: RowKey }>();
  readonly deadLetters = new Map<string, number>();
  readonly driftEvents = new Set<string>();
  readonly sweeps = new Map<string, StoredSweep>();
  /** How long a write takes. */
  writeMs: () => Promise<void> = () => Promise.resolve();
  /** Called before a write; throws to make it fail. */
  trouble: () => void = () => undefined;
}

/** One process's hold of the state; a later one fences it off. */
export class MemoryStore implements VerifyStore {
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
      deadLetters: new Map(state.deadLetters),
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
    for (const letter of taken.deadLetters) {
      if (letter.table !== null) state.deadLetters.set(letter.table, (state.deadLetters.get(letter.table) ?? 0) + 1);
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

  #fence(): void {
    if (this.#epoch !== this.#state.epoch) throw new LockstepError('fenced', 'another process has taken over');
  }
}
