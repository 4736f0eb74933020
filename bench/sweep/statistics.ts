/** The middle value; of an even count the mean of the two. @throws RangeError for none */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined) throw new RangeError('no median of nothing');
  return (low + high) / 2;
}

/** Median, and least and most where there are several values. */
export function spread(values: readonly number[], digits: number): string {
  const middle = median(values).toFixed(digits);
  return values.length === 1 ? middle : `${middle} (${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)})`;
}
