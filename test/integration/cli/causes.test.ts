import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type PostgresPair, startPostgresPair } from '../../stack/postgres-server.ts';
import { endCommands, lockstep } from './command.ts';

/** What old and new hold in a row of one column, and the cause that is named for it. */
interface Planted {
  readonly column: string;
  readonly old: string;
  readonly new: string;
  readonly code: string | null;
}

/** Column → type on old and on new. */
const COLUMNS: Readonly<Record<string, readonly [old: string, neu: string]>> = {
  note: ['text', 'text'],
  short_note: ['text', 'varchar(20)'],
  amount: ['numeric', 'numeric'],
  cents: ['numeric(20,4)', 'numeric(12,2)'],
  units: ['bigint', 'bigint'],
  paid_at: ['timestamptz', 'timestamptz'],
  paid_local: ['timestamp', 'timestamp(3)'],
  day: ['date', 'date'],
  opens: ['time', 'time'],
  closes: ['timetz', 'timetz'],
  period: ['interval', 'interval'],
  score: ['double precision', 'double precision'],
  doc: ['jsonb', 'jsonb'],
  raw: ['bytea', 'bytea'],
  labels: ['text[]', 'text[]'],
  grid: ['int[]', 'int[]'],
  fees: ['numeric(10,4)[]', 'numeric(10,4)[]'],
  flags: ['varbit', 'varbit'],
  paid: ['boolean', 'boolean'],
};

const LONG = "'the quick brown fox jumps over the lazy dog'";

const PLANTED: readonly Planted[] = [
  { column: 'note', old: LONG, new: "'__debezium_unavailable_value'", code: 'placeholder_written' },
  { column: 'note', old: "'Zoë'", new: "'ZoÃ«'", code: 'mojibake' },
  { column: 'note', old: "'Zoë'", new: "'Zo?'", code: 'mojibake' },
  { column: 'note', old: "'Zoë'", new: "'ZOË'", code: 'case' },
  { column: 'note', old: "'Zoë'", new: "normalize('Zoë', NFD)", code: 'unicode_form' },
  { column: 'note', old: "'x'", new: "'x  '", code: 'padding' },
  { column: 'note', old: "E'a\\r\\nb'", new: "E'a\\nb'", code: 'whitespace' },
  { column: 'note', old: 'NULL', new: "''", code: 'null_to_empty' },
  { column: 'note', old: "''", new: 'NULL', code: 'empty_to_null' },
  { column: 'note', old: "'x'", new: 'NULL', code: 'value_lost' },
  { column: 'note', old: 'NULL', new: "'x'", code: 'null_lost' },
  { column: 'note', old: "'{\"a\": 1}'", new: "'{\"a\":1.0}'", code: 'json_reformatted' },
  { column: 'note', old: "'hello'", new: "encode('hello', 'base64')", code: 'text_encoding' },
  { column: 'note', old: "'one thing'", new: "'another'", code: null },
  { column: 'short_note', old: LONG, new: `left(${LONG}, 20)`, code: 'truncated' },
  { column: 'amount', old: '12345678901234567890.123456789', new: '12345678901234567890.123456789::float8::numeric', code: 'through_float' },
  { column: 'amount', old: '0.1', new: "0.1::float4::float8::text::numeric", code: 'through_float' },
  { column: 'amount', old: '12.5', new: '-12.5', code: 'sign' },
  { column: 'amount', old: '12.34', new: '1234', code: 'point_moved' },
  { column: 'amount', old: "'NaN'", new: 'NULL', code: 'nan_replaced' },
  { column: 'amount', old: 'NULL', new: '0', code: 'null_to_default' },
  { column: 'amount', old: '12.5', new: '12.5001', code: null },
  { column: 'cents', old: '9.9951', new: '9.9951', code: 'precision_lost' },
  { column: 'units', old: '9007199254740993', new: '9007199254740992', code: 'through_float' },
  { column: 'units', old: '1704103872', new: '1704103872000', code: 'epoch_unit' },
  { column: 'units', old: '258', new: '144396663052566528', code: 'byte_order' },
  { column: 'paid_at', old: "'2024-10-27 00:30:00.123456+00'", new: "'2024-10-27 00:30:00.123456+02'", code: 'clock_offset' },
  { column: 'paid_at', old: "'infinity'", new: "'294247-01-09 20:00:25.2+00'", code: 'infinity_replaced' },
  { column: 'paid_at', old: "'0044-03-15 12:00+00 BC'", new: "'0044-03-15 12:00+00'", code: 'era_lost' },
  { column: 'paid_local', old: "'2024-10-27 00:30:00.123456'", new: "'2024-10-27 00:30:00.123456'", code: 'precision_lost' },
  { column: 'paid_local', old: "'2024-10-27 00:30:00.123'", new: "'1970-01-20 23:36:27.000123'", code: null },
  { column: 'day', old: "'2024-02-29'", new: "'2024-02-28'", code: 'clock_offset' },
  { column: 'day', old: "'4713-01-01 BC'", new: "'4713-01-01'", code: 'era_lost' },
  { column: 'day', old: "'infinity'", new: "'-infinity'", code: 'infinity_replaced' },
  { column: 'day', old: 'NULL', new: "'1970-01-01'", code: 'null_to_default' },
  { column: 'opens', old: "'24:00'", new: "'00:00'", code: 'end_of_day' },
  { column: 'closes', old: "'12:00:00.5+02'", new: "'10:00:00.5+00'", code: 'zone_moved' },
  { column: 'period', old: "'1 year 2 mons 3 days 04:05:06.789'", new: "'10303:05:06'", code: 'interval_folded' },
  { column: 'period', old: "'-1 mons +2 days -03:00:00'", new: "'-685:30:00'", code: 'interval_folded' },
  { column: 'score', old: "'NaN'", new: '0', code: 'nan_replaced' },
  { column: 'score', old: "'-Infinity'", new: '0', code: 'infinity_replaced' },
  { column: 'score', old: "'-0'", new: '0', code: 'sign' },
  { column: 'score', old: '0.1', new: '0.1::float4', code: 'through_float' },
  { column: 'doc', old: `'{"big": 12345678901234567890}'`, new: `'{"big": 12345678901234567000}'`, code: 'through_float' },
  { column: 'doc', old: `'{"a": 1}'`, new: `'"__debezium_unavailable_value"'`, code: 'placeholder_written' },
  { column: 'raw', old: "'\\x00ff'", new: "'__debezium_unavailable_value'::bytea", code: 'placeholder_written' },
  { column: 'raw', old: "'\\x00ff102030'", new: "'\\x00ff1020'", code: 'truncated' },
  { column: 'labels', old: "ARRAY['a', 'b']", new: "ARRAY['__debezium_unavailable_value']", code: 'placeholder_written' },
  { column: 'labels', old: "ARRAY['a', NULL, 'b']", new: "ARRAY['a', 'b']", code: 'array_shape' },
  { column: 'grid', old: 'ARRAY[[1, 2], [3, 4]]', new: 'ARRAY[1, 2, 3, 4]', code: 'array_shape' },
  { column: 'fees', old: 'ARRAY[1.2345, 2]', new: 'ARRAY[1.23, 2]', code: 'precision_lost' },
  { column: 'flags', old: "B'10110'", new: "B'0010110'", code: 'padding' },
  { column: 'paid', old: 'NULL', new: 'false', code: 'null_to_default' },
  { column: 'paid', old: 'true', new: 'false', code: null },
];

