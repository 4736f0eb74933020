import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../fuzz/random.ts';
import { PLANTED_FROM, RESERVED_FROM, RESERVED_ROWS, TABLE_NAMES, type TableName, insertSql, keyOf } from './schema.ts';
import type { World } from './world.ts';

/** What goes wrong between the databases, on purpose. */
const PLANT_KINDS = ['lost_update', 'lost_insert', 'lost_delete', 'write_behind', 'delete_behind', 'insert_behind', 'lost_event'] as const;
type PlantKind = (typeof PLANT_KINDS)[number];

/** By what a column is changed, and what changes. */
const CHANGES: Readonly<Record<TableName, { readonly set: string; readonly back: string; readonly columns: readonly string[] }>> = {
  customers: { set: `notes = 'planted', balance = -1`, back: 'notes = NULL, balance = id * 1.2345', columns: ['balance', 'notes'] },
  orders: { set: `status = 'planted'`, back: `status = 'new'`, columns: ['status'] },
  payments: { set: `long_text = 'planted'`, back: `long_text = 'short'`, columns: ['long_text'] },
};

const ALLOWED: Readonly<Record<PlantKind, readonly string[]>> = {
  // Which of the two depends on whether the earlier version is still remembered: a restart forgets.
  lost_update: ['stale', 'different'],
  lost_insert: ['missing'],
  lost_delete: ['extra'],
  write_behind: ['different'],
  delete_behind: ['missing'],
  insert_behind: ['extra'],
  lost_event: ['stale', 'different', 'stream_gap'],
};

const RETRY_MS = 500;
/** One plant in so many is undone without waiting until it was found. */
const UNDONE_EARLY = 0.15;

/** One planted difference. */
export interface Plant {
  readonly kind: PlantKind;
  readonly table: TableName;
  readonly n: number;
  /** The key as the state store has it. */
  readonly key: string;
  readonly kinds: readonly string[];
  /** Columns that differ; null: the row as a whole. */
  readonly columns: readonly string[] | null;
  readonly isKept: boolean;
  /** Whether the stream tells of it, or only a sweep. */
  readonly byStream: boolean;
  stage: 'planting' | 'planted' | 'undoing' | 'undone';
  /** Old's clock when it was surely there, µs. */
  plantedUs: bigint | null;
  /** When a report of it was first seen, our clock. */
  foundMs: number | null;
}

export class Plants {
  readonly all: Plant[] = [];
  readonly #world: World;
  readonly #random: Random;
  readonly #say: (line: string) => void;
  #next = 0;
  readonly #undoing: Promise<void>[] = [];

  constructor(world: World, random: Random, say: (line: string) => void) {
    this.#world = world;
    this.#random = random;
    this.#say = say;
  }

  /** Plants one difference; one that is not kept is undone some time after it was found, or even before. */
  async plant(keep: boolean, signal: AbortSignal): Promise<void> {
    const plant = this.#choose(keep);
    this.all.push(plant);
    await this.#until(() => this.#make(plant), signal);
    if (plant.plantedUs === null) return;
    plant.stage = 'planted';
    this.#say(`planted ${plant.kind} ${plant.table} ${plant.key}`);
    const early = this.#random.chance(UNDONE_EARLY);
    const waitMs = 3_000 + this.#random.below(12_000);
    if (!plant.isKept) this.#undoing.push(this.#undoLater(plant, early, waitMs, signal));
  }

  /** Resolves when all that is to be undone is. */
  async settled(): Promise<void> {
    await Promise.all(this.#undoing);
  }

  #choose(keep: boolean): Plant {
    const kind = this.#random.of(PLANT_KINDS);
    const table = this.#random.of(TABLE_NAMES);
    const serial = this.#next++;
    const inserts = kind === 'lost_insert' || kind === 'insert_behind';
    const n = inserts ? PLANTED_FROM + serial : RESERVED_FROM + (serial % RESERVED_ROWS);
    const whole = ALLOWED[kind].every((one) => one === 'missing' || one === 'extra');
    return {
      kind,
      table,
      n,
      key: Object.values(keyOf(table, n).shown).join('/'),
      kinds: ALLOWED[kind],
      columns: whole ? null : CHANGES[table].columns,
      isKept: keep,
      byStream: kind === 'lost_update' || kind === 'lost_insert' || kind === 'lost_delete',
      stage: 'planting',
      plantedUs: null,
      foundMs: null,
    };
  }

