import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { LockstepError } from '../../domain/errors.ts';
import { kafkaError } from './client.ts';
import type { KafkaClient } from './client.ts';
import { DISCONNECT_MS, within } from './wait.ts';

/** A question is asked again on a new connection: leaders move, and brokers restart. */
const MAX_ATTEMPTS = 4;
const RETRY_MS = 250;

/**
 * Asks the brokers. The connection is made when it is needed and made anew after a
 * failure: kafkajs holds on to the leaders it has heard of, and gives up at the
 * first that is none any more.
 */
export class AdminConnection {
  readonly #client: KafkaClient;
  #admin: Admin | null = null;

  constructor(client: KafkaClient) {
    this.#client = client;
  }

  /**
   * @param doing what errors say was being done
   * Rejects with `kafka_unreachable` (retry), `kafka_refused`, or the question's own LockstepError.
   */
  async ask<T>(doing: string, question: (admin: Admin) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const admin = await this.#open(doing);
      try {
        return await question(admin);
      } catch (error) {
        if (error instanceof LockstepError) throw error;
        await this.#drop(admin);
        const failure = kafkaError(error, this.#client.brokers, doing);
        if (failure.retry === 'final' || attempt >= MAX_ATTEMPTS) throw failure;
        await sleep(attempt * RETRY_MS);
      }
    }
  }

  async close(): Promise<void> {
    if (this.#admin !== null) await this.#drop(this.#admin);
  }

  async #open(doing: string): Promise<Admin> {
    const admin = (this.#admin ??= this.#client.kafka.admin());
    try {
      // kafkajs does nothing where it is connected, and tries several times where not.
      await admin.connect();
      return admin;
    } catch (error) {
      await this.#drop(admin);
      throw kafkaError(error, this.#client.brokers, doing);
    }
  }

  async #drop(admin: Admin): Promise<void> {
    if (this.#admin === admin) this.#admin = null;
    await within(DISCONNECT_MS, admin.disconnect());
  }
}
