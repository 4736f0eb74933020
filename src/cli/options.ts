import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { DEFAULT_CONFIG_FILE, loadConfig } from '../config/load.ts';
import { parseDuration } from '../config/units.ts';
import type { CliContext } from './context.ts';

/** Options of every command that reads the configuration. */
export interface ConfigOptions {
  readonly config: string;
  readonly set?: Readonly<Record<string, string>>;
}

/** Adds `-c, --config` and `--set`. */
export function withConfigOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration file', DEFAULT_CONFIG_FILE)
    .option('--set <key=value>', 'override one setting, such as http.port=9090; may be repeated', collectSetting);
}

export function configOf(options: ConfigOptions, context: CliContext): Config {
  return loadConfig({ file: options.config, env: context.env, flags: options.set ?? {} });
}

/** Milliseconds of a duration option. */
export function durationOption(text: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new InvalidArgumentError('Expected a duration such as 500ms, 5s, 10m or 24h.');
  return ms;
}

function collectSetting(text: string, earlier: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const equals = text.indexOf('=');
  if (equals <= 0) throw new InvalidArgumentError('Expected key=value, such as http.port=9090.');
  return { ...earlier, [text.slice(0, equals)]: text.slice(equals + 1) };
}
