import { deadLetterId, type DeadLetter } from '../../domain/dead-letter.ts';
import type { DeadLetterJson } from '../schemas.ts';
import { isoTime } from './times.ts';

export function deadLetterJson({ table, position, reason, message, atMs, dischargedAtMs }: DeadLetter): DeadLetterJson {
  const { topic, partition, offset } = position;
  return { id: deadLetterId(position), table, topic, partition, offset, reason, message, at: isoTime(atMs), discharged_at: isoTime(dischargedAtMs) };
}
