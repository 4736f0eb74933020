import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PostgresPair, startPostgresPair } from '../../stack/postgres-server.ts';
import { endCommands, lockstep } from './command.ts';

const COLUMNS = 'at timestamptz, actor text, amount numeric, doc jsonb';
const ROW = (i: string): string => `timestamptz '2026-01-01 12:00:00+00' + ${i} * interval '1 minute', CASE WHEN ${i} % 3 = 0 THEN NULL ELSE 'a' || ${i} % 5 END, ${i} * 1.5, CASE WHEN ${i} % 2 = 0 THEN '{"b": 1, "a": [2]}'::jsonb END`;

interface Expected {
  /** Rows of old and new. */
  readonly rows: readonly [number, number];
  /** Kind, copies on old, copies on new. */
  readonly drift: readonly (readonly [string, number, number])[];
}

/** What is done to a table of 300 rows, 20 of which are there twice; the same on both sides before. */
const CASES: Readonly<Record<string, { readonly old?: string; readonly new?: string; readonly expected: Expected }>> = {
  equal: { expected: { rows: [320, 320], drift: [] } },
  both_empty: { old: 'TRUNCATE t', new: 'TRUNCATE t', expected: { rows: [0, 0], drift: [] } },
  old_empty: { old: 'TRUNCATE t', new: 'DELETE FROM t WHERE amount > 30', expected: { rows: [0, 40], drift: Array.from({ length: 20 }, () => ['extra', 0, 2] as const) } },
  new_empty: { old: 'DELETE FROM t WHERE amount BETWEEN 3 AND 447', new: 'TRUNCATE t', expected: { rows: [4, 0], drift: [['missing', 1, 0], ['missing', 1, 0], ['missing', 2, 0]] } },
  duplicates: {
    // One copy of three less, two copies of a single row more, and a row of NULLs alone, twice.
    new: `WITH one AS (SELECT min(ctid) AS at FROM t WHERE amount <= 4.5 GROUP BY amount) DELETE FROM t USING one WHERE t.ctid = one.at;
          INSERT INTO t SELECT t.* FROM t, generate_series(1, 2) WHERE amount = 450; INSERT INTO t VALUES (NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL)`,
    expected: { rows: [320, 321], drift: [['extra', 0, 2], ['extra', 1, 3], ['missing', 2, 1], ['missing', 2, 1], ['missing', 2, 1]] },
  },
  nulls: { new: `UPDATE t SET actor = '' WHERE actor IS NULL AND amount = 45`, expected: { rows: [320, 320], drift: [['extra', 0, 1], ['missing', 1, 0]] } },
  spelt: { new: `UPDATE t SET amount = amount::numeric(30,12), doc = '{"a": [2], "b": 1}' WHERE doc IS NOT NULL`, expected: { rows: [320, 320], drift: [] } },
  all_different: { new: `UPDATE t SET amount = amount + 0.0001`, expected: { rows: [320, 320], drift: ['extra', 'missing'].flatMap((kind) => Array.from({ length: 300 }, (_, i) => [kind, kind === 'extra' ? 0 : i < 280 ? 1 : 2, kind === 'missing' ? 0 : i < 280 ? 1 : 2] as const)) } },
  keyed_on_new: { new: 'DELETE FROM t WHERE amount < 31; INSERT INTO t SELECT DISTINCT * FROM old_rows; ALTER TABLE t ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY', expected: { rows: [320, 300], drift: Array.from({ length: 20 }, () => ['missing', 2, 1] as const) } },
};

