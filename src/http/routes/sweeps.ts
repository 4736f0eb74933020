import type { Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { sweepJson } from '../json/sweep.ts';
import { sendList } from '../lists.ts';
import type { ServiceView } from '../ports.ts';
import { Problem } from '../problem.ts';
import { answer, IdParamsSchema, ListQuerySchema, problems, SweepBodySchema, SweepSchema } from '../schemas.ts';
import { listAnswer } from './answers.ts';
import { audit } from './audit.ts';

/** Tables that an audit entry names before it only counts the rest. */
const AUDITED_TABLES = 20;

export function sweepRoutes(app: FastifyInstance, view: ServiceView, nowMs: () => number): void {
  app.get<{ Querystring: Static<typeof ListQuerySchema> }>(
    '/sweeps',
    { schema: { tags: ['sweeps'], summary: 'Sweeps, newest first', querystring: ListQuerySchema, response: { 200: listAnswer('Sweeps', SweepSchema), ...problems(400) } } },
    async (request, reply) => sendList(request, reply, request.query, (cursor, limit) => view.listSweeps(cursor, limit), sweepJson),
  );

  app.post<{ Body: Static<typeof SweepBodySchema> }>(
    '/sweeps',
    {
      config: { access: 'operate' },
      // The body is optional; the schema is not asked about one that was never sent.
      preValidation: async (request) => {
        request.body ??= {};
      },
      schema: {
        tags: ['sweeps'],
        summary: 'Start a sweep of these tables, or of all',
        body: SweepBodySchema,
        response: { 202: answer('It has started', SweepSchema), ...problems(400, 404, 409, 413, 415) },
      },
    },
    async (request, reply) => {
      const { tables = null, kind = 'full' } = request.body;
      await audit(view, request, nowMs(), 'sweep.start', kind === 'full' ? targetOf(tables) : `${targetOf(tables)}, incremental`);
      const start = await view.startSweep(tables, kind, request.actor);
      switch (start.kind) {
        case 'started':
          return reply.status(202).send(sweepJson(start.sweep));
        case 'unknown_table':
          throw new Problem(404, 'unknown_table', `There is no table ${start.table} in this migration.`);
        case 'already_running':
          throw new Problem(409, 'sweep_running', `Sweep ${start.sweep.id} is still running; wait for it or cancel it.`);
      }
    },
  );

  app.post<{ Params: Static<typeof IdParamsSchema> }>(
    '/sweeps/:id/cancel',
    {
      config: { access: 'operate' },
      schema: { tags: ['sweeps'], summary: 'Cancel a sweep', params: IdParamsSchema, response: { 200: answer('The sweep as it stands', SweepSchema), ...problems(400, 404) } },
    },
    async (request) => {
      const { id } = request.params;
      await audit(view, request, nowMs(), 'sweep.cancel', id);
      const sweep = await view.cancelSweep(id, request.actor);
      if (sweep === null) throw new Problem(404, 'unknown_sweep', 'There is no sweep with this id.');
      return sweepJson(sweep);
    },
  );
}

function targetOf(tables: readonly string[] | null): string {
  if (tables === null) return 'all tables';
  const named = tables.slice(0, AUDITED_TABLES).join(', ');
  return tables.length > AUDITED_TABLES ? `${named} and ${tables.length - AUDITED_TABLES} more` : named;
}
