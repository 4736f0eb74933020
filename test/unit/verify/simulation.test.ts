import { describe, expect, it } from 'vitest';
import { World, type WorldOptions } from './memory/world.ts';

/** Histories of each kind; more with LOCKSTEP_HISTORIES. */
const HISTORIES = Number(process.env['LOCKSTEP_HISTORIES'] ?? 8);
const FIRST_SEED = Number(process.env['LOCKSTEP_SEED'] ?? 1);
const LOAD_MS = 6_000;
/** A history takes a tenth of a second; much longer on a busy machine. */
const LIMIT_MS = 120_000;

async function histories(options: Omit<WorldOptions, 'seed'>, tell: (world: World) => Promise<void>, count = HISTORIES): Promise<void> {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + count; seed++) {
    const world = new World({ ...options, seed });
    try {
      await tell(world);
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}\n${world.story()}`, { cause: error });
    } finally {
      world.end();
    }
  }
}

async function settle(world: World, limitMs = 40_000): Promise<void> {
  world.calm = true;
  for (let passed = 0; passed < limitMs; passed += 1_000) {
    await world.clock.pass(1_000, () => world.look());
    if (isSettled(world)) return;
  }
  const pending = [...(world.core?.pending.checksOf(world.pair.id) ?? [])].map(({ key, versions, suspected, hotRounds, attempts }) => ({ key, versions: versions.length, suspected, hotRounds, attempts }));
  throw new Error(`not settled: ${JSON.stringify(pending)}, sweep ${JSON.stringify(world.core?.sweeps.current())}`);
}

function isSettled(world: World): boolean {
  const last = world.log.at(-1)?.committedAtUs ?? 0n;
  const through = world.verifiedThroughUs();
  return world.core?.pending.size === 0 && through !== null && through > last && world.core.sweeps.current() === null;
}

/** Every row equal on both sides, and counted so. */
async function endsEqual(world: World): Promise<void> {
  await settle(world);
  expect(world.metrics.confirmed).toEqual([]);
  await world.clock.pass(7_000, () => world.look());
  const status = world.core?.verification.tableStatus(world.pair);
  expect(status?.rows).toEqual({ old: String(world.old.rows.size), new: String(world.new.rows.size) });
  expect(status?.lastCleanSweepMs).toBe(status?.lastSweepEndedMs);
  expect(world.state.checks.size).toBe(0);
}

describe('a correct pipeline', { timeout: LIMIT_MS }, () => {
  it.each<[string, Omit<WorldOptions, 'seed'>]>([
    ['whose sink tells how far it is', { sinkPauseMs: 5_000 }],
    ['whose sink is not known', { sinkKnown: false, sinkPauseMs: 400 }],
    ['whose deletes do not tell when they were made', { sinkPauseMs: 2_000, timeless: 'deletes' }],
    ['whose changes do not tell when they were made', { sinkKnown: false, sinkPauseMs: 400, timeless: 'all' }],
    ['of which half the keys are sampled', { sinkPauseMs: 2_000, sampleRatio: 0.5 }],
  ])('%s is never said to drift, and all settles', async (_name, options) => {
    await histories(options, async (world) => {
      await world.start();
      void world.load(LOAD_MS);
      await world.clock.pass(LOAD_MS, () => world.look());
      await endsEqual(world);
    });
  });

  it('lets sweeps end under keys that never rest', async () => {
    await histories({ sinkPauseMs: 300 }, async (world) => {
      await world.start();
      const hot = async (): Promise<void> => {
        for (let value = 0; !world.signal.aborted; value++) {
          await world.clock.sleep(15, world.signal);
          for (const key of ['k0', 'k1']) world.commit([{ key, row: [key, String(value), 'x'] }]);
        }
      };
      void hot();
      await world.clock.pass(25_000, () => world.look());
      expect(world.core?.verification.tableStatus(world.pair).lastSweepEndedMs).not.toBeNull();
      expect(world.verifiedThroughUs()).not.toBeNull();
      expect(world.metrics.confirmed).toEqual([]);
    }, Math.ceil(HISTORIES / 5));
  });

  it.each<[string, Omit<WorldOptions, 'seed'>]>([
    ['when Lockstep dies and starts again', {}],
    ['when Lockstep dies and starts again, deletes not telling when they were made', { timeless: 'deletes' }],
  ])('is never said to drift %s', async (_name, options) => {
    await histories({ sinkPauseMs: 2_000, ...options }, async (world) => {
      await world.start();
      void world.load(LOAD_MS);
      for (let death = 0; death < 3; death++) {
        await world.clock.pass(world.random.between(200, 2_500), () => world.look());
        world.kill();
        await world.clock.pass(world.random.between(0, 1_500));
        await world.start();
      }
      await world.clock.pass(LOAD_MS / 2, () => world.look());
      await endsEqual(world);
    });
  });
});

describe('a row that is deleted without a commit time and inserted again as it was', { timeout: LIMIT_MS }, () => {
  it.each<[string, Omit<WorldOptions, 'seed'>, boolean]>([
    ['the sink telling how far it is', { timeless: 'deletes' }, false],
    ['the sink not known', { timeless: 'deletes', sinkKnown: false }, false],
    ['the sink telling how far it is, across a death of Lockstep', { timeless: 'deletes' }, true],
    ['the sink not known, across a death of Lockstep', { timeless: 'deletes', sinkKnown: false }, true],
    ['nothing telling when it was made', { timeless: 'all' }, false],
    ['nothing telling when it was made, across a death of Lockstep', { timeless: 'all', sinkKnown: false }, true],
  ])('is not taken for applied before the sink has got to it: %s', async (_name, options, dying) => {
    await histories({ ...options, sweepsOnce: true, sinkPauseMs: 0, repeats: false }, async (world) => {
      const { random, clock } = world;
      await world.start();
      await settle(world);
      world.pausedSink = true;
      await clock.pass(100, () => world.look());
      const row = world.old.rows.get('k3')?.row ?? null;
      world.commit([{ key: 'k3', row: null }]);
      await clock.pass(random.between(0, 800), () => world.look());
      world.commit([{ key: 'k3', row }]);
      const inserted = world.log.at(-1);
      await clock.pass(random.between(300, 1_000), () => world.look());
      if (dying) {
        world.kill();
        await world.start();
        await clock.pass(random.between(0, 300), () => world.look());
      }
      world.fault = (change) => (change === inserted ? 'skip' : 'apply');
      world.pausedSink = false;
      await settle(world);
      expect([...(world.core?.book.all(world.pair.id) ?? [])].map(({ drift }) => [drift.key['id'], drift.kind])).toEqual([['k3', 'missing']]);
    }, Math.ceil(HISTORIES / 3));
  });
});

describe('a row written on the replica beside the pipeline', { timeout: LIMIT_MS }, () => {
  it('is called so where its commit time shows that every change was seen since', async () => {
    await histories({ sinkPauseMs: 300 }, async (world) => {
      await world.start();
      void world.load(LOAD_MS);
      await world.clock.pass(6_000, () => world.look());
      world.new.put(world.pair, ['z1', 'beside', 'x'], world.new.nowUs());
      world.new.put(world.pair, ['z2', 'timeless', 'x'], null);
      await settle(world);
      await world.clock.pass(7_000, () => world.look());
      await settle(world);
      const drift = [...(world.core?.book.all(world.pair.id) ?? [])].map((booked) => booked.drift);
      const causes = Object.fromEntries(drift.map((one) => [one.key['id'], [one.kind, one.cause?.code ?? null]]));
      expect(causes).toEqual({ z1: ['extra', 'written_beside'], z2: ['extra', null] });
    }, Math.ceil(HISTORIES / 3));
  });
});

describe('one fault', { timeout: LIMIT_MS }, () => {
  it.each<[string, boolean, boolean]>([
    ['is confirmed with its kind, alone, and resolved after repair', true, false],
    ['is confirmed where the sink is not known', false, false],
    ['is confirmed and resolved across deaths of Lockstep', true, true],
  ])('%s', async (_name, sinkKnown, dying) => {
    await histories({ sinkKnown, sinkPauseMs: 300 }, async (world) => {
      const { random } = world;
      const kind = random.of(['update', 'delete', 'insert', 'mangled', 'short-lived', 'there-and-back'] as const);
      const victim = kind === 'insert' || kind === 'short-lived' ? 'v9' : 'k3';
      await world.start();
      void world.load(LOAD_MS, new Set([victim]));
      const revive = async (): Promise<void> => {
        if (!dying) return;
        world.kill();
        await world.clock.pass(random.between(0, 500));
        await world.start();
      };
      await world.clock.pass(random.between(500, 3_000), () => world.look());
      const before = world.log.length;
      const value: Record<typeof kind, () => void> = {
        update: () => world.commit([{ key: victim, row: [victim, 'after', 'x'] }]),
        mangled: () => world.commit([{ key: victim, row: [victim, 'after', 'x'] }]),
        insert: () => world.commit([{ key: victim, row: [victim, 'after', 'x'] }]),
        delete: () => world.commit([{ key: victim, row: null }]),
        // The fault leaves what a state between left behind.
        'short-lived': () => world.commit([{ key: victim, row: [victim, 'after', 'x'] }, { key: victim, row: null }]),
        'there-and-back': () => world.commit([{ key: victim, row: [victim, 'between', 'x'] }, { key: victim, row: [victim, 'a', 'x'] }]),
      };
      value[kind]();
      const lost = world.log.slice(before).at(-1);
      world.fault = (change) => (change !== lost ? 'apply' : kind === 'mangled' ? [victim, 'aftre', 'x'] : 'skip');
      await world.clock.pass(random.between(50, 2_000), () => world.look());
      await revive();
      await settle(world);
      await revive();
      await settle(world);
      const expected = { update: ['stale', 'different'], mangled: ['different'], insert: ['missing'], delete: ['extra'], 'short-lived': ['extra'], 'there-and-back': ['stale', 'different'] }[kind];
      const drift = [...(world.core?.book.all(world.pair.id) ?? [])].map((booked) => booked.drift);
      expect(drift.map((one) => one.key['id'])).toEqual([victim]);
      expect(expected).toContain(drift[0]?.kind);
      // A restart forgets versions: then the cause may be unknown, but never another.
      const cause = { update: 'lost_update', mangled: null, insert: 'insert_lost', delete: 'delete_lost', 'short-lived': 'delete_lost', 'there-and-back': 'lost_update' }[kind];
      const named = drift[0]?.cause?.code ?? null;
      if (dying || drift[0]?.kind === 'different') expect([cause, null]).toContain(named);
      else expect(named).toBe(cause);
      expect(world.state.drift.size).toBe(1);
      expect([...world.state.drift.values()].filter((one) => one.drift.status === 'open')).toHaveLength(1);
      const right = world.old.rows.get(victim);
      if (right === undefined) world.new.rows.delete(victim);
      else world.new.put(world.pair, right.row);
      await world.clock.pass(5_000, () => world.look());
      expect(world.core?.book.size()).toBe(0);
      expect(world.metrics.resolved).toHaveLength(1);
      await settle(world);
      expect([...world.state.drift.values()].map((one) => one.drift.status)).toEqual(['resolved']);
    });
  });
});

describe('a key outside the sample', { timeout: LIMIT_MS }, () => {
  it('has its changes counted, makes no check, and its drift found by a sweep', async () => {
    await histories({ sampleRatio: 1e-9 }, async (world) => {
      await world.start();
      await world.clock.pass(500, () => world.look());
      world.commit([{ key: 'k3', row: ['k3', 'after', 'x'] }]);
      const lost = world.log.at(-1);
      world.fault = (change) => (change === lost ? 'skip' : 'apply');
      const counted = world.core?.stream?.changesConsumed ?? 0;
      while ((world.core?.stream?.changesConsumed ?? 0) === counted) await world.clock.pass(10);
      expect(world.core?.pending.get(world.pair.id, 'k3')?.origin).not.toBe('stream');
      await settle(world);
      const drift = [...(world.core?.book.all(world.pair.id) ?? [])].map((booked) => booked.drift);
      // A change that comes while a sweep suspects its row counts as the finder.
      expect(drift.map(({ key }) => Object.values(key))).toEqual([['k3']]);
      expect(world.core?.verification.tableStatus(world.pair)).toMatchObject({ coverage: 'sampled', sampleRatio: 1e-9 });
    });
  });
});

describe('an encoding that loses something on the way', { timeout: LIMIT_MS }, () => {
  it('is found by the sweep, and no later event of the same kind resolves it', async () => {
    await histories({ sinkPauseMs: 300 }, async (world) => {
      const victim = 'k3';
      world.encode = (row) => (row[0] === victim ? row.map((value) => value?.replace('before Christ', 'after') ?? null) : row);
      await world.start();
      void world.load(LOAD_MS, new Set([victim]));
      for (let round = 0; round < 4; round++) {
        world.commit([{ key: victim, row: [victim, `${round} before Christ`, 'x'] }]);
        await settle(world);
        await world.clock.pass(7_000, () => world.look());
        const drift = [...(world.core?.book.all(world.pair.id) ?? [])].map((booked) => booked.drift);
        expect(drift.map(({ key, status }) => ({ key: key['id'], status }))).toEqual([{ key: victim, status: 'open' }]);
      }
      expect(world.metrics.resolved).toEqual([]);
    });
  });
});

describe('records that cannot be decoded when they come', { timeout: LIMIT_MS }, () => {
  it.each<[string, Omit<WorldOptions, 'seed'>, boolean]>([
    ['and are retried', { sinkPauseMs: 3_000, sweepsOnce: true }, false],
    ['and are retried, the sink not known', { sinkKnown: false, sweepsOnce: true }, false],
    ['and are retried while sweeps go on', { sinkPauseMs: 2_000 }, false],
    ['and are retried across deaths of Lockstep', { sinkPauseMs: 2_000, sweepsOnce: true }, true],
    ['and are retried across deaths of Lockstep, none telling when it was made', { sinkPauseMs: 2_000, sweepsOnce: true, timeless: 'all' }, true],
    ['and are retried across deaths of Lockstep, deletes not telling when they were made', { sinkKnown: false, sweepsOnce: true, timeless: 'deletes' }, true],
  ])('%s: nothing is said to drift, all settles', async (_name, options, dying) => {
    await histories({ ...options, undecodable: 0.1 }, async (world) => {
      await world.start();
      void world.load(LOAD_MS);
      void world.retry();
      for (let death = 0; dying && death < 3; death++) {
        await world.clock.pass(world.random.between(200, 2_500), () => world.look());
        world.kill();
        await world.clock.pass(world.random.between(0, 1_500));
        await world.start();
      }
      await world.clock.pass(LOAD_MS, () => world.look());
      await settle(world);
      expect(world.metrics.confirmed).toEqual([]);
      await world.clock.pass(3_000, () => world.look());
      expect([...world.state.deadLetters.values()].filter(({ discharged }) => !discharged)).toEqual([]);
      expect(world.core?.verification.tableStatus(world.pair)).toMatchObject({ deadLetters: 0, missingEvidence: null, verifiedThroughHeldBy: null });
    }, Math.ceil(HISTORIES / 3));
  });

  it('hold verified-through for as long as nobody retries them and no sweep follows', async () => {
    await histories({ undecodable: 0.1, sweepsOnce: true }, async (world) => {
      await world.start();
      void world.load(LOAD_MS);
      await world.clock.pass(LOAD_MS, () => world.look());
      for (let death = 0; death < 2; death++) {
        world.kill();
        await world.start();
        await world.clock.pass(10_000, () => world.look());
      }
      const status = world.core?.verification.tableStatus(world.pair);
      expect(status?.deadLetters).toBe(world.state.deadLetters.size);
      if (world.state.deadLetters.size > 0) expect(status?.verifiedThroughHeldBy).toMatch(/could not be decoded/);
      expect(world.metrics.confirmed).toEqual([]);
    }, Math.ceil(HISTORIES / 3));
  });

  it.each<[string, Omit<WorldOptions, 'seed'>]>([
    ['are confirmed when they are retried', { sinkPauseMs: 300 }],
    ['are confirmed where the sink is not known', { sinkKnown: false }],
  ])('and that the sink lost %s, before a newer change or none', async (_name, options) => {
    await histories({ ...options, undecodable: 0.05, sweepsOnce: true }, async (world) => {
      const { random } = world;
      const victim = 'k3';
      const isRetriedFirst = random.chance(0.5);
      world.isLostToDecoder = (change) => change.key === victim && change.row?.[1] === 'lost';
      world.fault = (change) => (change.key === victim ? 'skip' : 'apply');
      await world.start();
      void world.load(LOAD_MS, new Set([victim]));
      await world.clock.pass(random.between(500, 3_000), () => world.look());
      world.commit([{ key: victim, row: [victim, 'lost', 'x'] }]);
      if (isRetriedFirst) void world.retry();
      await world.clock.pass(random.between(500, 2_000), () => world.look());
      if (random.chance(0.3)) {
        world.kill();
        await world.start();
      }
      if (random.chance(0.5)) world.commit([{ key: victim, row: [victim, 'newer', 'x'] }]);
      await world.clock.pass(random.between(500, 2_000), () => world.look());
      if (!isRetriedFirst) void world.retry();
      await world.clock.pass(LOAD_MS, () => world.look());
      await settle(world);
      const drift = [...(world.core?.book.all(world.pair.id) ?? [])].map((booked) => booked.drift);
      expect(drift.map((one) => one.key['id'])).toEqual([victim]);
      expect(['different', 'stale']).toContain(drift[0]?.kind);
    }, Math.ceil(HISTORIES / 3));
  });

  it('keep no other change from being seen applied, however many wait with them', async () => {
    await histories({ sinkKnown: false, sweepsOnce: true, repeats: false }, async (world) => {
      world.isLostToDecoder = (change) => change.key === 'm20';
      await world.start();
      await world.clock.pass(2_000, () => world.look());
      world.commit(Array.from({ length: 60 }, (_, index) => ({ key: `m${index}`, row: [`m${index}`, 'a', 'x'] })));
      await world.clock.pass(12_000, () => {
        world.look();
        expect(world.core?.health.has('sink_stopped')).toBe(false);
      });
      expect(world.core?.verification.tableStatus(world.pair)).toMatchObject({ pendingChecks: 0, deadLetters: 1 });
      void world.retry();
      await settle(world);
      expect(world.metrics.confirmed).toEqual([]);
    }, Math.ceil(HISTORIES / 5));
  });
});
