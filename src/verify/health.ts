import { LockstepError, rootMessage } from '../domain/errors.ts';
import type { Side } from '../domain/pair.ts';
import type { PipelineFinding, PipelineStatus } from '../domain/status.ts';

/** What was measured, where a finding is a matter of degree, and whom it concerns. */
export interface FindingFigures {
  readonly observed?: number | null;
  readonly limit?: number | null;
  /** null: all tables. */
  readonly tables?: readonly string[] | null;
}

/** What does not work at present, and since when. */
export class Health {
  private readonly findings = new Map<PipelineFinding, PipelineStatus>();
  private readonly nowMs: () => number;
  private readonly primary: Side;
  private readonly report: (status: PipelineStatus, ended: boolean) => void;

  constructor(options: { nowMs: () => number; primary: Side; report: (status: PipelineStatus, ended: boolean) => void }) {
    this.nowMs = options.nowMs;
    this.primary = options.primary;
    this.report = options.report;
  }

  /** Notes a finding; one that stands keeps when it began. */
  raise(finding: PipelineFinding, message: string, figures: FindingFigures = {}): void {
    const standing = this.findings.get(finding);
    const { observed = null, limit = null, tables = null } = figures;
    const status = { finding, sinceMs: standing?.sinceMs ?? this.nowMs(), message, observed, limit, tables };
    this.findings.set(finding, status);
    if (standing === undefined) this.report(status, false);
  }

  clear(finding: PipelineFinding): void {
    const standing = this.findings.get(finding);
    if (standing === undefined) return;
    this.findings.delete(finding);
    this.report(standing, true);
  }

  reachable(side: Side): void {
    this.clear(side === this.primary ? 'primary_unreachable' : 'replica_unreachable');
  }

  /** Notes a failed read of a database. */
  failed(error: unknown): void {
    const side = error instanceof LockstepError ? error.about['side'] : undefined;
    const message = error instanceof LockstepError ? error.message : rootMessage(error);
    this.raise(side === this.primary ? 'primary_unreachable' : 'replica_unreachable', message);
  }

  has(finding: PipelineFinding): boolean {
    return this.findings.has(finding);
  }

  all(): readonly PipelineStatus[] {
    return [...this.findings.values()];
  }
}
