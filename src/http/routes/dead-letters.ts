import type { Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { DeadLetter } from '../../domain/dead-letter.ts';
import { deadLetterJson } from '../json/dead-letter.ts';
import { DEFAULT_LIMIT, sendList } from '../lists.ts';
import type { RetryOutcome, ServiceView } from '../ports.ts';
import { Problem } from '../problem.ts';
import {
  answer, DeadLetterParamsSchema, DeadLetterQuerySchema, DeadLetterRetryBodySchema, DeadLetterSchema, problems, ReasonBodySchema, RetryCountsSchema,
} from '../schemas.ts';
import { listAnswer } from './answers.ts';
import { audit } from './audit.ts';

/** Records that could not be decoded, their retry and their discharge: until then the gate of their table does not pass. */
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

  app.post<{ Params: Static<typeof DeadLetterParamsSchema> }>(
    '/dead-letters/:id/retry',
    {
      config: { access: 'operate' },
      schema: {
        tags: ['dead-letters'],
        summary: 'Decode this record again; what it says is verified and it is discharged',
        params: DeadLetterParamsSchema,
        response: { 200: answer('The dead letter, decoded and discharged', DeadLetterSchema), ...problems(400, 404, 409, 422) },
      },
    },
    async (request) => {
      const { id } = request.params;
      await audit(view, request, nowMs(), 'dead_letter.retry', id);
      return deadLetterJson(retried(await view.retryDeadLetter(id)));
    },
  );

  app.post<{ Body: Static<typeof DeadLetterRetryBodySchema> | undefined }>(
    '/dead-letters/retry',
    {
      config: { access: 'operate' },
      // The body is optional; the schema is not asked about one that was never sent.
      preValidation: async (request) => {
        request.body ??= {};
      },
      schema: {
        tags: ['dead-letters'],
        summary: 'Decode dead letters again, those first that were tried least',
        body: DeadLetterRetryBodySchema,
        response: { 200: answer('What came of them', RetryCountsSchema), ...problems(400, 413, 415) },
      },
    },
    async (request) => {
      const { limit: asked = String(DEFAULT_LIMIT), ...selection } = request.body ?? {};
      const limit = Number(asked);
      await audit(view, request, nowMs(), 'dead_letter.retry', JSON.stringify({ ...selection, limit }));
      const { retried: count, undecodable, gone, notRetryable, isCut } = await view.retryDeadLetters(selection, limit);
      return { retried: count, undecodable, gone, not_retryable: notRetryable, more: isCut };
    },
  );
}

/** The letter of a retry that went well; every other outcome is a problem. */
function retried(outcome: RetryOutcome): DeadLetter {
  switch (outcome.kind) {
    case 'retried':
      return outcome.letter;
    case 'unknown':
      throw new Problem(404, 'unknown_dead_letter', 'There is no dead letter with this id.');
    case 'already_discharged':
      throw new Problem(409, 'already_discharged', 'A sweep or an operator has discharged it; nothing is left to retry.');
    case 'under_way':
      throw new Problem(409, 'retry_under_way', 'It is being retried already.');
    case 'undecodable':
      throw new Problem(422, 'still_undecodable', `${outcome.reason}: ${outcome.message}`);
    case 'gone':
      throw new Problem(409, 'record_gone', `${outcome.message}.`);
    case 'not_retryable':
      throw new Problem(409, 'not_retryable', `${outcome.message}.`);
  }
}
