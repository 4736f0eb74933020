import { runHistory, type Outcome } from './history.ts';
import type { Fault, Plan, Settings } from './plan.ts';

/** Most histories that are tried for a smaller one. */
const TRIES_MAX = 600;

/** The smallest plan found that still breaks the same invariant, and what comes of it. */
export async function shrink(plan: Plan, outcome: Outcome): Promise<{ plan: Plan; outcome: Outcome }> {
  let best = { plan, outcome };
  let tries = 0;
  for (let smaller = true; smaller && tries < TRIES_MAX; ) {
    smaller = false;
    for (const candidate of smallerThan(best.plan)) {
      if (++tries > TRIES_MAX) break;
      const tried = await runHistory(candidate);
      if (tried.problem?.invariant !== outcome.problem?.invariant) continue;
      best = { plan: candidate, outcome: tried };
      smaller = true;
      break;
    }
  }
  return best;
}

function* smallerThan(plan: Plan): Generator<Plan> {
  const { crashes, upsets, transactions, fault, settings } = plan;
  for (const index of crashes.keys()) yield { ...plan, crashes: without(crashes, index) };
  for (const index of upsets.keys()) yield { ...plan, upsets: without(upsets, index) };
  for (const index of transactions.keys()) {
    const moved = movedBy(fault, index);
    if (moved !== undefined) yield { ...plan, transactions: without(transactions, index), fault: moved };
  }
  for (const [index, transaction] of transactions.entries()) {
    for (const change of transaction.changes.keys()) {
      if (transaction.changes.length < 2) break;
      if (fault !== null && fault.kind !== 'written' && fault.transaction === index && transaction.changes[change]?.key === fault.victim.key) continue;
      yield { ...plan, transactions: transactions.with(index, { ...transaction, changes: without(transaction.changes, change) }) };
    }
  }
  const simpler: Partial<Settings>[] = [
    { partitions: 1 },
    { timeless: 'none' },
    { leavesOut: false },
    { sinkBatches: false },
    { skewMs: { old: 0, new: 0 } },
    { marks: { old: false, new: false } },
    { maxPending: 1_000 },
    { rows: settings.rows - 1 },
    ...(uses(plan, 1) ? [] : [{ tables: 1 }]),
  ];
  for (const changed of simpler) {
    const next = { ...settings, ...changed };
    if (next.rows > 0 && JSON.stringify(next) !== JSON.stringify(settings)) yield { ...plan, settings: next };
  }
}

function uses({ transactions, fault, upsets }: Plan, table: number): boolean {
  return fault?.victim.table === table || upsets.some((upset) => upset.table === table) || transactions.some(({ changes }) => changes.some((change) => change.table === table));
}

/** The fault once a transaction is taken away; undefined where it is that of the fault. */
function movedBy(fault: Fault | null, index: number): Fault | null | undefined {
  if (fault === null || fault.kind === 'written') return fault;
  if (fault.transaction === index) return undefined;
  return fault.transaction > index ? { ...fault, transaction: fault.transaction - 1 } : fault;
}

function without<Item>(items: readonly Item[], index: number): Item[] {
  return items.filter((_, place) => place !== index);
}
