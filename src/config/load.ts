import { readFileSync } from 'node:fs';
import type { TSchema } from '@sinclair/typebox';
import type { Config } from './config.ts';
import { applyEnvironment, applyFlags } from './overrides.ts';
import { ConfigError } from './problems.ts';
import type { ConfigPath, ConfigProblem } from './problems.ts';
import { fileErrorWords, resolveDocument } from './resolve.ts';
import { configurationSchema } from './compiled-schema.ts';
import type { ConfigurationDocument } from './schema.ts';
import { childSchema, ConfigurationTree } from './tree.ts';
import type { RawValue } from './tree.ts';
import { keepsToSchema, validateTree } from './validate.ts';
import { readYaml } from './yaml.ts';
import type { Environment } from './yaml.ts';

/** Looked for in the working folder where no other is named. */
export const DEFAULT_CONFIG_FILE = 'lockstep.yaml';

export interface ConfigSources {
  /** Path of the YAML file. */
  readonly file: string;
  /** `process.env`, or what stands for it. */
  readonly env: Environment;
  /** Dotted path (`http.port`) → text; they win over everything. */
  readonly flags: Readonly<Record<string, string>>;
}

/**
 * Loads, merges, validates and resolves the configuration: YAML < environment < flags.
 *
 * @throws ConfigError (`config_invalid`) with everything that is wrong, each with its place
 */
export function loadConfig(sources: ConfigSources): Config {
  const tree = new ConfigurationTree();
  readYaml(tree, configurationSchema, readConfigFile(sources.file), sources.file, sources.env);
  if (tree.problems.some((problem) => problem.path === '')) throw new ConfigError(tree.problems);
  tree.mark([], { label: sources.file, layer: 'file' });
  applyEnvironment(tree, configurationSchema, sources.env);
  applyFlags(tree, configurationSchema, sources.flags);
  const invalid = validateTree(tree);
  // The rest is looked at as well, so that everything wrong is said at once.
  for (const path of invalid) standIn(tree, path);
  if (invalid.length > 0 && !keepsToSchema(tree)) throw new ConfigError(inFileOrder(tree.problems));
  const config = resolveDocument(tree.root as ConfigurationDocument, tree, sources.file);
  if (tree.problems.length > 0) throw new ConfigError(inFileOrder(tree.problems));
  return config;
}

/** Puts the schema's example in place of what is invalid; takes it away where there is none. */
function standIn(tree: ConfigurationTree, path: ConfigPath): void {
  let schema: TSchema | undefined = configurationSchema;
  for (const key of path) schema = schema === undefined ? undefined : childSchema(schema, key);
  const example = (schema?.['examples'] as readonly RawValue[] | undefined)?.[0];
  if (example !== undefined) tree.set(path, structuredClone(example));
  else if (typeof path.at(-1) === 'number') standIn(tree, path.slice(0, -1));
  else tree.remove(path);
}

function inFileOrder(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  const line = (problem: ConfigProblem) => Number(/:([0-9]+)$/.exec(problem.where ?? '')?.[1] ?? Infinity);
  return problems.toSorted((left, right) => (line(left) === line(right) ? 0 : line(left) - line(right)));
}

function readConfigFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError([
      {
        where: file,
        path: '',
        message: `cannot read the configuration: ${fileErrorWords(error)}; name another with --config FILE`,
      },
    ]);
  }
}
