import { deadLetterId, type DeadLetter } from '../../domain/dead-letter.ts';
import type { DeadLetterJson } from '../schemas.ts';
import { isoTime } from './times.ts';

export function deadLetterJson(letter: DeadLetter): DeadLetterJson {
  const { table, position, reason, message } = letter;
  const { topic, partition, offset } = position;
  return {
    id: deadLetterId(position),
    table,
    topic,
    partition,
    offset,
    reason,
    message,
    at: isoTime(letter.atMs),
    attempts: letter.attempts,
    last_attempt_at: isoTime(letter.lastAttemptAtMs),
    discharged_at: isoTime(letter.dischargedAtMs),
    discharged_by: letter.dischargedBy,
  };
}
