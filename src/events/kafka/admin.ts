import type { Admin } from 'kafkajs';
import { kafkaError } from './client.ts';
import type { KafkaClient } from './client.ts';

/**
 * Runs `use` on an admin connection and closes it.
 * @param doing what errors say was being done
 * Rejects with `kafka_unreachable` or `kafka_refused`.
 */
export async function withAdmin<T>(client: KafkaClient, doing: string, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = client.kafka.admin();
  try {
    await admin.connect();
    return await use(admin);
  } catch (error) {
    throw kafkaError(error, client.brokers, doing);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}
