// The configuration's validator as code, beside the module that uses it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compiledSchemaSource } from '../dist/src/config/compile-schema.js';

writeFileSync(join(import.meta.dirname, '..', 'dist', 'src', 'config', 'schema-validator.cjs'), compiledSchemaSource());
