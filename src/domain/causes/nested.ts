import type { CanonicalValue } from '../row.ts';
import { canonicalJson } from '../values/json-document.ts';
import type { ValueChange } from './change.ts';
import { mostSpecific, type Finding } from './codes.ts';

/** Explains a value within another; NULL and text as the class of values at hand has them. */
export type Explain = (from: CanonicalValue, to: CanonicalValue) => Finding | null;

/** Larger values are not taken apart. */
const NESTED_CHARS_MAX = 1 << 18;

/** The one pattern that explains every differing part; null as soon as one part has none, or another one. */
function common(findings: readonly (Finding | null)[], where: string): Finding | null {
  const [first] = findings;
  if (first === null || first === undefined) return null;
  if (findings.some((finding) => finding === null || finding.code !== first.code)) return null;
  const known = findings.filter((finding) => finding !== null);
  const same = known.every((finding) => finding.detail === first.detail);
  const detail = same ? first.detail : (mostSpecific(known)?.detail ?? null);
  return { code: first.code, detail: detail === null ? where : `${where}, ${detail}` };
}

const JSON_TOKEN = /"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[{}[\],:]/g;

/** Two documents in canonical form that differ in their leaves only. */
export function documentFinding({ from, to }: ValueChange, number: Explain, text: Explain): Finding | null {
  if (from.length > NESTED_CHARS_MAX || to.length > NESTED_CHARS_MAX) return null;
  // A column of text may spell no document at all.
  if (canonicalJson(from) === null || canonicalJson(to) === null) return null;
  const was = from.match(JSON_TOKEN) ?? [];
  const is = to.match(JSON_TOKEN) ?? [];
  if (was.length !== is.length) return null;
  const findings: (Finding | null)[] = [];
  for (let index = 0; index < was.length; index++) {
    const left = was[index] as string;
    const right = is[index] as string;
    if (left === right) continue;
    // Another key or another structure: not the same places.
    if (isMark(left) || isMark(right) || was[index + 1] === ':' || is[index + 1] === ':') return null;
    findings.push(leafFinding(left, right, number, text));
  }
  return common(findings, 'within the document');
}

function isMark(token: string): boolean {
  return '{}[],:'.includes(token);
}

function leafFinding(from: string, to: string, number: Explain, text: Explain): Finding | null {
  if (from === 'null' || to === 'null') return text(leafText(from), leafText(to));
  if (from.startsWith('"') && to.startsWith('"')) return text(leafText(from), leafText(to));
  return isNumber(from) && isNumber(to) ? number(from, to) : null;
}

function leafText(token: string): CanonicalValue {
  if (token === 'null') return null;
  return token.startsWith('"') ? String(JSON.parse(token)) : token;
}

function isNumber(token: string): boolean {
  return /^-?[0-9]/.test(token);
}

interface Flat {
  readonly leaves: readonly CanonicalValue[];
  /** The literal without its elements. */
  readonly shape: string;
}

/** Bare elements may hold anything but these. */
const ARRAY_TOKEN = /"((?:[^"\\]|\\.)*)"|[{},]|[^{},"]+/gy;

/** The elements of an array in canonical form, in order, and its shape; null where `text` is none. */
function flatten(text: string): Flat | null {
  const bounds = /^(?:\[-?\d+:-?\d+\])+=/.exec(text)?.[0] ?? '';
  const leaves: CanonicalValue[] = [];
  let shape = bounds;
  let at = bounds.length;
  if (text[at] !== '{') return null;
  while (at < text.length) {
    ARRAY_TOKEN.lastIndex = at;
    const match = ARRAY_TOKEN.exec(text);
    if (match === null) return null;
    const [token, quoted] = match;
    at += token.length;
    if (quoted === undefined && '{},'.includes(token)) shape += token;
    else {
      leaves.push(quoted !== undefined ? quoted.replace(/\\(.)/gsu, '$1') : token.toUpperCase() === 'NULL' ? null : token);
      shape += '.';
    }
  }
  return { leaves, shape };
}

/** Two arrays in canonical form: the same elements arranged otherwise or without their NULLs, or each changed alike. */
export function arrayFinding({ from, to }: ValueChange, element: Explain): Finding | null {
  if (from.length > NESTED_CHARS_MAX || to.length > NESTED_CHARS_MAX) return null;
  const was = flatten(from);
  const is = flatten(to);
  if (was === null || is === null || is.leaves.length === 0 || was.leaves.length === 0) return null;
  if (sameLeaves(was.leaves, is.leaves)) return { code: 'array_shape', detail: bare(was.shape) === bare(is.shape) ? 'other lower bounds' : 'other dimensions' };
  if (was.leaves.length === is.leaves.length) {
    if (bare(was.shape) !== bare(is.shape)) return null;
    const findings = was.leaves.flatMap((leaf, index) => (leaf === is.leaves[index] ? [] : [element(leaf, is.leaves[index] ?? null)]));
    return common(findings, 'in the elements');
  }
  return sameLeaves(was.leaves.filter((leaf) => leaf !== null), is.leaves) ? { code: 'array_shape', detail: 'NULLs left out' } : null;
}

function sameLeaves(left: readonly CanonicalValue[], right: readonly CanonicalValue[]): boolean {
  return left.length === right.length && left.every((leaf, index) => leaf === right[index]);
}

function bare(shape: string): string {
  return shape.replace(/^.*=/, '');
}
