import type { TSchema } from '@sinclair/typebox';
import type { ErrorObject } from 'ajv';
import { schemaValidator } from './compiled-schema.ts';
import { nearest } from './problems.ts';
import type { ConfigPath } from './problems.ts';
import { EXPECTED, SECRET } from './schema-words.ts';
import { knownKeys, schemaTypes } from './tree.ts';
import type { ConfigurationTree } from './tree.ts';

/** Longest piece of a wrong value that a message repeats. */
const SHOWN_VALUE_LENGTH = 40;

/** Whether `tree` keeps to the schema. */
export function keepsToSchema(tree: ConfigurationTree): boolean {
  return schemaValidator()(tree.root);
}

/** Checks `tree` against the schema, reports each problem to it, once a place, and returns the places. */
export function validateTree(tree: ConfigurationTree): readonly ConfigPath[] {
  if (keepsToSchema(tree)) return [];
  const invalid: ConfigPath[] = [];
  for (const error of schemaValidator().errors ?? []) {
    const path = pathOf(error, tree);
    tree.report(path, messageOf(error, path, tree));
    invalid.push(path);
  }
  return invalid;
}

function pathOf(error: ErrorObject, tree: ConfigurationTree): ConfigPath {
  const path: (string | number)[] = [];
  for (const part of error.instancePath.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    path.push(Array.isArray(tree.get(path)) ? Number(key) : key);
  }
  if (error.keyword === 'additionalProperties') path.push(String(error.params['additionalProperty']));
  if (error.keyword === 'required') path.push(String(error.params['missingProperty']));
  return path;
}

function messageOf(error: ErrorObject, path: ConfigPath, tree: ConfigurationTree): string {
  const schema = error.parentSchema as TSchema;
  switch (error.keyword) {
    case 'additionalProperties': {
      const known = knownKeys(schema);
      const meant = nearest(String(path.at(-1)), known);
      return meant === null ? `unknown key; known here: ${known.join(', ')}` : `unknown key; did you mean ${meant}?`;
    }
    case 'required': {
      const property = (schema['properties'] as Record<string, TSchema>)[String(path.at(-1))];
      return `missing; give ${property === undefined ? 'a value' : expected(property)}`;
    }
    case 'uniqueItems':
      return 'names something twice';
    default:
      return `expected ${expected(schema)}, found ${found(error.data, schema[SECRET] === true, tree.isHidden(path))}`;
  }
}

function expected(schema: TSchema): string {
  const words: unknown = schema[EXPECTED];
  if (typeof words === 'string') return words;
  return schemaTypes(schema).includes('array') ? 'a list' : `a section with ${knownKeys(schema).join(', ')}`;
}

function found(value: unknown, isSecret: boolean, isHidden: boolean): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return value === null ? 'nothing' : 'a section';
  if (value === '') return 'an empty text';
  if (isSecret) return typeof value === 'string' ? 'another text' : `a ${typeof value}`;
  if (isHidden && typeof value === 'string') return 'another text';
  return JSON.stringify(typeof value === 'string' && value.length > SHOWN_VALUE_LENGTH ? `${value.slice(0, SHOWN_VALUE_LENGTH)}…` : value);
}
