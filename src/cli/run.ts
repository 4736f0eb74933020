import type { Command } from 'commander';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
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
        'SIGTERM or SIGINT stops it in order; a second one stops it at once. SIGHUP reads the configuration again and goes on\n' +
        'with it, such as with `primary: new` after the cutover. Logs are JSON lines on stderr.',
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
      const read = (): Config => {
        const config = configOf(options, context);
        requireStream(config);
        return config;
      };
      const logger = createLogger(read().log.level, context.stderr, context.env['LOCKSTEP_DEBUG'] === '1');
      let config = read();
      let before: Config | null = null;
      let reload = new AbortController();
      const unhook = context.onReload(() => reload.abort());
      try {
        for (;;) {
          let isReady = false;
          const running = config;
          try {
            await context.application().runService(running, {
              signal: AbortSignal.any([context.signal, reload.signal]),
              logger,
              version: packageVersion(),
              onReady: ({ url }) => {
                isReady = true;
                logger.info({ migration: running.migration, primary: running.primary, url }, 'ready');
              },
            });
          } catch (error) {
            // A start that is broken off for the next configuration may fail.
            const isBrokenOff = reload.signal.aborted && !isReady && !context.signal.aborted;
            if (!isBrokenOff) {
              if (before === null || isReady || context.signal.aborted) throw error;
              logger.error({ err: error }, 'the configuration that was read again does not work; going back to the one before');
              config = before;
              before = null;
              continue;
            }
          }
          if (context.signal.aborted || !reload.signal.aborted) break;
          reload = new AbortController();
          before = running;
          config = again(read, running, logger);
        }
      } finally {
        unhook();
      }
      finish(0);
    });
}

/** The configuration as it is now; the one that was in force where it cannot be used. */
function again(read: () => Config, before: Config, logger: Logger): Config {
  try {
    const config = read();
    logger.info({ primary: config.primary, before: before.primary }, 'the configuration was read again');
    return config;
  } catch (error) {
    logger.error({ err: error }, 'the configuration was read again and cannot be used; going on with the one before');
    return before;
  }
}
