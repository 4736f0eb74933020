import type { Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { driftGroupJson, driftJson } from '../../domain/drift-json.ts';
import { parseKey } from '../exact-json.ts';
import { isoTime } from '../json/times.ts';
import { MAX_LIMIT, sendList } from '../lists.ts';
import type { DriftFilter, ServiceView } from '../ports.ts';
import { Problem } from '../problem.ts';
import { AcceptedSchema, answer, DriftDetailSchema, DriftGroupSchema, DriftQuerySchema, DriftSchema, IdParamsSchema, problems, ReasonBodySchema } from '../schemas.ts';
import { groupableAnswer } from './answers.ts';
import { audit } from './audit.ts';

type Params = { Params: Static<typeof IdParamsSchema> };

/** The drift report and what an operator may do about one drift. */
export function driftRoutes(app: FastifyInstance, view: ServiceView, nowMs: () => number): void {
  app.get<{ Querystring: Static<typeof DriftQuerySchema> }>(
    '/drift',
    {
      schema: {
        tags: ['drift'],
        summary: 'Drift, newest first, or grouped by its cause',
        querystring: DriftQuerySchema,
        response: { 200: groupableAnswer('Drift', DriftSchema, DriftGroupSchema), ...problems(400) },
      },
    },
    async (request, reply) => {
      const filter = filterOf(request.query);
      if (request.query.group === 'cause') {
        const items = await view.groupDrift(filter, request.query.limit ?? MAX_LIMIT);
        return sendList(request, reply, request.query, () => Promise.resolve({ items, nextCursor: null }), driftGroupJson);
      }
      return sendList(request, reply, request.query, (cursor, limit) => view.listDrift(filter, cursor, limit), driftJson);
    },
  );

  app.get<Params>(
    '/drift/:id',
    { schema: { tags: ['drift'], summary: 'One drift with its history', params: IdParamsSchema, response: { 200: answer('Drift', DriftDetailSchema), ...problems(400, 404) } } },
    async (request) => {
      const found = await view.drift(request.params.id);
      if (found === null) throw noDrift();
      return { ...driftJson(found.drift), events: found.events.map(({ atMs, event, detail }) => ({ at: isoTime(atMs), event, detail })) };
    },
  );

  app.post<Params>(
    '/drift/:id/recheck',
    {
      config: { access: 'operate' },
      schema: { tags: ['drift'], summary: 'Check this row again now', params: IdParamsSchema, response: { 202: answer('It will be checked', AcceptedSchema), ...problems(400, 404) } },
    },
    async (request, reply) => {
      await audit(view, request, nowMs(), 'drift.recheck', request.params.id);
      if ((await view.recheckDrift(request.params.id)) === 'not_found') throw noDrift();
      return reply.status(202).send({ status: 'accepted' });
    },
  );

  app.post<Params & { Body: Static<typeof ReasonBodySchema> }>(
    '/drift/:id/ignore',
    {
      config: { access: 'operate' },
      schema: {
        tags: ['drift'],
        summary: 'Leave this drift out of the verdict, with a reason',
        params: IdParamsSchema,
        body: ReasonBodySchema,
        response: { 200: answer('The drift, ignored', DriftSchema), ...problems(400, 404, 413, 415) },
      },
    },
    async (request) => {
      const { id } = request.params;
      const { reason } = request.body;
      await audit(view, request, nowMs(), 'drift.ignore', id, reason);
      const drift = await view.ignoreDrift(id, reason, request.actor);
      if (drift === null) throw noDrift();
      return driftJson(drift);
    },
  );
}

function noDrift(): Problem {
  return new Problem(404, 'unknown_drift', 'There is no drift with this id.');
}

function filterOf(query: Static<typeof DriftQuerySchema>): DriftFilter {
  return {
    table: query.table ?? null,
    kind: query.kind ?? null,
    status: query.status ?? null,
    causeCode: query.cause ?? null,
    foundBy: query.found_by ?? null,
    minAgeMs: query.min_age_s === undefined ? null : Math.round(query.min_age_s * 1000),
    sinceMs: query.since === undefined ? null : Date.parse(query.since),
    key: query.key === undefined ? null : parseKey(query.key),
  };
}
