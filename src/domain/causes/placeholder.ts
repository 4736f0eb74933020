import { canonicalJson } from '../values/json-document.ts';
import type { Pattern } from './change.ts';

/** Shorter prefixes of the placeholder are not told from other text. */
const CUT_MIN = 8;

/** The texts as which a placeholder can end up in a column. */
export class PlaceholderForms {
  private readonly texts = new Set<string>();
  private readonly plain: readonly string[];

  /** @param placeholders what connectors write for a value that the log left out (`unavailable.value.placeholder`) */
  constructor(placeholders: readonly string[]) {
    this.plain = placeholders;
    for (const placeholder of placeholders) for (const form of formsOf(placeholder)) this.texts.add(form);
  }

  /** @param length how many characters its column holds; null for any */
  matches(text: string, length: number | null): boolean {
    if (this.texts.has(text)) return true;
    return length !== null && text.length === length && length >= CUT_MIN && this.plain.some((placeholder) => placeholder.startsWith(text));
  }
}

/** As text, bytes, JSON, an array, hstore or tsvector have it; events carry bytes in base64 or hexadecimal, sinks write either or the bytes. */
function formsOf(placeholder: string): string[] {
  const bytes = Buffer.from(placeholder, 'utf8');
  const base64 = bytes.toString('base64');
  const scalars = [placeholder, base64, base64.replace(/=+$/, ''), base64.replaceAll('+', '-').replaceAll('/', '_'), bytes.toString('base64url'), bytes.toString('hex')];
  const forms: string[] = [];
  for (const scalar of scalars) {
    const quoted = `"${scalar.replace(/["\\]/g, '\\$&')}"`;
    const json = JSON.stringify(scalar);
    forms.push(scalar, `\\x${Buffer.from(scalar, 'utf8').toString('hex')}`, `{${scalar}}`, `{${quoted}}`, `'${scalar.replaceAll("'", "''")}'`, `${quoted}=>${quoted}`);
    for (const document of [json, `[${json}]`, `{${json}:${json}}`]) forms.push(canonicalJson(document) ?? document);
  }
  const elements = [...bytes].map(String);
  forms.push(`{${elements.join(',')}}`, `{${elements.map((element) => `"${element}"`).join(',')}}`);
  return forms;
}

/** What Debezium sends for a value that the log left out stands in the column as if it were one. */
export const placeholderWritten: Pattern = ({ from, to, toType, placeholder }) => {
  const length = toType === null || toType.array ? null : toType.length;
  return placeholder.matches(to, length) && !placeholder.matches(from, null) ? { code: 'placeholder_written', detail: null } : null;
};
