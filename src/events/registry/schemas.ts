import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { LockstepError } from '../../domain/errors.ts';
import { schemaKey } from '../avro/framing.ts';
import type { SchemaId } from '../avro/framing.ts';
import type { AvroType } from '../avro/schema.ts';

/** Each table has a handful of schemas; the limit bounds what a topic full of random ids can take. */
const MAX_SCHEMAS = 5_000;
/** The same for ids that the registry does not know. */
const MAX_FAILURES = 5_000;
/** A registry may learn an id that it did not know, and be repaired. */
const FAILURE_STANDS_MS = 30_000;
/** Requests at once. */
const CONCURRENT_REQUESTS = 8;

/** How patient look-ups are. */
export interface Patience {
  /** How long a registry that answers nothing is asked again before records are given up. */
  readonly patienceMs: number;
  /** First wait between two attempts; it doubles. */
  readonly retryMs: number;
  /** After it has been given up, one attempt each so often, for all who wait together. */
  readonly pauseMs: number;
}

/**
 * A registry restarts in some seconds. Longer outages cost each stretch of records one
 * pause, not the whole patience, and cost nothing where the schemas are known.
 */
export const PATIENCE: Patience = { patienceMs: 10_000, retryMs: 250, pauseMs: 5_000 };

interface Failure {
  readonly error: LockstepError;
  readonly atMs: number;
}

export interface RegistrySchemasOptions {
  readonly client: { schema(id: SchemaId): Promise<AvroType> };
  readonly patience?: Patience;
  readonly nowMs: () => number;
}

/** Schemas of a registry: looked up ahead, kept, and handed out at once. */
export class RegistrySchemas {
  readonly #options: RegistrySchemasOptions;
  readonly #patience: Patience;
  readonly #limit = pLimit(CONCURRENT_REQUESTS);
  readonly #known = new Map<string, AvroType>();
  readonly #failures = new Map<string, Failure>();
  readonly #pending = new Map<string, Promise<void>>();
  /** Until when nobody asks, since the registry has been given up; null while it answers. */
  #pausedUntilMs: number | null = null;

  constructor(options: RegistrySchemasOptions) {
    this.#options = options;
    this.#patience = options.patience ?? PATIENCE;
  }

  /**
   * Looks up what is not known. Never rejects: what cannot be had is told by `get`.
   * @param fresh asks again for what failed a moment ago
   */
  async load(ids: Iterable<SchemaId>, fresh = false): Promise<void> {
    const waiting: Promise<void>[] = [];
    for (const id of ids) {
      const key = schemaKey(id);
      const known = this.#known.get(key);
      if (known !== undefined) {
        // Moved to the end: the least recently used goes first.
        this.#known.delete(key);
        this.#known.set(key, known);
        continue;
      }
      const failure = this.#failures.get(key);
      if (failure !== undefined && !fresh && this.#stands(failure)) continue;
      let pending = this.#pending.get(key);
      if (pending === undefined) {
        pending = this.#limit(() => this.#lookUp(id, key)).finally(() => this.#pending.delete(key));
        this.#pending.set(key, pending);
      }
      waiting.push(pending);
    }
    await Promise.all(waiting);
  }

  /** The schema, if `load` has found it. Throws what kept it from doing so. */
  get(id: SchemaId): AvroType {
    const key = schemaKey(id);
    const type = this.#known.get(key);
    if (type !== undefined) return type;
    const failure = this.#failures.get(key);
    throw failure?.error ?? new LockstepError('registry_unreachable', `schema ${id.id} has not been looked up`, { retry: 'retry' });
  }

  /** An outage is asked about each time: the pause bounds how often. */
  #stands({ error, atMs }: Failure): boolean {
    return error.retry === 'final' && this.#options.nowMs() - atMs < FAILURE_STANDS_MS;
  }

  async #lookUp(id: SchemaId, key: string): Promise<void> {
    const { client, nowMs } = this.#options;
    const { patienceMs, retryMs, pauseMs } = this.#patience;
    const giveUpMs = nowMs() + patienceMs;
    for (let attempt = 0; ; attempt++) {
      if (this.#pausedUntilMs !== null) await sleep(Math.max(0, this.#pausedUntilMs - nowMs()));
      const once = this.#pausedUntilMs !== null;
      try {
        const type = await client.schema(id);
        this.#pausedUntilMs = null;
        this.#failures.delete(key);
        remember(this.#known, key, type, MAX_SCHEMAS);
        return;
      } catch (error) {
        const failure = error instanceof LockstepError ? error : new LockstepError('bad_schema', `schema ${id.id} cannot be read`, { cause: error });
        const answered = failure.retry === 'final';
        if (answered) this.#pausedUntilMs = null;
        if (answered || once || nowMs() >= giveUpMs) {
          if (!answered) this.#pausedUntilMs = nowMs() + pauseMs;
          remember(this.#failures, key, { error: failure, atMs: nowMs() }, MAX_FAILURES);
          return;
        }
        await sleep(Math.min(retryMs * 2 ** attempt, Math.max(0, giveUpMs - nowMs())));
      }
    }
  }
}

function remember<T>(map: Map<string, T>, key: string, value: T, max: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= max) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
