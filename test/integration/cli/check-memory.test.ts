import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type PostgresPair, startPostgresPair } from '../../stack/postgres-server.ts';
import { endCommands, lockstep } from './command.ts';

const ROWS = 100_000;
/** Rows from here on are missing on new; those before differ. */
const MISSING_FROM = 50_001;
const PEAK_BYTES_MAX = 150_000_000;

/** Tells at exit the most memory that the process itself ever held; what the operating system tells a parent counts the parent's own. */
const TELL_PEAK = `data:text/javascript,${encodeURIComponent(
  `import{readFileSync}from'node:fs';process.on('exit',()=>process.stderr.write(readFileSync('/proc/self/status','utf8').match(/VmHWM:.*/)[0]))`,
)}`;

let pair: PostgresPair;
let folder = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-memory-'));
  pair = await startPostgresPair({ database: 'app' });
  const fill = (amount: string, to: number): string => `
    CREATE TABLE payments (id bigint PRIMARY KEY, amount numeric, note text, at timestamptz, doc jsonb);
    INSERT INTO payments SELECT i, ${amount}, 'order ' || i || ', left at the door', timestamptz '2026-01-01 00:00+00' + i * interval '7 seconds', '{"channel": "web", "items": 3}'
      FROM generate_series(1, ${to}) i;
    ANALYZE payments;`;
  await pair.old.query(fill('i * 1.25', ROWS));
  await pair.new.query(fill('i * 1.25 + 0.01', MISSING_FROM - 1));
});
afterAll(async () => {
  await endCommands();
  await pair?.stop();
  rmSync(folder, { recursive: true, force: true });
});

// Other systems tell no process's peak in /proc.
it.runIf(process.platform === 'linux')('reports a hundred thousand differing rows, each once, in little memory', async () => {
  const file = join(folder, 'lockstep.yaml');
  writeFileSync(
    file,
    `migration: shop
databases:
  old: { url: "${pair.old.url()}" }
  new: { url: "${pair.new.url()}" }
slo: { settle: 0ms }
samples: { values: full }
tables: [{ old: public.payments }]
`,
  );
  const { code, stdout, stderr } = await lockstep(['check', '-c', file, '--format', 'ndjson'], { NODE_OPTIONS: `--import=${TELL_PEAK}` });
  expect(stderr).toMatch(/^VmHWM:\s+[0-9]+ kB$/);
  expect(code).toBe(1);
  const found = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as { key: { id: number }; kind: string; columns: string[] });
  expect(found).toHaveLength(ROWS);
  expect(new Set(found.map(({ key }) => key.id)).size).toBe(ROWS);
  const wrong = found.filter(({ key, kind, columns }) => (key.id >= MISSING_FROM ? kind !== 'missing' : kind !== 'different' || columns.join() !== 'amount'));
  expect(wrong.slice(0, 3)).toEqual([]);
  expect(Number(/([0-9]+) kB/.exec(stderr)?.[1]) * 1024).toBeLessThan(PEAK_BYTES_MAX);
}, 120_000);