let pair: PostgresPair;
let folder = '';
let file = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-causes-'));
  chmodSync(folder, 0o755);
  pair = await startPostgresPair({ database: 'app' });
  for (const [side, server] of [['old', pair.old], ['new', pair.new]] as const) {
    const columns = Object.entries(COLUMNS).map(([name, types]) => `${name} ${side === 'old' ? types[0] : types[1]}`);
    const rows = PLANTED.map((planted, index) => `INSERT INTO payments (id, ${planted.column}) VALUES (${index + 1}, ${planted[side]});`);
    await server.query(`CREATE TABLE payments (id int PRIMARY KEY, ${columns.join(', ')});
      CREATE TABLE visits (id int PRIMARY KEY, came timestamptz, went timestamp, gate text);
      ${rows.join('\n')}
      INSERT INTO visits SELECT i, timestamptz '2024-01-01 08:00+00' + i * interval '1 hour', timestamp '2024-01-01 09:00' + i * interval '1 hour', 'the gate number ' || i FROM generate_series(1, 40) i;`);
  }
  await pair.new.query(`UPDATE visits SET came = came + interval '2 hours', went = went + interval '2 hours' WHERE id <= 30;
    UPDATE visits SET gate = left(gate, 14) WHERE id <= 5; UPDATE visits SET gate = left(gate, 13) WHERE id = 6; DELETE FROM visits WHERE id > 38`);
  file = join(folder, 'lockstep.yaml');
  writeFileSync(
    file,
    `migration: shop
databases:
  old: { url: "${pair.old.url()}" }
  new: { url: "${pair.new.url()}" }
slo: { settle: 2s }
tables: [{ old: public.payments, columns: { note: { sensitive: true } } }, { old: public.visits }]
`,
  );
});
afterAll(async () => {
  await endCommands();
  await pair?.stop();
  rmSync(folder, { recursive: true, force: true });
});

it('check names the cause of each planted difference, of masked columns too, and groups them', async () => {
  const { code, stdout } = await lockstep(['check', '-c', file, '--format', 'json']);
  expect(code).toBe(1);
  const report = JSON.parse(stdout) as {
    drift: { table: string; key: { id: number }; cause: { code: string; message: string } | null; column_causes: Record<string, string> }[];
    causes: { table: string; column: string | null; cause: { code: string; message: string } | null; kind: string; rows: number; sentence: string; sample_ids: string[] }[];
  };
  const found = new Map(report.drift.filter((drift) => drift.table === 'public.payments').map((drift) => [drift.key.id, drift]));
  const named = PLANTED.map(({ column, old, new: neu }, index) => {
    const drift = found.get(index + 1);
    return { column, old, new: neu, code: drift === undefined ? 'not found' : (drift.column_causes[column] ?? null) };
  });
  expect(named).toEqual(PLANTED);
  for (const [index, { code: expected }] of PLANTED.entries()) expect(found.get(index + 1)?.cause?.code ?? null).toBe(expected);
  expect(found.get(PLANTED.findIndex(({ column }) => column === 'short_note') + 1)?.cause?.message).toBe('truncated: cut at 20 characters, the length of character varying(20)');
  expect(JSON.stringify(report.drift.map(({ cause }) => cause))).not.toMatch(/quick|Zo|1234|sensitive/);

  const visits = report.causes.filter(({ table }) => table === 'public.visits').map(({ sentence }) => sentence);
  expect(visits).toEqual([
    'public.visits.came: 30 rows, constant clock offset: +02:00:00 on new',
    'public.visits.went: 30 rows, constant clock offset: +02:00:00 on new',
    'public.visits.gate: 6 rows, truncated, mostly: cut at 14 characters',
    'public.visits: 2 rows missing, no known cause',
  ]);
  expect(report.causes.every(({ sample_ids: ids, rows }) => ids.length === Math.min(5, rows))).toBe(true);

  const text = await lockstep(['check', '-c', file, '--table', 'public.visits']);
  expect(text.stdout.split('\n').slice(-8)).toEqual(['', ...visits, '', 'drift: 32 rows', '']);
});
