import type { TSchema } from '@sinclair/typebox';
import { configurationSchema } from './schema.ts';
import { DEFAULT_NOTE, EXPECTED, SECRET } from './schema-words.ts';
import { schemaTypes } from './tree.ts';

const INTRODUCTION = `# Configuration

<!-- Generated from src/config/schema.ts; \`npx vitest run --project unit -u\` writes it anew. -->

Lockstep reads one YAML file, \`lockstep.yaml\` in the working folder unless \`-c, --config FILE\` names another.
\`lockstep config\` prints what is in force, with secrets as \`***\`; \`lockstep config --schema\` prints the JSON Schema
for editors. Whatever is wrong is reported at once, each problem with its line.

- **Layers**: the file < environment variables < \`--set key=value\` flags. A variable is \`LOCKSTEP_\` and the path with
  \`__\` between levels, in any case: \`LOCKSTEP_DATABASES__OLD__URL\`, \`LOCKSTEP_HTTP__PORT\`,
  \`LOCKSTEP_TABLES__0__OLD\`. Lists are separated by commas: \`LOCKSTEP_EVENTS__KAFKA__BROKERS=a:9092,b:9092\`.
- **Variables**: \`\${VAR}\` and \`\${VAR:-default}\` in values of the file stand for environment variables; an unset one
  without a default is an error. \`$\${\` is a plain \`\${\`. Inside \`{ }\` and \`[ ]\` such values need quotes.
- **Secrets** can stand in files of their own: \`url_file\`, \`password_file\`, \`read_file\`, \`operate_file\`.
- **Paths** in the file are relative to its folder, those in variables and flags to the working folder.
- **Durations** are \`500ms\`, \`5s\`, \`10m\`, \`24h\`, \`7d\`.
- **Unknown keys** are errors; a key without a value counts as absent.

## Example

\`\`\`yaml
migration: payments
databases:
  old: { url: "postgres://lockstep@old.internal/app", password_file: secrets/old }
  new: { url: "\${NEW_URL}" }
events:
  kafka:
    brokers: [kafka-1:9092, kafka-2:9092]
slo:
  lag: { budget: 5s }
gate:
  canary: { max_drift_rows: 0, verified_within: 5s }
tables:
  - old: public.payments
    new: billing.payments
    topic: { old: shop.public.payments }
    columns:
      note: { ignore: true }
      email: { sensitive: true }
  - old: public.orders
    topic: { old: shop.public.orders }
\`\`\`
`;

/** docs/configuration.md: every key with what it means and what holds without it. */
export function configurationReference(): string {
  const sections = Object.entries(properties(configurationSchema)).map(([key, schema]) => section(key, schema));
  return `${INTRODUCTION}\n${sections.join('\n')}`;
}

function section(key: string, schema: TSchema): string {
  const rows = keyRows(key, schema, isRequired(configurationSchema, key));
  const text = schemaTypes(schema).includes('object') || schemaTypes(schema).includes('array') ? `${description(schema)}\n\n` : '';
  return `## ${key}\n\n${text}| key | what | without it |\n|---|---|---|\n${rows.join('\n')}\n`;
}

function keyRows(path: string, schema: TSchema, required: boolean): string[] {
  const types = schemaTypes(schema);
  if (types.includes('array')) {
    const items = schema['items'] as TSchema;
    if (schemaTypes(items).includes('object')) return inner(`${path}[]`, items);
  }
  if (types.includes('object')) {
    const own = types.length > 1 ? [row(path, schema, required)] : [];
    return [...own, ...inner(path, schema)];
  }
  return [row(path, schema, required)];
}

function inner(path: string, schema: TSchema): string[] {
  const patterns = schema['patternProperties'] as Record<string, TSchema> | undefined;
  if (patterns !== undefined) return Object.values(patterns).flatMap((rules) => inner(`${path}.<column>`, rules));
  const phases = path === 'gate';
  const entries = Object.entries(properties(schema));
  // All phases ask for the same things.
  return (phases ? entries.slice(0, 1) : entries).flatMap(([key, value]) =>
    keyRows(`${path}.${phases ? '<phase>' : key}`, value, isRequired(schema, key)),
  );
}

function row(path: string, schema: TSchema, required: boolean): string {
  const values = schema['enum'] as readonly string[] | undefined;
  const what = [
    description(schema),
    values === undefined ? null : `One of ${values.map((value) => `\`${value}\``).join(', ')}.`,
    schema[SECRET] === true ? 'Secret.' : null,
    values === undefined && description(schema) === '' ? `${String(schema[EXPECTED])}.` : null,
  ].filter((part) => part !== null && part !== '');
  return `| \`${path}\` | ${what.join(' ').replaceAll('|', '\\|')} | ${without(schema, required)} |`;
}

function without(schema: TSchema, required: boolean): string {
  if (required) return 'required';
  const note: unknown = schema[DEFAULT_NOTE];
  if (typeof note === 'string') return note;
  const value = schema['default'] as string | number | boolean | undefined;
  return value === undefined ? '' : `\`${String(value)}\``;
}

function description(schema: TSchema): string {
  return schema.description ?? '';
}

function properties(schema: TSchema): Record<string, TSchema> {
  return (schema['properties'] ?? {}) as Record<string, TSchema>;
}

function isRequired(schema: TSchema, key: string): boolean {
  return ((schema['required'] ?? []) as readonly string[]).includes(key);
}
