import type { Position } from './change.ts';

/** A record that could not be understood, as people see it: without its bytes, which are personal data. */
export interface DeadLetter {
  readonly table: string | null;
  readonly position: Position;
  /** A stable code of what was wrong. */
  readonly reason: string;
  readonly message: string;
  readonly atMs: number;
  /** Null while it keeps the gate from passing. */
  readonly dischargedAtMs: number | null;
  readonly dischargedBy: DischargedBy | null;
  /** Retries so far that could not decode it either, and the last one's time. */
  readonly attempts: number;
  readonly lastAttemptAtMs: number | null;
}

/** What accounted for a dead letter. */
export type DischargedBy = 'operator' | 'sweep' | 'retry';

export const DISCHARGED_BY: readonly DischargedBy[] = ['operator', 'sweep', 'retry'];

/** Where a dead letter's record stands in the stream, which is what names it. */
export type DeadLetterPlace = Pick<Position, 'topic' | 'partition' | 'offset'>;

/** What a table lacks, in words: how many records nobody could decode, and where the first of them stands. */
export function undecodedRecords(count: number, oldest: DeadLetterPlace | null): string {
  const records = count === 1 ? '1 record' : `${count} records`;
  if (oldest === null) return `${records} could not be decoded`;
  return `${records} could not be decoded, ${count === 1 ? 'at' : 'the oldest at'} ${deadLetterId(oldest)}`;
}

const PARTITION_MAX = 2_147_483_647;

/** A dead letter's id: `topic:partition:offset`. */
export function deadLetterId({ topic, partition, offset }: DeadLetterPlace): string {
  return `${topic}:${partition}:${offset}`;
}

/** The place that an id of `deadLetterId` names; null when it is not one. A topic may hold colons itself. */
export function deadLetterPlace(id: string): DeadLetterPlace | null {
  const [, topic, partition, offset] = /^([^\0]+):(0|[1-9]\d{0,9}):(0|[1-9]\d{0,19})$/u.exec(id) ?? [];
  if (topic === undefined || offset === undefined || Number(partition) > PARTITION_MAX) return null;
  return { topic, partition: Number(partition), offset };
}
