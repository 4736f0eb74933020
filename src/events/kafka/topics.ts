import { editDistance } from '../../domain/edit-distance.ts';
import { LockstepError } from '../../domain/errors.ts';
import { qualifiedName } from '../../domain/pair.ts';
import type { Side, TableName } from '../../domain/pair.ts';
import { AdminConnection } from './admin.ts';
import type { KafkaClient } from './client.ts';

/** Names listed in an error: enough to recognise one's own. */
const LISTED_NAMES = 8;

/** A table whose changes are wanted. */
export interface WantedTopic {
  /** `Pair.id`. */
  readonly pairId: string;
  readonly side: Side;
  /** The table on that side. */
  readonly table: TableName;
  /** The configured topic; absent to look for one. */
  readonly given?: string;
  /** It is done without where no topic is given and none is found. */
  readonly optional?: boolean;
}

export interface FoundTopic {
  readonly pairId: string;
  readonly side: Side;
  readonly topic: string;
  readonly partitions: number;
}

/**
 * Finds the topic of each table: the given one, or the only one that ends in
 * `.<schema>.<table>` and is not given for another table.
 * Rejects with `kafka_unreachable` (retry), `kafka_refused`, `topic_missing` or `topic_ambiguous`.
 */
export async function findTopics(client: KafkaClient, wanted: readonly WantedTopic[]): Promise<readonly FoundTopic[]> {
  const connection = new AdminConnection(client);
  try {
    return await connection.ask('listing topics', async (admin) => {
      const names = await admin.listTopics();
      const chosen = chooseTopics(wanted, names, client.brokers);
      if (chosen.length === 0) return [];
      const { topics } = await admin.fetchTopicMetadata({ topics: [...new Set(chosen.map(({ topic }) => topic))] });
      const partitions = new Map(topics.map(({ name, partitions: all }) => [name, all.length]));
      return chosen.map((found) => ({ ...found, partitions: partitions.get(found.topic) ?? 0 }));
    });
  } finally {
    await connection.close();
  }
}

/** The choice of `findTopics` among the names that exist. */
export function chooseTopics(
  wanted: readonly WantedTopic[],
  names: readonly string[],
  brokers: readonly string[],
): readonly { readonly pairId: string; readonly side: Side; readonly topic: string }[] {
  const existing = new Set(names);
  const given = new Set(wanted.map((want) => want.given));
  const free = names.filter((name) => !name.startsWith('__') && !given.has(name));
  return wanted.flatMap((want) => {
    const topic = chooseTopic(want, existing, free, brokers);
    return topic === null ? [] : [{ pairId: want.pairId, side: want.side, topic }];
  });
}

function chooseTopic(
  want: WantedTopic,
  existing: ReadonlySet<string>,
  free: readonly string[],
  brokers: readonly string[],
): string | null {
  const table = qualifiedName(want.table);
  const about = { table: want.pairId, side: want.side, brokers: brokers.join(', ') };
  if (want.given !== undefined) {
    if (existing.has(want.given)) return want.given;
    const nearest = nearestName(want.given, [...existing].filter((name) => !name.startsWith('__')));
    const near = nearest === null ? '' : ` (nearest: ${nearest})`;
    throw new LockstepError('topic_missing', `topic ${want.given} of table ${want.pairId} does not exist${near}`, {
      about: { ...about, topic: want.given },
      hint: `correct topic.${want.side} of table ${want.pairId}, or start the connector that writes the topic`,
    });
  }
  const found = free.filter((name) => name.endsWith(`.${table}`));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  if (found.length > 1) {
    throw new LockstepError('topic_ambiguous', `several topics may carry table ${table}: ${listed(found)}`, {
      about,
      hint: `say which with topic.${want.side} of table ${want.pairId}`,
    });
  }
  if (want.optional === true) return null;
  throw new LockstepError('topic_missing', `no topic ends in .${table}; there are: ${listed(free)}`, {
    about,
    hint: `give it as topic.${want.side} of table ${want.pairId}, or start the connector that writes it`,
  });
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  const rest = names.length - LISTED_NAMES;
  return names.slice(0, LISTED_NAMES).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

/** The candidate with the smallest edit distance; null where all differ in more than half of the name. */
export function nearestName(name: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.floor(name.length / 2) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