let pair: PostgresPair;
let folder = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-bag-'));
  chmodSync(folder, 0o755);
  pair = await startPostgresPair({ database: 'app' });
  for (const side of ['old', 'new'] as const) {
    for (const [name, { [side]: change }] of Object.entries(CASES)) {
      await pair[side].query(`
        CREATE TABLE t (${COLUMNS});
        INSERT INTO t SELECT ${ROW('i')} FROM generate_series(1, 300) i; INSERT INTO t SELECT ${ROW('i')} FROM generate_series(1, 20) i;
        CREATE TEMP TABLE old_rows AS SELECT * FROM t WHERE amount < 31;
        ${change ?? ''};
        DROP TABLE old_rows; ALTER TABLE t RENAME TO ${name}`);
    }
    await pair[side].query(`CREATE TABLE keyed_on_old (n int, note text); INSERT INTO keyed_on_old SELECT i, 'n' FROM generate_series(1, 50) i`);
  }
  await pair.old.query('ALTER TABLE keyed_on_old ADD PRIMARY KEY (n)');
  await pair.new.query(`UPDATE keyed_on_old SET note = 'm' WHERE n = 7`);
});
afterAll(async () => {
  await endCommands();
  await pair?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function configure(tables: readonly string[], settle: string): string {
  const file = join(folder, 'lockstep.yaml');
  writeFileSync(
    file,
    `migration: shop
databases:
  old: { url: "${pair.old.url()}" }
  new: { url: "${pair.new.url()}" }
slo: { settle: ${settle} }
samples: { values: full }
tables:
${tables.map((table) => `  - old: public.${table}`).join('\n')}
`,
  );
  return file;
}

interface ReportedDrift {
  readonly table: string;
  readonly kind: string;
  readonly key: Readonly<Record<string, unknown>>;
  readonly columns: readonly string[];
  readonly old: Readonly<Record<string, unknown>> | null;
  readonly new: Readonly<Record<string, unknown>> | null;
}

interface Report {
  readonly verdict: string;
  readonly tables: readonly { readonly table: string; readonly compared_as: string; readonly rows: { readonly old: number; readonly new: number }; readonly findings: readonly { readonly severity: string; readonly message: string }[] }[];
  readonly drift: readonly ReportedDrift[];
}

describe('tables without a key', () => {
  it('are compared as bags of rows: each distinct row and the copies of it on either side', async () => {
    const names = Object.keys(CASES);
    const { code, stdout, stderr } = await lockstep(['check', '-c', configure([...names, 'keyed_on_old'], '300ms'), '--format', 'json']);
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    const report = JSON.parse(stdout) as Report;
    for (const [index, name] of names.entries()) {
      const table = report.tables[index];
      const { rows, drift } = (CASES[name] as (typeof CASES)[string]).expected;
      expect(table).toMatchObject({ table: `public.${name}`, compared_as: 'bag', rows: { old: rows[0], new: rows[1] } });
      expect(table?.findings).toContainEqual({ severity: 'warning', message: expect.stringMatching(/compared as a bag of rows: .*cannot tell which columns of a changed row differ.*"doc" that are equal but written differently/) as unknown });
      const found = report.drift.filter((each) => each.table === `public.${name}`);
      expect(found.map(({ kind, old, new: neu }) => [kind, old?.['row_copies'] ?? 0, neu?.['row_copies'] ?? 0]).map(String).toSorted(), name).toEqual(drift.map(String).toSorted());
      for (const { key } of found) expect(key).toEqual({ row_hash: expect.stringMatching(/^[0-9a-f]{16}$/) as unknown });
      expect(new Set(found.map(({ key }) => key['row_hash'])).size).toBe(found.length);
    }
    expect(report.drift.find(({ table, kind }) => table === 'public.nulls' && kind === 'extra')).toMatchObject({
      columns: ['at', 'actor', 'amount', 'doc'],
      old: null,
      new: { at: '2026-01-01 12:30:00+00', actor: '', amount: '45', row_copies: 1 },
    });
    // A key on old alone tells rows apart, as long as it does so on new too.
    expect(report.tables.at(-1)).toMatchObject({ compared_as: 'rows', rows: { old: 50, new: 50 } });
    expect(report.drift.filter(({ table }) => table === 'public.keyed_on_old')).toMatchObject([{ kind: 'different', key: { n: 7 }, columns: ['note'] }]);
  });

  it('tell no drift while their rows are on the way', async () => {
    const running = lockstep(['check', '-c', configure(['equal', 'nulls'], '3s'), '-t', 'equal']);
    const moved = `'2030-01-01', 'late', 1, NULL`;
    await pair.old.query(`INSERT INTO equal VALUES (${moved}), (${moved})`);
    await pair.new.query(`INSERT INTO equal VALUES (${moved})`);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await pair.new.query(`INSERT INTO equal VALUES (${moved})`);
    expect(await running).toMatchObject({ code: 0, stderr: '' });
    const text = await lockstep(['check', '-c', configure(['nulls'], '0s')]);
    expect(text.code).toBe(1);
    expect(text.stdout).toMatch(/missing {5}public\.nulls {2}row_hash=[0-9a-f]{16} {2}copies: old 1, new 0\n/);
  });
});
