import type { Command } from 'commander';
import { requireStream } from '../config/requirements.ts';
import type { CliContext, ExitCode } from './context.ts';
import { createLogger } from './logger.ts';
import { configOf, withConfigOptions } from './options.ts';
import type { ConfigOptions } from './options.ts';
import { packageVersion } from './version.ts';

/** `lockstep run`: the service, until it is asked to stop. */
export function registerRun(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  withConfigOptions(program.command('run'))
    .summary('the service: verifies continuously, serves REST, metrics and the gate')
    .description(
      'Follows the change stream, sweeps the tables, and serves what it knows over HTTP.\n' +
        'SIGTERM or SIGINT stops it in order; a second one stops it at once. Logs are JSON lines on stderr.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ lockstep run
  $ lockstep run -c payments.yaml --set http.port=9090
  $ LOCKSTEP_DATABASES__OLD__URL=postgres://… lockstep run`,
    )
    .action(async (options: ConfigOptions) => {
      const config = configOf(options, context);
      requireStream(config);
      const logger = createLogger(config.log.level, context.stderr, context.env['LOCKSTEP_DEBUG'] === '1');
      const { runService } = context.application();
      await runService(config, {
        signal: context.signal,
        logger,
        version: packageVersion(),
        onReady: ({ url }) => logger.info({ migration: config.migration, url }, 'ready'),
      });
      finish(0);
    });
}
