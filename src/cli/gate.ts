import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Option } from 'commander';
import type { Command } from 'commander';
import { LockstepError, rootMessage } from '../domain/errors.ts';
import { PHASES } from '../domain/gate.ts';
import type { GateVerdict } from '../domain/gate.ts';
import type { CliContext, ExitCode } from './context.ts';
import { configOf, durationOption, withConfigOptions } from './options.ts';
import type { ConfigOptions } from './options.ts';

const DEFAULT_URL = 'http://127.0.0.1:8080';
/** A gate answers in milliseconds; whoever takes this long is not there. */
const REQUEST_TIMEOUT_MS = 10_000;
/** How often `--wait` asks again. */
const POLL_MS = 1_000;
/** Longest piece of an unexpected answer that is shown. */
const SHOWN_ANSWER_LENGTH = 200;

const EXIT_CODES: Readonly<Record<GateVerdict, ExitCode>> = { pass: 0, fail: 1, unknown: 3 };

interface Options extends ConfigOptions {
  readonly url?: string;
  readonly phase?: string;
  readonly wait?: number;
  readonly tokenFile?: string;
  readonly format: 'text' | 'json';
}

interface GateAnswer {
  readonly verdict: GateVerdict;
  readonly action: string;
  readonly phase: string;
  readonly reasons: readonly {
    readonly code: string;
    readonly table: string | null;
    readonly message: string;
    readonly observed: string | number | null;
    readonly limit: string | number | null;
  }[];
}

/** `lockstep gate`: asks a running service whether traffic may move. */
export function registerGate(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  const command = withConfigOptions(program.command('gate'))
    .summary('asks a running service whether traffic may move')
    .description(
      'Prints verdict and reasons. Exit code: 0 pass, 1 fail, 2 the service cannot be asked, 3 unknown.\n' +
        'The token comes from LOCKSTEP_TOKEN or --token-file. With -c, URL and token come from that configuration.',
    )
    .option('--url <url>', `where the service listens (default: ${DEFAULT_URL})`)
    .addOption(new Option('--phase <phase>', 'the phase to enter (default: the one the service is in)').choices(PHASES))
    .option('--wait <duration>', 'ask again until it passes, at most this long', durationOption)
    .option('--token-file <file>', 'file that holds the bearer token')
    .addOption(new Option('--format <format>', 'how to print the answer').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      `
Examples:
  $ lockstep gate
  $ lockstep gate --phase canary --wait 10m
  $ LOCKSTEP_TOKEN=… lockstep gate --url https://lockstep.internal --format json`,
    );
  command.action(async (options: Options) => {
    const fromConfig = command.getOptionValueSource('config') === 'default' ? null : configOf(options, context).http;
    const base = options.url ?? (fromConfig === null ? DEFAULT_URL : serviceUrl(fromConfig.host, fromConfig.port));
    const url = gateUrl(base, options.phase);
    const token = tokenOf(options, context) ?? fromConfig?.tokens.read ?? fromConfig?.tokens.operate ?? null;
    const deadlineMs = performance.now() + (options.wait ?? 0);
    for (;;) {
      const left = () => deadlineMs - performance.now();
      try {
        const answer = await ask(url, token, context.signal);
        if (answer.verdict === 'pass' || left() <= 0) {
          context.stdout.write(options.format === 'json' ? `${JSON.stringify(answer, null, 2)}\n` : gateText(answer));
          finish(EXIT_CODES[answer.verdict]);
          return;
        }
      } catch (error) {
        if (context.signal.aborted) break;
        if (!(error instanceof LockstepError) || error.retry === 'final' || left() <= 0) throw error;
      }
      await sleep(Math.max(0, Math.min(POLL_MS, left())), undefined, { signal: context.signal }).catch(() => undefined);
      if (context.signal.aborted) break;
    }
    context.stderr.write('interrupted: nothing is known\n');
    finish(3);
  });
}

async function ask(url: URL, token: string | null, signal: AbortSignal): Promise<GateAnswer> {
  const about = { url: `${url.origin}${url.pathname}` };
  let response: Response;
  let body: string;
  try {
    response = await fetch(url, {
      headers: { accept: 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
      signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
    });
    body = await response.text();
  } catch (error) {
    throw new LockstepError('service_unreachable', `the service does not answer: ${rootMessage(error)}`, {
      retry: signal.aborted ? 'final' : 'retry',
      cause: error,
      about,
      hint: 'is `lockstep run` up, and is --url where it listens?',
    });
  }
  if (response.status === 401 || response.status === 403) {
    throw new LockstepError('unauthorized', `the service refuses the token (HTTP ${response.status})`, {
      about,
      hint: 'set LOCKSTEP_TOKEN or --token-file',
    });
  }
  const answer = readAnswer(body);
  if (response.status === 200 && answer !== null) return answer;
  throw new LockstepError('unexpected_answer', `the service answers HTTP ${response.status}: ${problemText(body)}`, {
    retry: response.status >= 500 ? 'retry' : 'final',
    about,
  });
}

function readAnswer(body: string): GateAnswer | null {
  const answer = parseJson(body);
  if (typeof answer !== 'object' || answer === null || !('verdict' in answer)) return null;
  const { verdict, reasons } = answer as Partial<GateAnswer>;
  return (verdict === 'pass' || verdict === 'fail' || verdict === 'unknown') && Array.isArray(reasons)
    ? (answer as GateAnswer)
    : null;
}

function problemText(body: string): string {
  const problem = parseJson(body);
  if (typeof problem === 'object' && problem !== null) {
    const { detail, title } = problem as { detail?: unknown; title?: unknown };
    if (typeof detail === 'string') return detail;
    if (typeof title === 'string') return title;
  }
  return body === '' ? 'no body' : body.slice(0, SHOWN_ANSWER_LENGTH);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

function gateText(answer: GateAnswer): string {
  const lines = [`${answer.verdict}: ${answer.action} (phase ${answer.phase})`];
  for (const reason of answer.reasons) {
    const table = reason.table === null ? '' : `${reason.table}: `;
    lines.push(`  ${reason.code}: ${table}${reason.message}`);
  }
  return `${lines.join('\n')}\n`;
}

function gateUrl(base: string, phase: string | undefined): URL {
  const withSlash = base.endsWith('/') ? base : `${base}/`;
  if (!/^https?:\/\//.test(base) || !URL.canParse(withSlash)) {
    throw new LockstepError('bad_url', '--url: expected an http:// or https:// URL', { hint: `such as ${DEFAULT_URL}` });
  }
  const url = new URL('v1/gate', withSlash);
  if (phase !== undefined) url.searchParams.set('phase', phase);
  return url;
}

/** URL under which this machine reaches a service that listens on `host`. */
function serviceUrl(host: string, port: number): string {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

function tokenOf(options: Options, context: CliContext): string | null {
  if (options.tokenFile === undefined) {
    const token = context.env['LOCKSTEP_TOKEN'];
    return token === undefined || token === '' ? null : token;
  }
  try {
    return readFileSync(options.tokenFile, 'utf8').trim();
  } catch (error) {
    throw new LockstepError('token_file', `--token-file: cannot read ${options.tokenFile}`, { cause: error });
  }
}
