import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Pair } from '../../../src/domain/pair.ts';
import { keyId, type RowKey } from '../../../src/domain/row.ts';
import type { StoredTouched } from '../../../src/verify/ports.ts';
import { rangesOf } from '../../../src/verify/touched-blocks.ts';
import { TouchedKeys, type TouchedScope } from '../../../src/verify/touched-keys.ts';
import { textPair } from './memory/samples.ts';

const TEXT = textPair('public.names', ['id', 'value']);
const WHOLE = wholePair('public.items');
const CHARS = 1_000_000;

function wholePair(id: string): Pair {
  const pair = textPair(id, ['id', 'value']);
  const int8 = { formatted: 'bigint', base: 'int8', kind: 'base' as const, array: false, precision: null, scale: null, length: null };
  const columns = pair.columns.map((column, index) => (index === 0 ? { ...column, old: { ...column.old, type: int8 }, new: { ...column.new, type: int8 } } : column));
  return { ...pair, columns };
}

/** A full sweep, over at once. */
function sweepFully(touched: TouchedKeys, pair: Pair): void {
  touched.ended(pair.id, 'full', touched.begin(pair.id, 'full', '').epoch);
}

function covers({ keys, ranges }: TouchedScope, key: RowKey): boolean {
  if (keys.some((one) => keyId(one) === keyId(key))) return true;
  return ranges.some(({ from, to }) => BigInt(key[0] as string) >= BigInt(from?.[0] as string) && BigInt(key[0] as string) < BigInt(to?.[0] as string));
}

/** What a state store gives back after these checkpoints. */
class Kept {
  private readonly tables = new Map<string, StoredTouched>();

  write(parts: readonly StoredTouched[]): void {
    for (const part of parts) {
      const before = part.rewritten === true ? [] : (this.tables.get(part.table)?.keys ?? []).filter(({ epoch }) => epoch >= (part.prunedBelow ?? 0));
      const keys = new Map([...before, ...part.keys].map((entry) => [keyId(entry.key), entry]));
      this.tables.set(part.table, { ...part, rewritten: false, prunedBelow: null, keys: [...keys.values()] });
    }
  }

  read(into: TouchedKeys): void {
    for (const table of this.tables.values()) into.restore(table);
  }
}

const anyKey = fc.oneof(fc.integer({ min: -40, max: 40 }).map(BigInt), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.integer({ min: 0, max: 5_000 }).map(BigInt)).map(String);
const anyStep = fc.oneof(
  { weight: 30, arbitrary: fc.record({ does: fc.constant('touch' as const), key: anyKey }) },
  { weight: 12, arbitrary: fc.record({ does: fc.constant('begin' as const), kind: fc.constantFrom('full' as const, 'incremental' as const) }) },
  // Which of the sweeps that have begun.
  { weight: 10, arbitrary: fc.record({ does: fc.constantFrom('end' as const, 'end' as const, 'end' as const, 'abandon' as const), which: fc.nat({ max: 1 }) }) },
  { weight: 9, arbitrary: fc.record({ does: fc.constantFrom('checkpoint' as const, 'failed checkpoint' as const, 'crash' as const) }) },
  { weight: 2, arbitrary: fc.constant({ does: 'lose' as const }) },
);

interface ModelSweep {
  readonly kind: 'full' | 'incremental';
  epoch: number;
  readonly before: ReadonlySet<string>;
  readonly again: Set<string>;
}

/** All of what an incremental sweep would go by, in any order. */
function stateOf(touched: TouchedKeys, pair: Pair): unknown {
  const { keys, ranges } = touched.scope(pair.id);
  return { needsFull: touched.needsFull(pair.id), keys: keys.map(keyId).sort(), ranges };
}

