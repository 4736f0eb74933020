import type { Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { LockstepError } from '../../domain/errors.ts';
import { parseWindow } from '../durations.ts';
import { gateJson } from '../json/gate.ts';
import { summaryJson, tableJson, tableLagJson } from '../json/status.ts';
import { sendList } from '../lists.ts';
import type { Page, ServiceView } from '../ports.ts';
import { Problem } from '../problem.ts';
import { answer, LagQuerySchema, ListQuerySchema, PhaseSchema, problems, SummarySchema, TableLagSchema, TableParamsSchema, TableSchema } from '../schemas.ts';
import { listAnswer } from './answers.ts';

/** Where the migration stands: summary, tables, lag, phase. */
export function statusRoutes(app: FastifyInstance, view: ServiceView): void {
  app.get('/summary', { schema: { tags: ['status'], summary: 'The whole migration at a glance', response: { 200: answer('Summary', SummarySchema), ...problems() } } }, async () =>
    summaryJson(await view.summary()),
  );

  app.get<{ Querystring: Static<typeof ListQuerySchema> }>(
    '/tables',
    { schema: { tags: ['status'], summary: 'Every table', querystring: ListQuerySchema, response: { 200: listAnswer('Tables', TableSchema), ...problems(400) } } },
    async (request, reply) => {
      const { tables } = await view.summary();
      return sendList(request, reply, request.query, async (cursor, limit) => pageOfTables(tables, cursor, limit), tableJson);
    },
  );

  app.get<{ Params: Static<typeof TableParamsSchema> }>(
    '/tables/:old',
    { schema: { tags: ['status'], summary: 'One table', params: TableParamsSchema, response: { 200: answer('Table', TableSchema), ...problems(400, 404) } } },
    async (request) => {
      const status = await view.table(request.params.old);
      if (status === null) throw new Problem(404, 'unknown_table', `There is no table ${request.params.old} in this migration.`);
      return tableJson(status);
    },
  );

  app.get<{ Querystring: Static<typeof LagQuerySchema> }>(
    '/lag',
    { schema: { tags: ['status'], summary: 'Lag against its budget, by table', querystring: LagQuerySchema, response: { 200: listAnswer('Lag', TableLagSchema), ...problems(400) } } },
    async (request, reply) => {
      const { window } = request.query;
      const tables = await view.lag(window === undefined ? null : parseWindow(window));
      return sendList(request, reply, request.query, async (cursor, limit) => pageOfTables(tables, cursor, limit), tableLagJson);
    },
  );

  app.get('/phase', { schema: { tags: ['gate'], summary: 'The phase of the migration', response: { 200: answer('Phase', PhaseSchema), ...problems() } } }, async () => {
    const { migration, phase, primary, gate } = await view.summary();
    return { migration, phase, primary, gate: gateJson(gate) };
  });
}

/** Tables are few and known all at once; their cursor is the last table's name. */
function pageOfTables<Entry extends { readonly table: string }>(tables: readonly Entry[], cursor: string | null, limit: number): Page<Entry> {
  let start = 0;
  if (cursor !== null) {
    start = tables.findIndex((entry) => entry.table === Buffer.from(cursor, 'base64url').toString()) + 1;
    if (start === 0) throw new LockstepError('bad_cursor', 'the cursor names no table');
  }
  const items = tables.slice(start, start + limit);
  const last = items.at(-1);
  const more = start + limit < tables.length;
  return { items, nextCursor: more && last !== undefined ? Buffer.from(last.table).toString('base64url') : null };
}
