/** Rows and characters of one statement: bound the memory of encoding it, here and on the server. */
const ROWS_PER_STATEMENT = 5_000;
const CHARS_PER_STATEMENT = 16 * 1024 * 1024;

/** Consecutive rows for one statement each. @param weigh a row's size in characters, where rows can be large */
export function* chunks<T>(rows: readonly T[], weigh: (row: T) => number = () => 0): Generator<readonly T[]> {
  let start = 0;
  let weight = 0;
  for (const [index, row] of rows.entries()) {
    const added = weigh(row);
    if (index > start && (index - start >= ROWS_PER_STATEMENT || weight + added > CHARS_PER_STATEMENT)) {
      yield rows.slice(start, index);
      start = index;
      weight = 0;
    }
    weight += added;
  }
  if (start < rows.length) yield rows.slice(start);
}

/** The last of the rows that share an identity: one statement may touch a row once. */
export function lastOfEach<T>(rows: readonly T[], identity: (row: T) => string): readonly T[] {
  const byIdentity = new Map<string, T>();
  for (const row of rows) byIdentity.set(identity(row), row);
  return byIdentity.size === rows.length ? rows : [...byIdentity.values()];
}
