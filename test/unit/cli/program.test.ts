import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LockstepError } from '../../../src/domain/errors.ts';
import { errorLines } from '../../../src/cli/error-lines.ts';
import { Folder, MINIMAL } from '../config/fixtures.ts';
import { run } from './console.ts';

const folder = new Folder();
let file = '';
beforeAll(() => {
  file = folder.write('lockstep.yaml', `${MINIMAL}events: { postgres: {} }\n`);
});
afterAll(() => folder.remove());

const COMMANDS = ['run', 'check', 'gate', 'config', 'migrate'];

describe('usage', () => {
  test.each(COMMANDS)('%s --help says what it does, with examples, on stdout', async (command) => {
    const { code, stdout, stderr } = await run([command, '--help']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect(stdout).toContain(`Usage: lockstep ${command}`);
    expect(stdout).toContain('-c, --config <file>');
    expect(stdout).toContain('Examples:');
  });

  test('the list of commands', async () => {
    const { code, stdout } = await run(['--help']);
    expect(code).toBe(0);
    for (const command of [...COMMANDS, 'demo']) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  });

  test('the version', async () => {
    expect(await run(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string });
  });

  test.each([
    ['no command', []],
    ['an unknown command', ['frobnicate']],
    ['an unknown option', ['check', '--frobnicate']],
    ['an unknown format', ['check', '--format', 'xml']],
    ['an unknown strategy', ['check', '--strategy', 'guess']],
    ['an unknown phase', ['gate', '--phase', 'sometime']],
    ['a wait that is no duration', ['gate', '--wait', 'long']],
    ['a setting without a value', ['config', '--set', 'http.port']],
    ['an argument too many', ['migrate', 'now']],
    ['an option without its value', ['run', '--config']],
  ])('%s: exit code 2, nothing on stdout', async (_name, args) => {
    const { code, stdout, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toBe('');
  });
});

describe('configuration', () => {
  test.each(['run', 'check', 'config', 'migrate'])('%s without a configuration: one line, exit code 2', async (command) => {
    const { code, stderr } = await run([command, '-c', join(folder.path, 'absent.yaml')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: .*absent\.yaml: cannot read the configuration: there is no such file; name another with --config FILE\n$/);
  });

  test('each problem has its line on stderr', async () => {
    const bad = folder.write('bad.yaml', `${MINIMAL}http: { prot: 1 }\nslo: { settle: 5 }\n`);
    const { code, stderr } = await run(['check', '-c', bad]);
    expect(code).toBe(2);
    const lines = stderr.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^error: .*bad\.yaml:7: http\.prot: unknown key; did you mean port\?$/);
    expect(lines[1]).toMatch(/^error: .*bad\.yaml:8: slo\.settle: expected a duration/);
  });

  test('config prints what is in force, without secrets, from all layers', async () => {
    const { code, stdout } = await run(['config', '-c', file, '--set', 'http.port=9', '--format', 'json'], {}, {
      env: { LOCKSTEP_SLO__SETTLE: '77s' },
    });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      http: { port: 9 },
      slo: { settle: '77s' },
      databases: { old: { url: 'postgres://u:***@old.test:5432/app' } },
    });
    expect((await run(['config', '-c', file])).stdout).toMatch(/^migration: payments\n/);
  });

  test('config --schema needs no file', async () => {
    const { code, stdout } = await run(['config', '--schema', '-c', 'absent.yaml']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ title: 'Lockstep configuration', additionalProperties: false });
  });
});

describe('run', () => {
  test('gives the service its configuration and logs JSON lines on stderr', async () => {
    const { code, stdout, stderr } = await run(['run', '-c', file], {
      runService: (config, { logger, onReady, version }) => {
        expect(config.migration).toBe('payments');
        expect(version).toMatch(/^\d/);
        onReady({ url: 'http://127.0.0.1:8080' });
        logger.error(
          { err: Object.assign(new Error('at postgres://u:hunter2@h/d'), { detail: 'Key (id)=(hunter2)' }), password: 'hunter2' },
          'postgres://u:hunter2@h/d',
        );
        return Promise.resolve();
      },
    });
    expect(code).toBe(0);
    expect(stdout).toBe('');
    const [ready] = stderr.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown);
    expect(ready).toMatchObject({ level: 'info', msg: 'ready', url: 'http://127.0.0.1:8080', migration: 'payments' });
    expect(stderr).not.toContain('hunter2');
  });

  test('refuses to run without a stream', async () => {
    const noStream = folder.write('no-stream.yaml', MINIMAL);
    expect(await run(['run', '-c', noStream])).toMatchObject({
      code: 2,
      stderr: 'error: events: missing; run needs a change stream: set events.kafka or events.postgres (check works without)\n',
    });
  });
});

