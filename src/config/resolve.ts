import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { LockstepError } from '../domain/errors.ts';
import { PHASES } from '../domain/gate.ts';
import type { GatePolicy, Phase } from '../domain/gate.ts';
import { qualifiedName } from '../domain/pair.ts';
import type { PauseLimits } from '../domain/sweep-pause.ts';
import type { Side, TableName } from '../domain/pair.ts';
import type { ColumnRules, Config, DatabaseConfig, KafkaEvents, KafkaSsl, PostgresEvents, TableConfig } from './config.ts';
import type { ConfigPath } from './problems.ts';
import type { ConfigurationDocument } from './schema.ts';
import { DEFAULTS } from './schema-words.ts';
import { parseTableName } from './table-name.ts';
import type { ConfigurationTree } from './tree.ts';
import { parseDuration, parseSize } from './units.ts';

/** Longest file that is taken for a secret or a certificate. */
const MAX_FILE_BYTES = 1_048_576;

type Document = ConfigurationDocument;
type TableDocument = Document['tables'][number];
type ColumnDocument = NonNullable<TableDocument['columns']>[string];
type KafkaDocument = NonNullable<NonNullable<Document['events']>['kafka']>;

/**
 * Turns a document that keeps to the schema into the effective configuration: secrets are read from their files,
 * defaults filled in, rules that span several keys checked. What is wrong is reported to `tree`; the result counts
 * only where it has no problems.
 *
 * @param configFile path of the configuration file; relative paths in it start from its folder
 */
export function resolveDocument(document: Document, tree: ConfigurationTree, configFile: string): Config {
  return new Resolver(tree, dirname(resolve(configFile))).config(document);
}

class Resolver {
  readonly #tree: ConfigurationTree;
  readonly #folder: string;

  constructor(tree: ConfigurationTree, folder: string) {
    this.#tree = tree;
    this.#folder = folder;
  }

  config(document: Document): Config {
    const lagBudgetMs = this.#positive(document.slo?.lag?.budget, DEFAULTS.lagBudget, ['slo', 'lag', 'budget']);
    const sweepMaxAgeMs = milliseconds(document.slo?.sweep?.max_age ?? DEFAULTS.sweepMaxAge);
    const every = document.sweep?.every ?? DEFAULTS.sweepEvery;
    const maxRowsPerSecond = document.sweep?.max_rows_per_second ?? 0;
    const config: Config = {
      migration: document.migration,
      databases: { old: this.#database(document, 'old'), new: this.#database(document, 'new') },
      events: this.#events(document),
      primary: document.primary ?? 'old',
      state: { url: this.#stateUrl(document) },
      dataDir: this.#path(document.data_dir ?? DEFAULTS.dataDir, ['data_dir']),
      slo: {
        lagBudgetMs,
        lagObjective: document.slo?.lag?.objective ?? DEFAULTS.lagObjective,
        lagWindowMs: this.#positive(document.slo?.lag?.window, DEFAULTS.lagWindow, ['slo', 'lag', 'window']),
        sweepMaxAgeMs,
        runwayMs: milliseconds(document.slo?.runway ?? DEFAULTS.runway),
        slotWalBytes: document.slo?.slot_wal === undefined ? null : bytes(document.slo.slot_wal),
      },
      settleMs:
        document.slo?.settle === undefined
          ? Math.max(DEFAULTS.settlePerBudget * lagBudgetMs, DEFAULTS.settleMinMs)
          : milliseconds(document.slo.settle),
      gate: policies(document, lagBudgetMs, sweepMaxAgeMs),
      sweep: {
        everyMs: every === 'never' ? null : this.#positive(every, DEFAULTS.sweepEvery, ['sweep', 'every']),
        incrementalEveryMs: document.sweep?.incremental_every === undefined ? null : this.#positive(document.sweep.incremental_every, document.sweep.incremental_every, ['sweep', 'incremental_every']),
        chunkRows: document.sweep?.chunk_rows ?? 'auto',
        concurrency: document.sweep?.concurrency ?? DEFAULTS.sweepConcurrency,
        maxRowsPerSecond: maxRowsPerSecond === 0 ? null : maxRowsPerSecond,
        strategy: document.sweep?.strategy ?? 'auto',
        pause: this.#pause(document.sweep?.pause),
      },
      checks: {
        maxPending: document.checks?.max_pending ?? DEFAULTS.maxPending,
        readBatch: document.checks?.read_batch ?? DEFAULTS.readBatch,
      },
      samples: { values: document.samples?.values ?? 'masked' },
      http: this.#http(document),
      log: { level: document.log?.level ?? 'info' },
      tables: document.tables.map((table, index) => this.#table(table, index)),
    };
    this.#checkTables(config.tables);
    return config;
  }

  #database(document: Document, side: Side): DatabaseConfig {
    const section = document.databases[side];
    const path = ['databases', side];
    const url = this.#secret(section.url, section.url_file, [...path, 'url']);
    if (section.url === undefined && section.url_file === undefined) {
      this.#tree.report(path, 'missing url or url_file; give postgres://user@host:port/database');
    }
    const password = this.#secret(section.password, section.password_file, [...path, 'password']);
    return { url: url === null ? '' : this.#postgresUrl(url, password, path), pool: section.pool ?? DEFAULTS.pool };
  }

  #pause(pause: NonNullable<Document['sweep']>['pause']): PauseLimits {
    const lag = pause?.lag ?? DEFAULTS.pauseLag;
    const activeSessions = pause?.active_sessions ?? 0;
    return {
      lagMs: lag === 'never' ? null : this.#positive(lag, DEFAULTS.pauseLag, ['sweep', 'pause', 'lag']),
      lockWaits: pause?.lock_waits ?? true,
      activeSessions: activeSessions === 0 ? null : activeSessions,
    };
  }

  #stateUrl(document: Document): string | null {
    const url = this.#secret(document.state?.url, document.state?.url_file, ['state', 'url']);
    return url === null ? null : this.#postgresUrl(url, null, ['state']);
  }

  /** `text` with `password` put in; messages never repeat either. */
  #postgresUrl(text: string, password: string | null, section: ConfigPath): string {
    const url = /^postgres(ql)?:\/\//.test(text) && URL.canParse(text) ? new URL(text) : null;
    if (url === null) {
      this.#tree.report([...section, 'url'], 'expected postgres://user@host:port/database, odd characters in names and passwords %-encoded');
      return '';
    }
    if (password === null) return text;
    if (url.password !== '' || url.searchParams.has('password')) {
      this.#tree.report([...section, 'password'], 'the URL has a password already; give it in one place');
    }
    if (url.hostname === '') url.searchParams.set('password', password);
    else url.password = encodeURIComponent(password);
    return url.toString();
  }

