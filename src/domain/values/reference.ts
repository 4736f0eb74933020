import { CLASSES } from './classes.ts';
import { LOSS, lossMessage } from './loss.ts';
import type { LossReason } from './loss.ts';
import type { ValueClassName } from './names.ts';

const INTRODUCTION = `# Values

<!-- Generated from src/domain/values; \`npx vitest run --project unit -u\` writes it anew. -->

Two rows are equal when all compared columns are. Two values are equal when they have the same *canonical form*, a text
that each class of values has exactly one of for each value. The class of a column follows from the types of both its
sides. Values come by three roads, and all three lead to that one form: the text that a database prints, the encoding of
a change event, and the SQL of a sweep's digest. NULL is no empty text, no 0 and no empty document.

A digest may tell values apart that are equal, never the reverse: where a sweep's digests differ, the rows are read on both
sides and compared by their canonical forms. Many such rows cost time, not truth.
`;

const MIXED = `## Columns of two types

| old and new, in either order | compared as |
|---|---|
| integers of any width; integers, numeric, money and floats | \`decimal\`: the exact number |
| real and double precision | \`float\` |
| numbers and text | \`decimal\`: a text that plainly spells a number is that number |
| text, varchar, enum | \`text\`; with char(n): \`padded_text\` |
| boolean, bit(1), integers, text | \`boolean\` |
| date and timestamp | \`timestamp\`, at midnight |
| timestamp or date, and timestamp with time zone | \`instant\`; the side without a zone is taken as UTC, or as \`zone:\` says |
| json, jsonb, text | \`json\` |
| hstore, and json or jsonb | \`hstore\` |
| arrays whose elements can be compared | \`array\` |
| any type, and text | the class of that type; a text that spells no such value stands for itself and equals none |

Other pairs of types are refused with a reason; \`columns.NAME.sql\` compares expressions instead. Where one side can hold
less than the other (\`numeric(20,4)\` and \`numeric(12,2)\`, \`timestamp(6)\` and \`timestamp(3)\`, numeric and double
precision), what was lost on the way is drift, and the table's findings say beforehand that the types differ.

As a key, integers and uuids may stand against text; other key columns need types of the same class.

## Rules

| rule | for | what is equal |
|---|---|---|
| \`ignore: true\` | any column | everything: the column is left out |
| \`precision: s\\|ms\\|us\` | time, timestamps | times that lie less than the unit apart, whichever way a side was cut or rounded |
| \`tolerance: N\` | numbers | numbers that lie no more than N apart, computed exactly; NaN equals NaN |
| \`case: insensitive\` | text | the same letters in upper and lower case, in all scripts |
| \`trim: true\` | text | the same text but for blanks, tabs and line ends at both ends |
| \`zone: NAME\` | timestamp against timestamp with time zone | the same instant, the side without a zone read in that zone, by the database's own rules |
| \`as: text\` | any column | the same text as the databases print it |
| \`sql: { old, new }\` | any column | equal values of the two expressions, in the class of their types |

\`precision\`, \`tolerance\`, \`sql\`, named zones and most columns under \`as: text\` cannot be applied to a change event: each
changed row is then read on both sides. A key column takes none of these rules.
`;

const EVENTS = `## What change events do not tell

Where an event carries a value in a form that lost something, the column counts as unknown in the event, the row is read
from both databases and compared exactly, and a finding of the table says why. None of this is drift.

Three things no event shows, and only a sweep finds what becomes of them: a NaN or an infinity in a nullable numeric column,
which comes as NULL (\`decimal.handling.mode\` precise); a timestamp in a nullable column beyond 1677 to 2262, which comes as
NULL (\`time.precision.mode\` nanoseconds); the lower bounds of an array. Without schemas two more: a timestamp after the year
9999 in milliseconds, which is taken for microseconds, and a decimal from before its column's scale was changed.

| loss | what it is |
|---|---|
`;

const AFTERWARDS = `
Also unknown: a large value that an update did not touch (the placeholder), a column that the connector leaves out, a
generated column. The lower bounds of arrays are not in events; they count as 1.
`;

/** docs/values.md, from the table of classes. */
export function valuesReference(): string {
  const classes = (Object.keys(CLASSES) as ValueClassName[]).map(classSection).join('\n');
  const losses = (Object.keys(LOSS) as LossReason[]).map((reason) => `| \`${reason}\` | ${lossMessage(reason)} |\n`).join('');
  return `${INTRODUCTION}\n## Classes\n\n${classes}\n${MIXED}\n${EVENTS}${losses}${AFTERWARDS}`;
}

function classSection(name: ValueClassName): string {
  const { types, compared, normalised, notCompared, readAgain } = CLASSES[name].docs;
  const lines = [`- **Compared:** ${compared}.`, `- **Normalised:** ${normalised}.`, `- **Not compared:** ${notCompared}.`];
  if (readAgain !== undefined) lines.push(`- **Read again after a digest:** ${readAgain}.`);
  return `### ${name}\n\nFor ${types}.\n\n${lines.join('\n')}\n`;
}
