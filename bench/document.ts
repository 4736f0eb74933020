import { readFileSync, writeFileSync } from 'node:fs';

const DOCUMENT = 'docs/BENCHMARKS.md';

/** Writes a section of docs/BENCHMARKS.md, in the place of the one with the same title. */
export function writeSection(title: string, lines: readonly string[]): void {
  const [head = '', ...sections] = readFileSync(DOCUMENT, 'utf8').split(/^(?=## )/m);
  const text = `## ${title}\n\n${lines.join('\n').trim()}\n`;
  const at = sections.findIndex((section) => section.startsWith(`## ${title}\n`));
  if (at < 0) sections.push(text);
  else sections[at] = text;
  writeFileSync(DOCUMENT, `${[head, ...sections].map((section) => section.trim()).join('\n\n')}\n`);
  console.log(text);
}
