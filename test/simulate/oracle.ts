import type { Core } from '../../src/app/core.ts';
import type { Drift, DriftKind } from '../../src/domain/drift.ts';
import type { Row } from '../../src/domain/row.ts';
import type { MemoryDatabase } from '../unit/verify/memory/memory-database.ts';
import type { World } from './world.ts';

/** What was said and is not so, or what was not said. The numbers are those of docs/SPEC.md. */
export interface Problem {
  readonly invariant: 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'broke';
  readonly message: string;
}

export class Violation extends Error {
  readonly problem: Problem;

  constructor(invariant: Problem['invariant'], message: string) {
    super(`${invariant}: ${message}`);
    this.problem = { invariant, message };
  }
}

/** Knows the truth of a world, and holds what Lockstep says against it. */
export class Oracle {
  /** When the one fault was first found. */
  foundAtMs: number | null = null;
  private readonly world: World;
  /** By table: the highest verified-through that was ever told. */
  private readonly told = new Map<string, bigint>();
  private readonly stored = new Map<string, bigint>();

  constructor(world: World) {
    this.world = world;
  }

  /** Throws where something is said that is not so. */
  look(): void {
    const { world } = this;
    if (world.failure !== null) throw world.failure;
    for (const [table, pair] of world.pairs.entries()) {
      const stored = world.state.tables.get(pair.id)?.verifiedThroughUs ?? null;
      if (this.moved(this.stored, pair.id, stored, 'the stored verified-through')) this.holds(table, stored as bigint, (key) => this.storedDrift(table, key).length > 0);
    }
    const { core } = world;
    if (core === null) return;
    for (const [table, pair] of world.pairs.entries()) {
      const told = core.verification.verifiedThroughUs(pair.id);
      if (this.moved(this.told, pair.id, told, 'verified-through')) this.holds(table, told as bigint, (key) => core.book.get(pair.id, keyIdOf(core, table, key, world)) !== undefined);
      for (const { drift, key } of core.book.all(pair.id)) this.isOfFault(table, key[0] as string, drift);
    }
  }

  /** What is not settled yet; null when all is as it must be in the end. @param sweptSinceMs a sweep must have ended after this */
  unsettled(sweptSinceMs: number): string | null {
    const { world } = this;
    const { core, pipeline, state } = world;
    if (!pipeline.isIdle || world.lateWrites > 0) return 'the pipeline is at work';
    if (core === null) return 'Lockstep is away';
    if (core.pending.size > 0) return `${core.pending.size} checks are pending: ${this.pendingText(core)}`;
    for (const [table, pair] of world.pairs.entries()) {
      for (const key of this.keys(table)) {
        const differs = this.differs(table, key);
        const open = [...core.book.all(pair.id)].some((booked) => booked.key[0] === key);
        if (differs !== open) return differs ? `${pair.id} ${key} differs and is not called drift` : `${pair.id} ${key} agrees and is called drift`;
        if (this.storedDrift(table, key).length !== (differs ? 1 : 0)) return `the store has not the drift of ${pair.id} ${key}`;
      }
      const last = pipeline.log.at(-1)?.committedAtUs ?? 0n;
      const through = core.verification.verifiedThroughUs(pair.id);
      if (through === null || through <= last) return `verified-through of ${pair.id} stands: ${core.verification.tableStatus(pair).verifiedThroughHeldBy}`;
      const { lastSweepEndedMs } = core.verification.tableStatus(pair);
      if (lastSweepEndedMs === null || lastSweepEndedMs <= sweptSinceMs) return `${pair.id} is not swept`;
    }
    return state.checks.size > 0 ? 'the store holds checks' : null;
  }

  /** Whether the fault shows at present. */
  get isFaulty(): boolean {
    const { fault } = this.world.plan;
    return fault !== null && this.differs(fault.victim.table, fault.victim.key);
  }

  /** Checks kind, columns and key of what is open in the end. */
  judgeDrift(): void {
    const { world } = this;
    for (const [table, pair] of world.pairs.entries()) {
      for (const { drift, key } of (world.core as Core).book.all(pair.id)) {
        const kinds = this.kindsOf(table, key[0] as string);
        if (!kinds.includes(drift.kind)) throw new Violation('I5', `${pair.id} ${key[0]} is called ${drift.kind}, and is ${kinds.join(' or ')}`);
        const columns = this.columnsOf(table, key[0] as string, pair.columns.map(({ name }) => name));
        if (drift.columns.join() !== columns.join()) throw new Violation('I5', `${pair.id} ${key[0]}: columns ${drift.columns.join()} instead of ${columns.join()}`);
      }
    }
  }

  /** What is open, to be compared across a death. */
  openDrift(): string {
    return [...this.world.state.drift.values()]
      .filter(({ drift }) => drift.status === 'open')
      .map(({ drift, keyValues }) => `${drift.id} ${drift.table} ${keyValues.join()} ${drift.kind}`)
      .sort()
      .join('\n');
  }

