import type { Redecoded, RecordRetry } from '../../verify/ports.ts';

/**
 * Logical replication tells a change once, its columns and its commit in other messages of the
 * same session: from the message alone it cannot be known what it says.
 */
export class PostgresRecordRetry implements RecordRetry {
  decodeAgain(): Promise<Redecoded> {
    return Promise.resolve({
      kind: 'not_retryable',
      message: 'logical replication does not tell a change again: sweep the table, which compares its row as it is now and discharges the dead letter',
    });
  }
}
