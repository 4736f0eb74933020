import { Command, CommanderError } from 'commander';
import { registerCheck } from './check.ts';
import { registerConfig } from './config.ts';
import type { CliContext, ExitCode } from './context.ts';
import { errorLines } from './error-lines.ts';
import { registerGate } from './gate.ts';
import { registerMigrate } from './migrate.ts';
import { registerRun } from './run.ts';
import { packageVersion } from './version.ts';

/**
 * Runs one command line. Never throws: what goes wrong is on stderr, in one clear line.
 *
 * @param args the arguments after the program's name
 * @returns the exit code
 */
export async function runCommandLine(args: readonly string[], context: CliContext): Promise<ExitCode> {
  const result: { code: ExitCode } = { code: 0 };
  const finish = (code: ExitCode) => {
    result.code = code;
  };
  try {
    const program = createProgram(context, finish);
    await registerDemo(program, args, context, finish);
    await program.parseAsync([...args], { from: 'user' });
    return result.code;
  } catch (error) {
    // Commander has said on stderr what is wrong with the arguments; help and version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    for (const line of errorLines(error, context.env['LOCKSTEP_DEBUG'] === '1')) context.stderr.write(`${line}\n`);
    return 2;
  }
}

function createProgram(context: CliContext, finish: (code: ExitCode) => void): Command {
  const program = new Command('lockstep')
    .description('Proves, continuously, that an old and a new database hold the same rows while a live system is moved between them.')
    .version(packageVersion())
    .exitOverride()
    .showHelpAfterError('(--help shows what there is)')
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void context.stderr.write(text),
      getOutHelpWidth: () => context.stdout.columns ?? 100,
      getErrHelpWidth: () => context.stderr.columns ?? 100,
    })
    .addHelpText(
      'after',
      `
Exit codes: 0 in parity, gate passes, done; 1 drift found, gate fails; 2 error; 3 unknown.

Examples:
  $ lockstep demo
  $ lockstep check -c lockstep.yaml
  $ lockstep run -c lockstep.yaml
  $ lockstep gate --phase canary`,
    );
  registerRun(program, context, finish);
  registerCheck(program, context, finish);
  registerGate(program, context, finish);
  registerConfig(program, context, finish);
  registerMigrate(program, context, finish);
  return program;
}

/** The demo is loaded only where it is asked for or listed: it is large, and nothing else may depend on it. */
async function registerDemo(program: Command, args: readonly string[], context: CliContext, finish: (code: ExitCode) => void): Promise<void> {
  const command = args.find((argument) => !argument.startsWith('-'));
  if (command !== undefined && command !== 'demo' && command !== 'help') return;
  try {
    const demo = await import('./demo.ts');
    demo.registerDemo(program, context, finish);
  } catch (error) {
    program
      .command('demo')
      .description('everything with nothing configured (not available here)')
      .allowUnknownOption()
      .action(() => {
        throw error;
      });
  }
}
