import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCheck } from '../../../src/app/one-off-check.ts';
import { loadConfig } from '../../../src/config/load.ts';
import type { Drift } from '../../../src/domain/drift.ts';
import type { PostgresPair } from '../../stack/postgres-server.ts';
import { startPostgresPair } from '../../stack/postgres-server.ts';
import { differences, outlines, printedRows, type PrintedRow } from './sweep-oracle.ts';
import { type Shape, shapes, simple } from './sweep-shapes.ts';

const PATHS = ['fast', 'client', 'portable'] as const;
const ROWS = 600;
const CHUNK_ROWS = 50;
const PARTED_ROWS = 1_200;
const PARTED_CHUNK_ROWS = 600;
const LARGE_ROWS = 120_000;

/** Two databases that sort text otherwise: by bytes, and as a language does. */
const DATABASES = { old: 'bytes', new: 'language' } as const;
const SIDES = ['old', 'new'] as const;

interface Variant {
  readonly name: string;
  /** Conditions on `n`, a row's place in key order on its side: what is deleted on new and on old, and what is changed on new. */
  readonly missing?: string;
  readonly extra?: string;
  readonly changed?: string;
}

/** Chunks that are read row by row where they differ, and such as are parted first. */
const SIZES = [
  { rows: ROWS, chunkRows: CHUNK_ROWS },
  { rows: PARTED_ROWS, chunkRows: PARTED_CHUNK_ROWS },
] as const;

/** Changes to a table of so many rows in chunks of so many. */
const variants = ({ rows, chunkRows }: (typeof SIZES)[number]): readonly Variant[] => {
  const edges = `n IN (1, ${rows}) OR n % ${chunkRows} IN (0, 1)`;
  const block = `n BETWEEN ${rows / 5} AND ${(rows * 7) / 10}`;
  return [
    { name: 'no difference' },
    { name: 'ten scattered', missing: 'n IN (17, 230, 555)', extra: 'n IN (44, 311, 480)', changed: 'n IN (90, 205, 402, 591)' },
    { name: 'rows missing at both ends and at chunk edges', missing: edges },
    { name: 'rows extra at both ends and at chunk edges', extra: edges },
    { name: 'rows changed at both ends and at chunk edges', changed: edges },
    { name: 'a block missing', missing: block },
    { name: 'a block extra', extra: block },
    { name: 'every row different', changed: 'true' },
    { name: 'new empty', missing: 'true' },
    { name: 'old empty', extra: 'true' },
    { name: 'both empty', missing: 'true', extra: 'true' },
  ];
};

/** Of each size; tables of the same names. */
const TABLES = SIZES.map(({ rows }) => shapes(rows));
const LARGE = [simple('large', { type: 'bigint', keyOf: 'i', rows: LARGE_ROWS })];

