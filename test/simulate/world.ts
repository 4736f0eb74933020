import { setMaxListeners } from 'node:events';
import { buildCore, type Core } from '../../src/app/core.ts';
import type { PairedDatabases } from '../../src/app/pairs.ts';
import type { Pipeline } from '../../src/app/pipeline.ts';
import type { Config } from '../../src/config/config.ts';
import { partitionId, type RowChange, type StreamPartition } from '../../src/domain/change.ts';
import type { Pair } from '../../src/domain/pair.ts';
import type { ImageValue, Row } from '../../src/domain/row.ts';
import type { Database } from '../../src/verify/ports.ts';
import { MemoryDatabase } from '../unit/verify/memory/memory-database.ts';
import { MemoryState, MemoryStore } from '../unit/verify/memory/memory-store.ts';
import { Random } from '../unit/verify/memory/random.ts';
import { CountingMetrics, hasher, textPair } from '../unit/verify/memory/samples.ts';
import { VirtualClock } from '../unit/verify/memory/virtual-clock.ts';
import { Life } from './life.ts';
import { SimulatedPipeline, type Applied, type Change, type Lane } from './pipeline.ts';
import type { Fault, Plan, PlannedChange, Transaction, Upset, Values } from './plan.ts';

/** Row `k0` to `k9`, as they are before anything happens. */
const BASE: Values = ['a', 'x'];

/** The world of one plan: a primary, a pipeline, a replica, a state store, and Lockstep over them, life after life. */
export class World {
  readonly plan: Plan;
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly pairs: readonly Pair[];
  readonly state = new MemoryState();
  readonly old: readonly MemoryDatabase[];
  readonly new: readonly MemoryDatabase[];
  readonly pipeline: SimulatedPipeline;
  /** By table and key: highest log position that the sink has applied rightly. */
  readonly applied = new Map<string, bigint>();
  /** By table and key: rows that the primary ever had. */
  readonly earlier = new Map<string, Set<string>>();
  core: Core | null = null;
  life: Life | null = null;
  /** When this life began. */
  bornAtMs = 0;
  deaths = 0;
  /** Writes of the fault that are still to come. */
  lateWrites = 0;
  /** The change that the pipeline spoils, once it is committed. */
  spoiled: Change | null = null;
  /** When the fault had its effect. */
  faultAtMs: number | null = null;
  failure: unknown = null;
  private readonly onBirth: () => void;
  private readonly rebalances: number[];
  private readonly changedAt = new Map<string, bigint>();

  constructor(plan: Plan, onBirth: () => void = () => undefined) {
    this.plan = plan;
    this.onBirth = onBirth;
    const { settings, seed } = plan;
    const { clock } = this;
    this.random = new Random(seed);
    const { random } = this;
    const delayMs = (): number => (random.chance(0.15) ? random.between(1, 4) : 0);
    this.pairs = Array.from({ length: settings.tables }, (_, table) => textPair(`public.t${table}`));
    this.old = this.pairs.map(() => new MemoryDatabase({ side: 'old', clock, offsetMs: settings.skewMs.old, delayMs }));
    this.new = this.pairs.map(() => new MemoryDatabase({ side: 'new', clock, offsetMs: settings.skewMs.new, delayMs }));
    for (const database of this.old) database.hasMarks = settings.marks.old;
    for (const database of this.new) database.hasMarks = settings.marks.new;
    this.state.writeMs = () => clock.sleep(random.between(0, 12));
    this.pipeline = new SimulatedPipeline({
      clock,
      random,
      settings,
      pairs: this.pairs,
      databases: { new: this.new },
      apply: (change) => this.howApplied(change),
      makesEvent: (change) => !(plan.fault?.kind === 'lost_event' && change === this.spoiled),
      onApplied: (change, how) => this.onApplied(change, how),
    });
    this.rebalances = this.pipeline.lanes.map(() => 0);
    for (const [table, pair] of this.pairs.entries()) {
      for (let index = 0; index < settings.rows; index++) {
        const row = rowOf(`k${index}`, BASE) as Row;
        this.old[table]?.put(pair, row);
        this.new[table]?.put(pair, row);
        this.note(table, `k${index}`, row);
      }
    }
    (this.old[0] as MemoryDatabase).progress = () => ({
      insertLsn: this.pipeline.lsn,
      slots: [{ name: 'source', plugin: 'pgoutput', active: true, confirmedFlushLsn: this.pipeline.confirmedLsn, receivedLsn: null, readerPid: 1, walStatus: 'reserved', restartLsn: this.pipeline.confirmedLsn, safeWalBytes: null }],
      slotWalLimitBytes: null,
    });
  }

