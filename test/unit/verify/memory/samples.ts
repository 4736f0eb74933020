import createXxhash from 'xxhash-wasm';
import type { ColumnDescription, Pair, PairColumn } from '../../../../src/domain/pair.ts';
import type { Hasher } from '../../../../src/domain/recheck.ts';
import type { SuspectResult, VerifyMetrics } from '../../../../src/verify/ports.ts';

const xxhash = await createXxhash();

export const hasher: Hasher = (encoded) => xxhash.h64(encoded);

function column(name: string): PairColumn {
  const description: ColumnDescription = {
    name,
    nullable: true,
    type: { formatted: 'text', base: 'text', kind: 'base', array: false, precision: null, scale: null, length: null },
  };
  return { name, old: description, new: description, valueClass: 'text', sensitive: false };
}

/** A table of texts: a key column `id` and others. */
export function textPair(table = 'public.items', columns: readonly string[] = ['id', 'value', 'big']): Pair {
  const [schema = '', name = ''] = table.split('.');
  const both = { schema, name };
  return { id: table, old: both, new: both, columns: columns.map(column), key: [0], where: {}, topic: { old: `shop.${table}` } };
}

/** Counts what verification says. */
export class CountingMetrics implements VerifyMetrics {
  readonly verdicts = new Map<string, number>();
  readonly confirmed: string[] = [];
  readonly resolved: string[] = [];
  readonly sweptRows = { old: 0n, new: 0n };
  readonly suspects: Partial<Record<SuspectResult, number>> = {};
  chunks = 0;
  paired = 0;

  changeEvent(): void {}
  check(_table: string, verdict: string): void {
    this.verdicts.set(verdict, (this.verdicts.get(verdict) ?? 0) + 1);
  }
  driftConfirmed(_table: string, kind: string): void {
    this.confirmed.push(kind);
  }
  driftResolved(_table: string, kind: string): void {
    this.resolved.push(kind);
  }
  driftDetected(): void {}
  pairedEvent(): void {
    this.paired++;
  }
  replicationLag(): void {}
  lagBudgetBreach(): void {}
  sweepRows(_table: string, side: 'old' | 'new', rows: bigint): void {
    this.sweptRows[side] += rows;
  }
  sweepSuspects(_table: string, result: SuspectResult, rows: number): void {
    this.suspects[result] = (this.suspects[result] ?? 0) + rows;
  }
  sweepChunk(): void {
    this.chunks++;
  }
  deadLetter(): void {}
}
