import { createRequire } from 'node:module';
import type { Ajv as AjvType, ValidateFunction } from 'ajv';
import { configurationSchema } from './schema.ts';
import type { ConfigurationDocument } from './schema.ts';
import { ANNOTATIONS } from './schema-words.ts';

const require = createRequire(import.meta.url);

/** The compiler takes long to load: only where no build has compiled the schema is it needed. */
function compiler(): AjvType {
  const { Ajv } = require('ajv') as { readonly Ajv: typeof AjvType };
  const ajv = new Ajv({ allErrors: true, verbose: true, strict: true, allowUnionTypes: true, code: { source: true } });
  ajv.addVocabulary([...ANNOTATIONS]);
  return ajv;
}

/** Compiles the schema of the configuration. */
export function compileSchema(): ValidateFunction<ConfigurationDocument> {
  return compiler().compile<ConfigurationDocument>(configurationSchema);
}

/** The same as a CommonJS module's text, which exports the schema itself as well. */
export function compiledSchemaSource(): string {
  const ajv = compiler();
  const standalone = require('ajv/dist/standalone') as { readonly default: (ajv: AjvType, validate: ValidateFunction) => string };
  return `${standalone.default(ajv, ajv.compile(configurationSchema))}\nmodule.exports.schema = ${JSON.stringify(configurationSchema)};\n`;
}
