import { Problem } from './problem.ts';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The longest window that can be asked for: burn rates look back 3 days, lag history no further than this. */
const MAX_WINDOW_MS = 30 * 86_400_000;

/** `500ms 5s 10m 24h 3d` as milliseconds, at least 1 s and at most 30 days. */
export function parseWindow(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text);
  const windowMs = match === null ? Number.NaN : Number(match[1]) * (UNIT_MS[match[2] as string] as number);
  if (!(windowMs >= 1_000 && windowMs <= MAX_WINDOW_MS)) {
    throw new Problem(400, 'bad_request', 'The parameter window is a duration between 1s and 30d, such as 1h.');
  }
  return Math.round(windowMs);
}
