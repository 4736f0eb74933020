import { LockstepError } from '../../domain/errors.ts';
import { isJsonObject, JsonNumber } from '../../domain/json.ts';
import type { ExactJson, ExactJsonObject } from '../../domain/json.ts';
import type { FieldSchema } from '../../domain/values/classes.ts';

/** Schemas of a struct's fields by name. */
export type StructSchema = ReadonlyMap<string, FieldSchema>;

/** What a message's schema says about its rows; null where it says nothing. */
export interface PayloadSchema {
  readonly before: StructSchema | null;
  readonly after: StructSchema | null;
  /** Of a payload that is the row itself. */
  readonly row: StructSchema | null;
}

function scalarText(value: ExactJson | undefined): string | null {
  if (typeof value === 'string') return value;
  if (value instanceof JsonNumber) return value.text;
  if (typeof value === 'boolean') return String(value);
  return null;
}

function fieldSchema(schema: ExactJsonObject): FieldSchema {
  if (typeof schema['type'] !== 'string') {
    throw new LockstepError('unknown_shape', 'a field of the schema has no type');
  }
  const parameters: Record<string, string> = {};
  if (isJsonObject(schema['parameters'])) {
    for (const [name, value] of Object.entries(schema['parameters'])) {
      const text = scalarText(value);
      if (text !== null) parameters[name] = text;
    }
  }
  const fields = structSchema(schema);
  return {
    name: typeof schema['name'] === 'string' ? schema['name'] : null,
    type: schema['type'],
    parameters,
    items: isJsonObject(schema['items']) ? fieldSchema(schema['items']) : null,
    ...(fields === null ? {} : { fields: Object.fromEntries(fields) }),
  };
}

/**
 * Field schemas of a Kafka Connect struct schema as JsonConverter writes it; null
 * where it is not a struct. Throws `unknown_shape` for a field without a type.
 */
export function structSchema(schema: ExactJson | undefined): StructSchema | null {
  if (!isJsonObject(schema) || schema['type'] !== 'struct' || !Array.isArray(schema['fields'])) return null;
  const fields = new Map<string, FieldSchema>();
  for (const field of schema['fields'] as readonly ExactJson[]) {
    if (isJsonObject(field) && typeof field['field'] === 'string') fields.set(field['field'], fieldSchema(field));
  }
  return fields;
}

/** Field schemas of a struct that is one field's type. */
export function structOf(schema: FieldSchema | undefined): StructSchema | null {
  return schema?.fields === undefined ? null : new Map(Object.entries(schema.fields));
}

/** Row schemas of a message's payload, which is an envelope or a row itself. */
export function payloadSchema(struct: StructSchema | null): PayloadSchema {
  if (struct === null) return { before: null, after: null, row: null };
  return { before: structOf(struct.get('before')), after: structOf(struct.get('after')), row: struct };
}
