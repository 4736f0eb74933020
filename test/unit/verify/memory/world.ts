import { setMaxListeners } from 'node:events';
import type { PairedDatabases } from '../../../../src/app/pairs.ts';
import type { Pipeline } from '../../../../src/app/pipeline.ts';
import { buildCore, type Core } from '../../../../src/app/core.ts';
import type { Config } from '../../../../src/config/config.ts';
import { partitionId, type RowChange, type StreamPartition, type Undecodable } from '../../../../src/domain/change.ts';
import type { ImageValue, Row } from '../../../../src/domain/row.ts';
import { LockstepError } from '../../../../src/domain/errors.ts';
import { MemoryDatabase } from './memory-database.ts';
import { MemoryState, MemoryStore } from './memory-store.ts';
import { Random } from './random.ts';
import { CountingMetrics, textPair } from './samples.ts';
import { VirtualClock } from './virtual-clock.ts';

/** One committed change of one row on the primary. */
export interface Change {
  readonly key: string;
  readonly row: Row | null;
  readonly before: Row | null;
  readonly committedAtUs: bigint;
  readonly lsn: bigint;
}

interface Record {
  readonly offset: number;
  readonly change: Change;
}

/** What the sink does with a change: as it should, not at all, or another row. */
export type Fault = (change: Change) => 'apply' | 'skip' | Row;

export interface WorldOptions {
  readonly seed: number;
  readonly partitions?: number;
  /** Whether the sink's progress can be asked for. */
  readonly sinkKnown?: boolean;
  /** The longest pause of the sink. */
  readonly sinkPauseMs?: number;
  readonly repeats?: boolean;
  /** Which changes' events do not tell when they were committed. */
  readonly timeless?: 'none' | 'deletes' | 'all';
  /** How many of the records cannot be decoded when they come. */
  readonly undecodable?: number;
  /** Whether no sweep follows the first. */
  readonly sweepsOnce?: boolean;
  /** Whether changes of the replica are read as well, and whether the images of some leave a column out. */
  readonly replicaSource?: 'none' | 'whole' | 'partly';
  /** Share of the keys whose changes are checked. */
  readonly sampleRatio?: number;
}

const TOPIC = 'shop.public.items';
const REPLICA_TOPIC = 'billing.public.items';
const BASE_ROWS = 8;
/** Loops that sleep until the end of the world. */
const SIGNAL_LISTENERS_MAX = 100;

/** A primary, a connector, a log of records, a sink, a replica, and Lockstep's parts over them. */
export class World {
  readonly random: Random;
  readonly clock = new VirtualClock();
  readonly pair = textPair();
  readonly metrics = new CountingMetrics();
  readonly state = new MemoryState();
  readonly old: MemoryDatabase;
  readonly new: MemoryDatabase;
  readonly log: Change[] = [];
  /** Highest log position applied of each key. */
  readonly applied = new Map<string, bigint>();
  fault: Fault = () => 'apply';
  /** Further changes whose record cannot be decoded when it comes. */
  isLostToDecoder: (change: Change) => boolean = () => false;
  /** What the connector writes of a row: events and sink get this. */
  encode: (row: Row) => Row = (row) => row;
  core: Core | null = null;
  failure: unknown = null;
  pausedSource = false;
  pausedSink = false;
  /** What the sink is not told to begin again with, so that a history ends. */
  calm = false;
  private readonly options: Required<WorldOptions>;
  private readonly partitions: StreamPartition[];
  private readonly records: Record[][];
  private readonly committed: number[];
  private readonly ended = new AbortController();
  private life = new AbortController();
  /** Every write on the replica. */
  readonly replicaLog: Change[] = [];
  private readonly replicaRecords: Record[][];
  pausedReplicaSource = false;
  private replicaConfirmedLsn = 0n;
  private lsn = 1_000n;
  private confirmedLsn = 1_000n;
  private verifiedUs: bigint | null = null;

