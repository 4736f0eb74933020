import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { redacted } from '../../../src/config/redact.ts';
import { requireStream } from '../../../src/config/requirements.ts';
import { Folder, MINIMAL } from './fixtures.ts';

const folder = new Folder();
afterAll(() => folder.remove());

const KAFKA = `events:
  kafka: { brokers: [a:9092] }
`;

describe('what is loaded', () => {
  test('the least configuration gets every default', () => {
    const config = folder.load(MINIMAL);
    expect(config.events).toBeNull();
    expect(config.primary).toBe('old');
    expect(config.state.url).toBeNull();
    expect(config.dataDir).toBe(join(folder.path, '.lockstep'));
    expect(config.databases.old).toEqual({ url: 'postgres://u:pw@old.test:5432/app', pool: 4 });
    expect(config.slo).toEqual({
      lagBudgetMs: 5_000,
      lagObjective: 0.999,
      lagWindowMs: 3_600_000,
      sweepMaxAgeMs: 86_400_000,
      runwayMs: 86_400_000,
      slotWalBytes: null,
    });
    expect(config.settleMs).toBe(10_000);
    expect(config.gate.canary).toEqual({ maxDriftRows: 0, verifiedWithinMs: 5_000, sweepMaxAgeMs: 86_400_000, allowSampled: false });
    expect(config.sweep).toEqual({
      everyMs: 21_600_000, incrementalEveryMs: null,
      chunkRows: 'auto',
      concurrency: 2,
      maxRowsPerSecond: null,
      strategy: 'auto',
      pause: { lagMs: 30_000, lockWaits: true, activeSessions: null },
    });
    expect(config.http).toEqual({ host: '127.0.0.1', port: 8080, tokens: { read: null, operate: null } });
    expect(config.tables).toEqual([
      {
        old: { schema: 'public', name: 'payments' },
        new: { schema: 'public', name: 'payments' },
        topic: {},
        key: null,
        where: {},
        sampleRatio: 1,
        columns: new Map(),
      },
    ]);
  });

  test('every key of the contract', () => {
    folder.write('secrets/p', 'kafka-pw\n');
    folder.write('secrets/read', 'read-token\r\n');
    folder.write('secrets/operate', 'operate-token');
    folder.write('ca.pem', 'CA\n');
    folder.write('cert.pem', 'CERT\n');
    folder.write('key.pem', 'KEY\n');
    const config = folder.load(`
migration: payments
databases:
  old: { url: "postgres://h/old", pool: 8 }
  new: { url: "postgres://h/new", pool: 2 }
events:
  kafka:
    brokers: [localhost:9092]
    group: lockstep-payments
    sink_group: connect-sink
    slot: debezium
    ssl: { ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem }
    sasl: { mechanism: scram-sha-512, username: u, password_file: secrets/p }
    registry: { url: "http://registry:8081" }
    unavailable_placeholder: __gone
primary: new
state: { url: "postgres://h/state" }
data_dir: data
slo:
  lag: { budget: 8s, objective: 0.99, window: 30m }
  settle: 15s
  sweep: { max_age: 12h }
  runway: 48h
  slot_wal: 4GiB
gate:
  canary: { max_drift_rows: 3, verified_within: 20s, allow_sampled: true }
sweep: { every: never, chunk_rows: 5000, concurrency: 4, max_rows_per_second: 1000, strategy: portable, pause: { lag: 10s, lock_waits: false, active_sessions: 40 } }
checks: { max_pending: 1000, read_batch: 100 }
samples: { values: none }
http: { host: 0.0.0.0, port: 0, tokens: { read_file: secrets/read, operate_file: secrets/operate } }
log: { level: debug }
tables:
  - old: public.payments
    new: billing.payments
    topic: { old: shop.public.payments, new: billing.billing.payments }
    key: [id, tenant]
    where: { old: "tenant = 1", new: "tenant = 1" }
    checks: { sample: 0.1 }
    columns:
      note: { ignore: true }
      amount: { new: amount_minor, sql: { old: "amount * 100", new: "amount_minor" } }
      created_at: { precision: ms }
      score: { tolerance: 1e-9 }
      email: { sensitive: true, case: insensitive, trim: true }
`);
    expect(config.events).toEqual({
      kind: 'kafka',
      brokers: ['localhost:9092'],
      group: 'lockstep-payments',
      sinkGroup: 'connect-sink',
      slot: 'debezium',
      ssl: { ca: 'CA\n', cert: 'CERT\n', key: 'KEY\n' },
      sasl: { mechanism: 'scram-sha-512', username: 'u', password: 'kafka-pw' },
      registry: { url: 'http://registry:8081', username: null, password: null },
      unavailablePlaceholder: '__gone',
    });
    expect(config.settleMs).toBe(15_000);
    expect(config.sweep.everyMs).toBeNull();
    expect(config.sweep.maxRowsPerSecond).toBe(1_000);
    expect(config.http).toEqual({ host: '0.0.0.0', port: 0, tokens: { read: 'read-token', operate: 'operate-token' } });
    expect(config.gate.canary).toEqual({ maxDriftRows: 3, verifiedWithinMs: 20_000, sweepMaxAgeMs: 43_200_000, allowSampled: true });
    expect(config.gate.shadow.verifiedWithinMs).toBe(8_000);
    expect(config.slo.slotWalBytes).toBe(4_294_967_296);
    expect(config.tables[0]?.sampleRatio).toBe(0.1);
    expect(config.tables[0]?.columns.get('score')?.tolerance).toBe(1e-9);
    expect(config.tables[0]?.columns.get('amount')?.new).toBe('amount_minor');
    expect(config.tables[0]?.columns.get('amount')?.sql).toEqual({ old: 'amount * 100', new: 'amount_minor' });
    expect(config.tables[0]?.columns.get('created_at')?.precision).toBe('ms');
    expect(config.tables[0]?.columns.get('email')).toMatchObject({ sensitive: true, case: 'insensitive', trim: true, zone: null, as: 'value' });
  });

  test('settle follows the lag budget', () => {
    expect(folder.load(`${MINIMAL}slo: { lag: { budget: 30s } }\n`).settleMs).toBe(60_000);
  });

  test('without Kafka: logical replication with its defaults', () => {
    expect(folder.load(`${MINIMAL}events: { postgres: {} }\n`).events).toEqual({
      kind: 'postgres',
      slot: 'lockstep',
      publication: 'lockstep',
    });
  });

  test('a key whose values are commented out counts as absent; anchors and merges work', () => {
    const config = folder.load(`${MINIMAL}http:\n  # port: 1\nslo: &slo { settle: 7s }\n`.replace('slo: &slo', 'slo: &slo'));
    expect(config.settleMs).toBe(7_000);
    const merged = folder.load(
      MINIMAL.replace('old: { url:', 'old: &db { pool: 9, url:').replace('new: { url:', 'new: { <<: *db, url:'),
    );
    expect(merged.databases.new).toEqual({ url: 'postgres://u@new.test:5432/app', pool: 9 });
  });

  test('a password beside the URL is put into it, whatever it holds', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (password) => {
        const yaml = MINIMAL.replace(
          'u@new.test:5432/app"',
          'u@new.test:5432/app", password: "${PASSWORD}"',
        );
        const { url } = folder.load(yaml, { env: { PASSWORD: password } }).databases.new;
        expect(decodeURIComponent(new URL(url).password)).toBe(password);
      }),
      { numRuns: 50 },
    );
  });
});

