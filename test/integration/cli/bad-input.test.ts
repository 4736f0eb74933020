import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../stack/ports.ts';
import { type PostgresPair, startPostgresPair } from '../../stack/postgres-server.ts';
import { type CommandResult, endCommands, lockstep, startLockstep } from './command.ts';

const PASSWORD = 'Tr0ub4dor-never-shown';

let pair: PostgresPair;
let folder = '';
let closedPort = 0;
let files = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-cli-'));
  chmodSync(folder, 0o755);
  closedPort = await freePort();
  pair = await startPostgresPair({ database: 'app' });
  const both = `
    CREATE TABLE payments (id bigint PRIMARY KEY, amount numeric(20,4), note text);
    CREATE TABLE keyless (id bigint, note text);
    CREATE TABLE typed (id bigint PRIMARY KEY, at %1);
    CREATE TABLE hidden (id bigint PRIMARY KEY);
    INSERT INTO payments SELECT i, i, 'n' FROM generate_series(1, 10) i;
    CREATE ROLE guest LOGIN PASSWORD '${PASSWORD}';
    GRANT SELECT ON payments TO guest;`;
  await pair.old.query(`${both.replace('%1', 'timestamptz')} CREATE TABLE lonely (id bigint PRIMARY KEY); CREATE TABLE wide (id bigint PRIMARY KEY, more text)`);
  await pair.new.query(`${both.replace('%1', 'uuid')} CREATE TABLE wide (id bigint PRIMARY KEY, other text)`);
  await pair.new.createDatabase('state');
  const rules = join(pair.old.folder, 'pg_hba.conf');
  writeFileSync(rules, `host all guest 127.0.0.1/32 scram-sha-256\n${readFileSync(rules, 'utf8')}`);
  await pair.old.query('SELECT pg_reload_conf()');
});
afterAll(async () => {
  await endCommands();
  await pair?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Parts {
  readonly old?: string;
  readonly new?: string;
  readonly state?: string;
  readonly rest?: string;
  readonly tables?: string;
}

/** A configuration of the two servers with `parts` in place of what is sound. */
function configure(parts: Parts = {}): string {
  const file = join(folder, `${++files}.yaml`);
  writeFileSync(
    file,
    `migration: payments
databases:
  old: { url: "${parts.old ?? pair.old.url()}" }
  new: { url: "${parts.new ?? pair.new.url()}" }
state: { url: "${parts.state ?? pair.new.url('state')}" }
${parts.rest ?? ''}
slo: { settle: 2s }
tables:
${parts.tables ?? '  - old: public.payments'}
`,
  );
  return file;
}

const check = (parts: Parts): Promise<CommandResult> => lockstep(['check', '-c', configure(parts)]);

/** One clear line, and perhaps a hint, on stderr; nothing on stdout; exit code 2; no password anywhere. */
function refused(result: CommandResult, ...lines: readonly (string | RegExp)[]): void {
  const said = result.stderr.trimEnd().split('\n').filter((line) => !line.startsWith('{'));
  expect(result.stdout + result.stderr).not.toContain(PASSWORD);
  expect({ code: result.code, stdout: result.stdout, said }).toEqual({
    code: 2,
    stdout: '',
    said: lines.map((line) => (typeof line === 'string' ? line : (expect.stringMatching(line) as string))),
  });
}

const run = async (parts: Parts): Promise<CommandResult> =>
  lockstep(['run', '-c', configure({ ...parts, rest: `${parts.rest ?? 'events: { postgres: {} }'}\nhttp: { port: ${await freePort()} }` })]);

describe('configuration', () => {
  it('names line and nearest key of unknown keys, all at once', async () => {
    refused(
      await check({ rest: 'slo_: {}\nsweeep: { every: 1h }' }),
      /^error: .*\.yaml:6: slo_: unknown key; did you mean slo\?$/,
      /^error: .*\.yaml:7: sweeep: unknown key; did you mean sweep\?$/,
    );
  });

  it('says what a value must be', async () => {
    refused(await check({ rest: 'http: { port: lots }' }), /^error: .*\.yaml:6: http\.port: expected a whole number from 0 to 65535, found "lots"$/);
  });

  it('names a file that is not there', async () => {
    const file = join(folder, 'none.yaml');
    refused(await lockstep(['check', '-c', file]), `error: ${file}: cannot read the configuration: there is no such file; name another with --config FILE`);
  });

  it('names a variable that is not set', async () => {
    refused(
      await check({ old: 'postgres://postgres:${NO_SUCH_VARIABLE}@127.0.0.1/app' }),
      /^error: .*\.yaml:3: databases\.old\.url: the environment variable NO_SUCH_VARIABLE is not set; set it or give a default: \$\{NO_SUCH_VARIABLE:-…\}$/,
    );
  });

  it('asks for events where the service needs them', async () => {
    refused(
      await lockstep(['run', '-c', configure()]),
      'error: events: missing; run needs a change stream: set events.kafka or events.postgres (check works without)',
    );
  });

  it('knows the tables that --table may name', async () => {
    refused(
      await lockstep(['check', '-c', configure(), '--table', 'public.paymentz']),
      'error: --table public.paymentz: no such table under tables',
      'hint: did you mean public.payments?',
    );
  });
});

describe('databases', () => {
  it.each(['old', 'new'] as const)('says that %s cannot be reached', async (side) => {
    refused(
      await check({ [side]: `postgres://u:${PASSWORD}@127.0.0.1:${closedPort}/app` }),
      `error: ${side} database cannot be reached: connect ECONNREFUSED 127.0.0.1:${closedPort} (side ${side})`,
      `hint: check that it runs and that databases.${side}.url is right`,
    );
  });

  it('says that a host is not known', async () => {
    refused(
      await check({ new: `postgres://u:${PASSWORD}@no-such-host.invalid/app` }),
      /^error: new database cannot be reached: getaddrinfo \w+ no-such-host\.invalid \(side new\)$/,
      'hint: check that it runs and that databases.new.url is right',
    );
  });

  it('says that the password is wrong, or missing, and never shows it', async () => {
    refused(
      await check({ old: `postgres://guest:${PASSWORD}-not@127.0.0.1:${pair.old.port}/app` }),
      'error: old database: the database refused the role: password authentication failed for user "guest" (side old)',
      'hint: check user and password in the URL (or password, password_file), and pg_hba.conf',
    );
    refused(
      await check({ old: `postgres://guest@127.0.0.1:${pair.old.port}/app` }),
      'error: old database asks for a password, and there is none (side old)',
      'hint: set databases.old.password_file, or put it into the URL',
    );
  });

  it('says that there is no such database', async () => {
    refused(
      await check({ old: pair.old.url('nope') }),
      'error: old database: the database does not exist: database "nope" does not exist (side old)',
      'hint: check the database name in the URL',
    );
  });
});

describe('pairs', () => {
  it('says on which side a table is missing', async () => {
    refused(await check({ tables: '  - old: public.lonely' }), 'error: new has no table public.lonely: check `tables[].new`');
  });

  it('asks for a key where the table has none and equal rows have no one hash', async () => {
    refused(
      await check({ tables: '  - { old: public.keyless, columns: { id: { tolerance: 1 } } }' }),
      'error: public.keyless: public.keyless on old has no primary key; nor can it be compared as a bag of rows, as equal values of "id" may have different hashes; name unique columns with key: [...], or set columns.NAME.ignore: true',
    );
  });

  it('says everything that does not fit at once', async () => {
    refused(
      await check({ tables: '  - old: public.typed\n  - old: public.wide\n  - old: public.nope\n  - { old: public.payments, key: [idd] }' }),
      'error: public.typed: column "at": timestamp with time zone on old and uuid on new cannot be compared: they have no common form; compare expressions with columns.at.sql, or set columns.at.ignore: true to leave it out',
      'error: public.wide: column "more" has no counterpart "more" in public.wide on new; name it with columns.more.new, or set columns.more.ignore: true',
      'error: old has no table public.nope: check `tables[].old`',
      'error: new has no table public.nope: check `tables[].new`',
      'error: public.payments: key column "idd" does not exist in public.payments on old; correct key: [...]',
    );
  });

  it('tries the right to read before it begins', async () => {
    refused(
      await check({ tables: '  - old: public.hidden', old: `postgres://guest:${PASSWORD}@127.0.0.1:${pair.old.port}/app` }),
      /^error: public\.hidden on old: permission denied: permission denied for table hidden; grant SELECT on the table/,
    );
  });

  it('tries row filters before it begins', async () => {
    refused(
      await check({ tables: '  - { old: public.payments, where: { new: "nope = 1" } }' }),
      /^error: public\.payments on new: a column does not exist: column "nope" does not exist; the table changed, or the row filter names an unknown column$/,
    );
  });
});

describe('the change stream', () => {
  it('says that no broker can be reached, in one line', async () => {
    const rest = `events: { kafka: { brokers: ["127.0.0.1:${closedPort}"] } }`;
    const result = await run({ rest });
    refused(
      result,
      `error: Kafka failed listing topics: Connection error: connect ECONNREFUSED 127.0.0.1:${closedPort} (brokers 127.0.0.1:${closedPort})`,
      `hint: check that the brokers run and can be reached from here: 127.0.0.1:${closedPort} (events.kafka.brokers)`,
    );
  });

  it('says what the publication needs where the role may not make it', async () => {
    refused(
      await run({ old: `postgres://guest:${PASSWORD}@127.0.0.1:${pair.old.port}/app` }),
      'error: there is no publication lockstep, and we may not make it: permission denied for database app (publication lockstep)',
      'hint: run as the tables\' owner: CREATE PUBLICATION "lockstep" FOR TABLE "public"."payments" WITH (publish_via_partition_root = true)',
    );
  });

  it('says that the role may not read the log', async () => {
    await pair.old.query('CREATE PUBLICATION prepared FOR TABLE payments');
    refused(
      await run({ old: `postgres://guest:${PASSWORD}@127.0.0.1:${pair.old.port}/app`, rest: 'events: { postgres: { publication: prepared } }' }),
      /^error: the database refuses us as a reader of its changes \(SQLSTATE 42501\)/,
      /^hint: the user needs LOGIN and REPLICATION/,
    );
  });

  it('says that the primary does not log enough', async () => {
    await pair.new.query(`ALTER SYSTEM SET wal_level = 'replica'`);
    await pair.new.restart();
    try {
      refused(
        await run({ state: pair.old.url(), rest: 'events: { postgres: {} }\nprimary: new' }),
        /^error: the primary does not log enough for logical replication/,
        'hint: set wal_level = logical and restart the server',
      );
    } finally {
      await pair.new.query('ALTER SYSTEM RESET wal_level');
      await pair.new.restart();
    }
  });
});

describe('the service itself', () => {
  it('says that the state store cannot be reached, or is not there', async () => {
    const unreachable = [
      `error: the state store cannot be reached (migrating): connect ECONNREFUSED 127.0.0.1:${closedPort}`,
      'hint: check state.url and that the server is running and accepts connections',
    ] as const;
    const state = `postgres://u:${PASSWORD}@127.0.0.1:${closedPort}/app`;
    refused(await run({ state }), ...unreachable);
    refused(await lockstep(['migrate', '-c', configure({ state })]), ...unreachable);
    refused(
      await run({ state: pair.new.url('nope') }),
      'error: the state store refused us (migrating, SQLSTATE 3D000): database "nope" does not exist (sqlstate 3D000)',
      /^hint: check user, password and database of state\.url/,
    );
  });

  it('says that the state store is newer', async () => {
    expect((await lockstep(['migrate', '-c', configure()])).code).toBe(0);
    await pair.new.query(`INSERT INTO lockstep.schema_migrations VALUES ('999999_later.sql', 'x')`, 'state');
    try {
      refused(
        await run({}),
        'error: the state store has migrations that this build does not know: 999999_later.sql (file 999999_later.sql)',
        'hint: use the newer Lockstep that migrated it, or another state store',
      );
    } finally {
      await pair.new.query(`DELETE FROM lockstep.schema_migrations WHERE name = '999999_later.sql'`, 'state');
    }
  });

  it('says that the port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    try {
      refused(
        await lockstep(['run', '-c', configure({ rest: `events: { postgres: {} }\nhttp: { port: ${port} }` })]),
        `error: cannot listen on 127.0.0.1:${port}: listen EADDRINUSE: address already in use 127.0.0.1:${port} (host 127.0.0.1, port ${port})`,
        'hint: choose another http.port, or stop what uses this one',
      );
    } finally {
      taken.close();
    }
  });

  it('says that the data folder is in use', async () => {
    const dataDir = join(folder, 'data');
    const config = async (slot: string): Promise<string> => {
      const file = configure({ rest: `events: { postgres: { slot: ${slot} } }\ndata_dir: ${dataDir}\nhttp: { port: ${await freePort()} }` });
      writeFileSync(file, readFileSync(file, 'utf8').replace(/^state:.*\n/m, ''));
      return file;
    };
    const first = startLockstep(['run', '-c', await config('first')]);
    try {
      await expect.poll(() => first.output.stderr, { timeout: 60_000, interval: 100 }).toContain('"msg":"ready"');
      refused(await lockstep(['run', '-c', await config('second')]), /^error: .*data/, /^hint: /);
    } finally {
      first.child.kill('SIGTERM');
      expect((await first.ended).code).toBe(0);
    }
  });
});