  constructor(options: WorldOptions) {
    this.options = { partitions: 2, sinkKnown: true, sinkPauseMs: 400, repeats: true, timeless: 'none', undecodable: 0, sweepsOnce: false, replicaSource: 'none', sampleRatio: 1, ...options };
    this.random = new Random(options.seed);
    const delayMs = (): number => (this.random.chance(0.2) ? this.random.between(1, 4) : 0);
    const { clock } = this;
    setMaxListeners(SIGNAL_LISTENERS_MAX, this.ended.signal);
    this.old = new MemoryDatabase({ side: 'old', clock, offsetMs: this.random.between(-300, 300), delayMs });
    this.new = new MemoryDatabase({ side: 'new', clock, offsetMs: this.random.between(-300, 300), delayMs });
    for (const side of [this.old, this.new]) side.hasMarks = this.random.chance(0.5);
    this.partitions = Array.from({ length: this.options.partitions }, (_, partition) => ({ topic: TOPIC, partition }));
    this.records = this.partitions.map(() => []);
    this.replicaRecords = this.partitions.map(() => []);
    this.committed = this.partitions.map(() => 0);
    this.state.writeMs = () => clock.sleep(this.random.between(0, 30));
    this.old.progress = () => ({
      insertLsn: this.lsn,
      slots: [{ name: 'source', plugin: 'pgoutput', active: true, confirmedFlushLsn: this.confirmedLsn, receivedLsn: null, readerPid: 1, walStatus: 'reserved', restartLsn: this.confirmedLsn, safeWalBytes: null }],
      slotWalLimitBytes: null,
    });
    this.new.progress = () => ({
      insertLsn: BigInt(this.replicaLog.length),
      slots: [{ name: 'source', plugin: 'pgoutput', active: true, confirmedFlushLsn: this.replicaConfirmedLsn, receivedLsn: null, readerPid: 2, walStatus: 'reserved', restartLsn: null, safeWalBytes: null }],
      slotWalLimitBytes: null,
    });
    for (let index = 0; index < BASE_ROWS; index++) {
      const row = [`k${index}`, 'a', 'x'];
      this.old.put(this.pair, row);
      this.new.put(this.pair, row);
    }
    const failed = (error: unknown): void => {
      this.failure = error;
    };
    this.connector().catch(failed);
    if (this.options.replicaSource !== 'none') this.replicaConnector().catch(failed);
    for (const partition of this.partitions) this.sink(partition.partition).catch(failed);
  }

  get signal(): AbortSignal {
    return this.ended.signal;
  }

  /** Starts Lockstep on what the state store holds. */
  async start(primary: 'old' | 'new' = 'old'): Promise<Core> {
    const { clock, partitions } = this;
    this.life = new AbortController();
    setMaxListeners(SIGNAL_LISTENERS_MAX, this.life.signal);
    const { signal } = this.life;
    const pipeline: Pipeline = {
      source: {
        run: () => Promise.resolve(),
        acknowledge: () => Promise.resolve(),
        partitionsOf: (_pair, side) => this.partitionsOf(side),
        slotName: 'source',
      },
      offsets: {
        endOffsets: () => Promise.resolve(new Map(this.allPartitions().map((one) => [partitionId(one), BigInt(this.recordsIn(one).length)]))),
        appliedOffsets: () =>
          Promise.resolve(new Map(this.options.sinkKnown ? partitions.map((one) => [partitionId(one), BigInt(this.committed[one.partition] ?? 0)]) : [])),
        heartbeatEnds: () => Promise.resolve(new Map()),
        sinkMembers: null,
      },
      partitions: (_pair, side) => this.partitionsOf(side),
      slotName: 'source',
      connectorOf: () => 'shop',
      topicsOf: () => new Set([TOPIC]),
      sharing: () => [],
      records: {
        decodeAgain: async ({ partition, offset }) => {
          await clock.sleep(this.random.between(0, 50), signal);
          const record = this.recordsOf(partition)[Number(offset)] as Record;
          return { kind: 'record', record: this.decoded(record, partitions[partition] as StreamPartition) };
        },
      },
      ordered: false,
      encodingFindings: () => [],
      close: () => Promise.resolve(),
    };
    const paired = {
      databases: { old: this.old, new: this.new },
      pairs: [this.pair],
      findings: new Map(),
      replicaIdentity: new Map(),
      close: () => Promise.resolve(),
    } as unknown as PairedDatabases;
    const config = {
      migration: 'simulated',
      primary,
      events: null,
      samples: { values: 'full' },
      slo: { lagBudgetMs: 2_000, lagWindowMs: 60_000, slotWalBytes: null },
      settleMs: 3_000,
      checks: { readBatch: 5, maxPending: 40 },
      sweep: { chunkRows: 3, concurrency: 2, maxRowsPerSecond: null, everyMs: 5_000, strategy: 'auto', pause: { lagMs: 30_000, lockWaits: true, activeSessions: null } },
      gate: {},
      tables: this.options.sampleRatio === 1 ? [] : [{ old: this.pair.old, sampleRatio: this.options.sampleRatio }],
    } as unknown as Config;
    const store = new MemoryStore(this.state);
    // Time does not pass while it starts.
    const { writeMs } = this.state;
    this.state.writeMs = () => Promise.resolve();
    const core = await buildCore({
      config,
      paired,
      pipeline,
      store,
      shelf: store,
      metrics: this.metrics,
      clock,
      signal,
      onFinding: () => undefined,
    });
    this.state.writeMs = writeMs;
    this.core = core;
    const failed = (error: unknown): void => {
      if (!signal.aborted) this.failure = error;
    };
    await clock.until((core.progress as NonNullable<Core['progress']>).measureSkew(signal));
    for (const running of [core.rechecker, core.checkpointer, core.progress]) running?.run(signal).catch(failed);
    this.sweep(core, signal).catch(failed);
    for (const partition of this.allPartitions()) this.feed(core, partition, signal).catch(failed);
    return core;
  }