  /** Sets all going that the plan holds. */
  begin(): void {
    const failed = (error: unknown): void => {
      this.failure ??= error;
    };
    this.pipeline.run().catch(failed);
    this.live().catch(failed);
    const { transactions, upsets, fault } = this.plan;
    this.inTurn(transactions.map((transaction, place) => ({ atMs: transaction.atMs, does: () => this.commit(transaction, place) }))).catch(failed);
    this.inTurn([...upsets].sort((one, other) => one.atMs - other.atMs).map((upset) => ({ atMs: upset.atMs, does: () => this.upset(upset) }))).catch(failed);
    if (fault?.kind === 'written') this.inTurn([{ atMs: fault.atMs, does: () => this.writeBehind(fault.victim) }]).catch(failed);
  }

  /** Lockstep lives, dies as planned, and lives again. */
  private async live(): Promise<void> {
    for (let life = 0; ; life++) {
      const crash = this.plan.crashes[life];
      await new Promise<void>((resolve, reject) => {
        this.start(crash?.step ?? Number.POSITIVE_INFINITY, resolve).catch(reject);
      });
      await this.clock.sleep(crash?.awayMs ?? 0);
    }
  }

  /** Ends the present life at once. */
  kill(): void {
    this.life?.end();
  }

  private async inTurn(turns: readonly { atMs: number; does: () => void }[]): Promise<void> {
    const beginMs = this.clock.nowMs();
    for (const { atMs, does } of turns) {
      await this.clock.sleep(beginMs + atMs - this.clock.nowMs());
      does();
    }
  }

  private async start(diesAt: number, onDeath: () => void): Promise<void> {
    const { pairs, state, plan } = this;
    const { settings } = plan;
    const life = new Life(this.clock, diesAt, () => {
      this.core = null;
      this.life = null;
      this.deaths++;
      onDeath();
    });
    this.life = life;
    this.bornAtMs = this.clock.nowMs();
    const store = life.of(new MemoryStore(state));
    const { signal } = new AbortController();
    setMaxListeners(0, signal);
    const lanes = (pair: Pair): readonly StreamPartition[] => this.pipeline.lanes.filter(({ table }) => pairs[table] === pair).map(({ partition }) => partition);
    const all = this.pipeline.lanes;
    const pipeline: Pipeline = {
      source: { run: () => Promise.resolve(), acknowledge: () => Promise.resolve(), partitionsOf: (pair, side) => (side === 'old' ? lanes(pair) : []), slotName: 'source' },
      offsets: life.of({
        endOffsets: () => Promise.resolve(new Map(all.map(({ partition, records }) => [partitionId(partition), BigInt(records.length)]))),
        appliedOffsets: () => Promise.resolve(new Map(settings.sinkKnown ? all.map(({ partition, committed }) => [partitionId(partition), BigInt(committed)]) : [])),
        heartbeatEnds: () => Promise.resolve(new Map()),
        sinkMembers: null,
      }),
      partitions: (pair, side) => (side === 'old' ? lanes(pair) : []),
      slotName: 'source',
      connectorOf: () => 'shop',
      topicsOf: () => new Set(pairs.map((pair) => pair.topic.old as string)),
      sharing: () => [],
      records: { decodeAgain: () => Promise.reject(new Error('nothing is undecodable')) },
      ordered: false,
      encodingFindings: () => [],
      close: () => Promise.resolve(),
    };
    const paired = {
      databases: { old: life.of(byTable(this.old, pairs)), new: life.of(byTable(this.new, pairs)) },
      pairs,
      findings: new Map(),
      replicaIdentity: new Map(),
      close: () => Promise.resolve(),
    } as unknown as PairedDatabases;
    const config = {
      migration: 'simulated',
      primary: 'old',
      events: null,
      samples: { values: 'full' },
      slo: { lagBudgetMs: 2_000, lagWindowMs: 60_000, slotWalBytes: null },
      settleMs: settings.settleMs,
      checks: { readBatch: 5, maxPending: settings.maxPending },
      sweep: { chunkRows: 3, concurrency: 1, maxRowsPerSecond: null, everyMs: null, strategy: 'auto', pause: { lagMs: 30_000, lockWaits: true, activeSessions: null } },
      gate: {},
      tables: [],
    } as unknown as Config;
    const core = await buildCore({ config, paired, pipeline, store, shelf: null, metrics: new CountingMetrics(), clock: life.clock, signal, onFinding: () => undefined, hasher });
    const progress = core.progress as NonNullable<Core['progress']>;
    await progress.measureSkew(signal);
    if (life.over) return;
    this.core = core;
    this.onBirth();
    const failed = (error: unknown): void => {
      if (!life.over) this.failure ??= error;
    };
    for (const running of [core.rechecker, core.checkpointer, progress]) running.run(signal).catch(failed);
    this.sweep(core, life, signal).catch(failed);
    for (const index of all.keys()) this.feed(core, life, index).catch(failed);
  }

