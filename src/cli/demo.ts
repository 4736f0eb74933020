import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { detectJava } from '../../test/stack/java.ts';
import { runDemo } from '../demo/demo.ts';
import { reportLines } from '../demo/report.ts';
import { createView } from '../demo/view.ts';
import type { CliContext, ExitCode } from './context.ts';
import { durationOption } from './options.ts';

/** More than one generator makes. */
const RATE_MAX = 5000;

interface Options {
  readonly source?: 'kafka' | 'postgres';
  readonly once?: boolean;
  readonly rate: number;
  readonly lagBudget: number;
  readonly settle: number;
  readonly pause?: number;
  readonly keep?: boolean;
}

/** `lockstep demo`: everything with nothing configured. */
export function registerDemo(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  program
    .command('demo')
    .summary('everything with nothing configured: two databases, a pipeline, load, planted drift, the service')
    .description(
      'Brings up two real PostgreSQLs, a real pipeline between them and the service, puts live load on old, makes new differ in known ways,\n' +
        'and reports what was found, how soon, what was not, and what was reported falsely. Leaves nothing behind.',
    )
    .addOption(new Option('--source <source>', 'pipeline to verify (default: kafka where Java 17+ and Maven are found, else postgres)').choices(['kafka', 'postgres']))
    .option('--once', 'run to a finished report; exit code 0 only if everything was found and nothing else was reported')
    .option('--rate <count>', 'transactions a second', rateOption, 100)
    .option('--lag-budget <duration>', 'lag budget of the service', durationOption, 2000)
    .option('--settle <duration>', 'how long a change may be on its way', durationOption, 5000)
    .option('--pause <duration>', 'how long the sink is held up (default: settle + 3s)', durationOption)
    .option('--keep', 'leave the folder with data and logs behind')
    .addHelpText(
      'after',
      `
Examples:
  $ lockstep demo
  $ lockstep demo --once
  $ lockstep demo --source postgres --rate 300`,
    )
    .action(async (options: Options) => {
      const source = options.source ?? chooseSource((line) => context.stderr.write(`${line}\n`));
      const result = await runDemo({
        source,
        rate: options.rate,
        lagBudgetMs: options.lagBudget,
        settleMs: options.settle,
        pauseMs: options.pause ?? Math.max(options.settle, options.lagBudget) + 3000,
        once: options.once === true,
        keepFolder: options.keep === true,
        signal: context.signal,
        view: createView(context.stderr),
      });
      context.stdout.write(`${reportLines(result).join('\n')}\n`);
      finish(result.passed ? 0 : 1);
    });
}

function rateOption(text: string): number {
  const rate = Number(text);
  if (!Number.isInteger(rate) || rate < 1 || rate > RATE_MAX) throw new InvalidArgumentError(`Expected a whole number from 1 to ${RATE_MAX}.`);
  return rate;
}

function chooseSource(say: (line: string) => void): 'kafka' | 'postgres' {
  const java = detectJava();
  if (java.ok) {
    say('source kafka: Java and Maven are here (--source postgres does without them)');
    return 'kafka';
  }
  say(`source postgres: ${java.reason}`);
  return 'postgres';
}
