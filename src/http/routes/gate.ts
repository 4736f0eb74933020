import type { Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import type { GateReport, Phase } from '../../domain/gate.ts';
import { gateJson } from '../json/gate.ts';
import type { ServiceView } from '../ports.ts';
import { answer, GateQuerySchema, GateSchema, problems } from '../schemas.ts';

/** Below the 10 s after which rollout tools give up on an answer. */
const GATE_TIMEOUT_MS = 8_000;

/**
 * The gate answers 200 whatever happens to its evidence, because rollout tools
 * take any other status for a broken check: out of reach is `unknown`.
 */
export function gateRoutes(app: FastifyInstance, view: ServiceView, nowMs: () => number): void {
  app.get<{ Querystring: Static<typeof GateQuerySchema> }>(
    '/v1/gate',
    {
      schema: {
        tags: ['gate'],
        summary: 'May traffic move?',
        description: 'Always 200 for a valid request; evidence that is missing or out of reach makes the verdict `unknown`.',
        querystring: GateQuerySchema,
        response: { 200: answer('The verdict', GateSchema), ...problems(400) },
      },
    },
    async (request) => {
      const phase = request.query.phase ?? null;
      try {
        return gateJson(await within(GATE_TIMEOUT_MS, view.gate(phase)));
      } catch (error) {
        request.log.error({ err: error }, 'the gate could not be evaluated');
        return gateJson(await unevaluated(view, phase, nowMs()));
      }
    },
  );
}

async function unevaluated(view: ServiceView, phase: Phase | null, nowMs: number): Promise<GateReport> {
  return {
    verdict: 'unknown',
    action: 'hold',
    phase: phase ?? (await phaseOf(view)),
    reasons: [{ code: 'evaluation_failed', severity: 'unknown', table: null, message: 'the gate could not be evaluated; the log says why', observed: null, limit: null }],
    evaluatedAtMs: nowMs,
  };
}

/** The phase if it can be had soon; `shadow`, in which nothing moves, if not. */
async function phaseOf(view: ServiceView): Promise<Phase> {
  try {
    return (await within(1_000, view.summary())).phase;
  } catch {
    return 'shadow';
  }
}

async function within<Value>(timeoutMs: number, promise: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
