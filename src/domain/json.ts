/** A JSON number kept as it was written, so that int64 and numeric lose nothing. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toString(): string {
    return this.text;
  }
}

/** A parsed JSON document whose numbers are exact. */
export type ExactJson = null | boolean | string | JsonNumber | readonly ExactJson[] | ExactJsonObject;

export interface ExactJsonObject {
  readonly [field: string]: ExactJson;
}

/** Whether `value` is a JSON object (not null, an array or a number). */
export function isJsonObject(value: ExactJson | undefined): value is ExactJsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber);
}
