import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { TSchema } from '@sinclair/typebox';
import type { ValidateFunction } from 'ajv';
import type { ConfigurationDocument } from './schema.ts';

/** Building and compiling the schema takes half of the start of a command: `npm run build` does it once. */
const PREBUILT = 'schema-validator.cjs';

type Validator = ValidateFunction<ConfigurationDocument>;

interface CompiledSchema {
  readonly schema: TSchema;
  validator(): Validator;
}

const compiled: CompiledSchema = prebuilt() ?? (await fromSource());

/** The configuration's JSON Schema. */
export const configurationSchema: TSchema = compiled.schema;

/** The one validator of it: `errors` are those of its last call. */
export function schemaValidator(): Validator {
  return compiled.validator();
}

/** What the build made of the schema; null where this runs as it was written. */
function prebuilt(): CompiledSchema | null {
  const file = join(import.meta.dirname, PREBUILT);
  if (!existsSync(file)) return null;
  const validator = createRequire(import.meta.url)(file) as Validator & { readonly schema: TSchema };
  return { schema: validator.schema, validator: () => validator };
}

async function fromSource(): Promise<CompiledSchema> {
  const [{ configurationSchema: schema }, { compileSchema }] = await Promise.all([import('./schema.ts'), import('./compile-schema.ts')]);
  let validator: Validator | null = null;
  return { schema, validator: () => (validator ??= compileSchema()) };
}
