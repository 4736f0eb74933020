import type { Pair } from './pair.ts';
import { columnOn } from './pair.ts';
import type { RowKey } from './row.ts';

/** Compares two canonical values: below 0 where the first comes first. */
type Order = (left: string, right: string) => number;

const WHOLE = /^int[248]$/;
const NUMBERS = /^(?:int[248]|numeric)$/;
const MINUS = '-'.charCodeAt(0);
const NUMBER = /^(-?)([0-9]+)(?:\.([0-9]+))?$/;

/**
 * Compares keys about as both databases order them: numbers by value, all else by its characters. It says which keys may
 * lie in a range, so that few are asked for; which do is for the databases to say, so nothing but speed depends on it.
 * A key of fewer values stands before all that begin so.
 */
export function keyOrder(pair: Pair): (left: RowKey, right: RowKey) => number {
  const orders = pair.key.map((position): Order => {
    const column = pair.columns[position];
    const are = (types: RegExp): boolean => column !== undefined && (['old', 'new'] as const).every((side) => types.test(columnOn(column, side).type.base) && !columnOn(column, side).type.array);
    return are(WHOLE) ? compareWhole : are(NUMBERS) ? compareNumbers : compareTexts;
  });
  return (left, right) => {
    const values = Math.min(left.length, right.length);
    for (let index = 0; index < values; index++) {
      const order = (orders[index] ?? compareTexts)(left[index] as string, right[index] as string);
      if (order !== 0) return order;
    }
    return left.length - right.length;
  };
}

function compareTexts(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Canonical whole numbers by value: many are compared for each chunk. */
function compareWhole(left: string, right: string): number {
  const isNegative = left.charCodeAt(0) === MINUS;
  if (isNegative !== (right.charCodeAt(0) === MINUS)) return isNegative ? -1 : 1;
  const order = left.length - right.length || compareTexts(left, right);
  return isNegative ? -order : order;
}

/** Canonical decimals by value, without parsing them to numbers that cannot hold them; what is none (NaN, infinity) by its characters. */
function compareNumbers(left: string, right: string): number {
  const [one, other] = [NUMBER.exec(left), NUMBER.exec(right)];
  if (one === null || other === null) return compareTexts(left, right);
  const [, sign, whole = '', fraction = ''] = one;
  const [, otherSign, otherWhole = '', otherFraction = ''] = other;
  if (sign !== otherSign) return sign === '-' ? -1 : 1;
  const order = whole.length - otherWhole.length || compareTexts(whole, otherWhole) || compareTexts(fraction, otherFraction);
  return sign === '-' ? -order : order;
}