  async #make(plant: Plant): Promise<void> {
    const { kind, table, n } = plant;
    const { old, new: replica } = this.#world;
    const { where, text } = keyOf(table, n);
    const { set } = CHANGES[table];
    if (plant.byStream) await replica.query(`INSERT INTO swallowed VALUES ('${table}', '${text}') ON CONFLICT DO NOTHING`);
    switch (kind) {
      case 'lost_update':
        await old.query(counted(table, 'updates', `UPDATE ${table} SET ${set} WHERE ${where} AND NOT ${isChanged(table)} RETURNING 1`));
        break;
      case 'lost_insert':
        await old.query(counted(table, 'creates', `${insertSql(table, n, n)} ON CONFLICT DO NOTHING RETURNING 1`));
        break;
      case 'lost_delete':
        await old.query(counted(table, 'deletes', `DELETE FROM ${table} WHERE ${where} RETURNING 1`));
        break;
      case 'write_behind':
        await replica.query(`UPDATE ${table} SET ${set} WHERE ${where} AND NOT ${isChanged(table)}`);
        break;
      case 'delete_behind':
        await replica.query(`DELETE FROM ${table} WHERE ${where}`);
        break;
      case 'insert_behind':
        await replica.query(`${insertSql(table, n, n)} ON CONFLICT DO NOTHING`);
        break;
      case 'lost_event':
        // The publication of this transaction's own making has no such table: its change is not decoded.
        await old.query(`BEGIN; ALTER PUBLICATION debezium DROP TABLE ${table}; UPDATE ${table} SET ${set} WHERE ${where} AND NOT ${isChanged(table)}; ALTER PUBLICATION debezium ADD TABLE ${table}; COMMIT`);
        break;
    }
    const [row] = await old.query<{ us: string }>('SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us');
    plant.plantedUs = BigInt(row?.us ?? 0);
  }

  async #undoLater(plant: Plant, early: boolean, waitMs: number, signal: AbortSignal): Promise<void> {
    while (!early && plant.foundMs === null && !signal.aborted) await delay(RETRY_MS);
    await delay(waitMs);
    if (plant.foundMs === null && signal.aborted) return;
    plant.stage = 'undoing';
    await this.#until(() => this.#undo(plant), null);
    plant.stage = 'undone';
    this.#say(`undone ${plant.kind} ${plant.table} ${plant.key}`);
  }

  async #undo({ kind, table, n }: Plant): Promise<void> {
    const { old, new: replica } = this.#world;
    const { where, text } = keyOf(table, n);
    const { set, back } = CHANGES[table];
    await replica.query(`DELETE FROM swallowed WHERE relation = '${table}' AND key = '${text}'`);
    switch (kind) {
      case 'lost_update':
        await replica.query(`UPDATE ${table} SET ${set} WHERE ${where} AND NOT ${isChanged(table)}`);
        break;
      case 'lost_insert':
        await replica.query(`${insertSql(table, n, n)} ON CONFLICT DO NOTHING`);
        break;
      case 'lost_delete':
      case 'insert_behind':
        await replica.query(`DELETE FROM ${table} WHERE ${where}`);
        break;
      case 'write_behind':
        await replica.query(`UPDATE ${table} SET ${back} WHERE ${where} AND ${isChanged(table)}`);
        break;
      case 'delete_behind':
        await replica.query(`${insertSql(table, n, n)} ON CONFLICT DO NOTHING`);
        break;
      case 'lost_event':
        // Any further change of the row brings the replica all of it.
        await old.query(counted(table, 'updates', `UPDATE ${table} SET ${keyColumn(table)} = ${keyColumn(table)} WHERE ${where} RETURNING 1`));
        break;
    }
  }

  /** Tries until it works: a database may be away. */
  async #until(work: () => Promise<void>, signal: AbortSignal | null): Promise<void> {
    for (;;) {
      try {
        await work();
        return;
      } catch (error) {
        if (signal?.aborted === true) return;
        if ((error as { severity?: string }).severity === 'ERROR' && !/^(57|40|53|25)/.test((error as { code?: string }).code ?? '')) throw error;
        await delay(RETRY_MS);
      }
    }
  }
}

/** Whether the row was changed by a plant already: a step that is tried again must not do it twice. */
function isChanged(table: TableName): string {
  switch (table) {
    case 'customers':
      return '(balance = -1)';
    case 'orders':
      return `(status = 'planted')`;
    case 'payments':
      return `(long_text = 'planted')`;
  }
}

function keyColumn(table: TableName): string {
  return table === 'orders' ? 'status' : table === 'customers' ? 'vip' : 'n';
}

/** A statement on old, told to the ledger with it. */
function counted(table: TableName, op: 'creates' | 'updates' | 'deletes', returning: string): string {
  const count = (one: string): string => (one === op ? 'count(*)' : '0');
  return `WITH written AS (${returning}) INSERT INTO ledger (table_name, creates, updates, deletes) SELECT '${table}', ${count('creates')}, ${count('updates')}, ${count('deletes')} FROM written HAVING count(*) > 0`;
}
