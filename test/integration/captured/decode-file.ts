import type { SourceRecord } from '../../../src/domain/change.ts';
import type { DebeziumDecoder } from '../../../src/events/debezium/decoder.ts';
import { fixture } from '../../unit/events/debezium/support.ts';

export interface DecodedFile {
  readonly byTopic: ReadonlyMap<string, readonly SourceRecord[]>;
  /** Messages that say nothing of a row, by why. */
  readonly none: Readonly<Record<string, number>>;
}

/** Decodes every message of a captured file. @throws Error at the first that is not understood */
export async function decodeFile(name: string, decoder: DebeziumDecoder): Promise<DecodedFile> {
  const byTopic = new Map<string, SourceRecord[]>();
  const none: Record<string, number> = {};
  const messages = fixture(name);
  await decoder.prepare(messages);
  for (const message of messages) {
    const decoded = decoder.decode(message);
    if (decoded.type === 'undecodable') throw new Error(`${message.topic}@${message.offset}: ${decoded.message}`);
    if (decoded.type === 'none') none[decoded.reason] = (none[decoded.reason] ?? 0) + 1;
    const records = byTopic.get(message.topic) ?? [];
    records.push(decoded);
    byTopic.set(message.topic, records);
  }
  return { byTopic, none };
}
