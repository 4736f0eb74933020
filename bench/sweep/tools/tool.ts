import type { PostgresServer } from '../../../test/stack/postgres-server.ts';
import type { Usage } from '../measure.ts';
import type { Case } from '../pair.ts';
import type { Difference } from '../variants.ts';

/** What a tool is run on. */
export interface Bench {
  readonly old: PostgresServer;
  readonly new: PostgresServer;
  /** Pids of both postmasters. */
  readonly postmasters: readonly number[];
  /** For configuration and output; emptied by nobody but its owner. */
  readonly folder: string;
}

export interface RunResult {
  readonly usage: Usage;
  /** null: it looks for no rows. */
  readonly found: readonly Difference[] | null;
  /** The path that Lockstep took. */
  readonly strategy?: string;
}

/** One competitor. */
export interface Tool {
  readonly name: string;
  readonly version: string;
  /** How it was called, for the document. */
  readonly call: string;
  run(bench: Bench, subject: Case): Promise<RunResult>;
}

/** A competitor that cannot take part, and why. */
export interface AbsentTool {
  readonly name: string;
  readonly reason: string;
}

/** What a failed command said last. */
export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}
