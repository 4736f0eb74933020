import { type IncrementalTimes, type Spread, SPREADS } from './incremental.ts';
import type { Run } from './rounds.ts';
import type { ShapeName } from './shapes.ts';
import { median } from './statistics.ts';
import type { VariantName } from './variants.ts';

/** Rows of the `mixed` table for which the thresholds are meant. */
export const THRESHOLD_ROWS = 5_000_000;
const MEMORY_MAX_MB = 150;
const BYTES_PER_MIB = 1024 * 1024;
/** Paths that need neither the same engine nor the same version on both sides. */
const ANYWHERE = ['client', 'portable'];

/** Of a full sweep's time, what an incremental one may take. */
const INCREMENTAL_MAX: Readonly<Record<Spread, number>> = { neighbouring: 0.05, scattered: 0.25 };

/** One promise, what was measured, and whether it holds; null where something needed was not measured. */
export interface Threshold {
  readonly what: string;
  readonly wanted: string;
  readonly measured: string | null;
  readonly holds: boolean | null;
}

/** Median wall time of a tool on a case; null when it has no run. */
type Wall = (tool: string, shape: ShapeName, variant: VariantName) => number | null;

/** Every promise about a sweep's cost, judged by the medians of one benchmark. */
export function judge(runs: readonly Run[]): Threshold[] {
  const wall: Wall = (tool, shape, variant) => {
    const own = runs.filter((run) => run.tool === tool && run.subject.shape.name === shape && run.subject.variant === variant);
    return own.length === 0 ? null : median(own.map(({ usage }) => usage.wallS));
  };
  const auto = (shape: ShapeName, variant: VariantName): number | null => wall('lockstep auto', shape, variant);
  const identical = auto('mixed', 'identical');
  const faster = (what: string, peer: string, shape: ShapeName, variant: VariantName, times: number, ours: number | null = auto(shape, variant)): Threshold =>
    atLeast(`${what}: ${peer} / Lockstep`, wall(peer, shape, variant), ours, times);
  return [
    atMost('identical: Lockstep / limit', identical, wall('limit', 'mixed', 'identical'), 1.25),
    faster('identical', 'pg_comparator', 'mixed', 'identical', 3),
    faster('identical', 'reladiff', 'mixed', 'identical', 3.5),
    faster('identical', 'data-diff', 'mixed', 'identical', 5.5),
    atMost('d10: Lockstep / identical', auto('mixed', 'd10'), identical, 1.15),
    atMost('d5k: Lockstep / identical', auto('mixed', 'd5k'), identical, 2),
    faster('d5k', 'pg_comparator', 'mixed', 'd5k', 1.7),
    faster('d5k', 'reladiff', 'mixed', 'd5k', 7),
    atMost('block: Lockstep / identical', auto('mixed', 'block'), identical, 1.2),
    faster('block', 'pg_comparator', 'mixed', 'block', 3.5),
    faster('identical, the best path for any two engines', 'reladiff', 'mixed', 'identical', 1.6, bestAnywhere(runs, wall)),
    faster('uuid keys, identical', 'reladiff', 'uuid', 'identical', 3.5),
    faster('composite keys, identical', 'reladiff', 'composite', 'identical', 3.5),
    peakMemory(runs),
  ];
}

/** The promises about incremental sweeps, judged by medians. */
export function judgeIncremental({ full, incremental, updates }: IncrementalTimes): Threshold[] {
  const percent = (share: number, digits: number): string => `${(100 * share).toFixed(digits)} %`;
  return SPREADS.map((spread) => {
    const share = full.length === 0 || incremental[spread].length === 0 ? null : median(incremental[spread]) / median(full);
    return {
      what: `${updates[spread]} ${spread} updates: incremental / full`,
      wanted: `< ${percent(INCREMENTAL_MAX[spread], 0)}`,
      measured: share === null ? null : percent(share, 1),
      holds: share === null ? null : share < INCREMENTAL_MAX[spread],
    };
  });
}

function bestAnywhere(runs: readonly Run[], wall: Wall): number | null {
  const tools = new Set(runs.filter(({ strategy }) => strategy !== null && ANYWHERE.includes(strategy)).map(({ tool }) => tool));
  const walls = [...tools].map((tool) => wall(tool, 'mixed', 'identical')).filter((value) => value !== null);
  return walls.length === 0 ? null : Math.min(...walls);
}

function peakMemory(runs: readonly Run[]): Threshold {
  const peaks = runs.filter(({ tool }) => tool.startsWith('lockstep')).map(({ usage }) => usage.clientPeakMiB ?? 0);
  const most = peaks.length === 0 ? null : (Math.max(...peaks) * BYTES_PER_MIB) / 1e6;
  return {
    what: 'peak memory of `lockstep check`, any case and path',
    wanted: `< ${MEMORY_MAX_MB} MB`,
    measured: most === null ? null : `${most.toFixed(0)} MB`,
    holds: most === null ? null : most < MEMORY_MAX_MB,
  };
}

function atMost(what: string, value: number | null, base: number | null, most: number): Threshold {
  const ratio = value === null || base === null ? null : value / base;
  return { what, wanted: `≤ ${most}`, measured: ratio === null ? null : ratio.toFixed(2), holds: ratio === null ? null : ratio <= most };
}

function atLeast(what: string, value: number | null, base: number | null, least: number): Threshold {
  const ratio = value === null || base === null ? null : value / base;
  return { what, wanted: `≥ ${least}`, measured: ratio === null ? null : ratio.toFixed(2), holds: ratio === null ? null : ratio >= least };
}
