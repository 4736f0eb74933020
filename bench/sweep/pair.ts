import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { totalmem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PostgresServer } from '../../test/stack/postgres-server.ts';
import { Workspace } from '../../test/stack/processes.ts';
import { copySql, fillSql, SHAPES, type Shape, type ShapeName } from './shapes.ts';
import { type Difference, plant, tableOf, type VariantName, VARIANTS_OF } from './variants.ts';

const DATABASE = 'bench';
/** Of the memory, for each of the two servers: together a quarter, what PostgreSQL's manual names as a start. */
const SHARED_BUFFERS_SHARE = 1 / 8;
/** The benchmark's tables, and no more, fit into as much. */
const SHARED_BUFFERS_MAX_MIB = 4096;
/** Changes whenever tables of the same name would hold something else. */
const TABLES_VERSION = 1;

/** One comparison: a table on old against one on new, and what was planted. */
export interface Case {
  readonly shape: Shape;
  readonly variant: VariantName;
  readonly rows: number;
  readonly tables: { readonly old: string; readonly new: string };
  readonly differences: readonly Difference[];
}

/** Two servers with the benchmark's tables. */
export interface BenchPair {
  readonly old: PostgresServer;
  readonly new: PostgresServer;
  /** Makes the tables of a case unless they are there. */
  prepare(shape: ShapeName, variant: VariantName): Promise<Case>;
  stop(): Promise<void>;
}

export interface PairOptions {
  /** Rows of the `mixed` table. */
  readonly rows: number;
  /** Leaves servers' data and tables in the temporary folder, and takes what an earlier run left there. */
  readonly keep: boolean;
  report(line: string): void;
}

/** Servers as one would run them: durable, default parallelism and planner, memory by the rule of thumb. */
function settings(): Record<string, string> {
  const share = Math.floor((totalmem() / 1024 / 1024) * SHARED_BUFFERS_SHARE);
  return {
    shared_buffers: `${Math.min(share, SHARED_BUFFERS_MAX_MIB)}MB`,
    max_wal_size: '8GB',
    checkpoint_timeout: '30min',
    track_commit_timestamp: 'off',
    fsync: 'on',
    full_page_writes: 'on',
  };
}

/** Starts the pair. Tables come with `prepare`. */
export async function openPair(options: PairOptions): Promise<BenchPair> {
  const folder = join(tmpdir(), `lockstep-bench-sweep-${options.rows}`);
  const workspace = options.keep ? await Workspace.open(folder) : await Workspace.create('bench-sweep');
  try {
    const server = (name: string): Promise<PostgresServer> => PostgresServer.create(workspace, name, { database: DATABASE, settings: settings() });
    const [old, replica] = await Promise.all([server('old'), server('new')]);
    const built = new Built(join(workspace.folder, 'tables.json'));
    return {
      old,
      new: replica,
      prepare: (shape, variant) => prepare({ old, new: replica }, SHAPES[shape], variant, options, built),
      async stop() {
        await Promise.allSettled([old, replica].map((one) => one.stop(options.keep ? 'fast' : 'immediate')));
        await workspace.remove();
      },
    };
  } catch (error) {
    await workspace.abandon();
    throw error;
  }
}

/** Every case of these shapes and variants, tables made. */
export async function prepareAll(pair: BenchPair, shapes: readonly ShapeName[], variants: readonly VariantName[]): Promise<Case[]> {
  const cases: Case[] = [];
  for (const shape of shapes) {
    for (const variant of VARIANTS_OF[shape]) if (variants.includes(variant)) cases.push(await pair.prepare(shape, variant));
  }
  return cases;
}

/** Which tables are complete, in a file beside the servers' data. */
class Built {
  readonly #file: string;
  readonly #names: Set<string>;

  constructor(file: string) {
    this.#file = file;
    const stored = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { version: number; tables: string[] }) : null;
    this.#names = new Set(stored?.version === TABLES_VERSION ? stored.tables : []);
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  add(name: string): void {
    this.#names.add(name);
    writeFileSync(this.#file, JSON.stringify({ version: TABLES_VERSION, tables: [...this.#names] }));
  }
}

async function prepare(
  servers: { readonly old: PostgresServer; readonly new: PostgresServer },
  shape: Shape,
  variant: VariantName,
  options: PairOptions,
  built: Built,
): Promise<Case> {
  const rows = shape.rowsOf(options.rows);
  const base = tableOf(shape, 'identical');
  const table = tableOf(shape, variant);
  const planting = plant(shape, variant, rows);
  if (!built.has(base)) {
    options.report(`building ${base}: ${rows} rows on both servers`);
    await Promise.all([servers.old, servers.new].map((server) => settle(server, base, fillSql(shape, base, rows))));
    built.add(base);
  }
  if (!built.has(table)) {
    options.report(`building ${table}: ${planting.differences.length} differences`);
    await settle(servers.new, table, [...copySql(shape, table, base), ...planting.statements]);
    built.add(table);
  }
  return { shape, variant, rows, tables: { old: base, new: table }, differences: planting.differences };
}

/** Runs the statements and leaves the table as one that has been in use for long: vacuumed, analysed, written out. */
async function settle(server: PostgresServer, table: string, statements: readonly string[]): Promise<void> {
  for (const statement of [...statements, `VACUUM (ANALYZE) ${table}`, 'CHECKPOINT']) await server.query(statement);
}
