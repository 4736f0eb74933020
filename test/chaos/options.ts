import { parseArgs } from 'node:util';

export const USAGE = `npm run chaos -- [--minutes 30] [--every 20s] [--seed S] [--faults a,b] [--rate 30] [--keep]
  Real databases, Kafka and Debezium, load, planted drift, and Lockstep; a random fault every so often; then every figure is checked.
  --minutes N   how long faults go on
  --every D     one fault every D (20s, 1m)
  --seed S      the same seed makes the same faults and plants in the same order; by default a new one, which is told
  --faults L    only these, with commas between; \`--faults help\` lists them
  --rate N      transactions a second on old
  --keep        leaves the folder with data and logs behind`;

export interface ChaosOptions {
  readonly minutes: number;
  readonly everyMs: number;
  readonly seed: number;
  /** Empty: all. */
  readonly faults: readonly string[];
  readonly transactionsPerSecond: number;
  readonly keep: boolean;
}

/** Reads the command line. @throws RangeError with what is wrong */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '30' },
      every: { type: 'string', default: '20s' },
      seed: { type: 'string' },
      faults: { type: 'string', default: '' },
      rate: { type: 'string', default: '30' },
      keep: { type: 'boolean', default: false },
    },
  });
  const number = (name: string, text: string, least: number): number => {
    const value = Number(text);
    if (!Number.isFinite(value) || value < least) throw new RangeError(`--${name} is a number from ${least} on, not ${text}`);
    return value;
  };
  const every = /^(\d+)(s|m)$/.exec(values.every);
  if (every === null) throw new RangeError(`--every is a duration such as 20s or 1m, not ${values.every}`);
  return {
    minutes: number('minutes', values.minutes, 0.1),
    everyMs: Number(every[1]) * (every[2] === 'm' ? 60_000 : 1_000),
    seed: values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : number('seed', values.seed, 0),
    faults: values.faults.split(',').filter((name) => name !== ''),
    transactionsPerSecond: number('rate', values.rate, 1),
    keep: values.keep,
  };
}
