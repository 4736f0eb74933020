import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { detectJava } from '../stack/java.ts';

const main = join(import.meta.dirname, '../../dist/src/main.js');
const java = detectJava();
if (!java.ok) console.warn(`SKIPPED: the demo over Kafka cannot be tested here: ${java.reason}`);
/** A busy machine takes its time; the point is what comes out. */
const ENDS_MS = 340_000;
/** Below the minute after which an orphaned PostgreSQL notices by itself that its folder is gone. */
const GONE_MS = 40_000;

let folder: string;
beforeEach(() => {
  if (!existsSync(main)) throw new Error('the demo is tested as it is built: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'demo-test-'));
  chmodSync(folder, 0o711);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the demo; `after` is called with its pid when a line of its progress contains `line`. */
function demo(args: readonly string[], line?: string, after?: (pid: number) => void): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [main, 'demo', ...args], { env: { ...process.env, TMPDIR: folder }, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    let called = false;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      if (line === undefined || called || !stderr.includes(line) || child.pid === undefined) return;
      called = true;
      after?.(child.pid);
    });
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** What is left of a demo: folders, and processes that name them. */
function leftovers(): string[] {
  const processes = spawnSync('ps', ['-A', '-o', 'args='], { encoding: 'utf8' }).stdout.split('\n');
  return [...readdirSync(folder).filter((name) => name.startsWith('lockstep-')), ...processes.filter((args) => args.includes(`${folder}/lockstep-`))];
}

function expectGone(): Promise<void> {
  return expect.poll(leftovers, { timeout: GONE_MS, interval: 200 }).toEqual([]);
}

describe('lockstep demo --source postgres', () => {
  it(
    'finds everything that was planted and reports nothing else',
    async () => {
      const { code, stdout, stderr } = await demo(['--once', '--source', 'postgres']);
      expect(stdout, stderr).toContain('Passed:');
      expect(stdout).toContain('Reported falsely: none');
      for (const fault of ['lost update', 'lost delete', 'lost insert', 'behind', 'one digit']) expect(stdout).toContain(fault);
      for (const cause of ['customers: 1 row extra, delete lost', 'orders: 1 row extra, row written on the replica beside', 'payments: 1 row missing, insert lost', 'payments: 1 row, lost update', 'payments.amount: 1 row, no known cause']) {
        expect(stdout).toContain(`public.${cause}`);
      }
      expect(code).toBe(0);
      expect(leftovers()).toEqual([]);
    },
    ENDS_MS,
  );

  it(
    'ends with its report when it is asked to stop',
    async () => {
      const { code, stdout, stderr } = await demo(['--source', 'postgres', '--pause', '4s', '--settle', '3s'], 'everything is shown', (pid) => process.kill(pid, 'SIGINT'));
      expect(stdout, stderr).toContain('Passed:');
      expect(code).toBe(0);
      expect(leftovers()).toEqual([]);
    },
    ENDS_MS,
  );

  it.each(['PostgreSQL 1', 'load is on'])(
    'leaves nothing behind when it is stopped after "%s"',
    async (line) => {
      const { code, stderr } = await demo(['--once', '--source', 'postgres'], line, (pid) => process.kill(pid, 'SIGTERM'));
      expect(stderr).toContain('stopped before there was anything to report');
      expect(code).toBe(2);
      expect(leftovers()).toEqual([]);
    },
    ENDS_MS,
  );

  it(
    'leaves nothing behind when it is killed',
    async () => {
      const { signal } = await demo(['--source', 'postgres'], 'the first verified-through is there', (pid) => process.kill(pid, 'SIGKILL'));
      expect(signal).toBe('SIGKILL');
      await expectGone();
    },
    ENDS_MS,
  );
});

describe.skipIf(!java.ok)('lockstep demo --source kafka', () => {
  it(
    'finds what was planted and what the JDBC sink does by itself, and reports nothing else',
    async () => {
      const { code, stdout, stderr } = await demo(['--once', '--source', 'kafka']);
      expect(stdout, stderr).toContain('Passed:');
      for (const made of ['unavailable-value literal', 'interval into hours', 'NaN or Infinity']) expect(stdout).toContain(made);
      for (const cause of ['placeholder of an unavailable value written', 'interval folded to hours', 'NaN replaced', 'infinity replaced']) expect(stdout).toContain(cause);
      expect(code).toBe(0);
      expect(leftovers()).toEqual([]);
    },
    ENDS_MS,
  );
});