  private async sweep(core: Core, signal: AbortSignal): Promise<void> {
    const schedule = core.schedule as NonNullable<Core['schedule']>;
    if (!this.options.sweepsOnce) return schedule.run(signal);
    const once = new AbortController();
    const swept = (): boolean => core.verification.tableStatus(this.pair).lastSweepEndedMs !== null;
    if (swept()) return;
    const running = schedule.run(AbortSignal.any([signal, once.signal]));
    while (!swept() && !signal.aborted) await this.clock.sleep(100, signal);
    once.abort();
    await running;
  }

  /** Somebody retries what could not be decoded, again and again. */
  async retry(): Promise<void> {
    const { clock, random } = this;
    while (!this.signal.aborted) {
      await clock.sleep(random.between(50, 3_000), this.signal);
      await this.core?.retries?.retrySeveral({}, random.between(1, 20)).catch((error: unknown) => {
        if (!(error instanceof LockstepError)) throw error;
      });
    }
  }

  /** Lockstep is gone at once: nothing that it has not written is kept. */
  kill(): void {
    this.state.epoch++;
    this.life.abort();
    this.core = null;
  }

  end(): void {
    this.kill();
    this.ended.abort();
  }

  /** A transaction on the primary. */
  commit(changes: readonly { key: string; row: Row | null }[]): void {
    // Commit times are taken a little before the commit stands in the log.
    const committedAtUs = this.old.nowUs() - BigInt(this.random.between(0, 20)) * 1000n;
    for (const { key, row } of changes) {
      const before = this.old.rows.get(key)?.row ?? null;
      if (row === null && before === null) continue;
      this.lsn += 10n;
      if (row === null) this.old.rows.delete(key);
      else this.old.put(this.pair, row, committedAtUs);
      this.log.push({ key, row, before, committedAtUs, lsn: this.lsn });
    }
  }

  /** Live load; the keys of `spared` are left alone. */
  async load(ms: number, spared: ReadonlySet<string> = new Set()): Promise<void> {
    const { clock, random } = this;
    const untilMs = clock.nowMs() + ms;
    while (clock.nowMs() < untilMs && !this.signal.aborted) {
      await clock.sleep(random.chance(0.3) ? random.between(1, 15) : random.between(20, 400), this.signal);
      const changes = Array.from({ length: random.between(1, 3) }, () => this.someChange()).filter(({ key }) => !spared.has(key));
      this.commit(changes);
    }
  }

  private someChange(): { key: string; row: Row | null } {
    const { random } = this;
    // Few keys and few values: rows become again what they were.
    const key = random.chance(0.5) ? 'k0' : `k${random.between(0, BASE_ROWS + 3)}`;
    if (random.chance(0.15)) return { key, row: null };
    const before = this.old.rows.get(key)?.row;
    const big = before !== undefined && random.chance(0.7) ? (before[2] as string) : random.of(['x', 'y']);
    return { key, row: [key, random.of(['a', 'b', 'c']), big] };
  }

  /** Throws when something is said that is not so. */
  look(): void {
    if (this.failure !== null) throw this.failure;
    if (this.core === null) return;
    const through = this.verifiedThroughUs();
    if (through === null) return;
    if (this.verifiedUs !== null && through < this.verifiedUs) throw new Error('verified-through went back');
    if (this.verifiedUs === through) return;
    this.verifiedUs = through;
    // It speaks of the sample alone, and which keys that is depends on the hash.
    if (this.options.sampleRatio < 1) return;
    // Nobody knows of these changes, but a sweep has found the rows equal that had come of them by then.
    const swept = new Set([...this.state.deadLetters.values()].filter((letter) => letter.swept).map(({ position }) => this.recordsOf(position.partition)[Number(position.offset)]?.change.lsn));
    for (const change of this.log) {
      if (change.committedAtUs >= through) break;
      if (swept.has(change.lsn)) continue;
      // A change that changes nothing is seen on the replica before it is there.
      if (change.row?.join() === change.before?.join()) continue;
      if ((this.applied.get(change.key) ?? 0n) < change.lsn && this.core.book.get(this.pair.id, change.key) === undefined) {
        throw new Error(`verified-through ${through} passed a change that is neither applied nor drift: ${change.lsn} of ${this.changesOf(change.key)}`);
      }
    }
  }

