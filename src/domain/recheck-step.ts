import type { ReadVerdict } from './recheck.ts';

/** What becomes of a check after one look at the replica; the table of docs/SPEC.md. */
export type ReadStep =
  /** Its newest change is there: it is over. */
  | 'settle'
  /** What came up to an older change is settled; the rest is on its way. */
  | 'settle_older'
  /** Both sides are read. */
  | 'confirm'
  /** Its changes are settled, and both sides are read for what is doubted beside them. */
  | 'confirm_without_changes'
  | 'look_again';

export interface ReadFacts {
  /** A sweep saw the row differ, or drift of it is open. */
  readonly doubted: boolean;
  /** The newest change must have been applied before the replica was read. */
  readonly applied: boolean;
}

export function afterRead(verdict: ReadVerdict['kind'], { doubted, applied }: ReadFacts): ReadStep {
  switch (verdict) {
    case 'match':
      return doubted ? 'confirm_without_changes' : 'settle';
    case 'match_partly':
      return 'confirm';
    case 'older':
      return 'settle_older';
    case 'returned':
      return 'look_again';
    case 'differs':
      return applied ? 'confirm' : 'look_again';
  }
}
