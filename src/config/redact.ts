import { PHASES } from '../domain/gate.ts';
import type { Config, ColumnRules, TableConfig } from './config.ts';
import { formatTableName } from './table-name.ts';
import { formatDuration } from './units.ts';

/** What stands for a secret. */
export const REDACTED = '***';

/** A value of the effective configuration as it is printed. */
export type Printed = string | number | boolean | readonly Printed[] | { readonly [key: string]: Printed };

/**
 * The effective configuration with the keys of the configuration file, defaults filled in. Secrets, and passwords
 * inside URLs, are `***`; settings that are off are left out.
 */
export function redacted(config: Config): Printed {
  return clean({
    migration: config.migration,
    databases: {
      old: { url: redactUrl(config.databases.old.url), pool: config.databases.old.pool },
      new: { url: redactUrl(config.databases.new.url), pool: config.databases.new.pool },
    },
    events: printedEvents(config),
    primary: config.primary,
    state: config.state.url === null ? null : { url: redactUrl(config.state.url) },
    data_dir: config.dataDir,
    slo: {
      lag: {
        budget: formatDuration(config.slo.lagBudgetMs),
        objective: config.slo.lagObjective,
        window: formatDuration(config.slo.lagWindowMs),
      },
      settle: formatDuration(config.settleMs),
      sweep: { max_age: formatDuration(config.slo.sweepMaxAgeMs) },
      runway: formatDuration(config.slo.runwayMs),
    },
    gate: Object.fromEntries(
      PHASES.map((phase) => {
        const policy = config.gate[phase];
        return [
          phase,
          {
            max_drift_rows: policy.maxDriftRows,
            verified_within: formatDuration(policy.verifiedWithinMs),
            sweep_max_age: formatDuration(policy.sweepMaxAgeMs),
          },
        ];
      }),
    ),
    sweep: {
      every: config.sweep.everyMs === null ? 'never' : formatDuration(config.sweep.everyMs),
      ...(config.sweep.incrementalEveryMs === null ? {} : { incremental_every: formatDuration(config.sweep.incrementalEveryMs) }),
      chunk_rows: config.sweep.chunkRows,
      concurrency: config.sweep.concurrency,
      max_rows_per_second: config.sweep.maxRowsPerSecond ?? 0,
      strategy: config.sweep.strategy,
    },
    checks: { max_pending: config.checks.maxPending, read_batch: config.checks.readBatch },
    samples: { values: config.samples.values },
    http: {
      host: config.http.host,
      port: config.http.port,
      tokens: { read: secret(config.http.tokens.read), operate: secret(config.http.tokens.operate) },
    },
    log: { level: config.log.level },
    tables: config.tables.map(printedTable),
  }) as Printed;
}

/** `url` with its password as `***`; all of it where it cannot be read. */
export function redactUrl(text: string): string {
  if (!URL.canParse(text)) return REDACTED;
  const url = new URL(text);
  if (url.password !== '') url.password = REDACTED;
  for (const name of new Set(url.searchParams.keys())) {
    if (/pass|secret|token/i.test(name)) url.searchParams.set(name, REDACTED);
  }
  return url.toString();
}

function printedEvents(config: Config): Unprinted {
  const { events } = config;
  if (events === null) return null;
  if (events.kind === 'postgres') return { postgres: { slot: events.slot, publication: events.publication } };
  const { ssl, sasl, registry } = events;
  return {
    kafka: {
      brokers: [...events.brokers],
      group: events.group,
      sink_group: events.sinkGroup,
      slot: events.slot,
      ssl: typeof ssl === 'boolean' ? ssl : { ca_file: secret(ssl.ca), cert_file: secret(ssl.cert), key_file: secret(ssl.key) },
      sasl: sasl === null ? null : { mechanism: sasl.mechanism, username: sasl.username, password: REDACTED },
      registry:
        registry === null
          ? null
          : { url: redactUrl(registry.url), username: registry.username, password: secret(registry.password) },
      unavailable_placeholder: events.unavailablePlaceholder,
    },
  };
}

function printedTable(table: TableConfig): Unprinted {
  return {
    old: formatTableName(table.old),
    new: formatTableName(table.new),
    topic: { ...table.topic },
    key: table.key === null ? null : [...table.key],
    where: { ...table.where },
    columns: Object.fromEntries([...table.columns].map(([name, rules]) => [name, printedColumn(rules)])),
  };
}

function printedColumn(rules: ColumnRules): Unprinted {
  return {
    ignore: rules.ignore,
    new: rules.new,
    sensitive: rules.sensitive,
    sql: rules.sql === null ? null : { ...rules.sql },
    precision: rules.precision,
    tolerance: rules.tolerance,
    case: rules.case,
    trim: rules.trim,
  };
}

function secret(value: string | null | undefined): string | null {
  return value === null || value === undefined ? null : REDACTED;
}

type Unprinted = null | string | number | boolean | Unprinted[] | { [key: string]: Unprinted };

/** `value` without nulls and without sections that are empty. */
function clean(value: Unprinted): Printed | null {
  if (Array.isArray(value)) return value.map(clean).filter((item) => item !== null);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .map(([key, item]): [string, Printed | null] => [key, clean(item)])
    .filter((entry): entry is [string, Printed] => entry[1] !== null);
  return entries.length === 0 ? null : Object.fromEntries(entries);
}