  #events(document: Document): KafkaEvents | PostgresEvents | null {
    const { events } = document;
    if (events === undefined) return null;
    if ((events.kafka === undefined) === (events.postgres === undefined)) {
      this.#tree.report(['events'], 'expected exactly one of kafka and postgres');
      return null;
    }
    if (events.kafka !== undefined) return this.#kafka(document, events.kafka);
    return {
      kind: 'postgres',
      slot: events.postgres?.slot ?? DEFAULTS.slot,
      publication: events.postgres?.publication ?? DEFAULTS.publication,
    };
  }

  #kafka(document: Document, kafka: KafkaDocument): KafkaEvents {
    const path = ['events', 'kafka'];
    const { sasl, registry } = kafka;
    const saslPassword = this.#secret(sasl?.password, sasl?.password_file, [...path, 'sasl', 'password']);
    if (sasl !== undefined && sasl.password === undefined && sasl.password_file === undefined) {
      this.#tree.report([...path, 'sasl'], 'missing password or password_file');
    }
    return {
      kind: 'kafka',
      brokers: kafka.brokers,
      group: kafka.group ?? `lockstep-${document.migration}`,
      sinkGroup: kafka.sink_group ?? null,
      slot: kafka.slot ?? null,
      ssl: this.#ssl(kafka.ssl, [...path, 'ssl']),
      sasl: sasl === undefined ? null : { mechanism: sasl.mechanism, username: sasl.username, password: saslPassword ?? '' },
      registry:
        registry === undefined
          ? null
          : {
              url: registry.url,
              username: registry.username ?? null,
              password: this.#secret(registry.password, registry.password_file, [...path, 'registry', 'password']),
            },
      unavailablePlaceholder: kafka.unavailable_placeholder ?? DEFAULTS.unavailablePlaceholder,
    };
  }

  #ssl(ssl: KafkaDocument['ssl'], path: ConfigPath): KafkaSsl {
    if (ssl === undefined || typeof ssl === 'boolean') return ssl ?? false;
    if ((ssl.cert_file === undefined) !== (ssl.key_file === undefined)) {
      this.#tree.report(path, 'a client certificate needs both cert_file and key_file');
    }
    const ca = this.#readFile(ssl.ca_file, [...path, 'ca_file']);
    const cert = this.#readFile(ssl.cert_file, [...path, 'cert_file']);
    const key = this.#readFile(ssl.key_file, [...path, 'key_file']);
    return { ...(ca === null ? {} : { ca }), ...(cert === null ? {} : { cert }), ...(key === null ? {} : { key }) };
  }

  #http(document: Document): Config['http'] {
    const { http } = document;
    const tokens = {
      read: this.#secret(http?.tokens?.read, http?.tokens?.read_file, ['http', 'tokens', 'read']),
      operate: this.#secret(http?.tokens?.operate, http?.tokens?.operate_file, ['http', 'tokens', 'operate']),
    };
    const host = http?.host ?? DEFAULTS.host;
    if (!isLoopback(host) && Object.keys(http?.tokens ?? {}).length === 0) {
      this.#tree.report(
        ['http', 'host'],
        'listening beyond this machine needs tokens: set http.tokens.read_file and operate_file, or use 127.0.0.1',
      );
    }
    return { host, port: http?.port ?? DEFAULTS.port, tokens };
  }

  #table(table: TableDocument, index: number): TableConfig {
    const old = tableName(table.old);
    return {
      old,
      new: table.new === undefined ? old : tableName(table.new),
      topic: table.topic ?? {},
      key: table.key ?? null,
      where: table.where ?? {},
      sampleRatio: table.checks?.sample ?? 1,
      columns: new Map(Object.entries(table.columns ?? {}).map(([name, rules]) => [name, this.#column(name, rules, table, index)])),
    };
  }

  #column(name: string, rules: ColumnDocument, table: TableDocument, index: number): ColumnRules {
    if (rules.ignore === true && table.key?.includes(name) === true) {
      this.#tree.report(['tables', index, 'columns', name, 'ignore'], 'a column of the key cannot be left out');
    }
    return {
      ignore: rules.ignore ?? false,
      new: rules.new ?? null,
      sensitive: rules.sensitive ?? false,
      sql: rules.sql ?? null,
      precision: rules.precision ?? null,
      tolerance: rules.tolerance ?? null,
      case: rules.case ?? 'sensitive',
      trim: rules.trim ?? false,
      zone: rules.zone ?? null,
      as: rules.as ?? 'value',
    };
  }

  #checkTables(tables: readonly TableConfig[]): void {
    for (const side of ['old', 'new'] as const) {
      const first = new Map<string, number>();
      tables.forEach((table, index) => {
        const name = JSON.stringify([table[side].schema, table[side].name]);
        const earlier = first.get(name);
        if (earlier === undefined) first.set(name, index);
        else if (side === 'old' || tables[earlier]?.old !== table.old) {
          this.#tree.report(['tables', index, side], `${qualifiedName(table[side])} is the ${side} table of tables[${earlier}] already`);
        }
      });
    }
  }

  /** The value given in the open or in a file; null where there is none. */
  #secret(value: string | undefined, file: string | undefined, path: ConfigPath): string | null {
    const filePath = [...path.slice(0, -1), `${String(path.at(-1))}_file`];
    if (value !== undefined && file !== undefined) {
      this.#tree.report(filePath, `${String(path.at(-1))} is given as well; keep one of them`);
      return value;
    }
    if (value !== undefined) return value;
    const content = this.#readFile(file, filePath)?.replace(/\r?\n$/, '') ?? null;
    if (content === '') this.#tree.report(filePath, 'the file is empty');
    return content;
  }

  #readFile(file: string | undefined, path: ConfigPath): string | null {
    if (file === undefined) return null;
    const absolute = this.#path(file, path);
    try {
      const content = readFileSync(absolute);
      if (content.length <= MAX_FILE_BYTES) return content.toString('utf8');
      this.#tree.report(path, `${absolute} is larger than 1MiB; is it the right file?`);
    } catch (error) {
      this.#tree.report(path, `cannot read ${absolute}: ${fileErrorWords(error)}`);
    }
    return null;
  }

  #path(path: string, at: ConfigPath): string {
    const layer = this.#tree.origin(at)?.layer ?? 'file';
    return layer === 'file' ? resolve(this.#folder, path) : resolve(path);
  }

  #positive(text: string | undefined, otherwise: string, path: ConfigPath): number {
    const ms = milliseconds(text ?? otherwise);
    if (ms === 0) this.#tree.report(path, 'must be more than 0');
    return ms;
  }
}

