import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { afterRead } from '../../../src/domain/recheck-step.ts';
import { judgeConfirm, judgeRead, type ReadVerdict, type Suspicion, type Version } from '../../../src/domain/recheck.ts';
import { judgeVerifiedThrough } from '../../../src/domain/verified-through.ts';
import { Watermarks } from '../../../src/domain/watermarks.ts';
import { PendingChecks } from '../../../src/verify/pending-checks.ts';
import { hasher, textPair } from '../verify/memory/samples.ts';

/** The tables of docs/SPEC.md, held against the code cell by cell. */

type Cells = Readonly<Record<string, string>>;

const SPEC = readFileSync(new URL('../../../docs/SPEC.md', import.meta.url), 'utf8');

/** The rows of the table whose first line has these columns. */
function table(columns: string): Cells[] {
  const lines = SPEC.split('\n');
  const start = lines.indexOf(`| ${columns} |`);
  expect(start, `a table of ${columns}`).toBeGreaterThan(-1);
  const names = columns.split(' | ');
  const rows: Cells[] = [];
  for (let line = start + 2; lines[line]?.startsWith('|') === true; line++) {
    const cells = (lines[line] as string).slice(1, -1).split('|').map((cell) => cell.trim());
    rows.push(Object.fromEntries(names.map((name, index) => [name, cells[index] ?? ''])));
  }
  return rows;
}

/** Each combination of the values, with the one row of the table that fits it. */
function* total(rows: readonly Cells[], values: Readonly<Record<string, readonly string[]>>): Generator<[Cells, Cells]> {
  let combinations: Cells[] = [{}];
  for (const [name, each] of Object.entries(values)) combinations = combinations.flatMap((one) => each.map((value) => ({ ...one, [name]: value })));
  for (const one of combinations) {
    const fitting = rows.filter((row) => Object.keys(values).every((name) => row[name] === '-' || row[name] === one[name]));
    expect(fitting, JSON.stringify(one)).toHaveLength(1);
    yield [one, fitting[0] as Cells];
  }
}

const YES_NO = ['yes', 'no'];

function version(step: number, text: string | null): Version {
  const hash = text === null ? null : hasher(`#1;${text.length}:${text};`);
  return { committedAtUs: BigInt(step), lsn: BigInt(step), hash, unknownColumns: [], position: { topic: 't', partition: 0, offset: String(step), lsn: null, txId: null } };
}

it('a look at the replica', () => {
  const rows = table('the row shows | ambiguous | applied | verdict');
  for (const [one, row] of total(rows, { 'the row shows': ['newest', 'older', 'none'], ambiguous: YES_NO, applied: YES_NO })) {
    const versions = [version(1, 'a'), version(2, 'b')].map((each, index) => ({ ...each, hash: BigInt(index + 1) }));
    const shown = { newest: 2n, older: 1n, none: 3n }[one['the row shows'] as 'newest' | 'older' | 'none'];
    const verdict = judgeRead(hasher, versions, 9n, ['x'], shown, () => one['applied'] === 'yes', one['ambiguous'] === 'no');
    expect(verdict.kind, JSON.stringify(one)).toBe(row['verdict']);
  }
});

it('the step after it', () => {
  const kinds: ReadVerdict['kind'][] = ['match', 'match_partly', 'older', 'returned', 'differs'];
  for (const [one, row] of total(table('verdict | doubted | applied | step'), { verdict: kinds, doubted: YES_NO, applied: YES_NO })) {
    expect(afterRead(one['verdict'] as ReadVerdict['kind'], { doubted: one['doubted'] === 'yes', applied: one['applied'] === 'yes' }), JSON.stringify(one)).toBe(row['step']);
  }
});

it('the confirm step', () => {
  const rows = table('steady | equal | change | seen | consumed | applied | verdict');
  for (const [one, row] of total(rows, { steady: YES_NO, equal: YES_NO, change: ['as_told', 'other', 'none'], seen: YES_NO, consumed: YES_NO, applied: YES_NO })) {
    const is = (name: string): boolean => one[name] === 'yes';
    const primary = 1n;
    const replica = is('equal') ? primary : 2n;
    const newest = { ...version(1, 'a'), hash: one['change'] === 'as_told' ? primary : 5n };
    const suspicion: Suspicion | null = is('seen') ? { primaryHash: primary, sinceUs: 100n } : null;
    const verdict = judgeConfirm(
      hasher,
      one['change'] === 'none' ? [] : [newest],
      suspicion,
      { primaryBefore: primary, replica, primaryAfter: is('steady') ? primary : 3n, primaryRow: ['p'], replicaRow: ['r'], rereadAtUs: 200n },
      {
        newestApplied: is('applied'),
        consumedThroughUs: is('consumed') ? 150n : 50n,
        primaryIsFiltered: false,
        hasTimeless: false,
        settlesAtOnce: false,
        appliedThrough: () => is('applied'),
        isEarlierVersion: () => false,
      },
    );
    const expected = row['verdict'] === 'stream_gap' ? ['drift', 'stream_gap'] : row['verdict'] === 'drift' ? ['drift', 'different'] : [row['verdict'], null];
    expect([verdict.kind, verdict.kind === 'drift' ? verdict.driftKind : null], JSON.stringify(one)).toEqual(expected);
  }
});

