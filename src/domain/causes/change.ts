import type { SqlType } from '../pair.ts';
import type { Finding } from './codes.ts';
import type { PlaceholderForms } from './placeholder.ts';

/** Two canonical values that differ, neither NULL: what it was, and what became of it. */
export interface ValueChange {
  readonly from: string;
  readonly to: string;
  /** Of the columns that hold them; null within a document. */
  readonly fromType: SqlType | null;
  readonly toType: SqlType | null;
  /** Offsets are told as new's against old's. */
  readonly toIsNew: boolean;
  readonly placeholder: PlaceholderForms;
}

/** One way in which a value changes; null where it does not explain the two values. */
export type Pattern = (change: ValueChange) => Finding | null;

/** The first of `patterns`, in their order, that explains the change. */
export function firstOf(patterns: readonly Pattern[], change: ValueChange): Finding | null {
  for (const pattern of patterns) {
    const found = pattern(change);
    if (found !== null) return found;
  }
  return null;
}
