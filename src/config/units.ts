const DURATION_UNITS_MS: readonly (readonly [unit: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
];

const SIZE_UNITS_BYTES: readonly (readonly [unit: string, bytes: number])[] = [
  ['GiB', 1_073_741_824],
  ['MiB', 1_048_576],
  ['KiB', 1_024],
  ['B', 1],
];

/** Twelve digits keep every product with a unit's factor an exact integer. */
export const DURATION_PATTERN = '^[0-9]{1,12}(\\.[0-9]{1,3})?(ms|s|m|h|d)$';
export const SIZE_PATTERN = '^[0-9]{1,6}(B|KiB|MiB|GiB)$';

/** Milliseconds (whole, rounded) of `500ms`, `5s`, `1.5m`, `24h`, `7d`; null where `text` is not a duration. */
export function parseDuration(text: string): number | null {
  const match = /^([0-9]{1,12}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)$/.exec(text);
  if (match === null) return null;
  const factor = DURATION_UNITS_MS.find(([unit]) => unit === match[2])?.[1];
  return factor === undefined ? null : Math.round(Number(match[1]) * factor);
}

/** The shortest text that `parseDuration` reads back as `ms`, a whole number of at least 0. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  for (const [unit, factor] of DURATION_UNITS_MS) {
    if (ms % factor === 0) return `${ms / factor}${unit}`;
  }
  return `${ms}ms`;
}

/** Bytes of `512B`, `64KiB`, `64MiB`, `2GiB`; null where `text` is not a size. */
export function parseSize(text: string): number | null {
  const match = /^([0-9]{1,6})(B|KiB|MiB|GiB)$/.exec(text);
  if (match === null) return null;
  const factor = SIZE_UNITS_BYTES.find(([unit]) => unit === match[2])?.[1];
  return factor === undefined ? null : Number(match[1]) * factor;
}

/** A text that `parseSize` reads back as `bytes`, as long as that is possible. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return '0B';
  for (const [unit, factor] of SIZE_UNITS_BYTES) {
    if (bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}
