import type { GatePolicy, Phase } from '../domain/gate.ts';
import type { Side, TableName } from '../domain/pair.ts';
import type { PauseLimits } from '../domain/sweep-pause.ts';

/** How digests of a table are taken; `auto` lets the databases decide. */
export type DigestStrategy = 'auto' | 'fast' | 'portable' | 'client';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface DatabaseConfig {
  /** Connection URL with its password. A secret. */
  readonly url: string;
  /** Most connections held at once. */
  readonly pool: number;
}

/** TLS towards Kafka: PEM texts, already read. `true` uses the system's authorities. */
export type KafkaSsl = boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string };

export interface KafkaSasl {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  /** A secret. */
  readonly password: string;
}

export interface KafkaEvents {
  readonly kind: 'kafka';
  readonly brokers: readonly string[];
  readonly group: string;
  /** Consumer group of the sink that applies the changes to new; null: found by the topics it reads. */
  readonly sinkGroup: string | null;
  /** Replication slot on the primary that feeds the topics; null: the only one there. */
  readonly slot: string | null;
  readonly ssl: KafkaSsl;
  readonly sasl: KafkaSasl | null;
  readonly registry: { readonly url: string; readonly username: string | null; readonly password: string | null } | null;
  /** What the connector writes for a value that the event leaves out. */
  readonly unavailablePlaceholder: string;
}

export interface PostgresEvents {
  readonly kind: 'postgres';
  readonly slot: string;
  readonly publication: string;
}

/** Rules of one column, by old's column name. */
export interface ColumnRules {
  readonly ignore: boolean;
  /** Its name on new; null: as on old. */
  readonly new: string | null;
  readonly sensitive: boolean;
  readonly sql: { readonly old: string; readonly new: string } | null;
  readonly precision: 's' | 'ms' | 'us' | null;
  readonly tolerance: number | null;
  readonly case: 'sensitive' | 'insensitive';
  readonly trim: boolean;
  /** Time zone of the side that has none; null: UTC. */
  readonly zone: string | null;
  readonly as: 'value' | 'text';
}

export interface TableConfig {
  readonly old: TableName;
  readonly new: TableName;
  /** Kafka topics by the side whose changes they carry. */
  readonly topic: { readonly [side in Side]?: string };
  /** Old's column names in key order; null: the primary key. */
  readonly key: readonly string[] | null;
  /** Row filters as SQL, by side. */
  readonly where: { readonly [side in Side]?: string };
  readonly columns: ReadonlyMap<string, ColumnRules>;
  /** Share of the keys whose changes are checked, above 0 and up to 1. */
  readonly sampleRatio: number;
}

/** The effective configuration: resolved, typed, defaults filled in; units are in the names. */
export interface Config {
  readonly migration: string;
  readonly databases: Readonly<Record<Side, DatabaseConfig>>;
  /** Where changes come from; null: only `check` works. */
  readonly events: KafkaEvents | PostgresEvents | null;
  /** The side that takes the writes. */
  readonly primary: Side;
  /** URL of the state store, a secret; null: an embedded one under `dataDir`. */
  readonly state: { readonly url: string | null };
  /** Absolute path. */
  readonly dataDir: string;
  readonly slo: {
    readonly lagBudgetMs: number;
    /** Share of lag samples within the budget, 0…1. */
    readonly lagObjective: number;
    readonly lagWindowMs: number;
    readonly sweepMaxAgeMs: number;
    readonly runwayMs: number;
    /** Most log that the source's slot may hold back; null: half of what the server allows. */
    readonly slotWalBytes: number | null;
  };
  /** How long after a commit a difference may still be in flight where no applied watermark says so. */
  readonly settleMs: number;
  readonly gate: Readonly<Record<Phase, GatePolicy>>;
  readonly sweep: {
    /** null: only when asked for. */
    readonly everyMs: number | null;
    /** null: only when asked for. */
    readonly incrementalEveryMs: number | null;
    readonly chunkRows: number | 'auto';
    readonly concurrency: number;
    /** null: no limit. */
    readonly maxRowsPerSecond: number | null;
    readonly strategy: DigestStrategy;
    readonly pause: PauseLimits;
  };
  readonly checks: { readonly maxPending: number; readonly readBatch: number };
  readonly samples: { readonly values: 'full' | 'masked' | 'none' };
  readonly http: {
    readonly host: string;
    readonly port: number;
    /** Bearer tokens by scope, secrets; null: none needed. */
    readonly tokens: { readonly read: string | null; readonly operate: string | null };
  };
  readonly log: { readonly level: LogLevel };
  readonly tables: readonly TableConfig[];
}
