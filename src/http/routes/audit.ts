import type { FastifyRequest } from 'fastify';
import type { AuditEntry, ServiceView } from '../ports.ts';

/** Writes the audit entry of a mutating call; awaited before the call is carried out, so that none goes unrecorded. */
export async function audit(
  view: ServiceView,
  request: FastifyRequest,
  nowMs: number,
  action: AuditEntry['action'],
  target: string,
  reason: string | null = null,
): Promise<void> {
  await view.audit({ atMs: nowMs, actor: request.actor, remoteAddress: request.socket.remoteAddress ?? '', action, target, reason });
}
