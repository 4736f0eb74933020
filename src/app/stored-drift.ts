import type { DriftGroup } from '../domain/causes/groups.ts';
import type { Drift, DriftEvent, RowSample } from '../domain/drift.ts';
import type { Pair, PairColumn } from '../domain/pair.ts';
import { canonicalFromInput, shownValue } from '../domain/values/classes.ts';
import type { DriftFilter, Page, RequestedKey } from '../http/ports.ts';
import type { DriftFilter as StoredFilter } from '../state/drift.ts';
import type { PostgresStateStore } from '../state/store.ts';

/** Drift as the state store lists it: any process of the migration can tell. */
export class StoredDrift {
  private readonly store: PostgresStateStore;
  private readonly pairs: readonly Pair[];

  constructor(store: PostgresStateStore, pairs: readonly Pair[]) {
    this.store = store;
    this.pairs = pairs;
  }

  async list(filter: DriftFilter, cursor: string | null, limit: number): Promise<Page<Drift>> {
    const page = await this.store.listDrift(this.storedFilter(filter), cursor, limit);
    return { ...page, items: page.items.map((drift) => this.inColumnOrder(drift)) };
  }

  async group(filter: DriftFilter, limit: number): Promise<readonly DriftGroup[]> {
    return await this.store.groupDrift(this.storedFilter(filter), limit);
  }

  async one(id: string): Promise<{ readonly drift: Drift; readonly events: readonly DriftEvent[] } | null> {
    const found = await this.store.drift(id);
    return found === null ? null : { ...found, drift: this.inColumnOrder(found.drift) };
  }

  private storedFilter(filter: DriftFilter): StoredFilter {
    const key = filter.key === null ? null : this.shownKey(filter.key, filter.table);
    return {
      ...(filter.table === null ? {} : { table: filter.table }),
      ...(filter.kind === null ? {} : { kind: filter.kind }),
      ...(filter.status === null ? {} : { status: filter.status }),
      ...(filter.causeCode === null ? {} : { cause: filter.causeCode }),
      ...(filter.foundBy === null ? {} : { foundBy: filter.foundBy }),
      ...(filter.minAgeMs === null ? {} : { minAgeS: filter.minAgeMs / 1000 }),
      ...(filter.sinceMs === null ? {} : { since: filter.sinceMs }),
      ...(key === null ? {} : { key }),
    };
  }

  /** The state store keeps no order of fields; people read them in the table's. */
  private inColumnOrder(drift: Drift): Drift {
    const pair = this.pairs.find((candidate) => candidate.id === drift.table);
    if (pair === undefined) return drift;
    const order = (sample: RowSample, columns: readonly PairColumn[]): RowSample => {
      const known = columns.flatMap(({ name }) => (sample[name] === undefined ? [] : [[name, sample[name]] as const]));
      return { ...Object.fromEntries(known), ...sample };
    };
    const keyColumns = pair.key.flatMap((index) => pair.columns[index] ?? []);
    return {
      ...drift,
      key: order(drift.key, keyColumns),
      old: drift.old === null ? null : order(drift.old, pair.columns),
      new: drift.new === null ? null : order(drift.new, pair.columns),
    };
  }

  /** A requested key as drift shows keys, so that the two can be compared. */
  private shownKey(key: RequestedKey, table: string | null): Record<string, string | number | boolean | null> {
    const shown: Record<string, string | number | boolean | null> = {};
    for (const [name, value] of Object.entries(key)) {
      const column = this.pairs
        .filter((pair) => table === null || pair.id === table)
        .flatMap((pair) => pair.key.flatMap((index) => pair.columns[index] ?? []))
        .find((candidate) => candidate.name === name);
      const canonical = column === undefined ? undefined : canonicalFromInput(column.valueClass, column.old.type, value);
      shown[name] = column === undefined || canonical === undefined ? value : shownValue(column.valueClass, canonical);
    }
    return shown;
  }
}
