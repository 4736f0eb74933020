import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { LockstepReplica } from './lockstep.ts';
import type { Plant, Plants } from './plants.ts';
import { adminOf, GROUP, MIGRATION, STATE_DATABASE, TOPICS, VERIFIED_WITHIN_MS, type RoadName, type World } from './world.ts';

const SAMPLE_MS = 1_000;
/** Kafka is asked every so many samples. */
const KAFKA_EVERY = 3;
/** How long evidence may be away before the gate must know: verified-through may be so old, a question may take 5 s, and a busy machine its time. */
const GATE_KNOWS_MS = VERIFIED_WITHIN_MS + 10_000;
/** A time on the primary's clock is shown by way of two clocks' measured difference, on a busy machine. */
const SKEW_SLACK_MS = 250;
/** A plant is surely committed so long before its own time was taken. */
const PLANT_SLACK_US = 500_000n;
/** A stored figure is as new as the last checkpoint. */
const RSS_MAX_MIB = 500;

export interface SummaryJson {
  readonly verified_through: string | null;
  readonly open_drift: number;
  readonly pipeline: readonly { readonly finding: string; readonly message: string }[];
  readonly clock_skew_ms: { readonly old: { readonly offset_ms: number } | null };
  readonly tables: readonly {
    readonly table: string;
    readonly verified_through: string | null;
    readonly held_by: string | null;
    readonly pending: number;
    readonly drift: number;
    readonly rows: { readonly old: number | null; readonly new: number | null };
  }[];
}

export interface DriftRow {
  readonly id: string;
  readonly table: string;
  readonly key: string;
  readonly kind: string;
  readonly columns: readonly string[];
  readonly status: string;
  readonly found_by: string;
}

/** What must never be so, and how often it was. */
export class Violations {
  readonly #counts = new Map<string, { count: number; first: string }>();
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** @param rule what was broken @param detail what was seen */
  add(rule: string, detail: string): void {
    const known = this.#counts.get(rule);
    if (known !== undefined) {
      known.count++;
      return;
    }
    this.#counts.set(rule, { count: 1, first: `${new Date().toISOString()} ${detail}` });
    this.#say(`VIOLATION ${rule}: ${detail}`);
  }

  get lines(): string[] {
    return [...this.#counts].map(([rule, { count, first }]) => `${rule} (${count} times; first: ${first})`);
  }
}

/** Samples every figure that Lockstep gives, once a second, and holds it against what is known to be so. */
export class Watch {
  /** Evidence that is away, and since when. */
  readonly away = new Map<RoadName, number>();
  readonly figures = { samples: 0, answers: 0, passes: 0, maxRssMiB: 0, maxVerifiedLagMs: 0, storedSamples: 0, committedSamples: 0 };
  readonly #world: World;
  readonly #replicas: readonly LockstepReplica[];
  readonly #plants: Plants;
  readonly #violations: Violations;
  readonly #stored = new Map<string, bigint>();
  readonly #committed = new Map<string, bigint>();
  /** By life and table. */
  readonly #shown = new Map<string, number>();
  readonly #reported = new Map<string, DriftRow>();
  #state: pg.Client | null = null;
  #admin: ReturnType<typeof adminOf> | null = null;

  constructor(world: World, replicas: readonly LockstepReplica[], plants: Plants, violations: Violations) {
    this.#world = world;
    this.#replicas = replicas;
    this.#plants = plants;
    this.#violations = violations;
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let round = 0; !signal.aborted; round++) {
      const startedMs = performance.now();
      this.figures.samples++;
      // Not one after the other: a process that does not answer must not hide what the others say.
      await Promise.all([
        ...this.#replicas.map((replica) => this.#look(replica)),
        (async () => {
          if (round % KAFKA_EVERY === 0) await this.#lookAtKafka();
          await this.#lookAtState();
        })(),
      ]);
      await delay(Math.max(0, SAMPLE_MS - (performance.now() - startedMs)));
    }
    await this.#state?.end().catch(() => undefined);
    await this.#admin?.disconnect().catch(() => undefined);
  }

