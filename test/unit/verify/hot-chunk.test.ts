import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyId } from '../../../src/domain/row.ts';
import { ClockSkew } from '../../../src/domain/clock-skew.ts';
import { HotChunk } from '../../../src/verify/hot-chunk.ts';
import { hotKeysWithin, type HotKey } from '../../../src/verify/hot-keys.ts';
import { HotLooks, type Look } from '../../../src/verify/hot-looks.ts';
import { PendingChecks } from '../../../src/verify/pending-checks.ts';
import type { KeyRange } from '../../../src/verify/ports.ts';
import type { ChunkFindings, Comparison } from '../../../src/verify/sweep-compare.ts';
import { MemoryDatabase } from './memory/memory-database.ts';
import { textPair } from './memory/samples.ts';
import { VirtualClock } from './memory/virtual-clock.ts';

const PAIR = textPair('public.items', ['id', 'value']);
const RANGE: KeyRange = { from: ['k'], to: ['l'] };
const POSITION = { topic: 't', partition: 0, offset: '1', lsn: null, txId: null };

/** A value; null: no row. */
type Value = string | null;

/** Two tables, and what becomes of them. */
class Tables {
  readonly clock = new VirtualClock();
  readonly old = new MemoryDatabase({ side: 'old', clock: this.clock });
  readonly new = new MemoryDatabase({ side: 'new', clock: this.clock });
  readonly comparison: Comparison = { sides: { old: this.old, new: this.new }, pair: PAIR, path: 'portable', signal: new AbortController().signal };

  set(side: 'old' | 'new', key: string, value: Value): void {
    if (value === null) this[side].rows.delete(keyId([key]));
    else this[side].put(PAIR, [key, value]);
  }

  look(keys: readonly HotKey[]): Promise<HotChunk> {
    return this.clock.until(HotChunk.look(this.comparison, RANGE, keys));
  }

  differ(key: string): boolean {
    return this.old.rows.get(keyId([key]))?.row[1] !== this.new.rows.get(keyId([key]))?.row[1];
  }
}

const hot = (key: string, sinceUs: number): HotKey => ({ key: [key], sinceUs: BigInt(sinceUs) });
const value = fc.constantFrom('a', 'b', 'c', null);
const anyRow = fc.record({
  /** What the stream knows of the row: nothing, its change before the look, or only after it; or a change that was made after the look. */
  known: fc.constantFrom('no', 'no', 'no', 'before', 'late', 'later') as fc.Arbitrary<'no' | 'before' | 'late' | 'later'>,
  old: value,
  new: value,
  /** A row of which no change is known is as it should be on the replica. */
  drifts: fc.boolean(),
  /** What old has of it once it has changed after the look. */
  next: value,
  /** The replica has applied what the look missed when the row is read by its key. */
  catchesUp: fc.boolean(),
});

describe('a chunk with its hot rows apart', () => {
  it('names each row that differs, no other one, and counts exactly, or says that it cannot', async () => {
    const outcomes = { atOnce: 0, later: 0, never: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(anyRow, { maxLength: 12 }), fc.boolean(), fc.boolean(), async (plan, anyDrift, anyCatchUp) => {
        const tables = new Tables();
        const keys = plan.map((_row, index) => `k${String(index).padStart(2, '0')}`);
        for (const [index, row] of plan.entries()) {
          const key = keys[index] as string;
          tables.set('old', key, row.old);
          tables.set('new', key, row.known === 'later' || (row.known === 'no' && !(anyDrift && row.drifts)) ? row.old : row.new);
        }
        const select = (known: string): string[] => keys.filter((_key, index) => plan[index]?.known === known);
        const differed = keys.filter((key) => tables.differ(key));
        const rows = [BigInt(tables.old.rows.size), BigInt(tables.new.rows.size)];
        const chunk = await tables.look(select('before').map((key) => hot(key, 1)));
        const hidden = differed.filter((key) => !select('before').includes(key));

        const atOnce = chunk.findings();
        expect(atOnce === null).toBe(hidden.length > 0);
        if (atOnce !== null) {
          outcomes.atOnce++;
          expect(atOnce.suspects.map(([key]) => key)).toEqual(differed);
          expect(atOnce.rows).toEqual(rows);
          const equal = keys.filter((key) => !differed.includes(key) && tables.old.rows.has(keyId([key])));
          expect(atOnce.equalRows).toBe(BigInt(equal.length));
          return;
        }

        for (const [index, row] of plan.entries()) {
          const key = keys[index] as string;
          if (row.known === 'later') tables.set('old', key, row.next);
          if (anyCatchUp && row.catchesUp && row.known === 'late') tables.set('new', key, row.old);
        }
        const news = [...select('late').map((key, index) => hot(key, 2 + index)), ...select('later').map((key, index) => hot(key, 1_000 + index))];
        expect(await tables.clock.until(chunk.hear([...select('before').map((key) => hot(key, 1)), ...news.toReversed()]))).toBe(news.length > 0);
        const later = chunk.findings();
        const explained = hidden.every((key) => select('late').includes(key) && tables.differ(key));
        expect(later !== null).toBe(explained);
        if (later === null) {
          outcomes.never++;
          return;
        }
        outcomes.later++;
        expect(new Set(later.suspects.map(([key]) => key))).toEqual(new Set(differed));
        expect(later.suspects.length).toBe(differed.length);
        expect(later.rows).toEqual(rows);
        // Every row is counted on both sides, or is a suspect, of which the recheck says what each side has.
        expect(later.equalRows + BigInt(differed.filter((key) => plan[keys.indexOf(key)]?.old !== null).length)).toBe(rows[0]);
      }),
      { numRuns: 2_000 },
    );
    for (const [outcome, times] of Object.entries(outcomes)) expect([outcome, times > 50]).toEqual([outcome, true]);
  });

  it('does not take a row that has changed again for an explanation', async () => {
    const tables = new Tables();
    tables.set('old', 'k1', 'b');
    tables.set('new', 'k1', 'a');
    const chunk = await tables.look([]);
    tables.set('old', 'k1', 'c');
    await tables.clock.until(chunk.hear([hot('k1', 1)]));
    expect(chunk.findings()).toBeNull();
  });
});