  private moved(known: Map<string, bigint>, table: string, throughUs: bigint | null, what: string): boolean {
    const before = known.get(table);
    if (before !== undefined && (throughUs === null || throughUs < before)) throw new Violation('I3', `${what} of ${table} went back from ${before} to ${throughUs}`);
    if (throughUs === null || throughUs === before) return false;
    known.set(table, throughUs);
    return true;
  }

  private holds(table: number, throughUs: bigint, isDrift: (key: string) => boolean): void {
    const { world } = this;
    for (const change of world.pipeline.log) {
      if (change.table !== table || change.committedAtUs >= throughUs) continue;
      // Of a change without an event nobody knows before a sweep comes by; one that changes nothing is seen before it is there.
      if (world.plan.fault?.kind === 'lost_event' && change === world.spoiled) continue;
      if (JSON.stringify(change.row) === JSON.stringify(change.before)) continue;
      if ((world.applied.get(`${table} ${change.key}`) ?? 0n) >= change.lsn || isDrift(change.key)) continue;
      throw new Violation('I2', `verified-through ${throughUs} passed ${change.lsn} of ${change.key}, committed at ${change.committedAtUs}, neither applied nor drift`);
    }
  }

  /** Drift is said only of the row that the fault struck, once it has. */
  private isOfFault(table: number, key: string, drift: Drift): void {
    const { world } = this;
    const { fault } = world.plan;
    const is = fault !== null && world.faultAtMs !== null && fault.victim.table === table && fault.victim.key === key;
    if (!is) throw new Violation('I1', `${drift.table} ${key} is called ${drift.kind} at ${drift.confirmedAtMs}, found by ${drift.foundBy}: ${JSON.stringify(drift.old)} and ${JSON.stringify(drift.new)}`);
    if (this.foundAtMs === null && this.differs(table, key)) this.foundAtMs = world.clock.nowMs();
  }

  private kindsOf(table: number, key: string): readonly DriftKind[] {
    const { world } = this;
    const [primary, replica] = this.rows(table, key);
    const gap: readonly DriftKind[] = world.plan.fault?.kind === 'lost_event' ? ['stream_gap'] : [];
    if (replica === null) return ['missing', ...gap];
    if (primary === null) return ['extra', ...gap];
    if (world.earlier.get(`${table} ${key}`)?.has(JSON.stringify(replica)) !== true) return ['different', ...gap];
    return this.wasTold(table, key, replica) ? ['stale', ...gap] : ['stale', 'different', ...gap];
  }

  /** Whether Lockstep must know an earlier row of a key: its event came in this life and little has come since. */
  private wasTold(table: number, key: string, row: Row): boolean {
    const { deaths, pipeline, plan, spoiled } = this.world;
    if (deaths > 0 || plan.settings.leavesOut || spoiled === null || plan.fault?.kind === 'lost_event') return false;
    const before = pipeline.log.filter((change) => change.table === table && change.key === key && change.lsn < spoiled.lsn).at(-1);
    return before !== undefined && pipeline.log.at(-1) !== undefined && JSON.stringify(before.row) === JSON.stringify(row) && spoiled === this.lastOf(table, key);
  }

  private lastOf(table: number, key: string): unknown {
    return this.world.pipeline.log.filter((change) => change.table === table && change.key === key).at(-1);
  }

  private columnsOf(table: number, key: string, names: readonly string[]): readonly string[] {
    const [primary, replica] = this.rows(table, key);
    return primary === null || replica === null ? names : names.filter((_, index) => primary[index] !== replica[index]);
  }

  private rows(table: number, key: string): [Row | null, Row | null] {
    const { world } = this;
    return [(world.old[table] as MemoryDatabase).row([key]), (world.new[table] as MemoryDatabase).row([key])];
  }

  private differs(table: number, key: string): boolean {
    const [primary, replica] = this.rows(table, key);
    return JSON.stringify(primary) !== JSON.stringify(replica);
  }

  private keys(table: number): ReadonlySet<string> {
    const { world } = this;
    return new Set([world.old[table], world.new[table]].flatMap((database) => [...(database as MemoryDatabase).rows.values()].map(({ row }) => row[0] as string)));
  }

  private storedDrift(table: number, key: string): Drift[] {
    const { state, pairs } = this.world;
    return [...state.drift.values()].filter(({ drift, keyValues }) => drift.status === 'open' && drift.table === pairs[table]?.id && keyValues[0] === key).map(({ drift }) => drift);
  }

  private pendingText(core: Core): string {
    return this.world.pairs.flatMap(({ id }) => [...core.pending.checksOf(id)].map(({ key, versions, suspected, hotRounds }) => `${id} ${key.join()} ${versions.length} versions${suspected ? ', suspected' : ''}, hot ${hotRounds}`)).join('; ');
  }
}

function keyIdOf(core: Core, table: number, key: string, world: World): string {
  for (const booked of core.book.all(world.pairs[table]?.id as string)) if (booked.key[0] === key) return booked.id;
  return '';
}