  /** What happened to the keys that drift, for a failed history. */
  story(): string {
    return [...this.state.drift.values()]
      .map(({ drift, keyValues: [key = ''] }) => {
        const told = { kind: drift.kind, foundBy: drift.foundBy, status: drift.status, old: drift.old, new: drift.new, position: drift.position?.offset };
        return `${drift.confirmedAtMs}: ${JSON.stringify(told)}; ${this.changesOf(key)}`;
      })
      .join('\n');
  }

  private changesOf(key: string): string {
    const shown = (row: Row | null | undefined): string => row?.slice(1).join('') ?? '-';
    const changes = this.log.filter((change) => change.key === key).map(({ row, lsn, committedAtUs }) => `${lsn}@${committedAtUs / 1000n}:${shown(row)}`);
    return `${key}: ${changes.join(' ')}; applied through ${this.applied.get(key) ?? 0n}`;
  }

  verifiedThroughUs(): bigint | null {
    return this.state.tables.get(this.pair.id)?.verifiedThroughUs ?? null;
  }

  private recordsOf(partition: number): Record[] {
    return this.records[partition] as Record[];
  }

  private async connector(): Promise<void> {
    const { clock, random, signal } = this;
    let next = 0;
    while (!signal.aborted) {
      await clock.sleep(random.chance(0.1) ? random.between(50, 300) : random.between(2, 40), signal);
      if (this.pausedSource) continue;
      const batch = this.log.slice(next, next + random.between(1, 20));
      for (const change of batch) {
        const records = this.recordsOf(change.key.charCodeAt(1) % this.records.length);
        records.push({ offset: records.length, change });
      }
      next += batch.length;
      if (random.chance(0.2)) this.confirmedLsn = next === this.log.length ? this.lsn : (this.log[next - 1]?.lsn ?? this.confirmedLsn);
      if (this.options.repeats && !this.calm && random.chance(0.01)) {
        await clock.sleep(random.between(10, 500), signal);
        next = this.log.findIndex((change) => change.lsn > this.confirmedLsn);
        if (next < 0) next = this.log.length;
      }
    }
  }

  private async sink(partition: number): Promise<void> {
    const { clock, random, signal } = this;
    let next = 0;
    while (!signal.aborted) {
      await clock.sleep(random.chance(0.05) ? random.between(0, this.options.sinkPauseMs) : random.between(1, 60), signal);
      if (this.pausedSink) continue;
      const batch = this.recordsOf(partition).slice(next, next + random.between(1, 10));
      for (const { change } of batch) this.apply(change);
      next += batch.length;
      if (random.chance(0.5)) this.committed[partition] = next;
      else if (this.options.repeats && !this.calm && random.chance(0.02)) next = this.committed[partition] ?? 0;
    }
  }

  private apply(change: Change): void {
    const does = this.fault(change);
    if ((this.applied.get(change.key) ?? 0n) < change.lsn) this.applied.set(change.key, change.lsn);
    if (does === 'skip') return;
    const row = does !== 'apply' ? does : change.row === null ? null : this.encode(change.row);
    this.write(change.key, row);
  }

  /** A transaction on the replica, the pipeline's or another's. */
  write(key: string, row: Row | null): void {
    const before = this.new.rows.get(key)?.row ?? null;
    const committedAtUs = this.new.nowUs();
    if (row === null) this.new.rows.delete(key);
    else this.new.put(this.pair, row, this.random.chance(0.5) ? committedAtUs : null);
    if (row !== null || before !== null) this.replicaLog.push({ key, row, before, committedAtUs, lsn: BigInt(this.replicaLog.length + 1) });
  }

  private partitionsOf(side: 'old' | 'new'): readonly StreamPartition[] {
    if (side === 'old') return this.partitions;
    return this.options.replicaSource !== 'none' ? this.partitions.map(({ partition }) => ({ topic: REPLICA_TOPIC, partition })) : [];
  }

  private allPartitions(): readonly StreamPartition[] {
    return [...this.partitions, ...this.partitionsOf('new')];
  }

