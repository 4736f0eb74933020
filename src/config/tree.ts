import type { TSchema } from '@sinclair/typebox';
import { pathText } from './problems.ts';
import type { ConfigPath, ConfigProblem } from './problems.ts';

/** Configuration values before they are validated. */
export type RawValue = null | string | number | boolean | RawValue[] | RawSection;

export interface RawSection {
  [key: string]: RawValue;
}

/** Where a value came from. */
export interface Origin {
  /** As problems show it. */
  readonly label: string;
  /** Paths given in the file are relative to its folder, others to the working folder. */
  readonly layer: 'file' | 'environment' | 'flag';
}

/** Layered configuration values with their origins, and the problems met so far. */
export class ConfigurationTree {
  readonly root: RawSection = {};
  readonly problems: ConfigProblem[] = [];
  readonly #origins = new Map<string, Origin>();
  /** Paths of values that came from variables: they may be secrets. */
  readonly #hidden = new Set<string>();

  /** Says where the value at `path` came from. */
  mark(path: ConfigPath, origin: Origin): void {
    this.#origins.set(JSON.stringify(path), origin);
  }

  /** Keeps the value at `path` out of messages. */
  hide(path: ConfigPath): void {
    this.#hidden.add(JSON.stringify(path));
  }

  isHidden(path: ConfigPath): boolean {
    return this.#hidden.has(JSON.stringify(path));
  }

  /** Origin of the value at `path`, or of the innermost section around it that has one. */
  origin(path: ConfigPath): Origin | null {
    for (let length = path.length; length >= 0; length--) {
      const origin = this.#origins.get(JSON.stringify(path.slice(0, length)));
      if (origin !== undefined) return origin;
    }
    return null;
  }

  /** Notes a problem, unless one is known at the same place or inside it: what is wrong once is said once. */
  report(path: ConfigPath, message: string): void {
    const place = pathText(path);
    const known = this.problems.some(
      (problem) => problem.path === place || problem.path.startsWith(`${place}.`) || problem.path.startsWith(`${place}[`),
    );
    if (!known) this.problems.push({ where: this.origin(path)?.label ?? null, path: place, message });
  }

  /** The value at `path`; undefined where there is none. */
  get(path: ConfigPath): RawValue | undefined {
    let current: RawValue | undefined = this.root;
    for (const part of path) {
      current = child(current, part);
      if (current === undefined) return undefined;
    }
    return current;
  }

  /** Puts `value` at `path`, making sections and lists on the way; what is in the way gives way. */
  set(path: ConfigPath, value: RawValue): void {
    let current: RawSection | RawValue[] = this.root;
    path.forEach((part, index) => {
      if (index === path.length - 1) {
        assign(current, part, value);
        return;
      }
      let next: RawValue | undefined = child(current, part);
      if (typeof next !== 'object' || next === null) {
        next = typeof path[index + 1] === 'number' ? [] : {};
        assign(current, part, next);
      }
      current = next;
    });
  }

  /** Takes a section's value at `path` away. */
  remove(path: ConfigPath): void {
    const parent = this.get(path.slice(0, -1));
    const key = path.at(-1);
    if (key !== undefined && isSection(parent)) delete parent[key];
  }
}

export function isSection(value: unknown): value is RawSection {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function child(value: RawValue | undefined, part: string | number): RawValue | undefined {
  if (Array.isArray(value)) return typeof part === 'number' ? value[part] : undefined;
  return isSection(value) && Object.hasOwn(value, part) ? value[part] : undefined;
}

function assign(target: RawSection | RawValue[], part: string | number, value: RawValue): void {
  Object.defineProperty(target, part, { value, writable: true, enumerable: true, configurable: true });
}

/** Schema of the value under `key` of a section or a list; undefined where the schema knows none. */
export function childSchema(schema: TSchema, key: string | number): TSchema | undefined {
  if (typeof key === 'number') return schema['items'] as TSchema | undefined;
  const properties = schema['properties'] as Record<string, TSchema> | undefined;
  if (properties !== undefined) return Object.hasOwn(properties, key) ? properties[key] : undefined;
  const patterns = schema['patternProperties'] as Record<string, TSchema> | undefined;
  return patterns === undefined ? undefined : Object.values(patterns)[0];
}

/** Names of a section's known keys. */
export function knownKeys(schema: TSchema): readonly string[] {
  return Object.keys((schema['properties'] as object | undefined) ?? {});
}

/** JSON Schema types that `schema` allows. */
export function schemaTypes(schema: TSchema): readonly string[] {
  const type = schema['type'] as string | readonly string[] | undefined;
  return type === undefined ? [] : typeof type === 'string' ? [type] : type;
}

/** `text` as the scalar that `schema` asks for; text where it asks for that or where it is no such scalar. */
export function coerceScalar(text: string, schema: TSchema | undefined): string | number | boolean {
  const types = schema === undefined ? [] : schemaTypes(schema);
  if (types.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  if ((types.includes('integer') || types.includes('number')) && /^-?[0-9]{1,15}(\.[0-9]{1,15})?(e-?[0-9]{1,3})?$/i.test(text)) {
    return Number(text);
  }
  return text;
}