describe('layers', () => {
  const yaml = `${MINIMAL}http: { port: 1000 }\n`;

  test('file < environment < flags', () => {
    expect(folder.load(yaml).http.port).toBe(1000);
    expect(folder.load(yaml, { env: { LOCKSTEP_HTTP__PORT: '2000' } }).http.port).toBe(2000);
    expect(
      folder.load(yaml, { env: { LOCKSTEP_HTTP__PORT: '2000' }, flags: { 'http.port': '3000' } }).http.port,
    ).toBe(3000);
  });

  test('any case, any depth, lists and sections', () => {
    const config = folder.load(MINIMAL, {
      env: {
        lockstep_Databases__OLD__Url: 'postgres://env/old',
        LOCKSTEP_EVENTS__KAFKA__BROKERS: 'a:9092, b:9092',
        LOCKSTEP_EVENTS__KAFKA__SSL: 'true',
        LOCKSTEP_TABLES__0__TOPIC__OLD: 't',
        LOCKSTEP_TABLES__0__KEY: '[id, tenant]',
        LOCKSTEP_TABLES__1__OLD: 'orders',
        LOCKSTEP_DATA_DIR: '/data',
        LOCKSTEP_SWEEP__CHUNK_ROWS: '500',
        LOCKSTEP_GATE__CANARY__MAX_DRIFT_ROWS: '2',
        LOCKSTEP_TABLES__0__COLUMNS__NOTE: '{ ignore: true }',
        LOCKSTEP_SLO__LAG__OBJECTIVE: '0.95',
      },
    });
    expect(config.databases.old.url).toBe('postgres://env/old');
    expect(config.events).toMatchObject({ kind: 'kafka', brokers: ['a:9092', 'b:9092'], ssl: true });
    expect(config.tables.map((table) => table.old.name)).toEqual(['payments', 'orders']);
    expect(config.tables[0]).toMatchObject({ topic: { old: 't' }, key: ['id', 'tenant'] });
    expect(config.tables[0]?.columns.get('note')?.ignore).toBe(true);
    expect(config.dataDir).toBe('/data');
    expect(config.sweep.chunkRows).toBe(500);
    expect(config.gate.canary.maxDriftRows).toBe(2);
    expect(config.slo.lagObjective).toBe(0.95);
  });

  test('a secret from a layer above replaces its file below, and the other way round', () => {
    folder.write('url', 'postgres://file/old');
    const withFile = MINIMAL.replace('url: "postgres://u:pw@old.test:5432/app"', 'url_file: url');
    expect(folder.load(withFile).databases.old.url).toBe('postgres://file/old');
    const env = { LOCKSTEP_DATABASES__OLD__URL: 'postgres://env/old' };
    expect(folder.load(withFile, { env }).databases.old.url).toBe('postgres://env/old');
    const fileEnv = { LOCKSTEP_DATABASES__OLD__URL_FILE: join(folder.path, 'url') };
    expect(folder.load(MINIMAL, { env: fileEnv }).databases.old.url).toBe('postgres://file/old');
  });

  test('variables of others are left alone: Kubernetes names them after a service', () => {
    const env = {
      LOCKSTEP_PORT: 'tcp://10.0.0.1:8080',
      LOCKSTEP_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
      LOCKSTEP_SERVICE_HOST: '10.0.0.1',
      LOCKSTEP_TOKEN: 't',
      LOCKSTEP_DEBUG: '1',
    };
    expect(folder.load(MINIMAL, { env }).http.port).toBe(8080);
  });

  test('what is unknown in a layer names its variable or flag', () => {
    expect(
      folder.problems(MINIMAL, {
        env: { LOCKSTEP_HTTP__PROT: '1', LOCKSTEP_MIGRATON: 'x', LOCKSTEP_TABLES__7__OLD: 'x' },
        flags: { 'slo.settel': '4s', nonsense: '1' },
      }),
    ).toEqual([
      'LOCKSTEP_HTTP__PROT: no such setting; did you mean LOCKSTEP_HTTP__PORT?',
      'LOCKSTEP_MIGRATON: no such setting; did you mean LOCKSTEP_MIGRATION?',
      'LOCKSTEP_TABLES__7__OLD: no such setting in tables',
      '--set slo.settel: no such setting; did you mean slo.settle?',
      '--set nonsense: no such setting',
    ]);
  });

  test('a wrong value names its variable, and is not repeated where it may be a secret', () => {
    expect(folder.problems(MINIMAL, { env: { LOCKSTEP_HTTP__PORT: '99999', LOCKSTEP_LOG__LEVEL: 'hunter2' } })).toEqual([
      'LOCKSTEP_HTTP__PORT: http.port: expected a whole number from 0 to 65535, found 99999',
      'LOCKSTEP_LOG__LEVEL: log.level: expected one of trace, debug, info, warn, error, fatal, silent, found another text',
    ]);
  });
});

