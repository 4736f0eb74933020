import { Type } from '@sinclair/typebox';
import type { SchemaOptions, Static, TOptional, TProperties, TSchema } from '@sinclair/typebox';
import { PHASES } from '../domain/gate.ts';
import type { Phase } from '../domain/gate.ts';
import { DEFAULT_NOTE, DEFAULTS, EXPECTED, PATH, SECRET } from './schema-words.ts';
import { TABLE_NAME_PATTERN } from './table-name.ts';
import { DURATION_PATTERN, SIZE_PATTERN } from './units.ts';

function section<T extends TProperties>(properties: T, options: SchemaOptions = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

function text(description: string, options: SchemaOptions = {}) {
  return Type.String({ minLength: 1, [EXPECTED]: 'text that is not empty', description, ...options });
}

function secret(description: string) {
  return text(description, { [SECRET]: true });
}

function secretFile(of: string) {
  return text(`File that holds \`${of}\`; a trailing line break is cut.`, { [PATH]: true, [EXPECTED]: 'the path of a file' });
}

function file(description: string) {
  return Type.Optional(text(description, { [PATH]: true, [EXPECTED]: 'the path of a file' }));
}

function duration(description: string, options: SchemaOptions = {}) {
  return Type.String({
    pattern: DURATION_PATTERN,
    [EXPECTED]: 'a duration such as 500ms, 5s, 10m, 24h or 7d',
    description,
    ...options,
  });
}

function size(description: string, options: SchemaOptions = {}) {
  return Type.String({ pattern: SIZE_PATTERN, [EXPECTED]: 'a size such as 512KiB, 64MiB or 2GiB', description, ...options });
}

function count(description: string, minimum: number, maximum: number, options: SchemaOptions = {}) {
  return Type.Integer({
    minimum,
    maximum,
    [EXPECTED]: `a whole number from ${minimum} to ${maximum}`,
    description,
    ...options,
  });
}

function oneOf<const T extends readonly string[]>(values: T, description: string, options: SchemaOptions = {}) {
  return Type.Unsafe<T[number]>({
    type: 'string',
    enum: [...values],
    [EXPECTED]: values.length === 1 ? `${values[0]}` : `one of ${values.join(', ')}`,
    description,
    ...options,
  });
}

function tableName(description: string, options: SchemaOptions = {}) {
  return Type.String({
    pattern: TABLE_NAME_PATTERN,
    [EXPECTED]: 'a table as schema.table, with double quotes around odd names',
    description,
    ...options,
  });
}

/** Either a boolean or a section, without `anyOf`: so errors speak of whichever the value is. */
function booleanOr<T extends TSchema>(sectionSchema: T, options: SchemaOptions) {
  return Type.Unsafe<boolean | Static<T>>({ ...sectionSchema, type: ['boolean', 'object'], ...options });
}

function database(side: string) {
  return section(
    {
      url: Type.Optional(secret('`postgres://user:password@host:port/database`; query parameters as libpq has them (`sslmode`, …).')),
      url_file: Type.Optional(secretFile('url')),
      password: Type.Optional(secret('The password, where the URL has none.')),
      password_file: Type.Optional(secretFile('password')),
      pool: Type.Optional(count('Most connections held at once.', 1, 100, { default: DEFAULTS.pool })),
    },
    { description: `The ${side} database. Lockstep only ever reads it.`, examples: [{ url: `postgres://localhost/${side}` }] },
  );
}

const kafka = section(
  {
    brokers: Type.Array(text('`host:port`', { pattern: '^[^\\s,]+:[0-9]{1,5}$', [EXPECTED]: 'host:port' }), {
      minItems: 1,
      examples: [['localhost:9092']],
      [EXPECTED]: 'a list of host:port',
      description: 'Brokers to ask first, as `host:port`.',
    }),
    group: Type.Optional(text('Consumer group.', { [DEFAULT_NOTE]: '`lockstep-` and the migration' })),
    sink_group: Type.Optional(
      text('Consumer group of the sink that applies the changes to new.', { [DEFAULT_NOTE]: 'found by the topics it reads' }),
    ),
    slot: Type.Optional(
      text('Replication slot on the primary that feeds the topics.', { [DEFAULT_NOTE]: 'the only logical slot there' }),
    ),
    ssl: Type.Optional(
      booleanOr(
        section({
          ca_file: file('Certificate authorities (PEM).'),
          cert_file: file('Client certificate (PEM).'),
          key_file: file("The client certificate's key (PEM)."),
        }),
        {
          [EXPECTED]: 'true, false or a section with ca_file, cert_file, key_file',
          default: false,
          description: 'TLS: `true` trusts the system’s authorities; or a section.',
        },
      ),
    ),
    sasl: Type.Optional(
      section(
        {
          mechanism: oneOf(['plain', 'scram-sha-256', 'scram-sha-512'], 'How to log in.', { examples: ['scram-sha-512'] }),
          username: text('User name.', { examples: ['lockstep'] }),
          password: Type.Optional(secret('Password.')),
          password_file: Type.Optional(secretFile('password')),
        },
        { description: 'Login. Absent: none.' },
      ),
    ),
    registry: Type.Optional(
      section(
        {
          url: text('Where the registry listens.', { pattern: '^https?://', [EXPECTED]: 'an http:// or https:// URL', examples: ['http://localhost:8081'] }),
          username: Type.Optional(text('User name.')),
          password: Type.Optional(secret('Password.')),
          password_file: Type.Optional(secretFile('password')),
        },
        { description: 'Schema registry; only for Avro topics.' },
      ),
    ),
    unavailable_placeholder: Type.Optional(
      text('What the connector writes for a value it leaves out (its `unavailable.value.placeholder`).', {
        default: DEFAULTS.unavailablePlaceholder,
      }),
    ),
  },
  { description: 'Debezium change events in Kafka topics.' },
);

const identifier = { pattern: '^[a-z0-9_]{1,63}$', [EXPECTED]: 'lower-case letters, digits and _, at most 63' };

const events = section(
  {
    kafka: Type.Optional(kafka),
    postgres: Type.Optional(
      section(
        {
          slot: Type.Optional(text('Logical replication slot; made when absent.', { ...identifier, default: DEFAULTS.slot })),
          publication: Type.Optional(
            text('Publication that lists the tables.', { [EXPECTED]: 'a publication’s name', default: DEFAULTS.publication }),
          ),
        },
        { description: 'Without Kafka: logical replication straight from the primary.' },
      ),
    ),
  },
  { description: 'Where changes come from: exactly one of `kafka` and `postgres`. Absent: only `check` works.' },
);

const slo = section(
  {
    lag: Type.Optional(
      section(
        {
          budget: Type.Optional(duration('Most time from a commit on the primary until it is visible on the replica.', { default: DEFAULTS.lagBudget })),
          objective: Type.Optional(
            Type.Number({
              exclusiveMinimum: 0,
              exclusiveMaximum: 1,
              [EXPECTED]: 'a number between 0 and 1, such as 0.999',
              default: DEFAULTS.lagObjective,
              description: 'Share of changes that keep to the budget.',
            }),
          ),
          window: Type.Optional(duration('Window of the objective and of the lag figures.', { default: DEFAULTS.lagWindow })),
        },
        { description: 'Replication lag.' },
      ),
    ),
    settle: Type.Optional(
      duration('How long after its commit a change may still be on its way where nothing shows that it was applied.', {
        [DEFAULT_NOTE]: '2 × `slo.lag.budget`, at least 10s',
      }),
    ),
    sweep: Type.Optional(
      section(
        { max_age: Type.Optional(duration('Oldest clean sweep that still counts.', { default: DEFAULTS.sweepMaxAge })) },
        { description: 'Full passes.' },
      ),
    ),
    slot_wal: Type.Optional(
      size("Most of the primary's log that the source's replication slot may hold back.", {
        [DEFAULT_NOTE]: "half of the server's `max_slot_wal_keep_size`; where that has no limit, none",
        examples: ['16GiB'],
      }),
    ),
    runway: Type.Optional(duration('How long after the cutover the way back must stay open.', { default: DEFAULTS.runway })),
  },
  { description: 'What is promised.' },
);

const policy = section({
  max_drift_rows: Type.Optional(count('Most rows of open drift.', 0, 1_000_000_000, { default: DEFAULTS.maxDriftRows })),
  verified_within: Type.Optional(
    duration('How far verified-through may be behind.', { [DEFAULT_NOTE]: '`slo.lag.budget`' }),
  ),
  sweep_max_age: Type.Optional(duration('Oldest clean sweep that still counts.', { [DEFAULT_NOTE]: '`slo.sweep.max_age`' })),
  allow_sampled: Type.Optional(
    Type.Boolean({ [EXPECTED]: 'true or false', default: false, description: 'Whether it may pass where only a sample of a table’s changes is checked.' }),
  ),
});

const gate = section(Object.fromEntries(PHASES.map((phase) => [phase, Type.Optional(policy)])) as GateProperties, {
  description: `What each phase asks for before traffic moves: ${PHASES.join(', ')}.`,
});

type GateProperties = Record<Phase, TOptional<typeof policy>>;

const sweep = section(
  {
    every: Type.Optional(
      Type.String({
        pattern: `${DURATION_PATTERN}|^never$`,
        [EXPECTED]: 'a duration such as 30m, 6h or 7d, or never',
        default: DEFAULTS.sweepEvery,
        description: 'Time from the start of one sweep to the next; `never`: only when asked for.',
      }),
    ),
    incremental_every: Type.Optional(
      duration('Time from the end of one sweep to the next incremental one, which compares the rows that changes touched since a clean full one. It proves nothing of other rows, and takes no full sweep’s place.', { [DEFAULT_NOTE]: 'none' }),
    ),
    chunk_rows: Type.Optional(
      Type.Unsafe<'auto' | number>({
        type: ['integer', 'string'],
        minimum: 1,
        maximum: 10_000_000,
        pattern: '^auto$',
        [EXPECTED]: 'auto or a whole number from 1 to 10000000',
        default: 'auto',
        description: 'Rows of one chunk; `auto`: 50,000 (100,000 where keys lie scattered over the table), and fewer where a database would take longer than half a second for them.',
      }),
    ),
    concurrency: Type.Optional(count('Chunks digested at once.', 1, 64, { default: DEFAULTS.sweepConcurrency })),
    max_rows_per_second: Type.Optional(count('Most rows read a second on each side; 0: no limit.', 0, 1_000_000_000, { default: 0 })),
    strategy: Type.Optional(oneOf(['auto', 'fast', 'portable', 'client'], 'How digests are taken.', { default: 'auto' })),
    pause: Type.Optional(
      section(
        {
          lag: Type.Optional(
            Type.String({
              pattern: `${DURATION_PATTERN}|^never$`,
              [EXPECTED]: 'a duration such as 5s, 30s or 10m, or never',
              default: DEFAULTS.pauseLag,
              description: 'Lag of the pipeline, or of a standby of either database, beyond which a sweep pauses.',
            }),
          ),
          lock_waits: Type.Optional(
            Type.Boolean({ [EXPECTED]: 'true or false', default: true, description: 'Pauses while a session of somebody else waits for a lock because of Lockstep’s reads.' }),
          ),
          active_sessions: Type.Optional(
            count('Most sessions of others that may run a statement in either database’s server; 0: no limit. Needs `pg_read_all_stats`.', 0, 100_000, { default: 0 }),
          ),
        },
        { description: 'When sweeps stand still; they go on by themselves.' },
      ),
    ),
  },
  { description: 'Full passes over the tables.' },
);

const columnRules = section({
  ignore: Type.Optional(Type.Boolean({ [EXPECTED]: 'true or false', default: false, description: 'Leaves the column out.' })),
  new: Type.Optional(text('Its name on new.', { [DEFAULT_NOTE]: 'as on old' })),
  sensitive: Type.Optional(
    Type.Boolean({ [EXPECTED]: 'true or false', default: false, description: 'Never shown, whatever `samples.values` says.' }),
  ),
  sql: Type.Optional(
    section(
      {
        old: text('SQL expression on old.', { examples: ['amount * 100'] }),
        new: text('SQL expression on new.', { examples: ['amount_minor'] }),
      },
      { description: "Compares expressions over each side's own columns instead of the columns; functions outside pg_catalog need their schema." },
    ),
  ),
  precision: Type.Optional(oneOf(['s', 'ms', 'us'], 'Times that differ by less than this unit are equal.')),
  tolerance: Type.Optional(
    Type.Number({ minimum: 0, [EXPECTED]: 'a number of at least 0', description: 'Numbers that differ by no more than this are equal.', examples: [1e-9] }),
  ),
  case: Type.Optional(oneOf(['sensitive', 'insensitive'], 'Whether upper and lower case differ.', { default: 'sensitive' })),
  trim: Type.Optional(
    Type.Boolean({ [EXPECTED]: 'true or false', default: false, description: 'Ignores blanks, tabs and line ends at both ends of a text.' }),
  ),
  zone: Type.Optional(
    text('The time zone in which a timestamp without time zone is read where the other side has one; a name that PostgreSQL knows.', {
      [DEFAULT_NOTE]: 'UTC',
      examples: ['Europe/Berlin'],
    }),
  ),
  as: Type.Optional(
    oneOf(['value', 'text'], 'Whether values are compared by what they mean, or by the text that the databases print: `json` as it was written.', {
      default: 'value',
    }),
  ),
});

const TOPIC_FOUND = 'where old is the primary, the only topic that ends in `.schema.table`';

const table = section(
  {
    old: tableName('The table on old, `schema.table` (default schema `public`), as the catalogue spells it; double quotes around odd names.', {
      examples: ['public.payments'],
    }),
    new: Type.Optional(tableName('The table on new.', { [DEFAULT_NOTE]: 'as on old' })),
    topic: Type.Optional(
      section(
        {
          old: Type.Optional(text("Topic of old's changes.", { [DEFAULT_NOTE]: TOPIC_FOUND })),
          new: Type.Optional(text("Topic of new's changes; they are followed as well where it is given.")),
        },
        { description: 'Kafka topics by the side whose changes they carry.' },
      ),
    ),
    key: Type.Optional(
      Type.Array(text("A column of old's."), {
        minItems: 1,
        uniqueItems: true,
        [EXPECTED]: 'a list of column names',
        [DEFAULT_NOTE]: 'the primary key, else a unique index whose columns are NOT NULL, else none: the table is a bag of rows',
        description: 'Columns that identify a row, by their names on old.',
      }),
    ),
    where: Type.Optional(
      section(
        { old: Type.Optional(text('Condition on old.')), new: Type.Optional(text('Condition on new.')) },
        { description: 'SQL conditions that choose the rows to compare.' },
      ),
    ),
    checks: Type.Optional(
      section(
        {
          sample: Type.Optional(
            Type.Number({
              exclusiveMinimum: 0,
              maximum: 1,
              [EXPECTED]: 'a number above 0 and up to 1, such as 0.1',
              default: 1,
              description: 'Share of the keys whose changes are checked, chosen by a hash of the key, always the same ones. Sweeps compare all rows, and all events are counted. Below 1 the gate is `unknown` unless `allow_sampled`.',
            }),
          ),
        },
        { description: 'Checks of its changed keys.' },
      ),
    ),
    columns: Type.Optional(
      Type.Record(Type.String(), columnRules, { [EXPECTED]: 'a section of column names', description: "Rules by old's column name." }),
    ),
  },
  { description: 'A pair of tables.' },
);

/** The one schema of the configuration file: types, validation, JSON Schema and the reference come from it. */
export const configurationSchema = section(
  {
    migration: text('What the migration is called.', {
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
      [EXPECTED]: 'letters, digits, dot, dash and underscore, at most 63',
      examples: ['payments'],
    }),
    databases: section(
      { old: database('old'), new: database('new') },
      { description: 'The two sides.', examples: [{ old: { url: 'postgres://localhost/old' }, new: { url: 'postgres://localhost/new' } }] },
    ),
    events: Type.Optional(events),
    primary: Type.Optional(
      oneOf(['old', 'new'], 'The side that takes the writes: `old`, and `new` after the cutover.', { default: 'old' }),
    ),
    state: Type.Optional(
      section(
        {
          url: Type.Optional(secret('`postgres://…` of the state store.')),
          url_file: Type.Optional(secretFile('url')),
        },
        { description: 'Where Lockstep keeps what it knows. Without a URL: an embedded PostgreSQL under `data_dir`.' },
      ),
    ),
    data_dir: Type.Optional(
      text('Folder for the embedded state store.', { [PATH]: true, [EXPECTED]: 'the path of a folder', default: DEFAULTS.dataDir }),
    ),
    slo: Type.Optional(slo),
    gate: Type.Optional(gate),
    sweep: Type.Optional(sweep),
    checks: Type.Optional(
      section(
        {
          max_pending: Type.Optional(
            count('Most checks waiting; beyond it the stream pauses.', 1, 100_000_000, { default: DEFAULTS.maxPending }),
          ),
          read_batch: Type.Optional(count('Most keys in one read.', 1, 10_000, { default: DEFAULTS.readBatch })),
        },
        { description: 'Checks of changed keys.' },
      ),
    ),
    samples: Type.Optional(
      section(
        { values: Type.Optional(oneOf(['full', 'masked', 'none'], 'How row values appear in drift.', { default: 'masked' })) },
        { description: 'Row values in reports.' },
      ),
    ),
    http: Type.Optional(
      section(
        {
          host: Type.Optional(text('Address to listen on. Anything but loopback needs tokens.', { default: DEFAULTS.host })),
          port: Type.Optional(count('Port to listen on; 0: a free one.', 0, 65_535, { default: DEFAULTS.port })),
          tokens: Type.Optional(
            section(
              {
                read: Type.Optional(secret('Token that may read.')),
                read_file: Type.Optional(secretFile('read')),
                operate: Type.Optional(secret('Token that may also change things.')),
                operate_file: Type.Optional(secretFile('operate')),
              },
              { description: 'Bearer tokens. Absent: everybody on this machine may do everything.' },
            ),
          ),
        },
        { description: 'REST, metrics and the gate.' },
      ),
    ),
    log: Type.Optional(
      section(
        {
          level: Type.Optional(
            oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'Least level that is logged.', { default: 'info' }),
          ),
        },
        { description: 'Logs, JSON lines on stderr.' },
      ),
    ),
    tables: Type.Array(table, {
      minItems: 1,
      [EXPECTED]: 'a list of at least one table',
      description: 'The pairs.',
      examples: [[{ old: 'public.payments' }]],
    }),
  },
  {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Lockstep configuration',
    description: 'lockstep.yaml',
  },
);

/** The configuration as it is written, validated, before defaults. */
export type ConfigurationDocument = Static<typeof configurationSchema>;
