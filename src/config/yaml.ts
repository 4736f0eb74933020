import type { TSchema } from '@sinclair/typebox';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Node } from 'yaml';
import type { ConfigPath } from './problems.ts';
import { childSchema, coerceScalar } from './tree.ts';
import type { ConfigurationTree, RawSection, RawValue } from './tree.ts';

/** More values than any configuration has; stops aliases that multiply themselves. */
const MAX_VALUES = 50_000;
/** Deeper than any configuration; stops aliases that contain themselves. */
const MAX_DEPTH = 32;

/** Variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads YAML `text` into `tree`: lines become origins (`label:line`), `${VAR}` and `${VAR:-default}` in values are
 * expanded from `env` (`$${` stands for `${`), keys without a value count as absent. What is wrong is reported to the
 * tree.
 */
export function readYaml(tree: ConfigurationTree, schema: TSchema, text: string, label: string, env: Environment): void {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  // One mistake makes the parser stumble several times: the first is the one to mend.
  const [syntaxError] = document.errors;
  if (syntaxError !== undefined) {
    const { line } = lines.linePos(syntaxError.pos[0]);
    const hint = /[[{,:]\s*\$\{/.test(text.split('\n')[line - 1] ?? '') ? '; inside { } and [ ] quote variables: "${VAR}"' : '';
    tree.problems.push({ where: `${label}:${line}`, path: '', message: `not valid YAML: ${oneLine(syntaxError.message)}${hint}` });
    return;
  }
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    tree.problems.push({ where: label, path: '', message: 'the file is empty; see docs/configuration.md for an example' });
    return;
  }
  if (!isMap(document.contents)) {
    tree.problems.push({ where: `${label}:1`, path: '', message: 'expected keys such as migration:, databases:, tables:' });
    return;
  }
  const reader = new YamlReader(tree, document, lines, label, env);
  const root = reader.read(document.contents, [], schema) as RawSection;
  for (const [key, value] of Object.entries(root)) tree.set([key], value);
}

class YamlReader {
  readonly #tree: ConfigurationTree;
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #label: string;
  readonly #env: Environment;
  #values = 0;

  constructor(tree: ConfigurationTree, document: Document, lines: LineCounter, label: string, env: Environment) {
    this.#tree = tree;
    this.#document = document;
    this.#lines = lines;
    this.#label = label;
    this.#env = env;
  }

  read(node: Node, path: ConfigPath, schema: TSchema | undefined): RawValue {
    if (++this.#values > MAX_VALUES || path.length > MAX_DEPTH) {
      if (this.#values !== Infinity) this.#tree.report(path, 'too many or too deeply nested values');
      this.#values = Infinity;
      return null;
    }
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      return target === undefined ? null : this.read(target, path, schema);
    }
    if (isMap(node)) return this.#readSection(node.items, path, schema);
    if (isSeq(node)) {
      return node.items.map((item, index) => {
        const itemPath = [...path, index];
        this.#markAt(itemPath, item as Node);
        return this.read(item as Node, itemPath, schema === undefined ? undefined : childSchema(schema, index));
      });
    }
    const value: unknown = isScalar(node) ? node.value : null;
    if (typeof value === 'string') return this.#expand(value, path, schema);
    return typeof value === 'number' || typeof value === 'boolean' ? value : null;
  }

  #readSection(items: readonly { key: unknown; value: unknown }[], path: ConfigPath, schema: TSchema | undefined): RawSection {
    const own = new Map<string, RawValue>();
    const merged = new Map<string, RawValue>();
    for (const item of items) {
      const key = isScalar(item.key) ? String(item.key.value) : String(item.key);
      if (key === '<<' && item.value !== null) {
        const base = this.read(item.value as Node, path, schema);
        for (const section of Array.isArray(base) ? base : [base]) {
          if (typeof section === 'object' && section !== null && !Array.isArray(section)) {
            for (const [name, value] of Object.entries(section)) if (!merged.has(name)) merged.set(name, value);
          }
        }
        continue;
      }
      const keyPath = [...path, key];
      this.#markAt(keyPath, item.key as Node);
      const value =
        item.value === null
          ? null
          : this.read(item.value as Node, keyPath, schema === undefined ? undefined : childSchema(schema, key));
      // A key whose values are all commented out counts as absent.
      if (value !== null) own.set(key, value);
    }
    return Object.fromEntries([...merged, ...own]);
  }

  #markAt(path: ConfigPath, node: Node | null): void {
    const start = node?.range?.[0];
    if (start === undefined) return;
    this.#tree.mark(path, { label: `${this.#label}:${this.#lines.linePos(start).line}`, layer: 'file' });
  }

  #expand(text: string, path: ConfigPath, schema: TSchema | undefined): string | number | boolean {
    if (!text.includes('${')) return text;
    let expanded = false;
    const result = text.replaceAll(/\$\$\{|\$\{([^}]*)(\}?)/g, (match, inner: string | undefined, end: string) => {
      if (inner === undefined) return '${';
      const parts = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/.exec(inner);
      if (end === '' || parts === null) {
        this.#tree.report(path, 'expected ${NAME} or ${NAME:-default}; write $${ for a plain ${');
        return '';
      }
      const [, name = '', fallback] = parts;
      expanded = true;
      const value = this.#env[name];
      if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
      if (value === undefined) {
        this.#tree.report(path, `the environment variable ${name} is not set; set it or give a default: \${${name}:-…}`);
        return match;
      }
      return value;
    });
    if (!expanded) return result;
    this.#tree.hide(path);
    return coerceScalar(result, schema);
  }
}

function oneLine(message: string): string {
  return message.split('\n', 1)[0] ?? message;
}
