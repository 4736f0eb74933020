import type { Pattern } from './change.ts';
import { counted, textEncoding } from './text.ts';

const HEX_BYTES = /^\\x(?:[0-9a-f]{2})*$/;

/** The hexadecimal digits of a canonical bytea; null where `text` is none. */
function hexOf(text: string): string | null {
  return HEX_BYTES.test(text) ? text.slice(2) : null;
}

const byteOrder: Pattern = ({ from, to }) => {
  const was = hexOf(from);
  const is = hexOf(to);
  if (was === null || is === null || was.length !== is.length) return null;
  return Buffer.from(was, 'hex').reverse().toString('hex') === is ? { code: 'byte_order', detail: null } : null;
};

const zeroBytes: Pattern = ({ from, to }) => {
  const was = hexOf(from);
  const is = hexOf(to);
  if (was === null || is === null) return null;
  const [longer, shorter] = was.length > is.length ? [was, is] : [is, was];
  if (shorter === '' || !longer.startsWith(shorter) || !/^(?:00)+$/.test(longer.slice(shorter.length))) return null;
  return { code: 'padding', detail: `zero bytes at the end ${is === longer ? 'added' : 'removed'}` };
};

/** Fewer bytes may be an earlier value that was added to. */
const CUT_BYTES_MIN = 4;

const truncated: Pattern = ({ from, to }) => {
  const was = hexOf(from);
  const is = hexOf(to);
  if (was === null || is === null || is.length < 2 * CUT_BYTES_MIN || is.length >= was.length || !was.startsWith(is)) return null;
  return { code: 'truncated', detail: `cut at ${counted(is.length / 2, 'byte')}` };
};

export const BYTES_PATTERNS: readonly Pattern[] = [textEncoding, byteOrder, zeroBytes, truncated];

const BIT_STRING = /^[01]+$/;

const bitZeros: Pattern = ({ from, to, toType }) => {
  if (!BIT_STRING.test(from) || !BIT_STRING.test(to) || from.length === to.length) return null;
  const [longer, shorter] = from.length > to.length ? [from, to] : [to, from];
  const added = to === longer ? 'added' : 'removed';
  if (longer === shorter.padStart(longer.length, '0')) return { code: 'padding', detail: `zeros in front ${added}` };
  // A cast to bit(n) fills up at the end; else bits may have been added.
  return toType?.base === 'bit' && longer === shorter.padEnd(longer.length, '0') ? { code: 'padding', detail: `zeros at the end ${added}` } : null;
};

/** Shorter bit strings read the same backwards too often. */
const REVERSED_BITS_MIN = 8;

function reversed(bits: string): string {
  return bits.split('').reverse().join('');
}

const bitOrder: Pattern = ({ from, to }) =>
  BIT_STRING.test(from) && from.length >= REVERSED_BITS_MIN && reversed(from) === to ? { code: 'byte_order', detail: 'bits in reverse' } : null;

const CUT_BITS_MIN = 8;

const bitsCut: Pattern = ({ from, to }) =>
  BIT_STRING.test(from) && BIT_STRING.test(to) && to.length >= CUT_BITS_MIN && to.length < from.length && from.startsWith(to) ? { code: 'truncated', detail: `cut at ${counted(to.length, 'bit')}` } : null;

export const BIT_PATTERNS: readonly Pattern[] = [bitZeros, bitOrder, bitsCut];
