import { evaluateGate } from '../domain/gate-policy.ts';
import type { GateEvidence, GatePolicy, GateReason, GateReport, Phase } from '../domain/gate.ts';
import { LockstepError } from '../domain/errors.ts';
import type { Summary, Sweep } from '../domain/status.ts';
import type { TableLag } from '../http/ports.ts';
import type { PublishedText } from '../state/published.ts';
import type { Clock } from '../verify/ports.ts';

/** The writer says this often how the migration stands. */
const PUBLISH_MS = 1_000;
/** Older than this, what the writer said last is no evidence any more: it is busy, gone, or cut off. */
export const PUBLISHED_MAX_AGE_MS = 5_000;

/** All that is said of the whole migration; plain JSON. */
export interface Published {
  readonly summary: Summary;
  /** Over the configured window. */
  readonly lag: readonly TableLag[];
  readonly evidence: GateEvidence;
  readonly policies: Readonly<Record<Phase, GatePolicy>>;
  /** The sweep under way. */
  readonly sweep: Sweep | null;
  /** Processes that share it. */
  readonly processes: number;
  /** The writer's clock, ms since 1970. */
  readonly atMs: number;
}

/**
 * Writes what the writer says into the state store until the signal aborts. Rejects when another process has taken over.
 * A store that is away is told of by the checkpoints.
 */
export async function publish(say: () => Promise<Published>, write: (body: string) => Promise<void>, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await write(JSON.stringify(await say(), plain));
    } catch (error) {
      if (!(error instanceof LockstepError) || error.retry === 'final') throw error;
    }
    await clock.sleep(PUBLISH_MS, signal);
  }
}

/** Whatever a summary comes to hold, saying it must not end the writer. */
function plain(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

/** What the writer said, as it is to be understood some time later: verified-through stands where it stood, and is so much older. */
export interface Heard {
  readonly said: Published;
  readonly ageMs: number;
}

/** Rejects with `standby` while no writer has said anything. */
export function heard(text: PublishedText | null): Heard {
  if (text === null) throw new LockstepError('standby', 'the process that holds the writing role has not said yet how the migration stands', { retry: 'retry' });
  return { said: JSON.parse(text.body) as Published, ageMs: text.ageMs };
}

/** The gate as it is now, by what the writer said: on what is too old `unknown`, but for drift, which stands in the report. */
export function gateOf({ said, ageMs }: Heard, phase: Phase | null): GateReport {
  const asked = phase ?? said.summary.phase;
  const report = evaluateGate(said.evidence, said.policies[asked], asked, said.atMs + ageMs);
  if (ageMs <= PUBLISHED_MAX_AGE_MS) return report;
  const reason: GateReason = {
    code: 'writer_silent',
    severity: 'unknown',
    table: null,
    message: `the process that holds the writing role has said nothing for ${Math.round(ageMs / 1000)} s`,
    observed: Math.round(ageMs) / 1000,
    limit: PUBLISHED_MAX_AGE_MS / 1000,
  };
  const reasons = [...report.reasons, reason];
  return reasons.some(({ code }) => code === 'open_drift') ? { ...report, reasons } : { ...report, verdict: 'unknown', action: 'hold', reasons };
}

/** The summary as it is now. */
export function summaryOf(what: Heard): Summary {
  const { summary } = what.said;
  const late = (ms: number | null): number | null => (ms === null ? null : ms + what.ageMs);
  return { ...summary, verifiedLagMs: late(summary.verifiedLagMs), gate: gateOf(what, null) };
}
