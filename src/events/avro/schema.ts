import { LockstepError } from '../../domain/errors.ts';
import { isJsonObject, JsonNumber } from '../../domain/json.ts';
import type { ExactJson, ExactJsonObject } from '../../domain/json.ts';
import type { FieldSchema } from '../../domain/values/classes.ts';

/** Envelopes nest some six levels; a schema deeper than this is not one of theirs. */
const MAX_DEPTH = 64;
/** A table has at most 1,600 columns, twice in an envelope; more types than this are a mistake or an attack. */
const MAX_TYPES = 50_000;

const PRIMITIVES = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'] as const;
type Primitive = (typeof PRIMITIVES)[number];

export interface AvroField {
  readonly name: string;
  readonly type: AvroType;
}

/** A record; its fields are filled in once its name is known, since it may hold itself. */
export interface AvroRecord {
  readonly kind: 'record';
  readonly name: string;
  fields: readonly AvroField[];
  readonly connect: FieldSchema;
}

/** A type of an Avro schema, names resolved, with what Kafka Connect says about it. */
export type AvroType =
  | { readonly kind: Primitive; readonly connect: FieldSchema }
  | { readonly kind: 'fixed'; readonly size: number; readonly connect: FieldSchema }
  | { readonly kind: 'enum'; readonly symbols: readonly string[]; readonly connect: FieldSchema }
  | { readonly kind: 'array'; readonly items: AvroType; readonly connect: FieldSchema }
  | { readonly kind: 'map'; readonly values: AvroType; readonly connect: FieldSchema }
  | AvroRecord
  | { readonly kind: 'union'; readonly branches: readonly AvroType[]; readonly connect: FieldSchema };

/** Types by full name, shared by a schema and those that it refers to. */
export type AvroNames = Map<string, AvroType>;

const CONNECT_TYPES: Readonly<Record<Exclude<AvroType['kind'], 'union'>, string>> = {
  null: 'string',
  boolean: 'boolean',
  int: 'int32',
  long: 'int64',
  float: 'float',
  double: 'double',
  bytes: 'bytes',
  string: 'string',
  fixed: 'bytes',
  enum: 'string',
  array: 'array',
  map: 'map',
  record: 'struct',
};

/** What Kafka Connect calls Avro's own logical types, for schemas that name nothing themselves. */
const LOGICAL_NAMES: Readonly<Record<string, string>> = {
  decimal: 'org.apache.kafka.connect.data.Decimal',
  date: 'org.apache.kafka.connect.data.Date',
  'time-millis': 'org.apache.kafka.connect.data.Time',
  'timestamp-millis': 'org.apache.kafka.connect.data.Timestamp',
  'time-micros': 'io.debezium.time.MicroTime',
  'timestamp-micros': 'io.debezium.time.MicroTimestamp',
};

/**
 * Resolves an Avro schema (1.11 specification) given as JSON.
 * @param names types that it may refer to; those it defines are added
 * Throws `bad_schema`.
 */
export function parseAvroSchema(schema: ExactJson, names: AvroNames = new Map()): AvroType {
  return new SchemaParser(names).type(schema, '', 0);
}

class SchemaParser {
  readonly #names: AvroNames;
  #types = 0;

  constructor(names: AvroNames) {
    this.#names = names;
  }

  type(schema: ExactJson, namespace: string, depth: number): AvroType {
    if (depth > MAX_DEPTH) throw bad('it nests too deeply');
    if (++this.#types > MAX_TYPES) throw bad('it has too many types');
    if (typeof schema === 'string') return this.#named(schema, namespace, null);
    if (Array.isArray(schema)) return this.#union(schema as readonly ExactJson[], namespace, depth);
    if (!isJsonObject(schema)) throw bad('a type is neither a name, a list nor an object');
    const { type } = schema;
    if (typeof type !== 'string') {
      if (type === undefined) throw bad('a type is missing');
      return this.type(type, namespace, depth + 1);
    }
    switch (type) {
      case 'record':
      case 'error':
        return this.#record(schema, namespace, depth);
      case 'enum': {
        const symbols = listOf(schema['symbols'], 'symbols').map((symbol) => textOf(symbol, 'a symbol'));
        return this.#define(schema, namespace, { kind: 'enum', symbols, connect: connectOf(schema, 'enum') });
      }
      case 'fixed': {
        const size = schema['size'] instanceof JsonNumber ? Number(schema['size'].text) : Number.NaN;
        if (!Number.isSafeInteger(size) || size < 0) throw bad('a fixed type has no size');
        return this.#define(schema, namespace, { kind: 'fixed', size, connect: connectOf(schema, 'fixed') });
      }
      case 'array': {
        const items = this.type(schema['items'] ?? null, namespace, depth + 1);
        return { kind: 'array', items, connect: { ...connectOf(schema, 'array'), items: items.connect } };
      }
      case 'map': {
        const values = this.type(schema['values'] ?? null, namespace, depth + 1);
        return { kind: 'map', values, connect: { ...connectOf(schema, 'map'), items: null } };
      }
      default:
        return this.#named(type, namespace, schema);
    }
  }

  #union(schemas: readonly ExactJson[], namespace: string, depth: number): AvroType {
    const branches = schemas.map((branch) => this.type(branch, namespace, depth + 1));
    const [first] = branches.filter((branch) => branch.kind !== 'null');
    if (branches.length === 0) throw bad('a union is empty');
    return { kind: 'union', branches, connect: first?.connect ?? plain('null') };
  }

