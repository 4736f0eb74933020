import { qualifiedName } from '../domain/pair.ts';
import type { ColumnRules, Config } from './config.ts';
import { ConfigError } from './problems.ts';
import type { ConfigProblem } from './problems.ts';

/** Column rules that the schema knows and that cannot be followed yet, one line each; empty where there are none. */
export function unsupportedRules(config: Config): string[] {
  return unsupported(config).map((problem) => `${problem.path}: ${problem.message}`);
}

/** @throws ConfigError where a rule is set that cannot be followed yet: it would be silently ignored otherwise */
export function requireSupportedRules(config: Config): void {
  const problems = unsupported(config);
  if (problems.length > 0) throw new ConfigError(problems);
}

/** @throws ConfigError where no events are configured: `run` needs them, `check` does not */
export function requireStream(config: Config): void {
  if (config.events !== null) return;
  throw new ConfigError([
    {
      where: null,
      path: 'events',
      message: 'missing; run needs a change stream: set events.kafka or events.postgres (check works without)',
    },
  ]);
}

function unsupported(config: Config): ConfigProblem[] {
  return config.tables.flatMap((table, index) =>
    [...table.columns].flatMap(([column, rules]) =>
      rulesNotBuilt(rules).map((rule) => ({
        where: null,
        path: `tables[${index}].columns.${column}.${rule}`,
        message: `not supported yet (${qualifiedName(table.old)}); take it out, or set ignore: true for the column`,
      })),
    ),
  );
}

function rulesNotBuilt(rules: ColumnRules): string[] {
  if (rules.ignore) return [];
  const set: readonly (readonly [rule: string, isSet: boolean])[] = [
    ['sql', rules.sql !== null],
    ['precision', rules.precision !== null],
    ['tolerance', rules.tolerance !== null],
    ['case', rules.case === 'insensitive'],
    ['trim', rules.trim],
  ];
  return set.filter(([, isSet]) => isSet).map(([rule]) => rule);
}
