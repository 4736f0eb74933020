import type { Difference } from './variants.ts';

/** How a tool's findings compare with what was planted. */
export interface Score {
  readonly planted: number;
  /** Key and kind as planted, columns too where the tool names them. */
  readonly right: number;
  readonly missed: number;
  /** Rows that do not differ, or reported a second time. */
  readonly false: number;
  /** Rows that differ, but in another kind or in other columns. */
  readonly wrong: number;
}

/** Whether all was found as planted and nothing else. */
export function isExact(score: Score): boolean {
  return score.right === score.planted && score.missed === 0 && score.false === 0 && score.wrong === 0;
}

/** Compares what a tool found with what was planted. */
export function scoreFindings(planted: readonly Difference[], found: Iterable<Difference>): Score {
  const left = new Map(planted.map((difference) => [idOf(difference), difference]));
  let [right, wrong, unasked] = [0, 0, 0];
  for (const finding of found) {
    const expected = left.get(idOf(finding));
    if (expected === undefined) unasked++;
    else {
      left.delete(idOf(finding));
      if (finding.kind === expected.kind && sameColumns(finding.columns, expected.columns)) right++;
      else wrong++;
    }
  }
  return { planted: planted.length, right, missed: left.size, false: unasked, wrong };
}

function idOf({ key }: Difference): string {
  return JSON.stringify(key);
}

function sameColumns(found: Difference['columns'], expected: Difference['columns']): boolean {
  if (found === null || expected === null) return true;
  return [...found].sort().join() === [...expected].sort().join();
}
