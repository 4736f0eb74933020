import type { KafkaRecord } from './records.ts';

/** Topics and partitions are those of the pairs; the limit only keeps a misuse from growing without end. */
const MAX_PLACES = 10_000;
/** Keys are short; a longer one is not remembered, and its tombstone costs a check. */
const MAX_KEY_BYTES = 4096;

/** Whether a topic's records have Debezium's envelope or are rows alone. */
export type Shape = 'envelope' | 'flat';

/** What each topic's newest record looked like: the meaning of a null value hangs on it. */
export class Shapes {
  readonly #byTopic = new Map<string, Shape>();

  saw(topic: string, shape: Shape): void {
    if (this.#byTopic.get(topic) === shape) return;
    if (this.#byTopic.size >= MAX_PLACES) this.#byTopic.clear();
    this.#byTopic.set(topic, shape);
  }

  /** null: nothing was seen yet. */
  of(topic: string): Shape | null {
    return this.#byTopic.get(topic) ?? null;
  }
}

/** The newest flattened delete of each partition: a connector that rewrites deletes may send the tombstone after it. */
export class LastDeletes {
  readonly #keys = new Map<string, Buffer>();

  remember({ topic, partition, key }: KafkaRecord): void {
    if (key === null || key.length > MAX_KEY_BYTES) return;
    if (this.#keys.size >= MAX_PLACES) this.#keys.clear();
    // Copied: the bytes are a view of a whole fetch response.
    this.#keys.set(`${topic}/${partition}`, Buffer.from(key));
  }

  /** Another change follows. */
  forget({ topic, partition }: KafkaRecord): void {
    this.#keys.delete(`${topic}/${partition}`);
  }

  /** Whether the record's key is that of the delete. */
  isRepeated({ topic, partition, key }: KafkaRecord): boolean {
    return key !== null && this.#keys.get(`${topic}/${partition}`)?.equals(key) === true;
  }
}