  private recordsIn({ topic, partition }: StreamPartition): Record[] {
    return topic === REPLICA_TOPIC ? (this.replicaRecords[partition] as Record[]) : this.recordsOf(partition);
  }

  /** Reads the replica's log as a connector does: in order, late at times, and some of it twice. */
  private async replicaConnector(): Promise<void> {
    const { clock, random, signal } = this;
    let next = 0;
    while (!signal.aborted) {
      await clock.sleep(random.chance(0.1) ? random.between(50, 600) : random.between(2, 40), signal);
      const batch = this.replicaLog.slice(next, next + random.between(1, 20));
      for (const change of batch) {
        const records = this.replicaRecords[change.key.charCodeAt(1) % this.replicaRecords.length] as Record[];
        records.push({ offset: records.length, change });
      }
      next += batch.length;
      this.replicaConfirmedLsn = BigInt(next);
      if (this.options.repeats && !this.calm && random.chance(0.01)) next = Math.max(0, next - random.between(1, 30));
    }
  }

  private decodedOfReplica({ offset, change }: Record, partition: StreamPartition): RowChange {
    const leftOut = this.options.replicaSource === 'partly' && change.row !== null && change.before !== null && change.row[2] === change.before[2] && change.lsn % 7n === 0n;
    return {
      type: 'row',
      pair: this.pair,
      side: 'new',
      op: change.row === null ? 'delete' : change.before === null ? 'create' : 'update',
      key: [change.key],
      image: leftOut ? [change.row?.[0], change.row?.[1], undefined] : change.row,
      before: null,
      committedAtUs: change.committedAtUs,
      snapshot: 'none',
      position: { ...partition, offset: String(offset), lsn: change.lsn, txId: `${change.lsn}` },
    };
  }

  private async feed(core: Core, partition: StreamPartition, signal: AbortSignal): Promise<void> {
    const { clock, random } = this;
    const stream = core.stream as NonNullable<Core['stream']>;
    stream.onAssigned([partition]);
    let next = Number(stream.resumeFrom([partition]).get(partitionId(partition)) ?? 0);
    while (!signal.aborted) {
      await clock.sleep(random.chance(0.05) ? random.between(50, 300) : random.between(1, 30), signal);
      if (partition.topic === REPLICA_TOPIC && this.pausedReplicaSource) continue;
      const all = this.recordsIn(partition);
      const batch = all.slice(next, next + random.between(1, 12));
      next += batch.length;
      await stream.onBatch({
        partition,
        records: batch.map((record) => (partition.topic === REPLICA_TOPIC ? this.decodedOfReplica(record, partition) : this.isBad(record, partition) ? this.undecoded(record, partition) : this.decoded(record, partition))),
        nextOffset: String(next),
        endOffset: String(all.length),
        completeThroughLsn: null,
      });
    }
  }

  /** Which records are bad depends on nothing but their place: a record that is read again is so again. */
  private isBad({ offset, change }: Record, { partition }: StreamPartition): boolean {
    const { undecodable, seed } = this.options;
    if (this.isLostToDecoder(change)) return true;
    return undecodable > 0 && ((offset * 7_919 + partition * 104_729 + seed * 31) % 1_000) / 1_000 < undecodable;
  }

  private undecoded({ offset }: Record, partition: StreamPartition): Undecodable {
    const position = { ...partition, offset: String(offset), lsn: null, txId: null };
    return { type: 'undecodable', pair: this.pair, reason: 'not_json', message: 'bad', position, rawKey: null, rawValue: null };
  }

  private decoded({ offset, change }: Record, partition: StreamPartition): RowChange {
    const { before } = change;
    const row = change.row === null ? null : this.encode(change.row);
    const leftOut = row !== null && before !== null && row[2] === before[2] && change.lsn % 30n === 0n;
    const image: readonly ImageValue[] | null = row !== null && leftOut ? [row[0], row[1], undefined] : row;
    const { timeless } = this.options;
    const isTimeless = timeless === 'all' || (timeless === 'deletes' && row === null);
    return {
      type: 'row',
      pair: this.pair,
      side: 'old',
      op: row === null ? 'delete' : before === null ? 'create' : 'update',
      key: [change.key],
      image,
      before: null,
      committedAtUs: isTimeless ? this.old.nowUs() : change.committedAtUs,
      ...(isTimeless ? { commitTime: 'upper_bound' as const } : {}),
      snapshot: 'none',
      position: { ...partition, offset: String(offset), lsn: isTimeless ? null : change.lsn, txId: null },
    };
  }
}
