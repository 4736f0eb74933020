import type { TSchema } from '@sinclair/typebox';
import { parse } from 'yaml';
import { nearest, pathText } from './problems.ts';
import type { ConfigPath } from './problems.ts';
import { childSchema, coerceScalar, knownKeys, schemaTypes } from './tree.ts';
import type { ConfigurationTree, Origin, RawValue } from './tree.ts';
import type { Environment } from './yaml.ts';

const PREFIX = 'LOCKSTEP_';
const LEVELS = '__';

/** Variables of ours that are no configuration keys. */
const OTHER_VARIABLES: readonly string[] = ['debug', 'token'];

/**
 * Lays environment variables over `tree`: `LOCKSTEP_DATABASES__OLD__URL` sets `databases.old.url`. A name without `__`
 * that is no top-level key belongs to somebody else (Kubernetes sets `LOCKSTEP_PORT` for a service of that name) and
 * is left alone, unless it is nearly one.
 */
export function applyEnvironment(tree: ConfigurationTree, schema: TSchema, env: Environment): void {
  const names = Object.keys(env)
    .filter((name) => name.toUpperCase().startsWith(PREFIX) && env[name] !== undefined)
    .toSorted();
  for (const name of names) {
    const segments = name.slice(PREFIX.length).toLowerCase().split(LEVELS);
    const top = segments[0] ?? '';
    if (segments.length === 1 && !knownKeys(schema).includes(top)) {
      if (!OTHER_VARIABLES.includes(top) && isNearlyKnown(top, knownKeys(schema))) {
        const meant = nearest(top, knownKeys(schema)) ?? '';
        tree.problems.push({
          where: name,
          path: '',
          message: `no such setting; did you mean ${PREFIX}${meant.toUpperCase()}?`,
        });
      }
      continue;
    }
    applyValue(tree, schema, segments, env[name] ?? '', { label: name, layer: 'environment' }, (meant) =>
      `${PREFIX}${meant.join(LEVELS).toUpperCase()}`,
    );
  }
}

/** Lays flags over `tree`: dotted path (`http.port`, `tables.0.old`) → text. */
export function applyFlags(tree: ConfigurationTree, schema: TSchema, flags: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(flags)) {
    applyValue(tree, schema, path.split('.'), text, { label: `--set ${path}`, layer: 'flag' }, (meant) => meant.join('.'));
  }
}

function applyValue(
  tree: ConfigurationTree,
  schema: TSchema,
  segments: readonly string[],
  text: string,
  origin: Origin,
  spell: (path: readonly string[]) => string,
): void {
  const path: (string | number)[] = [];
  let current = schema;
  for (const [index, segment] of segments.entries()) {
    const key = schemaTypes(current).includes('array') && /^[0-9]{1,4}$/.test(segment) ? Number(segment) : segment;
    const next = key === '' ? undefined : childSchema(current, key);
    if (next === undefined || (typeof key === 'number' && key > listLength(tree, path))) {
      const meant = nearest(segment, knownKeys(current));
      tree.problems.push({
        where: origin.label,
        path: '',
        message:
          meant === null
            ? `no such setting${path.length === 0 ? '' : ` in ${pathText(path)}`}`
            : `no such setting; did you mean ${spell([...segments.slice(0, index), meant])}?`,
      });
      return;
    }
    path.push(key);
    current = next;
  }
  const other = alternativeOf(path);
  if (other !== null) tree.remove(other);
  tree.set(path, coerce(text, current));
  tree.mark(path, origin);
  tree.hide(path);
}

/** A secret's `_file`, or what a `_file` is for: the layer above replaces either. */
function alternativeOf(path: ConfigPath): ConfigPath | null {
  const last = path.at(-1);
  if (typeof last !== 'string') return null;
  return [...path.slice(0, -1), last.endsWith('_file') ? last.slice(0, -'_file'.length) : `${last}_file`];
}

function listLength(tree: ConfigurationTree, path: ConfigPath): number {
  const list = tree.get(path);
  return Array.isArray(list) ? list.length : 0;
}

function coerce(text: string, schema: TSchema): RawValue {
  const types = schemaTypes(schema);
  if ((types.includes('object') && text.startsWith('{')) || (types.includes('array') && text.startsWith('['))) {
    try {
      return parse(text, { maxAliasCount: 0 }) as RawValue;
    } catch {
      return text;
    }
  }
  if (types.includes('array')) {
    const items = childSchema(schema, 0);
    return text.split(',').map((item) => coerceScalar(item.trim(), items));
  }
  return coerceScalar(text, schema);
}

function isNearlyKnown(name: string, known: readonly string[]): boolean {
  const meant = nearest(name, known);
  return meant !== null && name.length >= 5 && meant.length >= 5;
}
