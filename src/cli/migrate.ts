import type { Command } from 'commander';
import type { CliContext, ExitCode } from './context.ts';
import { createLogger } from './logger.ts';
import { configOf, withConfigOptions } from './options.ts';
import type { ConfigOptions } from './options.ts';

/** `lockstep migrate`: brings the state store's schema up to date. */
export function registerMigrate(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  withConfigOptions(program.command('migrate'))
    .summary("brings the state store's schema up to date (also done by run)")
    .description("Applies the numbered migrations that the state store lacks. `run` does the same when it starts.")
    .addHelpText(
      'after',
      `
Examples:
  $ lockstep migrate
  $ lockstep migrate -c payments.yaml`,
    )
    .action(async (options: ConfigOptions) => {
      const config = configOf(options, context);
      const logger = createLogger(config.log.level, context.stderr, context.env['LOCKSTEP_DEBUG'] === '1');
      const { migrateState } = context.application();
      const { applied, current } = await migrateState(config, { signal: context.signal, logger });
      for (const name of applied) context.stdout.write(`applied ${name}\n`);
      context.stdout.write(`state store schema: ${current}${applied.length === 0 ? ', nothing to do' : ''}\n`);
      finish(0);
    });
}
