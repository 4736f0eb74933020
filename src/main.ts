#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';
import { errorLines } from './cli/error-lines.ts';
import { runCommandLine } from './cli/program.ts';

/** An orderly stop takes at most this long; then the process ends as it is, and the state store makes up for it. */
const STOP_GRACE_MS = 30_000;

const EXIT_ERROR = 2;

/**
 * A check runs beside whatever else its machine does, and what it holds at a time is little: the heap is collected when it has
 * doubled instead of grown several times over, and short-lived objects keep the space that they begin with. So small a
 * space is collected sooner by one thread than by several that wait for each other while the databases take the cores.
 * Most checks take seconds: only what is much used is worth compiling for speed.
 */
const CHECK_FLAGS = ['--heap-growing-percent=100', '--semi-space-growth-factor=1', '--no-parallel-scavenge', '--interrupt-budget=600000'];

if (process.argv[2] === 'check') for (const flag of CHECK_FLAGS) setFlagsFromString(flag);

const stop = new AbortController();

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) {
      process.stderr.write(`${signal} again: stopping at once\n`);
      process.exit(EXIT_ERROR);
    }
    stop.abort();
    setTimeout(() => {
      process.stderr.write(`error: not stopped after ${STOP_GRACE_MS / 1000} s; stopping at once\n`);
      process.exit(EXIT_ERROR);
    }, STOP_GRACE_MS).unref();
  });
}

for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    for (const line of errorLines(error, process.env['LOCKSTEP_DEBUG'] === '1')) process.stderr.write(`${line}\n`);
    process.exit(EXIT_ERROR);
  });
}

// Whoever reads may stop early (`| head`): the work goes on, and the exit code still tells.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const code = await runCommandLine(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: stop.signal,
  onReload: (reload) => {
    process.on('SIGHUP', reload);
    return () => process.off('SIGHUP', reload);
  },
  // Each command loads what it needs: a check is not to wait for the service's parts.
  application: () => ({
    runService: async (...asked) => (await import('./app.ts')).runService(...asked),
    runCheck: async (...asked) => (await import('./app/one-off-check.ts')).runCheck(...asked),
    migrateState: async (...asked) => (await import('./app.ts')).migrateState(...asked),
  }),
});
process.exit(code === 0 ? (process.exitCode ?? 0) : code);
