import type { Outcome } from './history.ts';
import type { Plan, Values } from './plan.ts';

/** A plan and what came of it, to be read by people. */
export function tell(plan: Plan, { problem, world, deaths }: Outcome): string {
  const { settings, transactions, upsets, crashes, fault } = plan;
  const turns: { atMs: number; text: string }[] = [
    ...transactions.map(({ atMs, changes }, place) => ({
      atMs,
      text: `transaction ${place}: ${changes.map(({ table, key, values }) => `t${table} ${key} = ${shown(values)}`).join(', ')}${fault !== null && fault.kind !== 'written' && fault.transaction === place ? `   <- ${fault.kind}, t${fault.victim.table} ${fault.victim.key}` : ''}`,
    })),
    ...upsets.map(({ atMs, what, table, forMs }) => ({ atMs, text: `${what.replaceAll('_', ' ')} (t${table}, ${forMs} ms)` })),
    ...(fault?.kind === 'written' ? [{ atMs: fault.atMs, text: `written on new: t${fault.victim.table} ${fault.victim.key} = ${shown(fault.victim.values)}` }] : []),
  ];
  const drift = [...world.state.drift.values()].map(({ drift: one, keyValues }) => `${one.table} ${keyValues.join()}: ${one.kind}, ${one.status}, found by ${one.foundBy}`);
  const commits = world.pipeline.log.map(({ lsn, table, key, row, committedAtUs }) => `${lsn}@${committedAtUs} t${table} ${key} = ${row === null ? '-' : row.slice(1).join('')}`);
  return [
    `seed ${plan.seed}: ${problem === null ? 'nothing wrong' : `${problem.invariant}: ${problem.message}`}`,
    `  ${JSON.stringify(settings)}`,
    ...turns.sort((one, other) => one.atMs - other.atMs).map(({ atMs, text }) => `  ${String(atMs).padStart(5)} ms  ${text}`),
    ...crashes.map(({ step, awayMs }, life) => `  Lockstep dies at step ${step} of life ${life}, away for ${awayMs} ms`),
    `  ${deaths} deaths; committed: ${commits.join('; ') || 'nothing'}`,
    `  drift stored: ${drift.join('; ') || 'none'}`,
  ].join('\n');
}

function shown(values: Values): string {
  return values === null ? '-' : values.join('');
}
