import { Random } from '../unit/verify/memory/random.ts';

/** What can go wrong once in a history. */
export const FAULT_KINDS = ['lost', 'stale', 'duplicated', 'mangled', 'written', 'lost_event'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** The values of a row beside its key; null: no row. */
export type Values = readonly [string, string] | null;

export interface PlannedChange {
  readonly table: number;
  readonly key: string;
  readonly values: Values;
}

export interface Transaction {
  readonly atMs: number;
  readonly changes: readonly PlannedChange[];
}

/** Something that a correct pipeline does as well. */
export interface Upset {
  readonly atMs: number;
  readonly what: 'connector_restarts' | 'sink_restarts' | 'connector_pauses' | 'sink_pauses' | 'consumer_rebalances';
  readonly table: number;
  readonly forMs: number;
}

/** Lockstep dies at this step of the life that it then has, and is away for a while. */
export interface Crash {
  readonly step: number;
  readonly awayMs: number;
}

/** The one fault of a history. */
export type Fault =
  /** The pipeline spoils a change: that of `transaction` of the key of the victim. */
  | { readonly kind: Exclude<FaultKind, 'written'>; readonly transaction: number; readonly victim: PlannedChange; readonly afterMs: number }
  /** Somebody writes on the replica. */
  | { readonly kind: 'written'; readonly atMs: number; readonly victim: PlannedChange };

export interface Settings {
  readonly tables: number;
  readonly partitions: number;
  readonly rows: number;
  /** Whether the sink's progress can be asked for. */
  readonly sinkKnown: boolean;
  /** The longest that a sink rests between two batches. */
  readonly sinkRestMs: number;
  /** Whether a sink's batch is one transaction, and only the last change of each key of it is written. */
  readonly sinkBatches: boolean;
  readonly settleMs: number;
  /** The databases' clocks less Lockstep's. */
  readonly skewMs: { readonly old: number; readonly new: number };
  readonly marks: { readonly old: boolean; readonly new: boolean };
  /** Which changes' events do not tell when they were committed. */
  readonly timeless: 'none' | 'deletes' | 'all';
  /** Whether events leave out a large value that did not change. */
  readonly leavesOut: boolean;
  readonly sweepEveryMs: number;
  readonly maxPending: number;
}

/** All that happens in one history, as data: it can be told, replayed and made smaller. */
export interface Plan {
  /** Of all that takes its time. */
  readonly seed: number;
  readonly settings: Settings;
  readonly transactions: readonly Transaction[];
  readonly upsets: readonly Upset[];
  readonly crashes: readonly Crash[];
  readonly fault: Fault | null;
}

const LOAD_MS = 900;
const CLOCKS_APART_MS = [0, 0, 150, 5_000, 47_000];

/** @param faults kinds of which one happens; none: the pipeline is correct */
export function makePlan(seed: number, faults: readonly FaultKind[]): Plan {
  const random = new Random(seed * 2_654_435_761 + 97);
  const sinkKnown = random.chance(0.6);
  const settings: Settings = {
    tables: random.chance(0.6) ? 1 : 2,
    partitions: random.between(1, 2),
    rows: random.between(2, 6),
    sinkKnown,
    // Where nothing tells how far the sink is, it is correct only where it takes less than `settle`.
    sinkRestMs: sinkKnown ? random.of([10, 60, 500]) : random.of([10, 60]),
    sinkBatches: random.chance(0.5),
    settleMs: sinkKnown ? 300 : 1_000,
    skewMs: { old: apart(random), new: apart(random) },
    marks: { old: random.chance(0.5), new: random.chance(0.5) },
    timeless: random.chance(0.8) ? 'none' : random.of(['deletes', 'all']),
    leavesOut: random.chance(0.3),
    sweepEveryMs: random.of([400, 900]),
    maxPending: random.of([4, 12, 1_000]),
  };
  const kind = faults.length === 0 ? null : random.of(faults);
  const victim = kind === null ? null : { table: random.between(0, settings.tables - 1), key: random.chance(0.7) ? 'k0' : 'v' };
  const transactions = makeTransactions(random, settings, victim);
  const fault = kind === null || victim === null ? null : makeFault(random, kind, victim, transactions);
  return {
    seed,
    settings,
    transactions,
    upsets: Array.from({ length: random.between(0, 3) }, () => ({
      atMs: random.between(0, LOAD_MS),
      what: random.of(['connector_restarts', 'sink_restarts', 'connector_pauses', 'sink_pauses', 'consumer_rebalances'] as const),
      table: random.between(0, settings.tables - 1),
      forMs: random.between(5, sinkKnown ? 400 : 150),
    })),
    crashes: Array.from({ length: random.chance(0.4) ? random.between(1, 2) : 0 }, () => ({ step: random.between(1, 260), awayMs: random.between(0, 250) })),
    fault,
  };
}

function apart(random: Random): number {
  return random.of(CLOCKS_APART_MS) * random.of([-1, 1]);
}

function makeTransactions(random: Random, { tables, rows }: Settings, victim: { table: number; key: string } | null): Transaction[] {
  const transactions: Transaction[] = [];
  const count = random.between(1, 14);
  for (let index = 0; index < count; index++) {
    const changes: PlannedChange[] = [];
    for (let change = random.between(1, 3); change > 0; change--) {
      const table = random.between(0, tables - 1);
      // Few keys and few values: rows become again what they were.
      const key = `k${random.chance(0.4) ? 1 : random.between(0, rows)}`;
      if (victim !== null && victim.table === table && victim.key === key && random.chance(0.5)) continue;
      changes.push({ table, key, values: random.chance(0.2) ? null : [random.of(['a', 'b', 'c']), random.of(['x', 'x', 'y'])] });
    }
    if (changes.length > 0) transactions.push({ atMs: random.between(0, LOAD_MS), changes });
  }
  return transactions.sort((one, other) => one.atMs - other.atMs);
}

function makeFault(random: Random, kind: FaultKind, victim: { table: number; key: string }, transactions: Transaction[]): Fault {
  const { table, key } = victim;
  const atMs = random.between(0, LOAD_MS);
  const values: Values = random.chance(0.25) && kind !== 'mangled' ? null : ['f', random.of(['x', 'y'])];
  const spoiled: PlannedChange = { table, key, values };
  // Later changes of the key would mend it: in most histories there are none.
  const mends = random.chance(0.1);
  const kept = transactions.flatMap((one) => {
    const changes = mends || one.atMs < atMs ? one.changes : one.changes.filter((change) => change.table !== table || change.key !== key);
    return changes.length === 0 ? [] : [{ ...one, changes }];
  });
  if (kind === 'written') {
    transactions.splice(0, transactions.length, ...kept);
    return { kind, atMs: mends ? atMs : LOAD_MS + random.between(0, 1_500), victim: spoiled };
  }
  // A row is deleted only where there is one.
  const first: Transaction[] = key === 'v' && values === null ? [{ atMs: Math.max(0, atMs - random.between(1, 300)), changes: [{ table, key, values: ['n', 'x'] }] }] : [];
  const transaction: Transaction = { atMs, changes: [spoiled] };
  const all = [...kept, ...first].sort((one, other) => one.atMs - other.atMs);
  const place = all.findLastIndex((one) => one.atMs <= atMs) + 1;
  all.splice(place, 0, transaction);
  transactions.splice(0, transactions.length, ...all);
  return { kind, transaction: place, victim: spoiled, afterMs: random.between(0, 600) };
}