  /** Full sweeps, one after the other. */
  private async sweep(core: Core, life: Life, signal: AbortSignal): Promise<void> {
    await core.sweeps.resume(signal);
    const tables = this.pairs.map(({ id }) => id);
    for (;;) {
      await core.sweeps.start(tables, signal)?.done;
      await life.clock.sleep(this.plan.settings.sweepEveryMs, signal);
    }
  }

  /** Lockstep's consumer of one partition. */
  private async feed(core: Core, life: Life, index: number): Promise<void> {
    const { random } = this;
    const lane = this.pipeline.lanes[index] as Lane;
    const { partition, records } = lane;
    const stream = core.stream as NonNullable<Core['stream']>;
    const turn = this.rebalances[index];
    stream.onAssigned([partition]);
    let next = Number(stream.resumeFrom([partition]).get(partitionId(partition)) ?? 0);
    let isFirst = true;
    for (;;) {
      if (next === records.length && !isFirst) await lane.grown.wait();
      await life.clock.sleep(random.chance(0.1) ? random.between(20, 90) : random.between(1, 20), new AbortController().signal);
      if (turn !== this.rebalances[index]) {
        stream.onRevoked();
        return this.feed(core, life, index);
      }
      const batch = records.slice(next, next + random.between(1, 8));
      const offset = next;
      next += batch.length;
      isFirst = false;
      await stream.onBatch({
        partition,
        records: batch.map((change, place) => this.decoded(change, partition, offset + place)),
        nextOffset: String(next),
        endOffset: String(records.length),
        completeThroughLsn: null,
      });
    }
  }

  private decoded(change: Change, partition: StreamPartition, offset: number): RowChange {
    const { row, before } = change;
    const { timeless, leavesOut } = this.plan.settings;
    const isLeftOut = leavesOut && row !== null && before !== null && row[2] === before[2] && change.lsn % 20n === 0n;
    const image: readonly ImageValue[] | null = row !== null && isLeftOut ? [row[0], row[1], undefined] : row;
    const isTimeless = timeless === 'all' || (timeless === 'deletes' && row === null);
    return {
      type: 'row',
      pair: this.pairs[change.table] as Pair,
      side: 'old',
      op: row === null ? 'delete' : before === null ? 'create' : 'update',
      key: [change.key],
      image,
      before: null,
      committedAtUs: isTimeless ? (this.old[0] as MemoryDatabase).nowUs() : change.committedAtUs,
      ...(isTimeless ? { commitTime: 'upper_bound' as const } : {}),
      snapshot: 'none',
      position: { ...partition, offset: String(offset), lsn: isTimeless ? null : change.lsn, txId: null },
    };
  }

