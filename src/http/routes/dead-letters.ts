import type { Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { deadLetterJson } from '../json/dead-letter.ts';
import { sendList } from '../lists.ts';
import type { ServiceView } from '../ports.ts';
import { Problem } from '../problem.ts';
import { answer, DeadLetterParamsSchema, DeadLetterQuerySchema, DeadLetterSchema, problems, ReasonBodySchema } from '../schemas.ts';
import { listAnswer } from './answers.ts';
import { audit } from './audit.ts';

/** Records that could not be decoded, and their discharge: until then the gate of their table does not pass. */
export function deadLetterRoutes(app: FastifyInstance, view: ServiceView, nowMs: () => number): void {
  app.get<{ Querystring: Static<typeof DeadLetterQuerySchema> }>(
    '/dead-letters',
    {
      schema: {
        tags: ['dead-letters'],
        summary: 'Records that could not be decoded and are not discharged, newest first',
        querystring: DeadLetterQuerySchema,
        response: { 200: listAnswer('Dead letters', DeadLetterSchema), ...problems(400) },
      },
    },
    async (request, reply) => {
      const table = request.query.table ?? null;
      return sendList(request, reply, request.query, (cursor, limit) => view.listDeadLetters(table, cursor, limit), deadLetterJson);
    },
  );

  app.post<{ Params: Static<typeof DeadLetterParamsSchema>; Body: Static<typeof ReasonBodySchema> }>(
    '/dead-letters/:id/discharge',
    {
      config: { access: 'operate' },
      schema: {
        tags: ['dead-letters'],
        summary: 'Let this dead letter keep the gate from passing no longer, with a reason',
        params: DeadLetterParamsSchema,
        body: ReasonBodySchema,
        response: { 200: answer('The dead letter, discharged', DeadLetterSchema), ...problems(400, 404, 413, 415) },
      },
    },
    async (request) => {
      const { id } = request.params;
      await audit(view, request, nowMs(), 'dead_letter.discharge', id, request.body.reason);
      const letter = await view.dischargeDeadLetter(id);
      if (letter === null) throw new Problem(404, 'unknown_dead_letter', 'There is no dead letter with this id.');
      return deadLetterJson(letter);
    },
  );
}
