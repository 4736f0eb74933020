import { isJsonObject, JsonNumber } from '../../src/domain/json.ts';
import type { ExactJson, ExactJsonObject } from '../../src/domain/json.ts';
import type { AvroType } from '../../src/events/avro/schema.ts';
import type { Random } from './random.ts';

/** Long enough to hurt whoever works digit by digit twice over. */
const HUGE_NUMBERS = ['7'.repeat(1_000_000), `1${'0'.repeat(100_000)}1`, `1.${'0'.repeat(100_000)}1`, `1e${'0'.repeat(100_000)}1`];
const HUGE_TEXTS = ['x'.repeat(1_000_000), `${'1'.repeat(100_000)}e`, `1${' '.repeat(100_000)}x`, '('.repeat(100_000), '"'.repeat(100_000), '{'.repeat(100_000)];
/** One in so many values is a huge one: each takes as long as a thousand others. */
const HUGE_SHARE = 1 / 5_000;

const TEXTS = ['', ' ', 'null', '\u0000', '\ud800', '\udc00x', '\uFFFD', '😀', '__debezium_unavailable_value', 'NaN', 'Infinity', '-0', '1e400', '2024-02-30', '24:00:00', 'P1Y', '{}', '[', '0'.repeat(300), 'é', 'e\u0301', '\\', '"', '\n', 'AA==', '!!!'];
const NUMBERS = ['0', '-0', '1', '-1', '1.5', '1e400', '-1e-400', '9223372036854775807', '-9223372036854775808', '9223372036854775808', '9007199254740993', '1e1000000', '0.1', '1e-7', '253402300800000000', '-62167219200000001'];

/** Any JSON value. */
export function anyValue(random: Random, depth = 2): ExactJson {
  switch (random.below(depth > 0 ? 7 : 5)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
      return anyText(random);
    case 3:
      return anyNumber(random);
    case 4:
      return random.bytes(random.below(12)).toString('base64');
    case 5:
      return Array.from({ length: random.below(4) }, () => anyValue(random, depth - 1));
    default:
      return Object.fromEntries(Array.from({ length: random.below(4) }, (_, index) => [random.of(['scale', 'value', 'x', 'y', 'id', `f${index}`]), anyValue(random, depth - 1)]));
  }
}

export function anyText(random: Random): string {
  if (random.chance(HUGE_SHARE)) return random.of(HUGE_TEXTS);
  return random.chance(0.7) ? random.of(TEXTS) : random.bytes(random.below(20)).toString('latin1');
}

function anyNumber(random: Random): JsonNumber {
  if (random.chance(HUGE_SHARE)) return new JsonNumber(random.of(HUGE_NUMBERS));
  return new JsonNumber(random.chance(0.7) ? random.of(NUMBERS) : String((random.next() - 0.5) * 10 ** random.below(20)));
}

/** `value` with something in it put, taken away, renamed, moved or doubled. */
export function mutateTree(random: Random, value: ExactJson): ExactJson {
  if (Array.isArray(value)) {
    const items = [...(value as readonly ExactJson[])];
    if (items.length === 0 || random.chance(0.1)) return anyValue(random);
    const at = random.below(items.length);
    if (random.chance(0.2)) items.splice(at, 1);
    else items[at] = mutateTree(random, items[at] as ExactJson);
    return items;
  }
  if (!isJsonObject(value)) return random.chance(0.1) ? deep(random.below(2_000)) : anyValue(random);
  const entries = Object.entries(value);
  if (entries.length === 0 || random.chance(0.03)) return anyValue(random);
  const at = random.below(entries.length);
  const [name, inner] = entries[at] as [string, ExactJson];
  switch (random.below(10)) {
    case 0:
      entries.splice(at, 1);
      break;
    case 1:
      entries[at] = [random.of(['op', 'source', 'after', 'before', 'id', 'schema', 'payload', '__op', 'ddl', '__proto__']), inner];
      break;
    case 2:
      entries.reverse();
      break;
    default:
      entries[at] = [name, mutateTree(random, inner)];
  }
  return Object.fromEntries(entries);
}

function deep(levels: number): ExactJson {
  let value: ExactJson = null;
  for (let level = 0; level < levels; level++) value = [value];
  return value;
}

/** Another value that the Avro type can hold. */
export function valueOf(random: Random, type: AvroType): ExactJson {
  switch (type.kind) {
    case 'null':
      return null;
    case 'boolean':
      return random.chance(0.5);
    case 'int':
      return new JsonNumber(String(random.chance(0.5) ? random.of([0, -1, 2_147_483_647, -2_147_483_648]) : random.below(100_000)));
    case 'long':
      return new JsonNumber(random.of(['0', '-1', '9223372036854775807', '-9223372036854775808', String(random.below(1e15))]));
    case 'float':
    case 'double':
      return random.chance(0.3) ? random.of(['NaN', 'Infinity', '-Infinity']) : new JsonNumber(String(Math.fround(random.next() * 1000)));
    case 'bytes':
      return random.bytes(random.below(20)).toString('base64');
    case 'fixed':
      return random.bytes(type.size).toString('base64');
    case 'string':
      return Buffer.from(anyText(random), 'utf8').toString('utf8');
    case 'enum':
      return random.of(type.symbols);
    case 'array':
      return Array.from({ length: random.below(4) }, () => valueOf(random, type.items));
    case 'map':
      return Object.fromEntries(Array.from({ length: random.below(4) }, (_, index) => [`k${index}`, valueOf(random, type.values)]));
    case 'record':
      return Object.fromEntries(type.fields.map((field): [string, ExactJson] => [field.name, valueOf(random, field.type)]));
    case 'union':
      return valueOf(random, random.of(type.branches));
  }
}

/** Bytes with some of them changed, cut, put in or doubled. */
export function mutateBytes(random: Random, bytes: Buffer, other: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  switch (random.below(6)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return bytes.subarray(at);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(1 + random.below(8)), bytes.subarray(at)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))]);
    case 4:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(random.below(at + 1))]);
    default: {
      const changed = Buffer.from(bytes);
      for (let count = 1 + random.below(4); count > 0; count--) if (changed.length > 0) changed[random.below(changed.length)] = random.below(256);
      return changed;
    }
  }
}

/** `object` with one field set. */
export function withField(object: ExactJsonObject, name: string, value: ExactJson): ExactJsonObject {
  return Object.fromEntries(Object.entries(object).map(([key, inner]) => [key, key === name ? value : inner]));
}
