import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { ColumnDescription, Pair, PairColumn, SqlType } from '../../../../src/domain/pair.ts';
import type { ValueClassName } from '../../../../src/domain/values/names.ts';
import type { KafkaRecord } from '../../../../src/events/debezium/decoder.ts';

/** The bases whose class is not `opaque_text`; the rest is. */
const CLASSES: Readonly<Record<string, ValueClassName>> = {
  int2: 'integer', int4: 'integer', int8: 'integer', numeric: 'decimal', money: 'money',
  float4: 'float4', float8: 'float8', text: 'text', varchar: 'text', bpchar: 'padded_text',
  bool: 'boolean', date: 'date', time: 'time', timetz: 'timetz', timestamp: 'timestamp',
  timestamptz: 'instant', interval: 'interval', bytea: 'bytes', uuid: 'uuid', json: 'json',
  jsonb: 'json', bit: 'bits', varbit: 'bits', order_status: 'text',
};

const LONG_NAMES: Readonly<Record<string, string>> = {
  int2: 'smallint', int4: 'integer', int8: 'bigint', float4: 'real', float8: 'double precision', bool: 'boolean',
  bpchar: 'character', varchar: 'character varying', timestamptz: 'timestamp with time zone',
  timestamp: 'timestamp without time zone', time: 'time without time zone', timetz: 'time with time zone',
  varbit: 'bit varying',
};

/** `numeric(20,4)`, `int8`, `text[]` → its description. */
export function sqlType(text: string): SqlType {
  const [, base = '', , first, second, brackets] = /^(\w+)(\((\d+)(?:,(\d+))?\))?(\[\])?$/.exec(text) ?? [];
  const number = first === undefined ? null : Number(first);
  const sized = ['bpchar', 'varchar', 'bit', 'varbit'].includes(base);
  return {
    formatted: `${LONG_NAMES[base] ?? base}${first === undefined ? '' : `(${first}${second === undefined ? '' : `,${second}`})`}${brackets ?? ''}`,
    base,
    kind: base === 'order_status' ? 'enum' : base.endsWith('range') ? 'range' : 'base',
    array: brackets !== undefined,
    precision: sized ? null : number,
    scale: second === undefined ? null : Number(second),
    length: sized ? number : null,
  };
}

function column(definition: string): PairColumn {
  const [name = '', type = ''] = definition.split(' ');
  const described: ColumnDescription = { name, type: sqlType(type), nullable: true };
  const valueClass = described.type.array ? 'array' : (CLASSES[described.type.base] ?? 'opaque_text');
  return { name, old: described, new: described, valueClass, sensitive: false };
}

/** A pair from `name type` definitions, the key by column names, topics by side. */
export function makePair(
  table: string,
  columns: readonly string[],
  key: readonly string[],
  topic: Pair['topic'],
): Pair {
  const described = columns.map(column);
  const name = { schema: 'public', name: table };
  return {
    id: `public.${table}`,
    old: name,
    new: name,
    columns: described,
    key: key.map((wanted) => described.findIndex((one) => one.name === wanted)),
    where: {},
    topic,
  };
}

export const TABLES: Readonly<Record<string, { readonly columns: readonly string[]; readonly key: readonly string[] }>> = {
  customers: {
    columns: [
      'id int8', 'email text', 'name varchar(80)', 'country bpchar(4)', 'vip bool', 'created_at timestamptz',
      'updated_at timestamp', 'birth date', 'prefs jsonb', 'balance numeric(20,4)', 'score float4', 'rating float8',
      'tags text[]', 'notes text',
    ],
    key: ['id'],
  },
  orders: {
    columns: [
      'tenant_id int4', 'order_id int8', 'customer_id int8', 'status order_status', 'total numeric(12,2)',
      'placed_at timestamptz(3)', 'lines jsonb',
    ],
    key: ['tenant_id', 'order_id'],
  },
  payments: {
    columns: [
      'id uuid', 'amount numeric(20,4)', 'fee numeric', 'paid_at timestamptz', 'local_ts timestamp',
      'local_ts3 timestamp(3)', 'd date', 't time', 'ttz timetz', 'iv interval', 'meta jsonb', 'raw json', 'bin bytea',
      'st order_status', 'labels text[]', 'nums int4[]', 'nums2 numeric(10,2)[]', 'ok bool', 'f4 float4', 'f8 float8',
      'm money', 'big int8', 'sm int2', 'addr inet', 'bits bit(8)', 'b1 bit(1)', 'vb varbit', 'doc xml', 'r int4range',
      'long_text text', 'tsv tsvector', 'pt point',
    ],
    key: ['id'],
  },
  edge: {
    columns: [
      'id int4', 'what text', 'n numeric', 'n2 numeric(20,4)', 'f4 float4', 'f8 float8', 'ts timestamp',
      'tz timestamptz', 'd date', 't time', 'iv interval', 's text', 'j jsonb',
    ],
    key: ['id'],
  },
  outbox: {
    columns: ['id uuid', 'aggregatetype varchar(255)', 'aggregateid varchar(255)', 'type varchar(255)', 'payload jsonb', 'created timestamptz'],
    key: ['id'],
  },
  audit_log: { columns: ['at timestamptz', 'msg text'], key: ['at', 'msg'] },
};

/** The pair of one of `TABLES`, with old's topics `<prefix>.public.<table>`. */
export function pairOf(table: string, prefix: string, side: 'old' | 'new' = 'old'): Pair {
  const definition = TABLES[table];
  if (definition === undefined) throw new Error(`no table ${table}`);
  return makePair(table, definition.columns, definition.key, { [side]: `${prefix}.public.${table}` });
}

/** A captured message as its line has it. */
interface CapturedLine {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly timestamp: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly { readonly key: string; readonly value: string | null }[];
}

export interface CapturedRecord extends KafkaRecord {
  readonly headers: Readonly<Record<string, Buffer>>;
}

/** Text of a file beside the captured messages, unpacked. */
export function fixtureText(file: string): string {
  return gunzipSync(readFileSync(new URL(`../../../fixtures/debezium/${file}.gz`, import.meta.url))).toString('utf8');
}

/** Captured messages: one a line, bytes as base64. */
export function fixture(name: string): CapturedRecord[] {
  const bytes = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text, 'base64'));
  return fixtureText(`${name}.jsonl`)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { topic, partition, offset, timestamp, key, value, headers } = JSON.parse(line) as CapturedLine;
      const named = headers.map((header) => [header.key, bytes(header.value) ?? Buffer.alloc(0)] as const);
      return { topic, partition, offset, timestamp, key: bytes(key), value: bytes(value), headers: Object.fromEntries(named) };
    });
}
