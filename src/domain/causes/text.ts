import { canonicalJson } from '../values/json-document.ts';
import type { Pattern } from './change.ts';
import { misreadAs } from './charsets.ts';

/** Longer texts are only looked at in one pass: normalising a document of megabytes for each row is not worth its time. */
const LOOKED_INTO_CHARS = 1 << 18;

function short(...texts: readonly string[]): boolean {
  return texts.every((text) => text.length <= LOOKED_INTO_CHARS);
}

/** Some letters reach the case that they share by way of the other one alone: ẞ, ß, SS. */
function folded(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase();
}

const letterCase: Pattern = ({ from, to }) => {
  if (!short(from, to) || folded(from) !== folded(to)) return null;
  const detail = to === from.toLowerCase() ? 'to lower case' : to === from.toUpperCase() ? 'to upper case' : null;
  return { code: 'case', detail };
};

const FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'] as const;

const unicodeForm: Pattern = ({ from, to }) => {
  if (!short(from, to)) return null;
  const form = FORMS.find((name) => from.normalize(name) === to);
  if (form !== undefined) return { code: 'unicode_form', detail: `to ${form}` };
  return from.normalize('NFC') === to.normalize('NFC') ? { code: 'unicode_form', detail: null } : null;
};

const mojibake: Pattern = ({ from, to }) => {
  if (!short(from, to)) return null;
  const how = misreadAs(from, to);
  return how === null ? null : { code: 'mojibake', detail: how };
};

/** A scalar in quotes is too little to tell a document by. */
const DOCUMENT = /^\s*[{[]/;

const jsonReformatted: Pattern = ({ from, to }) => {
  if (!short(from, to) || !DOCUMENT.test(from) || !DOCUMENT.test(to)) return null;
  const document = canonicalJson(from);
  return document !== null && document === canonicalJson(to) ? { code: 'json_reformatted', detail: null } : null;
};

const FRONT_ZEROS = /^([+-]?)0+(?=[0-9])/;
const NUMERIC = /^[+-]?[0-9]+(?:\.[0-9]+)?$/;

/** Blanks at the end or in front, zeros in front of digits. */
const padding: Pattern = ({ from, to }) => {
  const longer = from.length > to.length ? from : to;
  const shorter = from.length > to.length ? to : from;
  const added = to === longer ? 'added' : 'removed';
  if (longer.startsWith(shorter) && /^ +$/.test(longer.slice(shorter.length))) return { code: 'padding', detail: `spaces at the end ${added}` };
  if (longer.endsWith(shorter) && /^ +$/.test(longer.slice(0, longer.length - shorter.length))) return { code: 'padding', detail: `spaces in front ${added}` };
  if (NUMERIC.test(from) && NUMERIC.test(to) && from.replace(FRONT_ZEROS, '$1') === to.replace(FRONT_ZEROS, '$1')) return { code: 'padding', detail: `zeros in front ${added}` };
  return null;
};

const SPACES = /[\s\u200b\ufeff]+/gu;
const LINE_ENDS = /\r\n?/g;

const whitespace: Pattern = ({ from, to }) => {
  if (!short(from, to)) return null;
  const left = from.replace(SPACES, '');
  if (left === '' || left !== to.replace(SPACES, '')) return null;
  if (from.replace(LINE_ENDS, '\n') === to.replace(LINE_ENDS, '\n')) return { code: 'whitespace', detail: 'line ends' };
  if (from.trim() === to.trim()) return { code: 'whitespace', detail: 'at the ends' };
  return { code: 'whitespace', detail: null };
};

const HEX_BYTES = /^\\x(?:[0-9a-fA-F]{2})+$/;

function bytesOf(text: string): Buffer {
  return HEX_BYTES.test(text) ? Buffer.from(text.slice(2), 'hex') : Buffer.from(text, 'utf8');
}

/** Shorter values are too often the code of another one. */
const ENCODED_BYTES_MIN = 4;

/** The bytes of one value are the other's written in base64 or hexadecimal. */
export const textEncoding: Pattern = ({ from, to }) => {
  if (!short(from, to)) return null;
  const bytes = bytesOf(from);
  if (bytes.length < ENCODED_BYTES_MIN) return null;
  const written = bytesOf(to).toString('latin1');
  const base64 = bytes.toString('base64');
  if ([base64, base64.replace(/=+$/, ''), base64.replaceAll('+', '-').replaceAll('/', '_'), bytes.toString('base64url')].includes(written)) {
    return { code: 'text_encoding', detail: 'in base64' };
  }
  const hex = bytes.toString('hex');
  return [hex, `\\x${hex}`, `0x${hex}`].includes(written.toLowerCase()) ? { code: 'text_encoding', detail: 'in hexadecimal' } : null;
};

/** Shorter beginnings may be an earlier value that was added to: only a type that allows no more tells a cut from that. */
const CUT_MIN = 8;

/** What is left of a character that was cut into. */
const REPLACEMENT = '\ufffd';

const SURROGATE_PAIRS = /[\ud800-\udbff][\udc00-\udfff]/g;

const truncated: Pattern = ({ from, to, toType }) => {
  if (to === '' || to.length >= from.length) return null;
  if (!from.startsWith(to)) {
    const whole = to.replace(/\ufffd{1,3}$/, '');
    if (!to.endsWith(REPLACEMENT) || whole.length < CUT_MIN || !from.startsWith(whole)) return null;
    return { code: 'truncated', detail: `cut within a character, after ${Buffer.byteLength(whole)} bytes` };
  }
  const characters = to.length - (to.match(SURROGATE_PAIRS)?.length ?? 0);
  const bytes = Buffer.byteLength(to);
  const detail = `cut at ${counted(characters, 'character')}${bytes === characters ? '' : ` (${bytes} bytes)`}`;
  if (toType === null || toType.length !== characters) return characters < CUT_MIN ? null : { code: 'truncated', detail };
  return { code: 'truncated', detail: `${detail}, the length of ${toType.formatted}`, byType: true };
};

/** `1 byte`, `20 bytes`. */
export function counted(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

/** What becomes of text, the most specific first. */
export const TEXT_PATTERNS: readonly Pattern[] = [letterCase, unicodeForm, mojibake, jsonReformatted, textEncoding, padding, whitespace, truncated];
