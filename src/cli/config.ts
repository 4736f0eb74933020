import { Option } from 'commander';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { redacted } from '../config/redact.ts';
import { configurationSchema } from '../config/compiled-schema.ts';
import type { CliContext, ExitCode } from './context.ts';
import { configOf, withConfigOptions } from './options.ts';
import type { ConfigOptions } from './options.ts';

interface Options extends ConfigOptions {
  readonly schema: boolean;
  readonly format: 'yaml' | 'json';
}

/** `lockstep config`: the effective configuration, or the schema. */
export function registerConfig(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  withConfigOptions(program.command('config'))
    .summary('prints the effective configuration, secrets redacted')
    .description('Prints what the file, the environment and the flags come to, defaults filled in and secrets as ***.')
    .addOption(new Option('--format <format>', 'how to print it').choices(['yaml', 'json']).default('yaml'))
    .option('--schema', 'prints the JSON Schema of the configuration file instead', false)
    .addHelpText(
      'after',
      `
Examples:
  $ lockstep config
  $ lockstep config -c payments.yaml --format json
  $ lockstep config --schema > lockstep.schema.json`,
    )
    .action((options: Options) => {
      if (options.schema) {
        context.stdout.write(`${JSON.stringify(configurationSchema, null, 2)}\n`);
      } else {
        const effective = redacted(configOf(options, context));
        context.stdout.write(
          options.format === 'json' ? `${JSON.stringify(effective, null, 2)}\n` : stringify(effective, { lineWidth: 0 }),
        );
      }
      finish(0);
    });
}
