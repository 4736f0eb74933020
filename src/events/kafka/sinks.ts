/** A consumer group as far as it concerns the pairs' topics. */
export interface GroupOnTopics {
  readonly group: string;
  /** Committed offsets by topic and partition; partitions without one are absent. */
  readonly committed: ReadonlyMap<string, ReadonlyMap<number, bigint>>;
  /** Topics that members are assigned partitions of. */
  readonly assigned: ReadonlySet<string>;
  /** How many consume at present. */
  readonly members: number;
}

/** Kafka Connect names a sink connector's group after it. */
const CONNECT_PREFIX = 'connect-';

/**
 * The groups that are taken for sinks of `topic`: those that have committed offsets
 * on it or are assigned it; Kafka Connect's where there are any, else all.
 */
export function sinksOf(topic: string, groups: readonly GroupOnTopics[]): readonly GroupOnTopics[] {
  const concerned = groups.filter(
    ({ committed, assigned }) => assigned.has(topic) || (committed.get(topic)?.size ?? 0) > 0,
  );
  const connectors = concerned.filter(({ group }) => group.startsWith(CONNECT_PREFIX));
  return connectors.length > 0 ? connectors : concerned;
}

/**
 * The offset before which all `sinks` have applied everything; undefined where none
 * says. A group that is assigned the topic and has committed nothing has applied nothing.
 */
export function appliedOffset(topic: string, partition: number, sinks: readonly GroupOnTopics[]): bigint | undefined {
  let applied: bigint | undefined;
  for (const { committed, assigned } of sinks) {
    const offset = committed.get(topic)?.get(partition) ?? (assigned.has(topic) ? 0n : undefined);
    if (offset !== undefined && (applied === undefined || offset < applied)) applied = offset;
  }
  return applied;
}
