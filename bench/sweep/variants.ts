import { insertSql, type Shape, type ShapeName } from './shapes.ts';

/** d5k: of each kind, one row in so many; 1,000 of 5,000,000. */
const ROWS_PER_SCATTERED = 5_000;
/** block: neighbours, one row in so many; 50,000 of 5,000,000. */
const ROWS_PER_BLOCK_ROW = 100;
/** Keys that one statement names. */
const KEYS_PER_STATEMENT = 5_000;

export const VARIANTS = ['identical', 'd10', 'd5k', 'block'] as const;
export type VariantName = (typeof VARIANTS)[number];

/** Which variants a shape is built in. */
export const VARIANTS_OF: Readonly<Record<ShapeName, readonly VariantName[]>> = {
  mixed: VARIANTS,
  uuid: ['identical', 'd10'],
  composite: ['identical', 'd10'],
};

export type DifferenceKind = 'missing' | 'extra' | 'changed';

/** One row that differs: new lacks it, has it alone, or has other values. */
export interface Difference {
  readonly key: readonly string[];
  readonly kind: DifferenceKind;
  /** Changed columns; null where a tool does not tell them. */
  readonly columns: readonly string[] | null;
}

/** What one variant plants in a table of `rows` rows, and the statements that do it. */
export interface Planting {
  readonly differences: readonly Difference[];
  readonly statements: readonly string[];
}

/** Changes that a comparison by rounding, by text or by sums overlooks. */
const CHANGES = {
  amount: 'amount + 0.0001',
  created_at: "created_at + interval '1 microsecond'",
  note: "CASE WHEN note IS NULL THEN '' END",
  active: 'CASE WHEN active IS NULL THEN false ELSE NOT active END',
} as const;
type ChangedColumn = keyof typeof CHANGES;

interface Scatter {
  readonly missing: number;
  readonly extra: number;
  readonly changed: readonly (readonly [ChangedColumn, number])[];
}

/** The table on new that holds a variant; old has one table a shape. */
export function tableOf(shape: Shape, variant: VariantName): string {
  return variant === 'identical' ? shape.name : `${shape.name}_${variant}`;
}

/** Plans a variant: the same for the same shape and number of rows. */
export function plant(shape: Shape, variant: VariantName, rows: number): Planting {
  const table = tableOf(shape, variant);
  switch (variant) {
    case 'identical':
      return { differences: [], statements: [] };
    case 'd10':
      return scatter(shape, table, rows, { missing: 3, extra: 3, changed: [['amount', 1], ['created_at', 1], ['note', 1], ['active', 1]] });
    case 'd5k': {
      const each = Math.max(1, Math.floor(rows / ROWS_PER_SCATTERED));
      return scatter(shape, table, rows, { missing: each, extra: each, changed: [['amount', each], ['created_at', each], ['note', each]] });
    }
    case 'block': {
      const length = Math.max(1, Math.floor(rows / ROWS_PER_BLOCK_ROW));
      const first = Math.floor(rows / 2);
      const differences = Array.from({ length }, (_, index): Difference => ({ key: shape.keyOf(first + index), kind: 'missing', columns: null }));
      return { differences, statements: deletes(shape, table, differences) };
    }
  }
}

function scatter(shape: Shape, table: string, rows: number, { missing, extra, changed }: Scatter): Planting {
  const kinds: ('missing' | ChangedColumn)[] = [
    ...Array.from({ length: missing }, () => 'missing' as const),
    ...changed.flatMap(([column, count]) => Array.from({ length: count }, () => column)),
  ];
  const mixed = kinds.map((_kind, index) => kinds[(index * stride(kinds.length)) % kinds.length] as 'missing' | ChangedColumn);
  const planted = mixed.map((kind, index): Difference => {
    const key = shape.keyOf(scattered(index, mixed.length, rows));
    return kind === 'missing' ? { key, kind: 'missing', columns: null } : { key, kind: 'changed', columns: [kind] };
  });
  const extras = Array.from({ length: extra }, (_, index): Difference => ({ key: shape.extraKeyOf(index, extra, rows), kind: 'extra', columns: null }));
  const ofColumn = (column: ChangedColumn): Difference[] => planted.filter(({ columns }) => columns?.includes(column));
  return {
    differences: [...planted, ...extras],
    statements: [
      ...deletes(shape, table, planted.filter(({ kind }) => kind === 'missing')),
      ...changed.flatMap(([column]) => batches(ofColumn(column)).map((keys) => `UPDATE ${table} SET ${column} = ${CHANGES[column]} WHERE ${keyIn(shape, keys)}`)),
      ...(extras.length === 0 ? [] : [insertSql(shape, table, extras.map(({ key }) => key), rows)]),
    ],
  };
}

/** A step that visits each of `count` places once, so that neighbours differ in kind. */
function stride(count: number): number {
  for (let step = Math.max(1, Math.floor(count * 0.618)); step > 1; step--) if (greatestCommonDivisor(step, count) === 1) return step;
  return 1;
}

function greatestCommonDivisor(left: number, right: number): number {
  return right === 0 ? left : greatestCommonDivisor(right, left % right);
}

/** The row of the `index`-th of `count` differences: somewhere in its own part of the table. */
function scattered(index: number, count: number, rows: number): number {
  const from = Math.floor((index * rows) / count);
  const width = Math.floor(((index + 1) * rows) / count) - from;
  // Knuth's multiplicative hash spreads neighbours over the width.
  return 1 + from + (((index + 1) * 2_654_435_761) % 4_294_967_296) % width;
}

function deletes(shape: Shape, table: string, differences: readonly Difference[]): string[] {
  return batches(differences).map((keys) => `DELETE FROM ${table} WHERE ${keyIn(shape, keys)}`);
}

function batches(differences: readonly Difference[]): Difference[][] {
  const parts: Difference[][] = [];
  for (let from = 0; from < differences.length; from += KEYS_PER_STATEMENT) parts.push(differences.slice(from, from + KEYS_PER_STATEMENT));
  return parts;
}

function keyIn(shape: Shape, differences: readonly Difference[]): string {
  const keys = differences.map(({ key }) => `(${key.map((value) => `'${value}'`).join(', ')})`);
  return `(${shape.keyColumns.join(', ')}) IN (${keys.join(', ')})`;
}
