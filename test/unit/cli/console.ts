import type { Application, CliContext } from '../../../src/cli/context.ts';
import { runCommandLine } from '../../../src/cli/program.ts';

/** What one command line did. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const NOT_USED: Application = {
  runService: () => Promise.reject(new Error('runService is not expected here')),
  runCheck: () => Promise.reject(new Error('runCheck is not expected here')),
  migrateState: () => Promise.reject(new Error('migrateState is not expected here')),
};

/** Runs a command line in this process, with what it needs of the application given. */
export async function run(
  args: readonly string[],
  application: Partial<Application> = {},
  context: Partial<CliContext> = {},
): Promise<CommandResult> {
  let stdout = '';
  let stderr = '';
  const code = await runCommandLine(args, {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    env: {},
    signal: new AbortController().signal,
    onReload: () => () => undefined,
    application: () => ({ ...NOT_USED, ...application }),
    ...context,
  });
  return { code, stdout, stderr };
}
