/** Windows-1252's characters of 0x80 to 0x9f; what it leaves undefined stands for itself, as in WHATWG's decoder. */
const WINDOWS_1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';
const C1_FROM = 0x80;
const C1_TO = 0x9f;
/** Text that went through the mistake more often than this is not looked for. */
const ROUNDS_MAX = 3;

// oxlint-disable-next-line no-control-regex
const ASCII_ONLY = /^[\u0000-\u007f]*$/;

function readBytes(text: string, windows: boolean): string {
  let read = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    read += windows && byte >= C1_FROM && byte <= C1_TO ? WINDOWS_1252[byte - C1_FROM] : String.fromCharCode(byte);
  }
  return read;
}

/** How `to` came from decoding or encoding `from` in the wrong charset; null where it did not. */
export function misreadAs(from: string, to: string): string | null {
  if (ASCII_ONLY.test(from)) return null;
  for (const windows of [true, false]) {
    let read = from;
    for (let round = 1; round <= ROUNDS_MAX; round++) {
      read = readBytes(read, windows);
      if (read === to) return `UTF-8 read as ${windows ? 'windows-1252' : 'ISO 8859-1'}${round === 1 ? '' : `, ${round} times over`}`;
      if (read.length > to.length) break;
    }
  }
  for (const marker of ['?', '\ufffd']) {
    if ([one, utf16Units, utf8Bytes].some((copies) => isReplaced(from, to, marker, copies))) {
      return `characters replaced by ${marker === '?' ? 'question marks' : 'U+FFFD'}`;
    }
  }
  return null;
}

const one = (): number => 1;
const utf16Units = (character: string): number => character.length;
const utf8Bytes = (character: string): number => Buffer.byteLength(character);

/** Whether `to` is `from` with some characters outside ASCII replaced by the marker, so many times each. */
function isReplaced(from: string, to: string, marker: string, copies: (character: string) => number): boolean {
  let at = 0;
  let replaced = false;
  for (const character of from) {
    if (to.startsWith(character, at)) {
      at += character.length;
      continue;
    }
    const written = marker.repeat(copies(character));
    if (ASCII_ONLY.test(character) || !to.startsWith(written, at)) return false;
    at += written.length;
    replaced = true;
  }
  return replaced && at === to.length;
}
