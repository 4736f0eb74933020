import { describe, expect, it } from 'vitest';
import { World, type WorldOptions } from './memory/world.ts';

const HISTORIES = Number(process.env['LOCKSTEP_HISTORIES'] ?? 12);
const FIRST_SEED = Number(process.env['LOCKSTEP_SEED'] ?? 1);
const LOAD_MS = 6_000;
const LIMIT_MS = 120_000;

async function histories(options: Omit<WorldOptions, 'seed'>, tell: (world: World) => Promise<void>, count = HISTORIES): Promise<void> {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + count; seed++) {
    const world = new World({ replicaSource: 'partly', ...options, seed });
    try {
      await tell(world);
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}\n${world.story()}`, { cause: error });
    } finally {
      world.end();
    }
  }
}

async function settle(world: World, limitMs = 60_000): Promise<void> {
  world.calm = true;
  for (let passed = 0; passed < limitMs; passed += 1_000) {
    await world.clock.pass(1_000, () => world.look());
    const last = world.log.at(-1)?.committedAtUs ?? 0n;
    const through = world.verifiedThroughUs();
    if (world.core?.pending.size === 0 && through !== null && through > last && world.core.sweeps.current() === null) return;
  }
  const pending = [...(world.core?.pending.checksOf(world.pair.id) ?? [])].map(({ key, versions, suspected, attempts }) => ({ key, versions: versions.length, suspected, attempts }));
  throw new Error(`not settled: ${JSON.stringify(pending)}`);
}

describe("with the replica's own events, a correct pipeline", { timeout: LIMIT_MS }, () => {
  it.each<[string, Omit<WorldOptions, 'seed'>]>([
    ['whose sink tells how far it is', { sinkPauseMs: 3_000 }],
    ['whose sink is not known', { sinkKnown: false }],
    ['some of whose changes do not tell when they were made', { timeless: 'deletes', sinkPauseMs: 1_000 }],
    ['some of whose records cannot be decoded', { undecodable: 0.02 }],
  ])('%s is never said to drift', async (_name, options) => {
    await histories(options, async (world) => {
      await world.start();
      void world.load(LOAD_MS);
      await world.clock.pass(LOAD_MS, () => world.look());
      if (options.undecodable !== undefined) void world.retry();
      await settle(world);
      expect(world.metrics.confirmed).toEqual([]);
      expect(world.metrics.paired).toBeGreaterThan(0);
    });
  });

  it('is never said to drift when Lockstep dies, or the events of either side come late', async () => {
    await histories({ sinkPauseMs: 1_000 }, async (world) => {
      await world.start();
      void world.load(LOAD_MS * 2);
      for (let death = 0; death < 3; death++) {
        world.pausedReplicaSource = world.random.chance(0.5);
        world.pausedSource = world.random.chance(0.3);
        await world.clock.pass(world.random.between(500, 3_000), () => world.look());
        world.pausedReplicaSource = false;
        world.pausedSource = false;
        if (world.random.chance(0.5)) continue;
        world.kill();
        await world.clock.pass(world.random.between(0, 1_500));
        await world.start();
      }
      await world.clock.pass(LOAD_MS, () => world.look());
      await settle(world);
      expect(world.metrics.confirmed).toEqual([]);
    });
  });

  it('is verified without reading the replica for most changes', async () => {
    await histories({ sinkPauseMs: 100, repeats: false, sweepsOnce: true }, async (world) => {
      await world.start();
      await settle(world);
      void world.load(LOAD_MS);
      await world.clock.pass(LOAD_MS, () => world.look());
      let reads = 0;
      world.new.trouble = (question) => {
        if (question === 'readRows') reads++;
      };
      const before = world.log.length;
      const change = async (): Promise<void> => {
        for (let value = 0; value < 60; value++) {
          await world.clock.sleep(100, world.signal);
          world.commit([{ key: `n${value}`, row: [`n${value}`, 'a', 'x'] }]);
        }
      };
      void change();
      await world.clock.pass(6_500, () => world.look());
      await settle(world);
      expect(world.log.length - before).toBeGreaterThanOrEqual(60);
      expect(reads).toBeLessThan(20);
    }, Math.ceil(HISTORIES / 3));
  });
});

describe('a write on the replica behind the back of the pipeline', { timeout: LIMIT_MS }, () => {
  it('is drift within seconds, with its transaction', async () => {
    await histories({ replicaSource: 'whole', sinkPauseMs: 300, sweepsOnce: true }, async (world) => {
      await world.start();
      const spared = new Set(['k1', 'k2', 'k3']);
      void world.load(LOAD_MS, spared);
      await world.clock.pass(LOAD_MS - 1_000, () => world.look());
      const written: [string, string][] = [];
      const write = (key: string, row: readonly string[] | null): void => {
        world.write(key, row);
        written.push([key, `${world.replicaLog.length}`]);
      };
      write('k1', ['k1', 'wrong', 'x']);
      write('k2', null);
      write('z9', ['z9', 'extra', 'x']);
      // The time of the confirm steps, and what the watermarks take.
      await world.clock.pass(6_000, () => world.look());
      const drift = [...(world.core?.book.all(world.pair.id) ?? [])].map(({ drift: one }) => one);
      expect(Object.fromEntries(drift.map((one) => [one.key['id'], [one.kind, one.foundBy, one.cause?.code ?? null, one.position?.txId]]))).toEqual({
        k1: ['different', 'stream', 'replica_write', written[0]?.[1]],
        k2: ['missing', 'stream', 'replica_write', written[1]?.[1]],
        z9: ['extra', 'stream', 'replica_write', written[2]?.[1]],
      });
      await settle(world);
    });
  });

  it('is found after a death of Lockstep that came before it was looked into', async () => {
    await histories({ sinkPauseMs: 300, sweepsOnce: true }, async (world) => {
      await world.start();
      await settle(world);
      world.write('k1', ['k1', 'wrong', 'x']);
      await world.clock.pass(world.random.between(50, 3_000));
      world.kill();
      await world.start();
      await world.clock.pass(10_000, () => world.look());
      expect([...(world.core?.book.all(world.pair.id) ?? [])].map(({ drift }) => [drift.key['id'], drift.kind])).toEqual([['k1', 'different']]);
    });
  });
});

it("is a finding, and nothing hangs, when the replica's stream stops", async () => {
  await histories({ sinkPauseMs: 100, sweepsOnce: true, repeats: false }, async (world) => {
    await world.start();
    await settle(world);
    void world.load(30_000);
    await world.clock.pass(5_000, () => world.look());
    world.pausedReplicaSource = true;
    await world.clock.pass(25_000, () => world.look());
    expect(world.core?.health.has('replica_stream_stopped')).toBe(true);
    await settle(world);
    world.pausedReplicaSource = false;
    await world.clock.pass(3_000, () => world.look());
    expect(world.core?.health.has('replica_stream_stopped')).toBe(false);
    expect(world.metrics.confirmed).toEqual([]);
  }, 3);
}, LIMIT_MS);

it('owes a sweep when the primary is turned round, keeps drift as it is by side, and says nothing false', async () => {
  await histories({ sinkPauseMs: 300, replicaSource: 'whole' }, async (world) => {
    await world.start();
    void world.load(LOAD_MS, new Set(['k2']));
    await world.clock.pass(LOAD_MS - 2_000, () => world.look());
    world.write('k2', null);
    world.write('z9', ['z9', 'extra', 'x']);
    await world.clock.pass(10_000, () => world.look());
    const ids = [...(world.core?.book.all(world.pair.id) ?? [])].map(({ drift }) => drift.id).sort();
    expect(ids).toHaveLength(2);
    world.kill();
    await world.start('new');
    expect(world.core?.verification.tableStatus(world.pair).verifiedThroughMs).toBeNull();
    await world.clock.pass(15_000);
    const status = world.core?.verification.tableStatus(world.pair);
    expect(status?.lastSweepEndedMs).not.toBeNull();
    const drift = [...(world.core?.book.all(world.pair.id) ?? [])].map(({ drift: one }) => one);
    expect(drift.map(({ id }) => id).sort()).toEqual(ids);
    expect(Object.fromEntries(drift.map((one) => [one.key['id'], [one.kind, one.old === null, one.new === null]]))).toEqual({ k2: ['extra', false, true], z9: ['missing', true, false] });
    // Sweeps suspect what drifts again and again.
    for (let passed = 0; passed < 20_000 && world.core?.pending.size !== 0; passed += 100) await world.clock.pass(100);
    expect(world.core?.pending.size).toBe(0);
  }, 4);
}, LIMIT_MS);