/** What went wrong with a file, in words. */
export function fileErrorWords(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EACCES: 'no permission to read it',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a part of its path is no folder',
  };
  return words[code] ?? code;
}

function policies(document: Document, lagBudgetMs: number, sweepMaxAgeMs: number): Record<Phase, GatePolicy> {
  const resolved = PHASES.map((phase): [Phase, GatePolicy] => {
    const policy = document.gate?.[phase];
    return [
      phase,
      {
        maxDriftRows: policy?.max_drift_rows ?? DEFAULTS.maxDriftRows,
        verifiedWithinMs: policy?.verified_within === undefined ? lagBudgetMs : milliseconds(policy.verified_within),
        sweepMaxAgeMs: policy?.sweep_max_age === undefined ? sweepMaxAgeMs : milliseconds(policy.sweep_max_age),
        allowSampled: policy?.allow_sampled ?? false,
      },
    ];
  });
  return Object.fromEntries(resolved) as Record<Phase, GatePolicy>;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.[0-9]+\.[0-9]+\.[0-9]+$/.test(host);
}

function milliseconds(text: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new LockstepError('internal', 'a duration passed the schema and cannot be read');
  return ms;
}

function bytes(text: string): number {
  const size = parseSize(text);
  if (size === null) throw new LockstepError('internal', 'a size passed the schema and cannot be read');
  return size;
}

function tableName(text: string): TableName {
  const name = parseTableName(text);
  if (name === null) throw new LockstepError('internal', 'a table name passed the schema and cannot be read');
  return name;
}