  /** Drift that was ever reported, by id. */
  get reported(): ReadonlyMap<string, DriftRow> {
    return this.#reported;
  }

  /** Stored offsets of the partitions, last seen. */
  get stored(): ReadonlyMap<string, bigint> {
    return this.#stored;
  }

  get committed(): ReadonlyMap<string, bigint> {
    return this.#committed;
  }

  async #look(replica: LockstepReplica): Promise<void> {
    const { pid, life } = replica;
    if (pid === null || life === undefined) return;
    this.#lookAtMemory(pid);
    const known = this.#found();
    const awaySince = [...this.away].filter(([, sinceMs]) => Date.now() - sinceMs > GATE_KNOWS_MS).map(([what]) => what);
    const [ready, gate] = [await replica.get('/readyz'), await replica.get<{ verdict: string }>('/v1/gate?phase=canary')];
    const summary = await replica.get<SummaryJson>('/v1/summary');
    if (replica.life !== life) return;
    if (ready !== null) life.wasReady = true;
    if (gate !== null) this.figures.answers++;
    if (gate?.verdict === 'pass') {
      this.figures.passes++;
      const still = known.filter(({ stage }) => stage === 'planted');
      if (still.length > 0) this.#violations.add('the gate passes while drift was reported', `${replica.name}, ${still.length} plants, e.g. ${describePlant(still[0] as Plant)}`);
      for (const what of awaySince.filter((one) => this.away.has(one))) this.#violations.add('the gate passes while evidence is away', `${replica.name}: ${what}`);
    }
    if (summary === null || ready === null) return;
    for (const table of summary.tables) this.#lookAtTable(`${replica.name} ${life.number}`, summary, table, known);
  }

  #lookAtTable(life: string, summary: SummaryJson, table: SummaryJson['tables'][number], known: readonly Plant[]): void {
    if (table.verified_through === null) return;
    const throughMs = Date.parse(table.verified_through);
    const id = `${life} ${table.table}`;
    const before = this.#shown.get(id) ?? 0;
    if (throughMs < before - SKEW_SLACK_MS) this.#violations.add('verified-through went back', `${id}: ${before - throughMs} ms`);
    if (throughMs > before) this.#shown.set(id, throughMs);
    const offsetUs = BigInt(Math.round((summary.clock_skew_ms.old?.offset_ms ?? 0) * 1000));
    const throughUs = BigInt(throughMs) * 1000n + offsetUs;
    const due = this.#plants.all.filter(
      (plant) =>
        `public.${plant.table}` === table.table && plant.stage === 'planted' && (known.includes(plant) || (plant.byStream && plant.plantedUs !== null && plant.plantedUs + PLANT_SLACK_US < throughUs)),
    );
    if (table.drift < due.length) {
      this.#violations.add('verified-through is past drift that is not reported', `${id} through ${table.verified_through}: ${table.drift} of ${due.length}: ${due.map(describePlant).join(', ')}`);
    }
  }

  #found(): Plant[] {
    return this.#plants.all.filter(({ foundMs, stage }) => foundMs !== null && stage === 'planted');
  }

  #lookAtMemory(pid: number): void {
    try {
      const kib = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
      this.figures.maxRssMiB = Math.max(this.figures.maxRssMiB, Math.round(kib / 1024));
      if (kib / 1024 > RSS_MAX_MIB) this.#violations.add('memory is not bounded', `${Math.round(kib / 1024)} MiB`);
    } catch {
      // It has just ended, or this system has no /proc.
    }
  }

  async #lookAtState(): Promise<void> {
    try {
      const client = (this.#state ??= await this.#connect());
      const { rows: tables } = await client.query<{ table_name: string; us: string | null }>('SELECT table_name, verified_through_us AS us FROM lockstep.tables WHERE migration = $1', [MIGRATION]);
      for (const { table_name, us } of tables) if (us !== null) this.#neverBack(`stored verified-through of ${table_name}`, BigInt(us));
      const { rows: partitions } = await client.query<{ id: string; next: string }>(`SELECT topic || '/' || partition AS id, next_offset AS next FROM lockstep.partitions WHERE migration = $1`, [MIGRATION]);
      for (const { id, next } of partitions) this.#neverBack(`stored offset of ${id}`, BigInt(next));
      for (const [id, offset] of this.#committed) {
        const stored = this.#stored.get(`stored offset of ${id}`);
        if (stored !== undefined && offset > stored) this.#violations.add('an offset was committed to Kafka before it was stored', `${id}: ${offset} > ${stored}`);
      }
      const { rows } = await client.query<DriftRow>(
        `SELECT id, table_name AS table, array_to_string(key_values, '/') AS key, kind, columns, status, found_by FROM lockstep.drift WHERE migration = $1`,
        [MIGRATION],
      );
      for (const row of rows) this.#lookAtDrift(row);
      this.figures.storedSamples++;
    } catch (error) {
      if ((error as { code?: string }).code === '42P01') return;
      await this.#state?.end().catch(() => undefined);
      this.#state = null;
    }
  }

  #lookAtDrift(row: DriftRow): void {
    const before = this.#reported.get(row.id);
    this.#reported.set(row.id, row);
    const plant = this.#plants.all.findLast((one) => `public.${one.table}` === row.table && one.key === row.key);
    const what = `${row.table} ${row.key} ${row.kind} [${row.columns.join(' ')}] ${row.status} found by ${row.found_by}`;
    if (plant === undefined) {
      this.#violations.add('drift was reported that nobody planted', what);
      return;
    }
    if (row.status === 'open') plant.foundMs ??= Date.now();
    if (!plant.kinds.includes(row.kind)) this.#violations.add('drift has the wrong kind', `${what}, planted ${describePlant(plant)}`);
    if (plant.columns !== null && plant.columns.toSorted().join() !== row.columns.toSorted().join()) this.#violations.add('drift has the wrong columns', `${what}, planted ${describePlant(plant)}`);
    if (row.status === 'resolved' && plant.stage === 'planted') this.#violations.add('drift was resolved while it was there', `${what}, planted ${describePlant(plant)}`);
    const others = [...this.#reported.values()].filter((one) => one.id !== row.id && one.table === row.table && one.key === row.key);
    if (before === undefined && others.length > 0 && plant.stage === 'planted') this.#violations.add('drift was reported twice', what);
  }

  async #lookAtKafka(): Promise<void> {
    try {
      if (this.#admin === null) {
        this.#admin = adminOf(this.#world.kafka);
        await this.#admin.connect();
      }
      for (const { topic, partitions } of await this.#admin.fetchOffsets({ groupId: GROUP, topics: [...TOPICS.keys()] })) {
        for (const { partition, offset } of partitions) {
          if (offset.startsWith('-')) continue;
          const id = `${topic}/${partition}`;
          const before = this.#committed.get(id) ?? 0n;
          if (BigInt(offset) < before) this.#violations.add('an offset committed to Kafka went back', `${id}: ${before} to ${offset}`);
          this.#committed.set(id, BigInt(offset));
        }
      }
      this.figures.committedSamples++;
    } catch {
      await this.#admin?.disconnect().catch(() => undefined);
      this.#admin = null;
    }
  }

  #neverBack(what: string, value: bigint): void {
    const before = this.#stored.get(what);
    if (before !== undefined && value < before) this.#violations.add(`${what} went back`, `${before} to ${value}`);
    this.#stored.set(what, value);
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.#world.state.url(STATE_DATABASE), connectionTimeoutMillis: 2_000, query_timeout: 5_000 });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }
}

export function describePlant({ kind, table, key, stage }: Plant): string {
  return `${kind} ${table} ${key} (${stage})`;
}
