import type { TSchema } from '@sinclair/typebox';
import { PageOf } from '../schemas.ts';

/** The 200 answer of a list: a page as JSON, or everything as NDJSON. */
export function listAnswer<Schema extends TSchema>(description: string, item: Schema) {
  return {
    description: `${description}: a page, or with \`Accept: application/x-ndjson\` all, one a line`,
    content: {
      'application/json': { schema: PageOf(item) },
      'application/x-ndjson': { schema: { $ref: `${item.$id as string}#` } },
    },
  };
}
