/** `text` without the characters of `ends` at its end. A pattern like `0+$` tries every zero within for a start: quadratic. */
export function withoutEnd(text: string, ends: string): string {
  let length = text.length;
  while (length > 0 && ends.includes(text[length - 1] as string)) length--;
  return length === text.length ? text : text.slice(0, length);
}

/** `text` without the characters of `ends` at both ends. */
export function withoutEnds(text: string, ends: string): string {
  let start = 0;
  while (start < text.length && ends.includes(text[start] as string)) start++;
  return withoutEnd(text.slice(start), ends);
}
