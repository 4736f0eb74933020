/** Whether trying the same again can help. */
export type Retry = 'retry' | 'final';

export interface LockstepErrorOptions {
  /** Whether a retry can help; `final` by default. */
  readonly retry?: Retry;
  readonly cause?: unknown;
  /** What it is about: table, topic, partition, offset, side, file. Never row values or secrets. */
  readonly about?: Readonly<Record<string, string | number>>;
  /** One line that says what to do. */
  readonly hint?: string;
}

/** An error with a stable code, what it is about and what to do. */
export class LockstepError extends Error {
  readonly code: string;
  readonly retry: Retry;
  readonly about: Readonly<Record<string, string | number>>;
  readonly hint: string | null;

  constructor(code: string, message: string, options: LockstepErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LockstepError';
    this.code = code;
    this.retry = options.retry ?? 'final';
    this.about = options.about ?? {};
    this.hint = options.hint ?? null;
  }
}

/** The innermost message of an error's causes: drivers hide the reason there. */
export function rootMessage(error: unknown): string {
  let current: unknown = error;
  for (let depth = 0; depth < 8; depth++) {
    if (current instanceof AggregateError && current.errors.length > 0) current = current.errors[0];
    else if (current instanceof Error && current.cause !== undefined) current = current.cause;
    else break;
  }
  return current instanceof Error ? current.message || current.name : String(current);
}
