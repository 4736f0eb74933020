import { editDistance } from '../domain/edit-distance.ts';
import { LockstepError } from '../domain/errors.ts';

/** Keys from the top of the configuration down; numbers are positions in lists. */
export type ConfigPath = readonly (string | number)[];

/** One thing that is wrong with the configuration. */
export interface ConfigProblem {
  /** `lockstep.yaml:12`, `LOCKSTEP_HTTP__PORT`, `--set http.port`; null where it has no place. */
  readonly where: string | null;
  /** `http.port`, `tables[0].old`; empty where it is about the whole. */
  readonly path: string;
  /** What is wrong and what to do; never a secret. */
  readonly message: string;
}

/** Everything that is wrong with a configuration, together. Code `config_invalid`. */
export class ConfigError extends LockstepError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super('config_invalid', problems.map(problemLine).join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** One line: where, what, what to do. */
export function problemLine(problem: ConfigProblem): string {
  return [problem.where, problem.path === '' ? null : problem.path, problem.message]
    .filter((part) => part !== null)
    .join(': ');
}

/** `['tables', 0, 'old']` as `tables[0].old`. */
export function pathText(path: ConfigPath): string {
  let text = '';
  for (const part of path) {
    text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`;
  }
  return text;
}

/** The known name that `name` was probably meant to be; null where none is close. */
export function nearest(name: string, known: readonly string[]): string | null {
  let best: string | null = null;
  // A third of the letters may be wrong, at least two.
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance && distance < candidate.length) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
