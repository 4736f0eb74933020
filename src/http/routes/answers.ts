import type { TSchema } from '@sinclair/typebox';
import { PageOf, PageOfEither } from '../schemas.ts';

/** The 200 answer of a list that can be asked to group its items. */
export function groupableAnswer<Schema extends TSchema, Group extends TSchema>(description: string, item: Schema, group: Group) {
  return {
    description: listAnswer(description, item).description,
    content: {
      'application/json': { schema: PageOfEither(item, group) },
      'application/x-ndjson': { schema: { anyOf: [item, group].map(({ $id }) => ({ $ref: `${$id as string}#` })) } },
    },
  };
}

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
