const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d{1,6}))?$/i;

/** ± digits × 10^-scale. */
interface Scaled {
  readonly digits: bigint;
  readonly scale: number;
}

function parse(text: string): Scaled | null {
  const match = DECIMAL.exec(text);
  if (match === null) return null;
  const fraction = match[3] ?? '';
  const exponent = Number(match[4] ?? 0);
  const size = BigInt((match[2] ?? '') + fraction);
  const scale = fraction.length - exponent;
  const digits = match[1] === '-' ? -size : size;
  return scale >= 0 ? { digits, scale } : { digits: digits * 10n ** BigInt(-scale), scale: 0 };
}

function atScale({ digits, scale }: Scaled, wanted: number): bigint {
  return digits * 10n ** BigInt(wanted - scale);
}

/** How far two numbers, plain or with an exponent, lie apart, as an exact decimal; null where one is no finite number. */
export function decimalDistance(left: string, right: string): string | null {
  const one = parse(left);
  const other = parse(right);
  if (one === null || other === null) return null;
  const scale = Math.max(one.scale, other.scale);
  const difference = atScale(one, scale) - atScale(other, scale);
  return `${difference < 0n ? -difference : difference}e-${scale}`;
}

/** Whether a distance is more than `limit`. @param limit a decimal number of at least 0 */
export function exceeds(distance: string, limit: string): boolean {
  const far = parse(distance);
  const most = parse(limit);
  if (far === null || most === null) return true;
  const scale = Math.max(far.scale, most.scale);
  return atScale(far, scale) > atScale(most, scale);
}
