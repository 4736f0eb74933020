import type { FastifyInstance } from 'fastify';
import { Type } from '@sinclair/typebox';
import type { ServiceView } from '../ports.ts';
import { answer, HealthSchema, problems, ReadinessSchema } from '../schemas.ts';

/** Liveness, readiness and the scrape: open to probes, never refused for load. */
export function healthRoutes(app: FastifyInstance, view: ServiceView): void {
  app.get('/healthz', { config: { access: 'open' }, schema: { tags: ['health'], summary: 'The process lives', response: { 200: answer('It does', HealthSchema) } } }, async () => ({
    status: 'live',
  }));

  app.get(
    '/readyz',
    {
      config: { access: 'open' },
      schema: { tags: ['health'], summary: 'The service can answer, and if not, why', response: { 200: answer('Ready', ReadinessSchema), 503: answer('Not ready', ReadinessSchema) } },
    },
    async (_request, reply) => {
      const { ready, reasons } = await view.readiness();
      return reply.status(ready ? 200 : 503).send({ ready, reasons });
    },
  );

  app.get(
    '/metrics',
    { schema: { tags: ['health'], summary: 'Metrics for Prometheus', response: { 200: { description: 'Prometheus text format', content: { 'text/plain': { schema: Type.String() } } }, ...problems() } } },
    async (_request, reply) => {
      const { contentType, body } = await view.metrics();
      return reply.type(contentType).send(body);
    },
  );
}
