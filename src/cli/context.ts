import type { Logger } from 'pino';
import type { Config, DigestStrategy } from '../config/config.ts';
import type { Drift } from '../domain/drift.ts';
import type { CheckOutcome, CheckProgress } from '../domain/outcome.ts';

/** 0: in parity, gate passes, done. 1: drift, gate fails. 2: usage, configuration or runtime error. 3: unknown. */
export type ExitCode = 0 | 1 | 2 | 3;

/** Where text goes. */
export interface TextOutput {
  write(text: string): unknown;
  /** Of a stream: `write` has been given more than the reader took yet, until its `drain`. */
  readonly writableNeedDrain?: boolean;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** What the commands need of the application. */
export interface Application {
  readonly runService: (
    config: Config,
    options: {
      readonly signal: AbortSignal;
      readonly logger: Logger;
      readonly version: string;
      readonly onReady: (address: { readonly url: string }) => void;
    },
  ) => Promise<void>;
  readonly runCheck: (
    config: Config,
    options: {
      /** Old's qualified names; empty: all. */
      readonly tables: readonly string[];
      readonly strategy: DigestStrategy;
      readonly signal: AbortSignal;
      readonly logger: Logger;
      readonly onProgress: (progress: CheckProgress) => void;
      readonly onDrift: (drift: Drift) => void;
      readonly drained: () => Promise<void>;
    },
  ) => Promise<CheckOutcome>;
  readonly migrateState: (
    config: Config,
    options: { readonly signal: AbortSignal; readonly logger: Logger },
  ) => Promise<{ readonly applied: readonly string[]; readonly current: string }>;
}

/** The world around a command. */
export interface CliContext {
  /** Results only. */
  readonly stdout: TextOutput;
  /** Logs, progress, errors. */
  readonly stderr: TextOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts when the process is asked to stop. */
  readonly signal: AbortSignal;
  /** Calls back each time the configuration is to be read again, until what it returns is called. */
  onReload(reload: () => void): () => void;
  application(): Application;
}