describe('variables in values', () => {
  const withPort = (port: string) => `${MINIMAL}http:\n  port: ${port}\n`;

  test('expansion, defaults, numbers, escapes', () => {
    expect(folder.load(withPort('${PORT}'), { env: { PORT: '81' } }).http.port).toBe(81);
    expect(folder.load(withPort('${PORT:-82}')).http.port).toBe(82);
    expect(folder.load(withPort('${PORT:-82}'), { env: { PORT: '' } }).http.port).toBe(82);
    const config = folder.load(`${MINIMAL}    where: { old: "a = '$\${x}' or b = '\${B}\${B}'" }\n`, { env: { B: 'b' } });
    expect(config.tables[0]?.where.old).toBe("a = '${x}' or b = 'bb'");
  });

  test('an undefined variable names itself and its line', () => {
    expect(folder.problems(withPort('${PORT}'))).toEqual([
      'lockstep.yaml:8: http.port: the environment variable PORT is not set; set it or give a default: ${PORT:-…}',
    ]);
  });

  test('a malformed one as well', () => {
    expect(folder.problems(withPort('"${PO RT}"'))).toEqual([
      'lockstep.yaml:8: http.port: expected ${NAME} or ${NAME:-default}; write $${ for a plain ${',
    ]);
  });

  test('unquoted inside braces: the hint says what to do', () => {
    expect(folder.problems(`${MINIMAL}http: { port: \${PORT} }\n`)[0]).toMatch(
      /^lockstep\.yaml:7: not valid YAML: .*quote variables: "\$\{VAR\}"$/,
    );
  });
});