describe('touched keys', () => {
  it.each([TEXT, WHOLE])('miss nothing that was touched since a sweep compared it, across sweeps, bounds and crashes (%#)', (pair) => {
    let compared = 0;
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 40, maxLength: 120 }), fc.integer({ min: 4, max: 30 }), (steps, keys) => {
        const make = (): TouchedKeys => new TouchedKeys([pair], () => 'same', { keys, chars: CHARS });
        const kept = new Kept();
        let touched = make();
        sweepFully(touched, pair);
        kept.write(touched.drainChanges().touched);
        // The model: every key touched since a sweep last compared it; kept too while no full sweep stands.
        const since = new Map<string, RowKey>();
        // Two at most: one may end late, another having begun.
        let sweeps: ModelSweep[] = [];
        let sinceWritten: (() => void)[] = [];
        const happens = (event: () => void): void => {
          event();
          sinceWritten.push(event);
        };
        for (const step of steps) {
          switch (step.does) {
            case 'touch':
              happens(() => {
                touched.touch(pair, [step.key]);
                since.set(step.key, [step.key]);
                for (const { again } of sweeps) again.add(step.key);
              });
              break;
            case 'lose':
              happens(() => touched.lose(pair.id, 'a gap'));
              break;
            case 'begin':
              if (sweeps.length > 1 || (step.kind === 'incremental' && touched.needsFull(pair.id) !== null)) break;
              sweeps.push({ kind: step.kind, epoch: touched.begin(pair.id, step.kind, '').epoch, before: new Set(since.keys()), again: new Set() });
              break;
            case 'end': {
              const [sweep] = sweeps.splice(step.which, 1);
              if (sweep === undefined) break;
              touched.ended(pair.id, sweep.kind, sweep.epoch);
              if (touched.needsFull(pair.id) === null) for (const key of sweep.before) if (!sweep.again.has(key)) since.delete(key);
              break;
            }
            case 'abandon':
              if (sweeps.splice(step.which, 1).length === 0) break;
              touched.abandoned(pair.id);
              // What is no ground for anything is not kept.
              if (touched.needsFull(pair.id) !== null) expect(touched.count(pair.id)).toBe(0);
              break;
            case 'checkpoint': {
              kept.write(touched.drainChanges().touched);
              sinceWritten = [];
              const restored = make();
              kept.read(restored);
              // Exactly this: a key that is stored for longer is compared for ever.
              expect(stateOf(restored, pair)).toEqual(stateOf(touched, pair));
              break;
            }
            case 'failed checkpoint':
              touched.drainChanges().undo();
              break;
            case 'crash':
              // The stream goes on where the checkpoint stood; full sweeps too.
              touched = make();
              kept.read(touched);
              sweeps = sweeps.filter(({ kind }) => kind === 'full');
              for (const sweep of sweeps) sweep.epoch = touched.resume(pair.id, sweep.epoch, '') ?? Number.NaN;
              for (const again of sinceWritten) again();
              break;
          }
          if (touched.needsFull(pair.id) !== null) continue;
          compared++;
          expect(touched.count(pair.id)).toBeLessThanOrEqual(keys);
          const scope = touched.scope(pair.id);
          for (const key of since.values()) expect(covers(scope, key), `${key.join()} is missed`).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
    expect(compared).toBeGreaterThan(3_000);
  });

  it('become ranges where keys are whole numbers, and a full sweep where they are not', () => {
    const touched = new TouchedKeys([TEXT, WHOLE], () => '', { keys: 100, chars: CHARS });
    sweepFully(touched, WHOLE);
    for (let key = 0; key < 1_000; key++) touched.touch(WHOLE, [String(1_000_000 + key)]);
    expect(touched.needsFull(WHOLE.id)).toBeNull();
    const { scope } = touched.begin(WHOLE.id, 'incremental', '');
    expect(scope.keys).toEqual([]);
    expect(scope.ranges).toHaveLength(1);
    sweepFully(touched, TEXT);
    for (let key = 0; key < 101; key++) touched.touch(TEXT, [`k${key}`]);
    expect(touched.needsFull(TEXT.id)).toMatch(/more rows were touched/);
    sweepFully(touched, TEXT);
    expect(touched.needsFull(TEXT.id)).toBeNull();
  });

  it('are no ground for an incremental sweep when something was lost while the full sweep ran', () => {
    const touched = new TouchedKeys([TEXT], () => '');
    const { epoch } = touched.begin(TEXT.id, 'full', '');
    touched.lose(TEXT.id, 'a gap');
    touched.ended(TEXT.id, 'full', epoch);
    expect(touched.needsFull(TEXT.id)).toBe('a gap');
  });

  it('are no ground for one when a full sweep ends that began before the loss, another having begun since', () => {
    const touched = new TouchedKeys([TEXT], () => '');
    const early = touched.begin(TEXT.id, 'full', '');
    touched.lose(TEXT.id, 'a gap');
    const late = touched.begin(TEXT.id, 'full', '');
    touched.ended(TEXT.id, 'full', early.epoch);
    expect(touched.needsFull(TEXT.id)).toBe('a gap');
    touched.ended(TEXT.id, 'full', late.epoch);
    expect(touched.needsFull(TEXT.id)).toBeNull();
  });

  it('stay when a full sweep ends whose beginning no checkpoint held when the process was killed', () => {
    const kept = new Kept();
    const before = new TouchedKeys([TEXT], () => '');
    sweepFully(before, TEXT);
    kept.write(before.drainChanges().touched);
    const { epoch } = before.begin(TEXT.id, 'full', '');
    const after = new TouchedKeys([TEXT], () => '');
    kept.read(after);
    const resumed = after.resume(TEXT.id, epoch, '');
    after.touch(TEXT, ['k1']);
    after.ended(TEXT.id, 'full', resumed);
    expect(after.scope(TEXT.id).keys).toEqual([['k1']]);
  });

  it('are forgotten by the state store too when they were given up, although writing that failed at first', () => {
    const kept = new Kept();
    const touched = new TouchedKeys([TEXT], () => '');
    sweepFully(touched, TEXT);
    touched.touch(TEXT, ['k1']);
    kept.write(touched.drainChanges().touched);
    touched.lose(TEXT.id, 'a gap');
    touched.drainChanges().undo();
    kept.write(touched.drainChanges().touched);
    const restored = new TouchedKeys([TEXT], () => '');
    kept.read(restored);
    expect(restored.count(TEXT.id)).toBe(0);
  });

  it('are given up when the table was rewritten, or something else is compared than before', () => {
    const touched = new TouchedKeys([TEXT], () => 'a');
    sweepFully(touched, TEXT);
    const { touched: parts } = touched.drainChanges();
    expect(touched.isReshaped(TEXT.id, 'other')).toBe(true);
    touched.begin(TEXT.id, 'full', 'other');
    expect(touched.needsFull(TEXT.id)).toMatch(/altered or rewritten/);
    const later = new TouchedKeys([TEXT], () => 'b');
    for (const part of parts) later.restore(part);
    expect(later.needsFull(TEXT.id)).toMatch(/what is compared has changed/);
  });

  it('join the nearest ranges until there are few enough', () => {
    const ranges = rangesOf([5n, 1n, 2n, 900n, 40n], 3, 2);
    expect(ranges).toEqual([
      { from: ['8'], to: ['328'] },
      { from: ['7200'], to: ['7208'] },
    ]);
    expect(rangesOf([-1n, 0n], 6)).toEqual([{ from: ['-64'], to: ['64'] }]);
  });
});
