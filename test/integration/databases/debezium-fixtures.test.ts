import { readFileSync } from 'node:fs';
import { parse } from 'lossless-json';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresDatabase } from '../../../src/databases/postgres/database.ts';
import type { ExactJson } from '../../../src/domain/json.ts';
import { JsonNumber, isJsonObject } from '../../../src/domain/json.ts';
import type { Pair } from '../../../src/domain/pair.ts';
import { canonicalFromDebezium } from '../../../src/domain/values/classes.ts';
import type { FieldSchema } from '../../../src/domain/values/classes.ts';
import { Loss } from '../../../src/domain/values/loss.ts';
import type { OnePostgres } from '../../stack/postgres-server.ts';
import { startPostgres } from '../../stack/postgres-server.ts';
import { pairOf } from './pairs.ts';

/** Rows (`after`) of captured snapshot events and, beside them, the SQL that made the rows. */
const FOLDER = new URL('../../fixtures/values/', import.meta.url);
const FOREVER = new AbortController().signal;

let server: OnePostgres;
let database: PostgresDatabase;

beforeAll(async () => {
  server = await startPostgres({ database: 'app' });
  for (const file of ['schema.sql', 'seed.sql']) await server.server.query(readFileSync(new URL(file, FOLDER), 'utf8'));
  database = new PostgresDatabase({ side: 'old', url: server.url(), pool: 2 });
});
afterAll(async () => {
  await database?.close();
  await server?.stop();
});

function exact(text: string): ExactJson {
  return parse(text, null, (number) => new JsonNumber(number)) as ExactJson;
}

function rowsOf(file: string): ExactJson[] {
  return readFileSync(new URL(file, FOLDER), 'utf8').trim().split('\n').map(exact);
}

interface SchemaJson {
  readonly type: string;
  readonly name?: string;
  readonly field?: string;
  readonly parameters?: Record<string, string>;
  readonly items?: SchemaJson;
}

function fieldSchema(json: SchemaJson): FieldSchema {
  return { name: json.name ?? null, type: json.type, parameters: json.parameters ?? {}, items: json.items === undefined ? null : fieldSchema(json.items) };
}

function schemasOf(file: string): Map<string, FieldSchema> {
  const fields = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as SchemaJson[];
  return new Map(fields.map((json) => [json.field ?? '', fieldSchema(json)]));
}

/** Decodes every row and compares with the database; answers the columns that are never told and those that are wrong. */
async function compare(pair: Pair, rows: readonly ExactJson[], schemas: ReadonlyMap<string, FieldSchema> | null): Promise<{ unknown: string[]; wrong: string[] }> {
  const unknown = new Set<string>();
  const wrong: string[] = [];
  for (const row of rows) {
    if (!isJsonObject(row)) throw new Error('no row');
    const { id } = row;
    const key = id instanceof JsonNumber ? id.text : typeof id === 'string' ? id : '';
    const read = (await database.readRows(pair, [[key]], FOREVER)).rows.get(key);
    expect(read).toBeDefined();
    for (const [index, column] of pair.columns.entries()) {
      const decoded = canonicalFromDebezium(column.valueClass, column.old.type, row[column.name] as ExactJson, schemas?.get(column.name) ?? null);
      if (decoded instanceof Loss) unknown.add(column.name);
      else if (decoded !== read?.row[index]) wrong.push(`${key}.${column.name}`);
    }
  }
  return { unknown: [...unknown].sort(), wrong };
}

/** The zone of timetz, the parts of an interval, the zeros before a bit varying: no event has them. */
const NEVER_TOLD = ['iv', 'ttz', 'vb'];

describe('captured events decode to what the database holds', () => {
  it('without schemas', async () => {
    expect(await compare(await pairOf(database, database, 'payments'), rowsOf('plain-payments.jsonl'), null)).toEqual({ unknown: NEVER_TOLD, wrong: [] });
    expect(await compare(await pairOf(database, database, 'edge'), rowsOf('plain-edge.jsonl'), null)).toEqual({ unknown: ['d', 'iv', 'ts'], wrong: [] });
  });

  it('with schemas', async () => {
    const payments = schemasOf('schemas-payments.schema.json');
    expect(await compare(await pairOf(database, database, 'payments'), rowsOf('schemas-payments.jsonl'), payments)).toEqual({ unknown: NEVER_TOLD, wrong: [] });
    const edge = schemasOf('schemas-edge.schema.json');
    expect(await compare(await pairOf(database, database, 'edge'), rowsOf('schemas-edge.jsonl'), edge)).toEqual({ unknown: ['d', 'iv'], wrong: [] });
  });

  it('with decimals as text, ISO times, ISO intervals and hexadecimal bytes', async () => {
    const payments = await compare(await pairOf(database, database, 'payments'), rowsOf('string-isostring-payments.jsonl'), null);
    expect(payments).toEqual({ unknown: ['bin', 'ttz', 'vb'], wrong: [] });
    const edge = await compare(await pairOf(database, database, 'edge'), rowsOf('string-isostring-edge.jsonl'), null);
    expect(edge).toEqual({ unknown: ['d', 't'], wrong: [] });
  });

  it('with decimals as doubles and times in ms: unknown rather than wrong', async () => {
    const payments = await compare(await pairOf(database, database, 'payments'), rowsOf('double-connect-payments.jsonl'), null);
    expect(payments.wrong).toEqual([]);
    expect(payments.unknown).toEqual(['amount', 'fee', 'iv', 'local_ts', 'm', 't', 'ttz', 'vb']);
    const edge = await compare(await pairOf(database, database, 'edge'), rowsOf('double-connect-edge.jsonl'), null);
    // Year 12024 in ms is 1980 in µs: without a schema nothing tells them apart.
    expect(edge.wrong).toEqual(['7.ts']);
  });
});