describe('problems', () => {
  const cases: readonly (readonly [name: string, yaml: string, problems: readonly string[]])[] = [
    [
      'an unknown key and the nearest known one',
      `${MINIMAL}slo:\n  lag: { budgt: 5s }\n`,
      ['lockstep.yaml:8: slo.lag.budgt: unknown key; did you mean budget?'],
    ],
    [
      'an unknown key that is near to nothing',
      `${MINIMAL}samples:\n  frobnicate: 1\n`,
      ['lockstep.yaml:8: samples.frobnicate: unknown key; known here: values'],
    ],
    ['an unknown key at the top', `${MINIMAL}evnets: {}\n`, ['lockstep.yaml:7: evnets: unknown key; did you mean events?']],
    [
      'a duration without its unit',
      `${MINIMAL}slo:\n  settle: 15\n`,
      ['lockstep.yaml:8: slo.settle: expected a duration such as 500ms, 5s, 10m, 24h or 7d, found 15'],
    ],
    [
      'a duration with another unit',
      `${MINIMAL}slo:\n  settle: 15 sec\n`,
      ['lockstep.yaml:8: slo.settle: expected a duration such as 500ms, 5s, 10m, 24h or 7d, found "15 sec"'],
    ],
    ['a budget of nothing', `${MINIMAL}slo: { lag: { budget: 0s } }\n`, ['lockstep.yaml:7: slo.lag.budget: must be more than 0']],
    [
      'text where a number belongs',
      `${MINIMAL}http:\n  port: eighty\n`,
      ['lockstep.yaml:8: http.port: expected a whole number from 0 to 65535, found "eighty"'],
    ],
    [
      'a number out of range',
      `${MINIMAL}sweep:\n  concurrency: 0\n`,
      ['lockstep.yaml:8: sweep.concurrency: expected a whole number from 1 to 64, found 0'],
    ],
    [
      'a word that is not one of the known',
      `${MINIMAL}primary: both\n`,
      ['lockstep.yaml:7: primary: expected one of old, new, found "both"'],
    ],
    [
      'chunk_rows that is neither',
      `${MINIMAL}sweep: { chunk_rows: many }\n`,
      ['lockstep.yaml:7: sweep.chunk_rows: expected auto or a whole number from 1 to 10000000, found "many"'],
    ],
    [
      'a value where a section belongs',
      `${MINIMAL}http: 8080\n`,
      ['lockstep.yaml:7: http: expected a section with host, port, tokens, found 8080'],
    ],
    [
      'a section where a list belongs',
      MINIMAL.replace('  - old:', '    old:'),
      ['lockstep.yaml:5: tables: expected a list of at least one table, found a section'],
    ],
    [
      'no tables',
      MINIMAL.replace(/tables:[\s\S]*/, 'tables: []\n'),
      ['lockstep.yaml:5: tables: expected a list of at least one table, found an empty list'],
    ],
    [
      'a table name with too many parts',
      MINIMAL.replace('public.payments', 'a.b.c'),
      ['lockstep.yaml:6: tables[0].old: expected a table as schema.table, with double quotes around odd names, found "a.b.c"'],
    ],
    [
      'the same table twice',
      `${MINIMAL}  - old: payments\n    new: other\n`,
      ['lockstep.yaml:7: tables[1].old: public.payments is the old table of tables[0] already'],
    ],
    [
      'two tables into one',
      `${MINIMAL}  - old: other\n    new: payments\n`,
      ['lockstep.yaml:8: tables[1].new: public.payments is the new table of tables[0] already'],
    ],
    [
      'a key column that is ignored',
      `${MINIMAL}    key: [id]\n    columns:\n      id: { ignore: true }\n`,
      ['lockstep.yaml:9: tables[0].columns.id.ignore: a column of the key cannot be left out'],
    ],
    [
      'both sources',
      `${MINIMAL}events:\n  kafka: { brokers: [a:1] }\n  postgres: {}\n`,
      ['lockstep.yaml:7: events: expected exactly one of kafka and postgres'],
    ],
    ['neither source', `${MINIMAL}events: {}\n`, ['lockstep.yaml:7: events: expected exactly one of kafka and postgres']],
    [
      'a broker without a port',
      `${MINIMAL}events: { kafka: { brokers: [localhost] } }\n`,
      ['lockstep.yaml:7: events.kafka.brokers[0]: expected host:port, found "localhost"'],
    ],
    [
      'no migration',
      MINIMAL.replace('migration: payments\n', ''),
      ['lockstep.yaml: migration: missing; give letters, digits, dot, dash and underscore, at most 63'],
    ],
    [
      'a database without a URL',
      MINIMAL.replace('{ url: "postgres://u@new.test:5432/app" }', '{ pool: 3 }'),
      ['lockstep.yaml:4: databases.new: missing url or url_file; give postgres://user@host:port/database'],
    ],
    [
      'a URL of another kind, which is not repeated',
      MINIMAL.replace('postgres://u:pw@', 'mysql://u:hunter2@'),
      ['lockstep.yaml:3: databases.old.url: expected postgres://user@host:port/database, odd characters in names and passwords %-encoded'],
    ],
    [
      'a secret that is not text, which is not repeated',
      MINIMAL.replace('url: "postgres://u@new', 'password: 12345, url: "postgres://u@new'),
      ['lockstep.yaml:4: databases.new.password: expected text that is not empty, found a number'],
    ],
    [
      'a password twice',
      MINIMAL.replace('url: "postgres://u:pw', 'password: x, url: "postgres://u:pw'),
      ['lockstep.yaml:3: databases.old.password: the URL has a password already; give it in one place'],
    ],
    [
      'a secret and its file',
      `${MINIMAL}http: { tokens: { read: a, read_file: b } }\n`,
      ['lockstep.yaml:7: http.tokens.read_file: read is given as well; keep one of them'],
    ],
    [
      'SASL without a password',
      `${MINIMAL}events: { kafka: { brokers: [a:1], sasl: { mechanism: plain, username: u } } }\n`,
      ['lockstep.yaml:7: events.kafka.sasl: missing password or password_file'],
    ],
    [
      'a client certificate without its key',
      `${MINIMAL}events: { kafka: { brokers: [a:1], ssl: { cert_file: lockstep.yaml } } }\n`,
      ['lockstep.yaml:7: events.kafka.ssl: a client certificate needs both cert_file and key_file'],
    ],
    [
      'listening to everybody without tokens',
      `${MINIMAL}http: { host: 0.0.0.0 }\n`,
      [
        'lockstep.yaml:7: http.host: listening beyond this machine needs tokens: set http.tokens.read_file and operate_file, or use 127.0.0.1',
      ],
    ],
    ['broken YAML', `${MINIMAL}http: {\n`, []],
    ['a key given twice', `${MINIMAL}migration: again\n`, ['lockstep.yaml:7: not valid YAML: Map keys must be unique']],
    ['an empty file', '# nothing\n', ['lockstep.yaml: the file is empty; see docs/configuration.md for an example']],
    ['a list', '- a\n', ['lockstep.yaml:1: expected keys such as migration:, databases:, tables:']],
  ];

  test.each(cases)('%s', (_name, yaml, expected) => {
    const problems = folder.problems(yaml);
    if (expected.length > 0) expect(problems).toEqual(expected);
    expect(problems).not.toEqual([]);
    for (const problem of problems) expect(problem).not.toMatch(/hunter2|\n/);
  });

  test('a secret’s file that cannot be read', () => {
    const yaml = MINIMAL.replace('url: "postgres://u:pw@old.test:5432/app"', 'url_file: nowhere');
    expect(folder.problems(yaml)).toEqual([
      'lockstep.yaml:3: databases.old.url_file: cannot read nowhere: there is no such file',
    ]);
    folder.write('empty', '\n');
    expect(folder.problems(`${MINIMAL}http: { tokens: { read_file: empty } }\n`)).toEqual([
      'lockstep.yaml:7: http.tokens.read_file: the file is empty',
    ]);
  });

  test('no file', () => {
    expect(folder.problems('', { file: join(folder.path, 'absent.yaml') })).toEqual([
      'absent.yaml: cannot read the configuration: there is no such file; name another with --config FILE',
    ]);
  });

  test('all at once, in the order of the file', () => {
    expect(
      folder.problems(`migration: payments
databases:
  old: { url: "mysql://h/d", pool: many }
  new: { url: "postgres://h/d" }
events:
  kafka:
    brokers: localhost:9092
slo:
  lag: { budget: 5 }
http: { host: 0.0.0.0, prot: 1 }
tables:
  - old: public.t
log: { level: "\${LEVEL}" }
`),
    ).toEqual([
      'lockstep.yaml:3: databases.old.pool: expected a whole number from 1 to 100, found "many"',
      'lockstep.yaml:3: databases.old.url: expected postgres://user@host:port/database, odd characters in names and passwords %-encoded',
      'lockstep.yaml:7: events.kafka.brokers: expected a list of host:port, found "localhost:9092"',
      'lockstep.yaml:9: slo.lag.budget: expected a duration such as 500ms, 5s, 10m, 24h or 7d, found 5',
      'lockstep.yaml:10: http.prot: unknown key; did you mean port?',
      'lockstep.yaml:10: http.host: listening beyond this machine needs tokens: set http.tokens.read_file and operate_file, or use 127.0.0.1',
      'lockstep.yaml:13: log.level: the environment variable LEVEL is not set; set it or give a default: ${LEVEL:-…}',
    ]);
  });

  test('aliases that multiply or contain themselves end in a problem', () => {
    expect(folder.problems(`${MINIMAL}http: &h\n  x: *h\n`)).not.toEqual([]);
    const levels = Array.from({ length: 9 }, (_, level) => `l${level + 1}: &l${level + 1} [${'*lX, '.repeat(9).replaceAll('X', String(level))}]`);
    expect(folder.problems(`${MINIMAL}l0: &l0 [1]\n${levels.join('\n')}\n`)).not.toEqual([]);
  });

  test('no text makes it fail in another way', () => {
    const key = fc.constantFrom('migration', 'http', 'tables', 'old', 'events', '__proto__', 'constructor', 'x');
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(key, tie('tree'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        expect(folder.problems(stringify(value))).not.toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});

describe('what run needs', () => {
  test('a stream', () => {
    expect(() => requireStream(folder.load(MINIMAL))).toThrow(/^events: missing; run needs a change stream/);
    expect(() => requireStream(folder.load(MINIMAL + KAFKA))).not.toThrow();
    expect(() => requireStream(folder.load(`${MINIMAL}events: { postgres: {} }\n`))).not.toThrow();
  });
});

describe('the effective configuration', () => {
  test('hides secrets and reads back as the same', () => {
    const yaml = `${MINIMAL}    topic: { old: t }
    key: [id]
    columns: { note: { ignore: true } }
${KAFKA}http: { tokens: { read: hunter2-read, operate: hunter2-operate } }
state: { url: "postgres://u:hunter2@h/state?sslpassword=hunter2" }
slo: { lag: { budget: 1500ms } }
`.replaceAll(':pw@', ':hunter2@');
    const config = folder.load(yaml);
    const printed = stringify(redacted(config));
    expect(printed).not.toContain('hunter2');
    expect(printed).toContain('postgres://u:***@old.test:5432/app');
    const again = folder.load(printed);
    expect(redacted(again)).toEqual(redacted(config));
    expect({ ...again, databases: null, http: null, state: null }).toEqual({
      ...config,
      databases: null,
      http: null,
      state: null,
    });
  });
});
