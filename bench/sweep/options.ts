import { parseArgs } from 'node:util';
import { type ShapeName, SHAPES } from './shapes.ts';
import { type VariantName, VARIANTS } from './variants.ts';

/** Tools by the names of `--tools`. */
export const TOOLS = ['lockstep', 'limit', 'reladiff', 'data-diff', 'pg_comparator'] as const;
export type ToolName = (typeof TOOLS)[number];

export const STRATEGIES = ['auto', 'fast', 'client', 'portable'] as const;
export type StrategyName = (typeof STRATEGIES)[number];
/** `fast` is what `auto` takes on this pair. */
const STRATEGIES_RUN: readonly StrategyName[] = ['auto', 'client', 'portable'];

const ROWS = 5_000_000;
/** Fewer leave no room for the differences of `d10`. */
const ROWS_MIN = 1_000;
const RUNS = 3;

export const USAGE = `npm run bench:sweep -- [options]
  --rows N             rows of the mixed table; uuid and composite have a fifth (${ROWS})
  --shapes A,B         of ${Object.keys(SHAPES).join(', ')} (all)
  --variants A,B       of ${VARIANTS.join(', ')} (all)
  --tools A,B          of ${TOOLS.join(', ')} (all)
  --strategies A,B     of ${STRATEGIES.join(', ')} (${STRATEGIES_RUN.join(',')})
  --runs K             rounds (${RUNS})
  --incremental        full and incremental sweeps of the mixed table by a running service, and nothing else
  --keep               leave the tables and the peers in the temporary folder for the next run
  --no-write           leave docs/BENCHMARKS.md alone`;

export interface Options {
  readonly rows: number;
  readonly shapes: readonly ShapeName[];
  readonly variants: readonly VariantName[];
  readonly tools: readonly ToolName[];
  readonly strategies: readonly StrategyName[];
  readonly runs: number;
  readonly incremental: boolean;
  readonly keep: boolean;
  readonly write: boolean;
}

/** Reads the command line. @throws RangeError or TypeError that says what is wrong with it */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: 'string' },
      shapes: { type: 'string' },
      variants: { type: 'string' },
      tools: { type: 'string' },
      strategies: { type: 'string' },
      runs: { type: 'string' },
      incremental: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      'no-write': { type: 'boolean', default: false },
    },
  });
  return {
    rows: wholeNumber('--rows', values.rows, ROWS, ROWS_MIN),
    shapes: listed('--shapes', values.shapes, Object.keys(SHAPES) as ShapeName[]),
    variants: listed('--variants', values.variants, VARIANTS),
    tools: listed('--tools', values.tools, TOOLS),
    strategies: values.strategies === undefined ? STRATEGIES_RUN : listed('--strategies', values.strategies, STRATEGIES),
    runs: wholeNumber('--runs', values.runs, RUNS, 1),
    incremental: values.incremental,
    keep: values.keep,
    write: !values['no-write'],
  };
}

function wholeNumber(flag: string, text: string | undefined, otherwise: number, least: number): number {
  const value = text === undefined ? otherwise : Number(text.replaceAll('_', ''));
  if (!Number.isSafeInteger(value) || value < least) throw new RangeError(`${flag}: a whole number of at least ${least}, not ${text}`);
  return value;
}

function listed<Name extends string>(flag: string, text: string | undefined, known: readonly Name[]): readonly Name[] {
  if (text === undefined) return known;
  return text.split(',').map((name) => {
    const found = known.find((candidate) => candidate === name);
    if (found === undefined) throw new RangeError(`${flag}: ${name} is none of ${known.join(', ')}`);
    return found;
  });
}
