import type { Pair, Side, TableDescription, TableName } from '../../domain/pair.ts';
import type { RowKey } from '../../domain/row.ts';
import type { ClockSample, Database, Digest, KeyRange, LogProgress, RowDigest, RowsRead } from '../../verify/ports.ts';

export interface PostgresOptions {
  readonly side: Side;
  /** Connection URL with its password. A secret. */
  readonly url: string;
  /** Most connections held at once. */
  readonly pool: number;
  readonly statementTimeoutMs?: number;
  readonly lockTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  /** The time of this process, µs since 1970. */
  readonly nowUs?: () => bigint;
  /** Told about trouble with idle connections. */
  readonly onWarning?: (message: string, about: Readonly<Record<string, string>>) => void;
}

export class PostgresDatabase implements Database {
  readonly side: Side;
  readonly maxKeysPerRead = 1000;
  constructor(options: PostgresOptions) {
    this.side = options.side;
  }
  describeTable(_table: TableName, _signal?: AbortSignal): Promise<TableDescription | null> {
    return Promise.reject(new Error('skeleton'));
  }
  serverVersion(_signal?: AbortSignal): Promise<{ readonly text: string; readonly number: number }> {
    return Promise.reject(new Error('skeleton'));
  }
  trackCommitTimestamp(_signal?: AbortSignal): Promise<boolean> {
    return Promise.reject(new Error('skeleton'));
  }
  readRows(_pair: Pair, _keys: readonly RowKey[], _signal: AbortSignal): Promise<RowsRead> {
    return Promise.reject(new Error('skeleton'));
  }
  clock(_signal: AbortSignal): Promise<ClockSample> {
    return Promise.reject(new Error('skeleton'));
  }
  logProgress(_signal: AbortSignal): Promise<LogProgress> {
    return Promise.reject(new Error('skeleton'));
  }
  subscriptionSlots(_signal: AbortSignal): Promise<readonly string[]> {
    return Promise.reject(new Error('skeleton'));
  }
  estimateRows(_pair: Pair, _signal: AbortSignal): Promise<bigint> {
    return Promise.reject(new Error('skeleton'));
  }
  digest(_pair: Pair, _range: KeyRange, _signal: AbortSignal): Promise<Digest> {
    return Promise.reject(new Error('skeleton'));
  }
  keyAfter(_pair: Pair, _range: KeyRange, _rows: number, _signal: AbortSignal): Promise<RowKey | null> {
    return Promise.reject(new Error('skeleton'));
  }
  rowDigests(_pair: Pair, _range: KeyRange, _limit: number, _signal: AbortSignal): Promise<readonly RowDigest[]> {
    return Promise.reject(new Error('skeleton'));
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}
