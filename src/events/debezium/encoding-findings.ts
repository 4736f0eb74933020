import { columnOn } from '../../domain/pair.ts';
import type { Pair, Side } from '../../domain/pair.ts';
import { lossMessage } from '../../domain/values/loss.ts';
import type { Loss, LossReason } from '../../domain/values/loss.ts';

/** Changes that lack a column before it counts as one that events never carry: those made before it was added lack it too. */
const ABSENT_MIN = 10;

/** Something that the events of a table do not tell, or tell less exactly than the database. */
export interface EncodingFinding {
  readonly pairId: string;
  readonly side: Side;
  /** As the events' side calls it; null: of the whole event. */
  readonly column: string | null;
  /** Stable: a `LossReason`, or one of those that concern columns and events as a whole. */
  readonly reason: LossReason | 'column_absent' | 'no_commit_time' | 'no_delete_time';
  readonly message: string;
}

/** What the events of one table have shown, each thing told once. */
export class EncodingFindings {
  readonly #pair: Pair;
  readonly #side: Side;
  readonly #report: (finding: EncodingFinding) => void;
  /** By column: changes without it so far; Infinity once it was there, or need not be. */
  readonly #absent: number[];
  /** By column. */
  readonly #losses: Set<LossReason>[];
  readonly #told = new Set<EncodingFinding['reason']>();

  constructor(pair: Pair, side: Side, report: (finding: EncodingFinding) => void) {
    this.#pair = pair;
    this.#side = side;
    this.#report = report;
    this.#absent = pair.columns.map((column) => (columnOn(column, side).expression === undefined ? 0 : Number.POSITIVE_INFINITY));
    this.#losses = pair.columns.map(() => new Set());
  }

  /** Of the events as a whole. */
  event(reason: 'no_commit_time' | 'no_delete_time', message: string): void {
    if (this.#told.has(reason)) return;
    this.#told.add(reason);
    this.#tell(null, reason, message);
  }

  /** A change's image lost a value of a column. */
  loss(index: number, { reason }: Loss): void {
    const losses = this.#losses[index];
    if (losses === undefined || losses.has(reason)) return;
    losses.add(reason);
    const name = this.#nameOf(index);
    this.#tell(name, reason, `${name}: ${lossMessage(reason)}`);
  }

  /** A change's image has, or has not, a column. */
  column(index: number, isPresent: boolean): void {
    const absent = this.#absent[index];
    if (absent === undefined || absent === Number.POSITIVE_INFINITY) return;
    this.#absent[index] = isPresent || absent + 1 === ABSENT_MIN ? Number.POSITIVE_INFINITY : absent + 1;
    if (isPresent || absent + 1 !== ABSENT_MIN) return;
    const name = this.#nameOf(index);
    this.#tell(name, 'column_absent', `${name}: events do not carry the column; rows are read from both databases instead`);
  }

  #nameOf(index: number): string {
    const column = this.#pair.columns[index];
    return column === undefined ? '' : columnOn(column, this.#side).name;
  }

  #tell(column: string | null, reason: EncodingFinding['reason'], message: string): void {
    this.#report({ pairId: this.#pair.id, side: this.#side, column, reason, message });
  }
}
