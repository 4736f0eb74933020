import { LockstepError } from '../../domain/errors.ts';
import { AvroCursor } from '../avro/cursor.ts';
import { unframe } from '../avro/framing.ts';
import type { SchemaId } from '../avro/framing.ts';
import type { AvroType } from '../avro/schema.ts';
import type { PayloadCursor } from './cursor.ts';
import { DocumentReader } from './document.ts';
import type { KafkaRecord } from './records.ts';
import { payloadSchema, structOf, structSchema } from './schemas.ts';
import type { PayloadSchema } from './schemas.ts';

/** Schemas of a registry, as far as they have been looked up. */
export interface SchemaLookup {
  /** Never rejects; `fresh` asks again for what failed a moment ago. */
  load(ids: Iterable<SchemaId>, fresh?: boolean): Promise<void>;
  /** Throws what kept the schema from being had. */
  get(id: SchemaId): AvroType;
}

/** A key or value whose payload has not been read yet. */
export interface OpenPayload {
  /** null where the message has none. */
  readonly schema: PayloadSchema | null;
  readonly cursor: PayloadCursor;
  /** Call when the payload is read: fails where something follows it. */
  readonly finish: () => void;
}

type Part = 'key' | 'value';

/** Opens keys and values whatever converter wrote them; each may have another. */
export class PayloadOpener {
  readonly #registry: SchemaLookup | null;
  readonly #json = { key: documentReader(), value: documentReader() };
  readonly #schemas = new WeakMap<AvroType, PayloadSchema>();

  /** @param registry null: JSON alone is understood */
  constructor(registry: SchemaLookup | null) {
    this.#registry = registry;
  }

  /** What knows the schemas of JSON values. */
  get values(): DocumentReader<PayloadSchema> {
    return this.#json.value;
  }

  /** Looks up the schemas that these records need. Never rejects. */
  async prepare(records: readonly KafkaRecord[], fresh: boolean): Promise<void> {
    if (this.#registry === null) return;
    const ids = new Map<string, SchemaId>();
    for (const { key, value, headers } of records) {
      for (const [part, bytes] of [['key', key], ['value', value]] as const) {
        if (bytes === null) continue;
        const id = idOf(part, bytes, headers);
        if (id !== null) ids.set(`${id.kind} ${id.id}`, id);
      }
    }
    if (ids.size > 0) await this.#registry.load(ids.values(), fresh);
  }

  /** Throws `not_json`, `no_registry`, `bad_framing`, or what kept the schema from being had. */
  open(part: Part, topic: string, bytes: Buffer, headers: KafkaRecord['headers']): OpenPayload {
    const framed = unframe(part, bytes, headers);
    if (framed === null) return this.#json[part].open(topic, bytes);
    if (this.#registry === null) {
      throw new LockstepError('no_registry', 'the value is Avro and no schema registry is configured: set events.kafka.registry');
    }
    const type = this.#registry.get(framed.schema);
    const cursor = new AvroCursor(framed.body, type);
    return {
      schema: this.#schemaOf(type),
      cursor,
      finish: () => {
        cursor.end();
      },
    };
  }

  #schemaOf(type: AvroType): PayloadSchema {
    let schema = this.#schemas.get(type);
    if (schema === undefined) {
      schema = payloadSchema(structOf(type.connect));
      this.#schemas.set(type, schema);
    }
    return schema;
  }
}

function documentReader(): DocumentReader<PayloadSchema> {
  return new DocumentReader((schema) => payloadSchema(structSchema(schema)));
}

function idOf(part: Part, bytes: Buffer, headers: KafkaRecord['headers']): SchemaId | null {
  try {
    return unframe(part, bytes, headers)?.schema ?? null;
  } catch {
    // Told when the record is decoded.
    return null;
  }
}