it('verified-through', () => {
  const rows = table('snapshot | swept | owed | gaps | consumed | unsettled | result');
  for (const [one, row] of total(rows, { snapshot: YES_NO, swept: YES_NO, owed: YES_NO, gaps: YES_NO, consumed: YES_NO, unsettled: YES_NO })) {
    const is = (name: string): boolean => one[name] === 'yes';
    const judged = judgeVerifiedThrough({
      snapshotInProgress: is('snapshot'),
      swept: is('swept'),
      sweepOwed: is('owed'),
      hasGaps: is('gaps'),
      consumedThroughUs: is('consumed') ? 100n : null,
      oldestUnsettledUs: is('unsettled') ? 70n : 100n,
    });
    expect(`${judged.kind}: ${judged.by}`, JSON.stringify(one)).toBe(row['result']);
    if (judged.kind === 'through') expect(judged.throughUs).toBe(is('unsettled') ? 70n : 100n);
  }
});

it('the watermark of a partition', () => {
  const lane = { topic: 't', partition: 0 };
  const states = ['unknown', 'known', 'snapshot'];
  const events: Record<string, (marks: Watermarks) => void> = {
    change: (marks) => marks.consumedChange(lane, 10_000_000n),
    snapshot_row: (marks) => marks.consumedSnapshot(lane, false),
    snapshot_last: (marks) => marks.consumedSnapshot(lane, true),
    log_reached: (marks) => {
      marks.sample(20_000_000n, 5n);
      marks.sourcePassed(5n, new Map([['t/0', 0n]]));
    },
    records: (marks) => marks.consumedTo(lane, 3n, null),
  };
  const rows = table(`state | ${Object.keys(events).join(' | ')}`);
  expect(rows.map((row) => row['state'])).toEqual(states);
  for (const row of rows) {
    for (const [name, happens] of Object.entries(events)) {
      for (const hadMark of row['state'] === 'snapshot' ? [true, false] : [row['state'] === 'known']) {
        const marks = new Watermarks({ ordered: false });
        marks.partition(lane);
        if (hadMark) marks.consumedChange(lane, 5_000_000n);
        if (row['state'] === 'snapshot') marks.consumedSnapshot(lane, false);
        happens(marks);
        const progress = marks.partition(lane);
        const state = progress.snapshotSinceUs !== null ? 'snapshot' : progress.watermarkUs === null ? 'unknown' : 'known';
        expect((row[name] as string).split('_or_'), `${row['state']}, ${name}`).toContain(state);
        if (row[name] === 'unknown_or_known') expect(state).toBe(hadMark ? 'known' : 'unknown');
      }
    }
  }
});

it('the stored copy of a check', () => {
  const pair = textPair();
  const states = ['absent', 'new', 'stored', 'changed', 'gone'];
  const rows = table('state | changes | settles | drained_and_written | drained_and_failed');
  expect(rows.map((row) => row['state'])).toEqual(states);
  for (const row of rows) {
    for (const event of ['changes', 'settles', 'drained_and_written', 'drained_and_failed']) {
      const reach = (): { pending: PendingChecks; settle: () => void } => {
        const pending = new PendingChecks([pair]);
        let step = 0;
        const change = (): void => void pending.addChange(pair, ['k'], version(++step, 'a'), 0, 0);
        const settle = (): void => {
          for (const check of pending.checksOf(pair.id)) pending.settle(check, { kind: 'match', present: true });
        };
        if (row['state'] !== 'absent') change();
        if (row['state'] !== 'absent' && row['state'] !== 'new') pending.drainChanges();
        if (row['state'] === 'changed') change();
        if (row['state'] === 'gone') settle();
        if (event === 'changes') change();
        else if (event === 'settles') settle();
        else if (event === 'drained_and_failed') pending.drainChanges().undo();
        else pending.drainChanges();
        return { pending, settle };
      };
      expect(stateOf(reach, pair.id), `${row['state']}, ${event}`).toBe(row[event]);
    }
  }
});

/** Which of the states it is in, by what the next checkpoint would write, now and once it is settled. */
function stateOf(reach: () => { pending: PendingChecks; settle: () => void }, table: string): string {
  const { pending } = reach();
  const wrote = pending.drainChanges();
  if (pending.tableSize(table) === 0) return wrote.settled.length > 0 ? 'gone' : 'absent';
  if (wrote.checks.length === 0) return 'stored';
  const again = reach();
  again.settle();
  return again.pending.drainChanges().settled.length > 0 ? 'changed' : 'new';
}
