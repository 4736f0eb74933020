import { LockstepError } from '../../../../src/domain/errors.ts';
import type { ExactJsonObject } from '../../../../src/domain/json.ts';
import { parseAvroSchema } from '../../../../src/events/avro/schema.ts';
import type { AvroType } from '../../../../src/events/avro/schema.ts';
import { parseExactJson } from '../../../../src/events/debezium/json.ts';
import type { SchemaLookup } from '../../../../src/events/debezium/payloads.ts';
import { fixtureText } from './support.ts';

/** The schemas of the captured Avro messages, as a registry would have them. */
export function registeredSchemas(): SchemaLookup {
  const schemas = parseExactJson(fixtureText('g-avro-schemas.json')) as ExactJsonObject;
  const types = new Map<string, AvroType>();
  return {
    load: () => Promise.resolve(),
    get: ({ id }) => {
      const schema = schemas[id];
      if (schema === undefined) throw new LockstepError('unknown_schema', 'no such schema');
      const type = types.get(id) ?? parseAvroSchema(schema);
      types.set(id, type);
      return type;
    },
  };
}