let servers: PostgresPair;
let folder = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-variants-'));
  servers = await startPostgresPair({ settings: { autovacuum: 'off' } });
  await servers.old.query(`CREATE DATABASE ${DATABASES.old} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`);
  await servers.new.query(`CREATE DATABASE ${DATABASES.new} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LC_COLLATE 'C' LC_CTYPE 'C'`);
  for (const side of SIDES) await run(side, [...(TABLES[0] ?? []), ...LARGE].map(({ create }) => create[side]).join(' '));
});
afterAll(async () => {
  await servers?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function run(side: 'old' | 'new', sql: string): Promise<void> {
  await servers[side].query(sql, DATABASES[side]);
}

/** Changes rows by their place in key order; both sides are numbered before either is changed. */
function edit({ name, key }: Shape, statement: string, condition: string): string {
  return `WITH numbered AS (SELECT tableoid AS t, ctid AS c, row_number() OVER (ORDER BY ${key.join(', ')}) AS n FROM ${name})
    ${statement} WHERE (tableoid, ctid) IN (SELECT t, c FROM numbered WHERE ${condition});`;
}

async function plant(shapes: readonly Shape[], { missing, extra, changed }: Variant): Promise<void> {
  for (const side of SIDES) {
    const edits = shapes.map((shape) => {
      const deleted = side === 'new' ? missing : extra;
      return [
        `TRUNCATE ${shape.name}; ${shape.seed(side)}`,
        side === 'new' && changed !== undefined ? edit(shape, `UPDATE ${shape.name} SET ${shape.change}`, changed) : '',
        deleted === undefined ? '' : edit(shape, `DELETE FROM ${shape.name}`, deleted),
        shape.after ?? '',
      ].join(' ');
    });
    await run(side, edits.join('\n'));
  }
}

async function check(shapes: readonly Shape[], strategy: (typeof PATHS)[number], chunkRows: number | 'auto'): Promise<{ outcome: Awaited<ReturnType<typeof runCheck>>; drift: readonly Drift[] }> {
  const text = JSON.stringify({
    migration: 'shop',
    databases: { old: { url: servers.old.url(DATABASES.old) }, new: { url: servers.new.url(DATABASES.new) } },
    slo: { settle: '0s' },
    sweep: { chunk_rows: chunkRows },
    samples: { values: 'full' },
    tables: shapes.map(({ name, where }) => ({ old: `public.${name}`, ...(where === undefined ? {} : { where: { old: where, new: where } }) })),
  });
  const file = join(folder, 'lockstep.yaml');
  writeFileSync(file, text);
  const config = loadConfig({ file, env: {}, flags: {} });
  const drift: Drift[] = [];
  const outcome = await runCheck(config, {
    tables: [],
    strategy,
    signal: new AbortController().signal,
    logger: pino({ level: 'silent' }),
    onProgress: () => undefined,
    onDrift: (found) => drift.push(found),
    drained: () => Promise.resolve(),
  });
  return { outcome, drift };
}

/** What differs, by reading all of both sides. */
function expected(tables: readonly Shape[]): Promise<ReturnType<typeof differences>[]> {
  return Promise.all(tables.map(differencesOf));
}

async function differencesOf({ name, key, where }: Shape): Promise<ReturnType<typeof differences>> {
  const [old, neu] = await Promise.all(SIDES.map((side) => servers[side].query<{ printed: PrintedRow }>(printedRows(name, where), DATABASES[side])));
  return differences(key, (old ?? []).map(({ printed }) => printed), (neu ?? []).map(({ printed }) => printed));
}

async function expectExact(shapesChecked: readonly Shape[], path: (typeof PATHS)[number], chunkRows: number | 'auto', planted: readonly ReturnType<typeof differences>[]): Promise<void> {
  const { outcome, drift } = await check(shapesChecked, path, chunkRows);
  expect(outcome.reason).toBeNull();
  expect(outcome.tables.filter(({ strategy }) => strategy !== path)).toEqual([]);
  for (const [index, { name, key }] of shapesChecked.entries()) {
    const found = outlines(key, drift.filter(({ table }) => table === `public.${name}`));
    expect({ name, found }).toEqual({ name, found: planted[index] });
  }
  expect(outcome.verdict).toBe(planted.some((differing) => differing.length > 0) ? 'drift' : 'match');
}

describe.each(SIZES.map((size, index) => ({ ...size, size, tables: TABLES[index] ?? [] })))('all planted differences, and no others, are found with kind, key and columns, in chunks of $chunkRows rows', ({ size, tables, chunkRows }) => {
  for (const [turn, variant] of variants(size).entries()) {
    // Each variant meets each path with a third of the tables, and each table each path in a third of the variants.
    it.each(PATHS.map((path, index) => ({ path, index })))(`${variant.name}, $path path`, async ({ path, index }) => {
      const third = tables.filter((_, place) => (place + turn) % PATHS.length === index);
      await plant(third, variant);
      const planted = await expected(third);
      const differs = variant.name !== 'no difference' && variant.name !== 'both empty';
      for (const differing of planted) expect(differing.length > 0).toBe(differs);
      await expectExact(third, path, chunkRows, planted);
    });
  }
});

describe('many differences of a large table', () => {
  for (const [variant, count, paths] of [
    [{ name: 'five thousand scattered', missing: 'n % 72 = 3', extra: 'n % 72 = 30', changed: 'n % 72 = 50' }, 5_000, PATHS],
    // Confirming it takes far longer than finding it, which smaller blocks do on each path.
    [{ name: 'a block of 50,000 missing', missing: 'n BETWEEN 20001 AND 70000' }, 50_000, ['client']],
  ] as const) {
    it(variant.name, async () => {
      await plant(LARGE, variant);
      const planted = await expected(LARGE);
      expect(planted.map(({ length }) => length)).toEqual([count]);
      for (const path of paths) await expectExact(LARGE, path, 'auto', planted);
    });
  }
});
