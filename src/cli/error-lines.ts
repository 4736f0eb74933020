import { ConfigError, problemLine } from '../config/problems.ts';
import { LockstepError, rootMessage } from '../domain/errors.ts';

/**
 * What stderr shows of an error: one line for each problem saying what and about what, and a hint where there is one.
 * With `debug` the stack as well. Passwords inside URLs are blotted out.
 */
export function errorLines(error: unknown, debug: boolean): string[] {
  const lines = describe(error).map(withoutPasswords);
  if (debug && error instanceof Error && error.stack !== undefined) lines.push(withoutPasswords(error.stack));
  return lines;
}

/** `text` with the passwords of URLs in it as `***`. */
export function withoutPasswords(text: string): string {
  return text.replaceAll(/(\w:\/\/[^\s:/@]*:)[^\s/@]+@/g, '$1***@');
}

function describe(error: unknown): string[] {
  if (error instanceof ConfigError) return error.problems.map((problem) => `error: ${oneLine(problemLine(problem))}`);
  if (error instanceof LockstepError) {
    const root = rootMessage(error);
    const message = error.message.includes(root) ? error.message : `${error.message}: ${root}`;
    // Several problems found together come one a line.
    const lines = message.split('\n').map((line) => `error: ${line.trim()}`);
    const about = Object.entries(error.about)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ');
    if (about !== '') lines.push(`${lines.pop() ?? ''} (${about})`);
    return error.hint === null ? lines : [...lines, `hint: ${oneLine(error.hint)}`];
  }
  return [`error: ${oneLine(rootMessage(error))}`, 'hint: this was not expected; LOCKSTEP_DEBUG=1 shows where it came from'];
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, '; ').trim();
}