function pendingWith(keys: readonly string[]): PendingChecks {
  const pending = new PendingChecks([PAIR]);
  for (const [index, key] of keys.entries()) change(pending, key, BigInt(index + 1));
  return pending;
}

function change(pending: PendingChecks, key: string, committedAtUs: bigint, nowMs = 0): void {
  pending.addChange(PAIR, [key], { committedAtUs, lsn: null, hash: 1n, unknownColumns: [], position: POSITION }, nowMs, 0);
}

describe('a look at a chunk', () => {
  /** A chunk in which `k1` differs, looked at while another row is hot, and the wait for what explains it. */
  async function waiting(): Promise<{ tables: Tables; pending: PendingChecks; wait: () => Promise<{ found: ChunkFindings | null; tookMs: number }> }> {
    const tables = new Tables();
    const { clock, comparison } = tables;
    tables.set('old', 'k1', 'b');
    tables.set('new', 'k1', 'a');
    const pending = pendingWith(['k2']);
    const looks = new HotLooks({ primarySide: 'old', pending, skew: { old: new ClockSkew(), new: new ClockSkew() }, clock });
    const look = await clock.until(looks.look(comparison, RANGE));
    expect(look?.chunk.findings()).toBeNull();
    const beganMs = clock.nowMs();
    const wait = async (): Promise<{ found: ChunkFindings | null; tookMs: number }> => ({ found: await looks.waitForNews(comparison, look as Look), tookMs: clock.nowMs() - beganMs });
    return { tables, pending, wait };
  }

  it('waits for the change that explains it', async () => {
    const { tables, pending, wait } = await waiting();
    const { clock } = tables;
    const found = wait();
    await clock.pass(50);
    change(pending, 'k1', clock.nowUs() - 200_000n, clock.nowMs());
    expect(await clock.until(found)).toEqual({ found: { suspects: [['k1']], equalRows: 0n, rows: [1n, 1n] }, tookMs: 60 });
  });

  it('waits no longer once the stream has come past it, nor for ever', async () => {
    const { tables, pending, wait } = await waiting();
    const { clock } = tables;
    const found = wait();
    await clock.pass(50);
    change(pending, 'k3', clock.nowUs(), clock.nowMs());
    expect(await clock.until(found)).toEqual({ found: null, tookMs: 60 });
    const silent = await waiting();
    expect(await silent.tables.clock.until(silent.wait())).toEqual({ found: null, tookMs: 300 });
  });
});

describe('the hot keys of a range', () => {
  it('are those with a change, or a suspicion, without a verdict', () => {
    const pending = pendingWith(['a', 'k1', 'l', 'k2']);
    pending.suspect(PAIR, ['k3'], 'sweep', 0, null);
    expect(hotKeysWithin(pending, PAIR, RANGE)).toEqual({ keys: [hot('k1', 2), hot('k2', 4), hot('k3', 0)], newestUs: 4n });
    expect(hotKeysWithin(pending, PAIR, { from: ['x'], to: null })).toEqual({ keys: [], newestUs: 4n });
    change(pending, 'k4', 5n, 10);
    expect(hotKeysWithin(pending, PAIR, RANGE, 10)).toEqual({ keys: [hot('k4', 5)], newestUs: 5n });
  });

  it('are not told where no change is under way, or where they are too many', () => {
    const still = new PendingChecks([PAIR]);
    still.suspect(PAIR, ['k3'], 'sweep', 0, null);
    expect(hotKeysWithin(still, PAIR, RANGE)).toBeNull();
    expect(hotKeysWithin(pendingWith(Array.from({ length: 2_001 }, (_none, index) => `k${index}`)), PAIR, RANGE)).toBeNull();
    expect(hotKeysWithin(pendingWith(Array.from({ length: 3 }, (_none, index) => `k${index}${'x'.repeat(100_000)}`)), PAIR, RANGE)).toBeNull();
  });
});
