import { Option } from 'commander';
import type { Command } from 'commander';
import type { Config, DigestStrategy } from '../config/config.ts';
import { nearest } from '../config/problems.ts';
import { parseTableName } from '../config/table-name.ts';
import { LockstepError } from '../domain/errors.ts';
import type { CheckOutcome } from '../domain/outcome.ts';
import { qualifiedName } from '../domain/pair.ts';
import { CheckReport } from './check-report.ts';
import type { CheckFormat } from './check-report.ts';
import { createCheckProgress } from './check-progress.ts';
import type { CliContext, ExitCode } from './context.ts';
import { createLogger } from './logger.ts';
import { configOf, withConfigOptions } from './options.ts';
import type { ConfigOptions } from './options.ts';

interface Options extends ConfigOptions {
  readonly table?: readonly string[];
  readonly format: CheckFormat;
  readonly strategy: DigestStrategy | undefined;
}

const EXIT_CODES: Readonly<Record<CheckOutcome['verdict'], ExitCode>> = { match: 0, drift: 1, unknown: 3 };

/** `lockstep check`: one sweep, then exit. */
export function registerCheck(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  withConfigOptions(program.command('check'))
    .summary('one sweep of all or some tables, then exit')
    .description(
      'Compares the tables once and rechecks what differs until it is settled.\n' +
        'Exit code: 0 in parity, 1 drift found, 2 error, 3 unknown.',
    )
    .option('-t, --table <name...>', "only these tables, by old's name (default: all)")
    .addOption(new Option('--format <format>', 'how to print the result').choices(['text', 'json', 'ndjson']).default('text'))
    .addOption(
      new Option('--strategy <strategy>', 'how digests are taken (default: sweep.strategy)').choices([
        'auto',
        'fast',
        'portable',
        'client',
      ]),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ lockstep check
  $ lockstep check --table public.payments public.orders --format json
  $ lockstep check --format ndjson > drift.ndjson`,
    )
    .action(async (options: Options) => {
      const config = configOf(options, context);
      const tables = tablesOf(config, options.table ?? []);
      const logger = createLogger(config.log.level, context.stderr, context.env['LOCKSTEP_DEBUG'] === '1');
      const { runCheck } = context.application();
      const progress = createCheckProgress(context.stderr, tables.length === 0 ? config.tables.length : tables.length, () => performance.now());
      const { signal } = context;
      const report = new CheckReport(options.format, context.stdout);
      try {
        const outcome = await runCheck(config, {
          tables,
          strategy: options.strategy ?? config.sweep.strategy,
          signal,
          logger,
          onProgress: (update) => progress.update(update),
          onDrift: (drift) => report.drift(drift),
          drained: () => report.drained(),
        });
        progress.stop();
        report.finish(outcome);
        finish(EXIT_CODES[outcome.verdict]);
      } catch (error) {
        progress.stop();
        if (!signal.aborted) throw error;
        context.stderr.write('interrupted: nothing is known\n');
        finish(3);
      }
    });
}

/** Qualified names of the tables asked for, each of which must be configured. */
function tablesOf(config: Config, names: readonly string[]): string[] {
  const configured = config.tables.map((table) => qualifiedName(table.old));
  return names.map((name) => {
    const parsed = parseTableName(name);
    const qualified = parsed === null ? name : qualifiedName(parsed);
    if (configured.includes(qualified)) return qualified;
    const meant = nearest(qualified, configured);
    throw new LockstepError('unknown_table', `--table ${name}: no such table under tables`, {
      hint: meant === null ? `tables are: ${configured.join(', ')}` : `did you mean ${meant}?`,
    });
  });
}