  private commit({ changes }: Transaction, place: number): void {
    const { random, pipeline } = this;
    const nowUs = (this.old[0] as MemoryDatabase).nowUs();
    // Commit times are taken a little before the commit stands in the log; a key's changes wait for each other.
    let committedAtUs = nowUs - BigInt(random.between(0, 20)) * 1000n;
    for (const { table, key } of changes) {
      const last = this.changedAt.get(`${table} ${key}`) ?? 0n;
      if (committedAtUs <= last) committedAtUs = last + 1n;
    }
    const committed: Change[] = [];
    for (const { table, key, values } of changes) {
      const database = this.old[table] as MemoryDatabase;
      const before = database.row([key]);
      const row = rowOf(key, values);
      if (row === null && before === null) continue;
      pipeline.lsn += 10n;
      if (row === null) database.drop([key]);
      else database.put(this.pairs[table] as Pair, row, committedAtUs);
      this.note(table, key, row);
      this.changedAt.set(`${table} ${key}`, committedAtUs);
      committed.push({ table, key, row, before, committedAtUs, lsn: pipeline.lsn });
    }
    const { fault } = this.plan;
    if (fault !== null && fault.kind !== 'written' && fault.transaction === place) {
      this.spoiled = committed.find(({ table, key }) => table === fault.victim.table && key === fault.victim.key) ?? null;
      if (this.spoiled !== null) this.faultAtMs = this.clock.nowMs();
    }
    pipeline.commit(committed);
  }

  private upset({ what, table, forMs }: Upset): void {
    switch (what) {
      case 'connector_restarts':
        this.pipeline.connectorRestarts();
        break;
      case 'connector_pauses':
        this.pipeline.connectorPauses(forMs);
        break;
      case 'sink_restarts':
        this.pipeline.sinkRestarts(table);
        break;
      case 'sink_pauses':
        this.pipeline.sinkPauses(table, forMs);
        break;
      case 'consumer_rebalances':
        for (const [index, lane] of this.pipeline.lanes.entries()) {
          if (lane.table !== table) continue;
          this.rebalances[index] = (this.rebalances[index] ?? 0) + 1;
          lane.grown.open();
        }
    }
  }

  private writeBehind({ table, key, values }: PlannedChange): void {
    this.faultAtMs = this.clock.nowMs();
    this.pipeline.put(table, key, rowOf(key, values));
  }

  private howApplied(change: Change): Applied {
    const { fault } = this.plan;
    if (change !== this.spoiled || fault === null) return { is: 'right' };
    const { key, row, before } = change;
    switch (fault.kind) {
      case 'lost':
        return { is: 'left_out' };
      case 'stale':
        return { is: 'wrong', row: before };
      case 'mangled':
        return { is: 'wrong', row: row === null ? before : [key, 'm', row[2] as string] };
      case 'duplicated':
      case 'lost_event':
      case 'written':
        return { is: 'right' };
    }
  }

  private onApplied(change: Change, how: Applied): void {
    const id = `${change.table} ${change.key}`;
    // A fault may leave what is right by chance, as where a batch writes the last change of each key alone.
    const isThere = how.is === 'right' || JSON.stringify((this.new[change.table] as MemoryDatabase).row([change.key])) === JSON.stringify(change.row);
    if (isThere && (this.applied.get(id) ?? 0n) < change.lsn) this.applied.set(id, change.lsn);
    const { fault } = this.plan;
    if (change === this.spoiled && fault?.kind === 'duplicated') this.applyAgain(change, fault).catch((error: unknown) => (this.failure ??= error));
  }

  /** What the key was before is written once more, late. */
  private async applyAgain({ table, key, before }: Change, fault: Exclude<Fault, { kind: 'written' }>): Promise<void> {
    this.lateWrites++;
    await this.clock.sleep(fault.afterMs);
    this.faultAtMs = this.clock.nowMs();
    this.pipeline.put(table, key, before);
    this.lateWrites--;
  }

  private note(table: number, key: string, row: Row | null): void {
    const id = `${table} ${key}`;
    const rows = this.earlier.get(id) ?? new Set();
    rows.add(JSON.stringify(row));
    this.earlier.set(id, rows);
  }
}

export function rowOf(key: string, values: Values): Row | null {
  return values === null ? null : [key, ...values];
}

/** One database of several tables: what is asked of a table goes to that, and all else to the first. */
function byTable(databases: readonly MemoryDatabase[], pairs: readonly Pair[]): Database {
  const first = databases[0] as MemoryDatabase;
  const of = new Map(pairs.map((pair, table) => [pair.id, databases[table] as MemoryDatabase]));
  return new Proxy<Database>(first, {
    get: (_, name): unknown => {
      const value: unknown = Reflect.get(first, name, first);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        const asked = of.get((given[0] as Partial<Pair> | undefined)?.id ?? '') ?? first;
        return Reflect.apply(value, asked, given);
      };
    },
  });
}
