import type { TableName } from '../domain/pair.ts';

const IDENTIFIER = '(?:"(?:[^"]|"")+"|[^".\\s]+)';

export const TABLE_NAME_PATTERN = `^${IDENTIFIER}(?:\\.${IDENTIFIER})?$`;

const DEFAULT_SCHEMA = 'public';
const PARTS = new RegExp(`^(?:(${IDENTIFIER})\\.)?(${IDENTIFIER})$`);

/**
 * Reads `table`, `schema.table` or `"odd.schema"."odd table"`. Names are taken as written: case is kept, quotes are
 * needed only around dots, blanks and quotes (doubled). Null where `text` is no such name.
 */
export function parseTableName(text: string): TableName | null {
  const match = PARTS.exec(text);
  if (match === null) return null;
  const [, schema, name] = match;
  if (name === undefined) return null;
  return { schema: schema === undefined ? DEFAULT_SCHEMA : unquote(schema), name: unquote(name) };
}

/** The text that `parseTableName` reads back as `table`. */
export function formatTableName(table: TableName): string {
  return `${quoteIfNeeded(table.schema)}.${quoteIfNeeded(table.name)}`;
}

function unquote(identifier: string): string {
  return identifier.startsWith('"') ? identifier.slice(1, -1).replaceAll('""', '"') : identifier;
}

function quoteIfNeeded(identifier: string): string {
  return /[".\s]/.test(identifier) ? `"${identifier.replaceAll('"', '""')}"` : identifier;
}
