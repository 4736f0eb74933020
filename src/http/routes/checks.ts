import type { Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { rowCheckJson } from '../json/status.ts';
import type { ServiceView } from '../ports.ts';
import { Problem } from '../problem.ts';
import { answer, ChecksBodySchema, problems, RowChecksSchema } from '../schemas.ts';

/** Room for `MAX_CHECK_KEYS` keys of about 2 kB each. */
const CHECKS_BODY_BYTES = 1_048_576;

/** Checks of rows that the caller names: sample transactions, guards in a read path. */
export function checkRoutes(app: FastifyInstance, view: ServiceView): void {
  app.post<{ Body: Static<typeof ChecksBodySchema> }>(
    '/checks',
    {
      bodyLimit: CHECKS_BODY_BYTES,
      schema: {
        tags: ['checks'],
        summary: 'Compare these rows now',
        description: 'Numbers of a key are taken exactly as written, whatever their size.',
        body: ChecksBodySchema,
        response: { 200: answer('One result a key, in the order asked', RowChecksSchema), ...problems(400, 404, 413, 415) },
      },
    },
    async (request) => {
      const { table, keys } = request.body;
      const checked = await view.checkRows(table, keys);
      switch (checked.kind) {
        case 'results':
          return { table, results: checked.results.map(rowCheckJson) };
        case 'unknown_table':
          throw new Problem(404, 'unknown_table', `There is no table ${table} in this migration.`);
        case 'bad_key':
          throw new Problem(400, 'bad_key', checked.message);
      }
    },
  );
}
