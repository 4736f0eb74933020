import pg from 'pg';
import { pairDatabases } from '../../../src/app/pairs.ts';
import { SystemClock } from '../../../src/app/system-clock.ts';
import { digestStatement } from '../../../src/databases/postgres/digest-sql.ts';
import type { Pair, Side } from '../../../src/domain/pair.ts';
import { measureWork } from '../measure.ts';
import type { Case } from '../pair.ts';
import { configOf } from './lockstep.ts';
import type { Bench, Tool } from './tool.ts';

/** The digest of a whole table as one statement: the one of the path that `--strategy auto` takes. */
function wholeTableDigest(pair: Pair, side: Side): { readonly sql: string; readonly parameters: string[] } {
  return digestStatement(pair, side, { from: null, to: null }, 'fast', new Set());
}

/** The least that any comparison by digests can take: one statement over the whole table, on both servers at once. */
export const limitTool: Tool = {
  name: 'limit',
  version: '',
  call: 'the digest of the whole table in plain SQL, both servers at once',
  async run(bench, subject) {
    const statements = await digestsOf(bench, subject);
    const digests: string[] = [];
    const usage = await measureWork(async () => {
      digests.push(...(await Promise.all(statements.map(({ url, sql, parameters }) => ask(url, sql, parameters)))));
    }, bench.postmasters);
    if ((digests[0] === digests[1]) !== (subject.differences.length === 0)) throw new Error(`the limit's digests of ${subject.tables.new}: ${digests.join(' and ')}`);
    return { usage, found: null };
  },
};

interface Digest {
  readonly url: string;
  readonly sql: string;
  readonly parameters: string[];
}

async function digestsOf(bench: Bench, subject: Case): Promise<Digest[]> {
  const paired = await pairDatabases(configOf(bench, subject), [], new SystemClock(), () => undefined);
  try {
    const pair = paired.pairs[0] as Pair;
    return (['old', 'new'] as const).map((side) => ({ url: bench[side].url(), ...wholeTableDigest(pair, side) }));
  } finally {
    await paired.close();
  }
}

async function ask(url: string, sql: string, parameters: string[]): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<unknown[]>({ text: sql, values: parameters, rowMode: 'array' });
    return JSON.stringify(rows);
  } finally {
    await client.end();
  }
}
