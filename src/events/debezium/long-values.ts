import { isJsonObject, JsonNumber } from '../../domain/json.ts';
import type { ExactJson } from '../../domain/json.ts';

/** Whether some text or number in `raw` is longer than that. */
export function isLonger(raw: ExactJson, maxLength: number): boolean {
  if (typeof raw === 'string') return raw.length > maxLength;
  if (raw instanceof JsonNumber) return raw.text.length > maxLength;
  if (Array.isArray(raw)) return (raw as readonly ExactJson[]).some((item) => isLonger(item, maxLength));
  return isJsonObject(raw) && Object.values(raw).some((value) => isLonger(value, maxLength));
}