  #named(name: string, namespace: string, schema: ExactJsonObject | null): AvroType {
    const primitive = PRIMITIVES.find((known) => known === name);
    if (primitive !== undefined) {
      return { kind: primitive, connect: schema === null ? plain(primitive) : connectOf(schema, primitive) };
    }
    const found = this.#names.get(fullName(name, namespace)) ?? this.#names.get(name);
    if (found === undefined) throw bad('it refers to a type that it does not define');
    return found;
  }

  #record(schema: ExactJsonObject, outer: string, depth: number): AvroType {
    const fields: Record<string, FieldSchema> = {};
    const record: AvroRecord = {
      kind: 'record',
      name: nameOf(schema, outer),
      fields: [],
      connect: { ...connectOf(schema, 'record'), fields },
    };
    this.#define(schema, outer, record);
    const namespace = record.name.slice(0, Math.max(0, record.name.lastIndexOf('.')));
    record.fields = listOf(schema['fields'], 'fields').map((field) => {
      if (!isJsonObject(field)) throw bad('a field is no object');
      const name = textOf(field['name'], 'a field’s name');
      const type = this.type(field['type'] ?? null, namespace, depth + 1);
      Object.defineProperty(fields, name, { value: type.connect, enumerable: true, configurable: true, writable: true });
      return { name, type };
    });
    return record;
  }

  #define(schema: ExactJsonObject, namespace: string, type: AvroType): AvroType {
    this.#names.set(nameOf(schema, namespace), type);
    return type;
  }
}

function nameOf(schema: ExactJsonObject, outer: string): string {
  const name = textOf(schema['name'], 'a type’s name');
  const namespace = typeof schema['namespace'] === 'string' ? schema['namespace'] : outer;
  return fullName(name, namespace);
}

function fullName(name: string, namespace: string): string {
  return name.includes('.') || namespace === '' ? name : `${namespace}.${name}`;
}

function plain(kind: Exclude<AvroType['kind'], 'union'>): FieldSchema {
  return { name: null, type: CONNECT_TYPES[kind], parameters: {}, items: null };
}

/** What Kafka Connect wrote into the schema of its own; else what Avro's logical type means there. */
function connectOf(schema: ExactJsonObject, kind: Exclude<AvroType['kind'], 'union'>): FieldSchema {
  const parameters: Record<string, string> = {};
  const given = schema['connect.parameters'];
  if (isJsonObject(given)) {
    for (const [name, value] of Object.entries(given)) {
      const text = value instanceof JsonNumber ? value.text : value;
      if (typeof text === 'string') parameters[name] = text;
    }
  }
  const logical = typeof schema['logicalType'] === 'string' ? schema['logicalType'] : null;
  if (logical === 'decimal' && parameters['scale'] === undefined) {
    parameters['scale'] = schema['scale'] instanceof JsonNumber ? schema['scale'].text : '0';
  }
  const named = schema['connect.name'];
  const type = schema['connect.type'];
  return {
    name: typeof named === 'string' ? named : logical === null ? null : (LOGICAL_NAMES[logical] ?? null),
    type: typeof type === 'string' ? type : CONNECT_TYPES[kind],
    parameters,
    items: null,
  };
}

function listOf(value: ExactJson | undefined, what: string): readonly ExactJson[] {
  if (!Array.isArray(value)) throw bad(`its ${what} are no list`);
  return value as readonly ExactJson[];
}

function textOf(value: ExactJson | undefined, what: string): string {
  if (typeof value !== 'string' || value === '') throw bad(`${what} is missing`);
  return value;
}

function bad(why: string): LockstepError {
  return new LockstepError('bad_schema', `the schema cannot be used: ${why}`);
}