describe('migrate', () => {
  test('prints what was applied', async () => {
    const migrate = (applied: string[]) => ({ migrateState: () => Promise.resolve({ applied, current: '000002' }) });
    expect(await run(['migrate', '-c', file], migrate(['000001_state', '000002_more']))).toMatchObject({
      code: 0,
      stdout: 'applied 000001_state\napplied 000002_more\nstate store schema: 000002\n',
    });
    expect((await run(['migrate', '-c', file], migrate([]))).stdout).toBe('state store schema: 000002, nothing to do\n');
  });
});

describe('errors', () => {
  test('one line with what it is about, and a hint', () => {
    const cause = new AggregateError([new Error('connect ECONNREFUSED 127.0.0.1:5432')]);
    const error = new LockstepError('database_unreachable', 'cannot connect to the database', {
      cause,
      about: { side: 'old', host: '127.0.0.1' },
      hint: 'is it up?',
    });
    expect(errorLines(error, false)).toEqual([
      'error: cannot connect to the database: connect ECONNREFUSED 127.0.0.1:5432 (side old, host 127.0.0.1)',
      'hint: is it up?',
    ]);
    expect(errorLines(error, true).at(-1)).toMatch(/\n {4}at /);
  });

  test('what nobody expected is one line as well, without passwords', () => {
    expect(errorLines(new TypeError('bad\n thing at postgres://u:hunter2@h/d'), false)).toEqual([
      'error: bad; thing at postgres://u:***@h/d',
      'hint: this was not expected; LOCKSTEP_DEBUG=1 shows where it came from',
    ]);
    expect(errorLines('text', false)[0]).toBe('error: text');
  });

  test('goes on with the configuration as it is now when asked to read it again, and with the one before where that does not work', async () => {
    const before = readFileSync(file, 'utf8');
    const primaries: string[] = [];
    let reload = (): void => undefined;
    const told = await run(
      ['run', '-c', file],
      {
        runService: async (config, { signal, onReady }) => {
          primaries.push(config.primary);
          // The third time it cannot start; then it is stopped for good.
          if (primaries.length === 3) throw new LockstepError('topic_missing', 'no topic of new');
          if (primaries.length === 4) return;
          onReady({ url: '' });
          writeFileSync(file, primaries.length === 1 ? `${before}\nprimary: new\n` : `${before}\nprimary: old\n`);
          reload();
          expect(signal.aborted).toBe(true);
        },
      },
      {
        onReload: (callback) => {
          reload = callback;
          return () => undefined;
        },
      },
    ).finally(() => writeFileSync(file, before));
    expect([told.code, primaries]).toEqual([0, ['old', 'new', 'old', 'new']]);
    expect(told.stderr).toContain('does not work');
  });

  test('a failing service: exit code 2, no stack', async () => {
    const { code, stderr } = await run(['run', '-c', file], {
      runService: () => Promise.reject(new LockstepError('x', 'the port is taken', { about: { port: 8080 } })),
    });
    expect(code).toBe(2);
    expect(stderr).toBe('error: the port is taken (port 8080)\n');
  });
});

describe('the executable', () => {
  const main = join(import.meta.dirname, '../../../dist/src/main.js');
  beforeAll(() => {
    if (!existsSync(main)) throw new Error(`${main} is absent: npm run build`);
  });

  const start = (args: readonly string[], env: Record<string, string> = {}) =>
    spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env: { ...process.env, ...env }, cwd: folder.path });

  test('exit codes reach the shell, and results stay apart from errors', () => {
    const effective = start(['config']);
    expect(effective).toMatchObject({ status: 0, stderr: '' });
    expect(effective.stdout).toContain('migration: payments');
    expect(start(['frobnicate'])).toMatchObject({ status: 2, stdout: '' });
    expect(start(['--version']).status).toBe(0);
    expect(start(['gate', '--url', 'http://127.0.0.1:9'])).toMatchObject({ status: 2, stdout: '' });
  });

  test('an error shows its stack only with LOCKSTEP_DEBUG=1', () => {
    const args = ['gate', '--url', 'ftp://x'];
    expect(start(args).stderr).toBe('error: --url: expected an http:// or https:// URL\nhint: such as http://127.0.0.1:8080\n');
    expect(start(args, { LOCKSTEP_DEBUG: '1' }).stderr).toMatch(/^ {4}at /m);
  });
});
