import type { ExactJson } from '../../domain/json.ts';

/**
 * Walks one encoded value, whatever encodes it, without making anything of the
 * parts that nobody asks for. Throws LockstepErrors that never quote the bytes.
 */
export interface PayloadCursor {
  /** What comes next: `{` something with fields, `n` null, anything else another value; `` at the end. */
  peek(): string;
  /** Walks something with fields; `visit` must consume the value of the field it is given. */
  fields(visit: (name: string) => void): void;
  /** Reads the next value, as JsonConverter would have written it. */
  value(): ExactJson;
  /** Steps over the next value. */
  skip(): void;
  /** Another cursor at the same place. */
  fork(): PayloadCursor;
}
