import type { OneTable, EndedSweep } from '../../test/pipeline/live-sweep/one-table.ts';
import type { PostgresServer } from '../../test/stack/postgres-server.ts';
import type { Case } from './pair.ts';

/** Updates before each incremental sweep. */
const UPDATES = 5_000;
/** neighbouring: all within this share of the key space. */
const NEIGHBOURS_SHARE = 0.01;
/** Rows that one statement updates. */
const KEYS_PER_STATEMENT = 1_000;

/** Where the updated rows lie: `neighbouring` within 1 % of the key space, `scattered` over all of it. */
export const SPREADS = ['neighbouring', 'scattered'] as const;
export type Spread = (typeof SPREADS)[number];

/** How long sweeps of one kind took by the service's own clock, settling included, ms. */
export interface IncrementalTimes {
  readonly full: readonly number[];
  readonly incremental: Readonly<Record<Spread, readonly number[]>>;
  /** Rows updated before each incremental sweep. */
  readonly updates: Readonly<Record<Spread, number>>;
}

/** Which rows (from 1) of a table are updated: evenly over their part of it. */
export function updatedRows(spread: Spread, rows: number): number[] {
  const width = spread === 'scattered' ? rows : Math.ceil(rows * NEIGHBOURS_SHARE);
  const first = spread === 'scattered' ? 1 : Math.floor((rows - width) / 2) + 1;
  const count = Math.min(UPDATES, width);
  return Array.from({ length: count }, (_, index) => first + Math.floor((index * width) / count));
}

/**
 * Full and incremental sweeps in turn, updates through the pipeline before each incremental one.
 * @throws Error when a sweep was not of the kind asked for, found drift or compared other rows: its time would say nothing
 */
export async function runIncremental(old: PostgresServer, run: OneTable, subject: Case, rounds: number, report: (line: string) => void): Promise<IncrementalTimes> {
  const full: number[] = [];
  const incremental = { neighbouring: [] as number[], scattered: [] as number[] };
  const rowsOf = { neighbouring: updatedRows('neighbouring', subject.rows), scattered: updatedRows('scattered', subject.rows) };
  await run.idle();
  for (let round = 1; round <= rounds; round++) {
    await run.settled();
    full.push(tookMs(await run.sweep('full'), 'full', subject.rows));
    report(`round ${round}: full ${full.at(-1)} ms`);
    for (const spread of SPREADS) {
      await update(old, subject, rowsOf[spread]);
      await run.settled();
      const part = await run.sweep('incremental');
      incremental[spread].push(tookMs(part, 'incremental', rowsOf[spread].length));
      report(`round ${round}: incremental, ${rowsOf[spread].length} ${spread} updates ${incremental[spread].at(-1)} ms`);
    }
  }
  return { full, incremental, updates: { neighbouring: rowsOf.neighbouring.length, scattered: rowsOf.scattered.length } };
}

function tookMs({ kind, kind_reason: reason, drift, rows, sweep_started_at: startedAt, sweep_ended_at: endedAt }: EndedSweep, wanted: string, wantedRows: number): number {
  if (kind !== wanted) throw new Error(`the sweep was ${kind}: ${reason}`);
  if (drift > 0) throw new Error(`the sweep found ${drift} rows that differ`);
  if (rows.old !== wantedRows) throw new Error(`the ${kind} sweep compared ${rows.old} rows, not ${wantedRows}`);
  return Date.parse(endedAt) - Date.parse(startedAt);
}

async function update(old: PostgresServer, { shape, tables }: Case, rows: readonly number[]): Promise<void> {
  for (let from = 0; from < rows.length; from += KEYS_PER_STATEMENT) {
    const keys = rows.slice(from, from + KEYS_PER_STATEMENT).map((row) => `(${shape.keyOf(row).join(', ')})`);
    await old.query(`UPDATE ${tables.old} SET amount = amount + 1 WHERE (${shape.keyColumns.join(', ')}) IN (${keys.join(', ')})`);
  }
}
